//! `/actions`: what can be run.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use engine::view::ActionView;
use model::ActionRef;

use super::List;
use crate::App;
use crate::extract::Named;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/actions", get(list)).route("/actions/{action}", get(one))
}

async fn list(State(engine): State<Engine>) -> Json<List<ActionView>> {
    List::all(engine.actions())
}

async fn one(
    State(engine): State<Engine>,
    Named(action): Named<ActionRef>,
) -> Result<Json<ActionView>, Problem> {
    Ok(Json(engine.action(&action)?))
}
