//! `/keys`: the datastore.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use model::{Duration, ErrorKind, Value};
use serde::Deserialize;
use store::KeyRow;

use super::{List, rows};
use crate::App;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/keys", get(list)).route("/keys/{key}", get(one).put(set).delete(delete))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    prefix: String,
    limit: Option<usize>,
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<KeyRow>>, Problem> {
    let limit = rows(asked.limit)?;
    Ok(List::all(engine.store().keys(&asked.prefix, engine.now(), limit).await?))
}

async fn one(
    State(engine): State<Engine>,
    Named(key): Named<String>,
) -> Result<Json<KeyRow>, Problem> {
    let found = engine.store().key(&key, engine.now()).await?;
    let missing = || Problem::new(ErrorKind::NotFound, format!("there is no key `{key}`"));
    Ok(Json(found.ok_or_else(missing)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    value: Value,
    ttl: Option<Duration>,
}

async fn set(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<String>,
    Body(asked): Body<Set>,
) -> Result<StatusCode, Problem> {
    engine.set_key(who.actor(), &key, Some(asked.value), asked.ttl).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<String>,
) -> Result<StatusCode, Problem> {
    engine.set_key(who.actor(), &key, None, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
