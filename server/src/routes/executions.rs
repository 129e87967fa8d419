//! `/executions`: list, start, look into, cancel, resolve.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::logs::{Logs, Which};
use engine::rerun::{Repeated, Repetition};
use engine::view::{Ending, ExecutionView, StepLog};
use model::{
    ActionRef, Actor, EventKey, ExecutionId, ExecutionState, Exported, Map, PackName, Resolution,
    RuleRef, StepPath, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{ExecutionFilter, ExecutionRow, Position};

use super::table::Table;
use super::{List, Rows};
use crate::App;
use crate::access::{About, Access, Thing};
use crate::answer::{Accepted, Begun, Created};
use crate::auth::Authenticated;
use crate::by_hand;
use crate::extract::{Asked, Body, Named, Once, Traced};
use crate::owners::{self, of_prefix};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/executions",
            Access::viewer(About::Many),
            "Lists executions, newest first.",
            list,
        )
        .on(Method::POST, "/executions", Access::operator(About::Body), "Runs an action.", run)
        .on(
            Method::GET,
            "/executions/{id}",
            Access::viewer(About::Thing(Thing::Execution)),
            "An execution and its journal.",
            one,
        )
        .on(
            Method::GET,
            "/executions/{id}/logs",
            Access::viewer(About::Thing(Thing::Execution)),
            "What its steps printed and logged.",
            logs,
        )
        .on(
            Method::POST,
            "/executions/{id}/cancel",
            Access::operator(About::Thing(Thing::Execution)),
            "Ends an execution; its undo handlers run first.",
            cancel,
        )
        .on(
            Method::POST,
            "/executions/{id}/pause",
            Access::operator(About::Thing(Thing::Execution)),
            "Holds an execution: steps under way end, nothing new begins.",
            pause,
        )
        .on(
            Method::POST,
            "/executions/{id}/resume",
            Access::operator(About::Thing(Thing::Execution)),
            "Lets a paused execution go on.",
            resume,
        )
        .on(
            Method::POST,
            "/executions/{id}/rerun",
            Access::operator(About::Thing(Thing::Execution)),
            "Repeats an execution as a new one, all of it or from a step on.",
            rerun,
        )
        .on(
            Method::GET,
            "/executions/{id}/export",
            Access::viewer(About::Thing(Thing::Execution)),
            "An execution as a document that stands for itself.",
            export,
        )
        .on(
            Method::POST,
            "/executions/{id}/resolve",
            Access::operator(About::Thing(Thing::Execution)),
            "Decides about a step whose outcome is unknown.",
            resolve,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Names of states, joined by commas.
    #[schemars(extend("pattern" = states_pattern()))]
    state: Option<String>,
    rule: Option<RuleRef>,
    action: Option<ActionRef>,
    /// Only of this pack's actions.
    pack: Option<PackName>,
    event: Option<EventKey>,
    parent: Option<ExecutionId>,
    #[serde(default)]
    children: bool,
    /// Only those that repeat this execution.
    repeats: Option<ExecutionId>,
    /// Only what the holder of the token of this name asked for.
    token: Option<String>,
    since: Option<Timestamp>,
    before: Option<Position>,
    #[serde(default)]
    limit: Rows,
}

