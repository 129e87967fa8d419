//! `/keys`: the datastore.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use model::{Duration, ErrorKind, Value};
use schemars::JsonSchema;
use serde::Deserialize;
use store::KeyRow;

use super::table::Table;
use super::{List, Rows, lasting};
use crate::access::{About, Access, Thing};
use crate::answer::Done;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(Method::GET, "/keys", Access::viewer(About::Many), "Lists datastore entries.", list)
        .on(
            Method::GET,
            "/keys/{key}",
            Access::viewer(About::Thing(Thing::Key)),
            "A datastore entry.",
            one,
        )
        .on(
            Method::PUT,
            "/keys/{key}",
            Access::operator(About::Thing(Thing::Key)),
            "Sets a datastore entry.",
            set,
        )
        .on(
            Method::DELETE,
            "/keys/{key}",
            Access::operator(About::Thing(Thing::Key)),
            "Deletes a datastore entry.",
            delete,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    prefix: String,
    /// Only keys that come after this one: the `next` of the page before.
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: Rows,
}

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<KeyRow, String>>, Problem> {
    let limit = asked.limit.0;
    let found = engine.store().keys(&asked.prefix, &asked.after, engine.now(), limit).await?;
    let scope = |row: &KeyRow| row.key.split('/').next().is_some_and(|scope| who.covers(scope));
    Ok(List::seen(List::page(found, limit, |row| row.key.clone()), scope))
}

async fn one(
    State(engine): State<Engine>,
    Named(key): Named<String>,
) -> Result<Json<KeyRow>, Problem> {
    let found = engine.store().key(&key, engine.now()).await?;
    let missing = || Problem::new(ErrorKind::NotFound, format!("there is no key `{key}`"));
    Ok(Json(found.ok_or_else(missing)?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    value: Value,
    /// How long it is kept; without it, until it is deleted.
    #[schemars(with = "Option<Duration>")]
    ttl: Option<String>,
}

async fn set(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<String>,
    Body(asked): Body<Set>,
) -> Result<Done, Problem> {
    engine.set_key(who.actor(), &key, Some(asked.value), lasting(asked.ttl)?).await?;
    Ok(Done)
}

async fn delete(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<String>,
) -> Result<Done, Problem> {
    engine.set_key(who.actor(), &key, None, None).await?;
    Ok(Done)
}
