//! `/executions`: list, start, look into, cancel, resolve.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::Engine;
use engine::view::{ExecutionView, StepLog};
use model::{
    ActionRef, EventKey, ExecutionId, ExecutionState, Map, Resolution, RuleRef, StepPath, Timestamp,
};
use serde::{Deserialize, Serialize};
use store::{ExecutionFilter, ExecutionRow, Position};

use super::{List, rows};
use crate::App;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/executions", get(list).post(run))
        .route("/executions/{id}", get(one))
        .route("/executions/{id}/logs", get(logs))
        .route("/executions/{id}/cancel", post(cancel))
        .route("/executions/{id}/resolve", post(resolve))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Names of states, joined by commas.
    state: Option<String>,
    rule: Option<RuleRef>,
    action: Option<ActionRef>,
    event: Option<EventKey>,
    parent: Option<ExecutionId>,
    #[serde(default)]
    children: bool,
    since: Option<Timestamp>,
    before: Option<Position>,
    limit: Option<usize>,
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<ExecutionRow>>, Problem> {
    let filter = ExecutionFilter {
        states: states(asked.state.as_deref())?,
        rule: asked.rule,
        action: asked.action,
        event: asked.event,
        parent: asked.parent,
        children: asked.children,
        since: asked.since,
        before: asked.before,
        limit: rows(asked.limit)?,
    };
    let found = engine.executions(&filter).await?;
    Ok(List::page(found, filter.limit, |row| row.position))
}

fn states(names: Option<&str>) -> Result<Vec<ExecutionState>, Problem> {
    let names = names.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    names.map(|name| ExecutionState::parse(name).ok_or_else(|| unknown_state(name))).collect()
}

fn unknown_state(name: &str) -> Problem {
    let known = ExecutionState::ALL.map(ExecutionState::as_str).join(", ");
    Problem::malformed(format!("`state`: there is no state `{name}`"))
        .with_hint(format!("the states are {known}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    action: ActionRef,
    #[serde(default)]
    parameters: Map,
}

#[derive(Serialize)]
struct Started {
    id: ExecutionId,
}

async fn run(
    State(engine): State<Engine>,
    who: Authenticated,
    Body(asked): Body<Run>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let id = engine.run(who.actor(), asked.action, asked.parameters).await?;
    Ok((StatusCode::CREATED, Json(Started { id })))
}

async fn one(
    State(engine): State<Engine>,
    Named(id): Named<ExecutionId>,
) -> Result<Json<ExecutionView>, Problem> {
    Ok(Json(engine.execution(&id).await?))
}

async fn logs(
    State(engine): State<Engine>,
    Named(id): Named<ExecutionId>,
) -> Result<Json<List<StepLog>>, Problem> {
    Ok(List::all(engine.logs(&id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

/// Accepted: steps in flight settle and undo handlers run before it has ended.
async fn cancel(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
    Body(asked): Body<Cancel>,
) -> Result<StatusCode, Problem> {
    engine.cancel(who.actor(), &id, asked.reason).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    /// Which step; the one that needs attention if nobody says.
    step: Option<StepPath>,
    /// `{ "done": RESULT }`, `"retry"` or `{ "fail": MESSAGE }`.
    resolution: Resolution,
}

async fn resolve(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
    Body(asked): Body<Resolve>,
) -> Result<StatusCode, Problem> {
    engine.resolve(who.actor(), &id, asked.step, asked.resolution).await?;
    Ok(StatusCode::ACCEPTED)
}
