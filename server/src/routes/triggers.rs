//! `/triggers`: the event types that rules can name.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::TriggerView;
use model::TriggerType;

use super::List;
use super::table::Table;
use crate::access::{About, Access, Thing};
use crate::auth::Authenticated;
use crate::extract::Named;
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/triggers",
            Access::viewer(About::Many),
            "Lists the event types that rules can name.",
            list,
        )
        .on(
            Method::GET,
            "/triggers/{type}",
            Access::viewer(About::Thing(Thing::OfPack)),
            "An event type with its schemas.",
            one,
        )
}

async fn list(State(engine): State<Engine>, who: Authenticated) -> Json<List<TriggerView>> {
    let sees = |pack: &str| !engine.has_pack(pack) || who.covers(pack);
    let seen = List::seen(List::all(engine.triggers()), |view| sees(view.kind.pack()));
    List::shown(seen, |view| who.keep_covered(&mut view.rules))
}

async fn one(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(kind): Named<TriggerType>,
) -> Result<Json<TriggerView>, Problem> {
    let mut view = engine.trigger(&kind)?;
    who.keep_covered(&mut view.rules);
    Ok(Json(view))
}
