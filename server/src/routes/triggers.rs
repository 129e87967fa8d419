//! `/triggers`: the event types that rules can name.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::TriggerView;
use model::TriggerType;

use super::table::Table;
use super::{ByName, List};
use crate::access::{About, Access, Thing};
use crate::auth::Authenticated;
use crate::extract::{Asked, Named};
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

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<ByName>,
) -> Json<List<TriggerView, String>> {
    let sees = |pack: &str| !engine.has_pack(pack) || who.covers(pack);
    let mut triggers = engine.triggers();
    triggers.retain(|view| sees(view.kind.pack()));
    for view in &mut triggers {
        who.keep_covered(&mut view.rules);
    }
    List::by_name(triggers, asked, |view| view.kind.to_string())
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
