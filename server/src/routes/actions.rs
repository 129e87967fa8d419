//! `/actions`: what can be run.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::ActionView;
use model::ActionRef;

use super::table::Table;
use super::{ByName, List};
use crate::access::{About, Access, Thing};
use crate::auth::Authenticated;
use crate::extract::{Asked, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table.on(Method::GET, "/actions", Access::viewer(About::Many), "Lists actions.", list).on(
        Method::GET,
        "/actions/{action}",
        Access::viewer(About::Thing(Thing::OfPack)),
        "An action with its schemas.",
        one,
    )
}

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<ByName>,
) -> Json<List<ActionView, String>> {
    let sees = |pack: &str| !engine.has_pack(pack) || who.covers(pack);
    let mut actions = engine.actions();
    actions.retain(|view| sees(view.action.pack()));
    List::by_name(actions, asked, |view| view.action.to_string())
}

async fn one(
    State(engine): State<Engine>,
    Named(action): Named<ActionRef>,
) -> Result<Json<ActionView>, Problem> {
    Ok(Json(engine.action(&action)?))
}
