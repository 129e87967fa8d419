//! `/triggers`: the event types that rules can name.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use engine::view::TriggerView;
use model::TriggerType;

use super::List;
use crate::App;
use crate::extract::Named;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/triggers", get(list)).route("/triggers/{type}", get(one))
}

async fn list(State(engine): State<Engine>) -> Json<List<TriggerView>> {
    List::all(engine.triggers())
}

async fn one(
    State(engine): State<Engine>,
    Named(kind): Named<TriggerType>,
) -> Result<Json<TriggerView>, Problem> {
    Ok(Json(engine.trigger(&kind)?))
}
