//! `/health` for people with a token, `/healthz` and `/readyz` for probes without one.

use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use engine::view::Health;

use super::table::Table;
use crate::App;
use crate::access::{About, Access};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table.on(Method::GET, "/health", Access::viewer(About::Nothing), "How the server is.", health)
}

pub(super) fn probes() -> Router<App> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

async fn health(State(engine): State<Engine>) -> Result<Json<Health>, Problem> {
    Ok(Json(engine.health().await?))
}

/// The process answers: a restart would not help, whatever else is wrong.
async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(engine): State<Engine>) -> Result<&'static str, Problem> {
    match engine.problem() {
        None => Ok("ok\n"),
        Some(problem) => Err(Problem::unavailable(problem)),
    }
}