async fn list(
    State(app): State<App>,
    who: Authenticated,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<ExecutionRow>>, Problem> {
    let states = states(asked.state.as_deref())?;
    // Whoever looks for what waits for a person is told of all of it.
    let children = asked.children || states.contains(&ExecutionState::NeedsAttention);
    let filter = ExecutionFilter {
        states,
        rule: asked.rule,
        action: asked.action,
        pack: asked.pack,
        event: asked.event,
        parent: asked.parent,
        step: None,
        last_runs: false,
        children,
        repeats: asked.repeats,
        actor: asked.token.as_deref().map(Actor::token),
        since: asked.since,
        before: asked.before,
        limit: asked.limit.0,
    };
    let found = app.engine.executions(&filter).await?;
    let owners = match who.grant.is_whole() {
        true => BTreeMap::new(),
        false => owners::of_roots(&app, &found).await?,
    };
    let owner = |row: &ExecutionRow| owners.get(owners::root(row.id.as_str()))?.as_deref();
    let page = List::page(found, filter.limit, |row| row.position);
    Ok(List::seen(page, |row| who.covers_owner(owner(row))))
}

fn states(names: Option<&str>) -> Result<Vec<ExecutionState>, Problem> {
    let names = names.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    names.map(|name| ExecutionState::parse(name).ok_or_else(|| unknown_state(name))).collect()
}

/// One state, or several.
fn states_pattern() -> String {
    let any = ExecutionState::ALL.map(ExecutionState::as_str).join("|");
    format!("^(({any})(,({any}))*)?$")
}

fn unknown_state(name: &str) -> Problem {
    let known = ExecutionState::ALL.map(ExecutionState::as_str).join(", ");
    Problem::malformed(format!("`state`: there is no state `{name}`"))
        .with_hint(format!("the states are {known}"))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    action: ActionRef,
    #[serde(default)]
    parameters: Map,
}

#[derive(Serialize, JsonSchema)]
struct Started {
    id: ExecutionId,
}

async fn run(
    State(engine): State<Engine>,
    who: Authenticated,
    Once(name): Once,
    Traced(from): Traced,
    Body(asked): Body<Run>,
) -> Result<Created<Started>, Problem> {
    by_hand::check(&engine, &who, &asked.action, &asked.parameters)?;
    let Run { action, parameters } = asked;
    let id = engine.run_from(from, who.actor(), action, parameters, name.as_deref()).await?;
    Ok(Created(Started { id }))
}

async fn one(
    State(engine): State<Engine>,
    Named(id): Named<ExecutionId>,
) -> Result<Json<ExecutionView>, Problem> {
    Ok(Json(engine.execution(&id).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichLogs {
    /// Only that of this step.
    step: Option<StepPath>,
    /// Only those of steps after this one.
    after: Option<StepPath>,
}

/// As many as fill an answer: `next` says after which step there are more.
async fn logs(
    State(engine): State<Engine>,
    Named(id): Named<ExecutionId>,
    Asked(WhichLogs { step, after }): Asked<WhichLogs>,
) -> Result<Json<List<StepLog, StepPath>>, Problem> {
    let Logs { logs, next } = engine.logs(&id, Which { step, after }).await?;
    Ok(Json(List { items: logs, next }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

/// Steps in flight settle and undo handlers run before it has ended; before that, somebody decides
/// about steps whose outcome is unknown.
async fn cancel(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
    Body(asked): Body<Cancel>,
) -> Result<Begun<Ending>, Problem> {
    Ok(Begun(engine.cancel(who.actor(), &id, asked.reason).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pause {
    reason: Option<String>,
}

async fn pause(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
    Body(asked): Body<Pause>,
) -> Result<Accepted, Problem> {
    engine.pause(who.actor(), &id, asked.reason).await?;
    Ok(Accepted)
}

async fn resume(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
) -> Result<Accepted, Problem> {
    engine.resume(who.actor(), &id).await?;
    Ok(Accepted)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rerun {
    /// The first step to make again; what does not follow it is taken over. All if nobody says.
    from: Option<StepPath>,
    /// Also where undo has begun: what is taken over is assumed to be in effect still; and all of it
    /// beside what has not ended, be it the execution itself or the run that it went on as.
    #[serde(default)]
    force: bool,
}

async fn rerun(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
    Once(name): Once,
    Body(asked): Body<Rerun>,
) -> Result<Created<Repeated>, Problem> {
    let view = engine.execution(&id).await?;
    // What a rule asked for is repeated for that rule, with the rights of its pack.
    if let (None, model::Value::Object(parameters)) = (view.row.origin.rule(), &view.parameters) {
        by_hand::check(&engine, &who, &view.row.action, parameters)?;
    }
    let how = Repetition { from: asked.from, force: asked.force, name };
    Ok(Created(engine.rerun(who.actor(), &id, how).await?))
}

/// An execution belongs to whom its root belongs to, the configuration it ran with to its action's pack.
async fn export(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(id): Named<ExecutionId>,
) -> Result<Json<Exported>, Problem> {
    let mut exported = engine.export(&id).await?;
    if of_prefix(&engine, exported.action.pack()).is_some_and(|pack| !who.covers(pack)) {
        exported.config = model::Value::Null;
    }
    Ok(Json(exported))
}

#[derive(Deserialize, JsonSchema)]
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
) -> Result<Accepted, Problem> {
    engine.resolve(who.actor(), &id, asked.step, asked.resolution).await?;
    Ok(Accepted)
}
