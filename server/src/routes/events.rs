//! `/events`: list, hand in, look into, hand in again, explain.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::view::{EmittedView, RuleExplanation};
use engine::{Accepted, Engine, NewEvent};
use model::{EventKey, RuleRef, Timestamp, TriggerType, Value};
use serde::{Deserialize, Serialize};
use store::{EventFilter, EventRow, Position};

use super::{List, rows};
use crate::App;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/events", get(list).post(emit))
        .route("/events/{event}", get(one))
        .route("/events/{event}/reemit", post(reemit))
        .route("/events/{event}/explain", get(explain))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(rename = "type")]
    kind: Option<TriggerType>,
    source: Option<String>,
    since: Option<Timestamp>,
    before: Option<Position>,
    limit: Option<usize>,
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<EventRow>>, Problem> {
    let filter = EventFilter {
        kind: asked.kind,
        source: asked.source,
        since: asked.since,
        before: asked.before,
        limit: rows(asked.limit)?,
    };
    let found = engine.events(&filter).await?;
    Ok(List::page(found, filter.limit, |row| row.position))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emit {
    #[serde(rename = "type")]
    kind: TriggerType,
    id: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    data: Value,
}

async fn emit(
    State(engine): State<Engine>,
    who: Authenticated,
    Body(asked): Body<Emit>,
) -> Result<(StatusCode, Json<EmittedView>), Problem> {
    let Emit { kind, id, subject, data } = asked;
    let accepted = engine.emit(&who.token_name, NewEvent { kind, id, subject, data }).await?;
    Ok(told(accepted))
}

/// 202 for what is new, 200 for what was there already: both are success.
fn told(accepted: Accepted) -> (StatusCode, Json<EmittedView>) {
    let event = accepted.key().clone();
    let (status, duplicate, differs, executions) = match accepted {
        Accepted::New { executions, .. } => (StatusCode::ACCEPTED, false, false, executions),
        Accepted::Duplicate { differs, .. } => (StatusCode::OK, true, differs, Vec::new()),
    };
    (status, Json(EmittedView { event, duplicate, differs, executions }))
}

/// An event with its data.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    row: EventRow,
    data: Value,
}

async fn one(
    State(engine): State<Engine>,
    Named(key): Named<EventKey>,
) -> Result<Json<Whole>, Problem> {
    let (row, data) = engine.event(&key).await?;
    Ok(Json(Whole { row: EventRow { data: None, ..row }, data }))
}

async fn reemit(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<EventKey>,
) -> Result<(StatusCode, Json<EmittedView>), Problem> {
    Ok(told(engine.reemit(&who.token_name, &key).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// Only this rule.
    rule: Option<RuleRef>,
    /// What today's rules make of it, instead of what was decided.
    #[serde(default)]
    now: bool,
}

/// An explanation with the same in words.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    explained: RuleExplanation,
    text: Option<String>,
}

async fn explain(
    State(engine): State<Engine>,
    Named(key): Named<EventKey>,
    Asked(asked): Asked<Explain>,
) -> Result<Json<List<Explained>>, Problem> {
    let explained = engine.explain(&key, asked.rule.as_ref(), asked.now).await?;
    let told = explained.into_iter().map(|explained| {
        let text = explained.explanation.as_ref().map(ToString::to_string);
        Explained { explained, text }
    });
    Ok(List::all(told.collect()))
}
