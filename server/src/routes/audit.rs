//! `/audit`: what people and programs did.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use model::diagnostic::unknown;
use model::{Actor, Fact, Stream, Timestamp, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use store::{AuditFilter, Position, Recorded};

use super::table::Table;
use super::{List, Rows};
use crate::access::Access;
use crate::extract::Asked;
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    let summary = "Lists what people and programs did, newest first.";
    table.on(Method::GET, "/audit", Access::admin(), summary, list)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// The token's name.
    token: Option<String>,
    /// The fact's name, such as `CancelRequested`.
    name: Option<FactName>,
    since: Option<Timestamp>,
    before: Option<Position>,
    #[serde(default)]
    limit: Rows,
}

/// The name of a fact that there can be.
struct FactName(&'static str);

impl<'de> Deserialize<'de> for FactName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let known = Fact::NAMES.iter().copied();
        let found = known.clone().find(|name| *name == text);
        found.map(Self).ok_or_else(|| D::Error::custom(unknown("fact", &text, known)))
    }
}

impl JsonSchema for FactName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FactName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Fact::NAMES })
    }
}

/// A fact behind which there is somebody.
#[derive(Serialize, JsonSchema)]
struct Deed {
    position: Position,
    at: Timestamp,
    actor: Actor,
    /// The fact's name.
    name: &'static str,
    /// What it is about.
    stream: Stream,
    fact: Value,
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<Deed>>, Problem> {
    let filter = AuditFilter {
        actor: asked.token.as_deref().map(Actor::token),
        name: asked.name.map(|FactName(name)| name.to_owned()),
        since: asked.since,
        before: asked.before,
        limit: asked.limit.0,
    };
    let found: Vec<_> = engine.audit(&filter).await?.into_iter().map(deed).collect();
    Ok(List::page(found, filter.limit, |deed| deed.position))
}

fn deed(recorded: Recorded) -> Deed {
    Deed {
        name: recorded.fact.name(),
        fact: super::stream::content(&recorded),
        position: recorded.position,
        at: recorded.at,
        actor: recorded.actor,
        stream: recorded.stream,
    }
}
