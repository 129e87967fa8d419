//! `/plans`: what running an action would do.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::dry_run::DryRun;
use model::{ActionRef, Fact, Map, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::Table;
use crate::access::{About, Access};
use crate::auth::Authenticated;
use crate::by_hand;
use crate::extract::Body;
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table.on(
        Method::POST,
        "/plans",
        // Actions that read are performed, with the connections and secrets of a run.
        Access::operator(About::Body),
        "What running an action would do: a dry run, which changes nothing.",
        plan,
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: ActionRef,
    #[serde(default)]
    parameters: Map,
    /// Results for steps whose plans don't say them, by path: `3`, `2/1` for a step of a child.
    #[serde(default)]
    assume: BTreeMap<String, Value>,
}

async fn plan(
    State(engine): State<Engine>,
    who: Authenticated,
    Body(asked): Body<Asked>,
) -> Result<Json<DryRun>, Problem> {
    by_hand::check(&engine, &who, &asked.action, &asked.parameters)?;
    let note = Fact::DryRunMade { action: asked.action.clone(), at: engine.now() };
    engine.note(who.actor(), note).await?;
    Ok(Json(engine.dry_run(asked.action, asked.parameters, asked.assume).await?))
}
