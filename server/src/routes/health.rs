//! `/health` for people with a token, `/healthz` and `/readyz` for probes without one.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use engine::view::Health;
use model::{EventKey, ExecutionState};
use schemars::JsonSchema;
use serde::Serialize;

use super::table::Table;
use crate::App;
use crate::access::{About, Access, Thing};
use crate::auth::Authenticated;
use crate::owners;
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table.on(Method::GET, "/health", Access::viewer(About::Nothing), "How the server is.", health)
}

pub(super) fn probes() -> Router<App> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

/// How the server is, as far as the token may know.
#[derive(Serialize, JsonSchema)]
struct Shown {
    /// Whether it takes work.
    ready: bool,
    /// Why not.
    problem: Option<String>,
    /// What it has to do, for a token that covers all packs.
    #[serde(flatten)]
    load: Option<Load>,
    /// Events of which not everything could be requested that rules asked for, and why: they are
    /// kept, and tried again every few minutes.
    stuck: BTreeMap<EventKey, String>,
}

#[derive(Serialize, JsonSchema)]
struct Load {
    /// Executions in each state.
    executions: BTreeMap<ExecutionState, u64>,
    /// Executions in memory.
    active: usize,
    /// Executions that wait for their turn.
    queued: usize,
}

async fn health(State(app): State<App>, who: Authenticated) -> Result<Json<Shown>, Problem> {
    let Health { ready, problem, executions, active, queued, mut stuck } =
        app.engine.health().await?;
    let load = who.grant.is_whole().then_some(Load { executions, active, queued });
    if load.is_none() {
        for event in stuck.keys().cloned().collect::<Vec<_>>() {
            let owners = owners::of(&app, Thing::Event, event.as_str()).await?.unwrap_or_default();
            if !owners.iter().any(|pack| who.covers(pack)) {
                stuck.remove(&event);
            }
        }
    }
    Ok(Json(Shown { ready, problem, load, stuck }))
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
