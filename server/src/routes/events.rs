//! `/events`: list, hand in, look into, hand in again, explain.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::view::{EmittedView, RuleExplanation};
use engine::{Accepted, AskError, Engine, NewEvent};
use model::{Envelope, EventKey, RuleRef, Timestamp, TraceContext, TriggerType, Value, Violation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{EventFilter, EventRow, Position};

use super::table::Table;
use super::{List, Rows};
use crate::App;
use crate::access::{About, Access, Thing};
use crate::answer::Told;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named, Once, Traced};
use crate::owners;
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/events",
            Access::viewer(About::Many),
            "Lists events, newest first.",
            list,
        )
        .on(Method::POST, "/events", Access::operator(About::Body), "Hands an event in.", emit)
        .on(
            Method::GET,
            "/events/{event}",
            Access::viewer(About::Thing(Thing::Event)),
            "An event and its data.",
            one,
        )
        .on(
            Method::POST,
            "/events/{event}/reemit",
            Access::operator(About::Thing(Thing::Event)),
            "Hands a stored event in again, as a new one.",
            reemit,
        )
        .on(
            Method::POST,
            "/events/{event}/give-up",
            Access::operator(About::Installation),
            "Leaves out what is lost of that which rules asked for on a stuck event; the rest goes on.",
            give_up,
        )
        .on(
            Method::GET,
            "/events/{event}/explain",
            Access::viewer(About::Thing(Thing::Event)),
            "What each rule made of an event, and why.",
            explain,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(rename = "type")]
    kind: Option<TriggerType>,
    source: Option<String>,
    since: Option<Timestamp>,
    before: Option<Position>,
    #[serde(default)]
    limit: Rows,
}

async fn list(
    State(app): State<App>,
    who: Authenticated,
    Asked(asked): Asked<Filter>,
) -> Result<Json<List<EventRow>>, Problem> {
    let filter = EventFilter {
        kind: asked.kind,
        source: asked.source,
        since: asked.since,
        before: asked.before,
        limit: asked.limit.0,
    };
    let found = app.engine.events(&filter).await?;
    let Json(mut page) = List::page(found, filter.limit, |row| row.position);
    if !who.grant.is_whole() {
        let mut seen = Vec::new();
        for row in page.items {
            let owners = owners::of_event(&app, &row).await?;
            seen.extend(owners.iter().any(|pack| who.covers(pack)).then(|| shown(row, &who)));
        }
        page.items = seen;
    }
    Ok(Json(page))
}

/// What a token may see of an event: of the rules that selected it, or failed on it, those of its packs.
fn shown(mut row: EventRow, who: &Authenticated) -> EventRow {
    row.matched.retain(|(rule, _)| who.covers(rule.pack.as_str()));
    who.keep_covered(&mut row.failed);
    row
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Emit {
    #[serde(rename = "type")]
    kind: TriggerType,
    id: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    data: Value,
    /// The place in a trace that it is told from, instead of the header's; one that cannot be read
    /// is left out.
    traceparent: Option<String>,
    /// What tracing systems know of that place.
    tracestate: Option<String>,
}

async fn emit(
    State(engine): State<Engine>,
    who: Authenticated,
    Once(name): Once,
    Traced(from): Traced,
    Body(asked): Body<Emit>,
) -> Result<Told<EmittedView>, Problem> {
    let Emit { kind, id, subject, data, traceparent, tracestate } = asked;
    let from = TraceContext::read(traceparent.as_deref(), tracestate.as_deref()).or(from);
    who.must_cover(kind.as_str(), owners::of_prefix(&engine, kind.pack()))?;
    let id = one_name(id, name)?;
    let new = NewEvent { kind, id, subject, data };
    let accepted = engine.emit_from(from, &who.token_name, new).await?;
    Ok(told(&engine, accepted).await)
}

/// An event is told once under each id: the request's name is one where it has no other.
fn one_name(id: Option<String>, name: Option<String>) -> Result<Option<String>, AskError> {
    match (id, name) {
        (Some(id), Some(name)) if id != name => Err(AskError::Invalid(vec![Violation {
            path: "id".to_owned(),
            message: format!("the event has the id `{id}` and the request the name `{name}`"),
            hint: Some("an id is all that an event needs to be told once: leave out the `Idempotency-Key`, or send the same".to_owned()),
        }])),
        (id, name) => Ok(id.or(name)),
    }
}

/// Of an event that is known already, what the first one set off: who lost that answer asks again.
async fn told(engine: &Engine, accepted: Accepted) -> Told<EmittedView> {
    let event = accepted.key().clone();
    match accepted {
        Accepted::New { executions, .. } => {
            Told::New(EmittedView { event, duplicate: false, differs: false, executions })
        }
        Accepted::Duplicate { differs, .. } => {
            let matched = engine.event(&event).await.map(|(row, _)| row.matched);
            let executions = matched.unwrap_or_default().into_iter().map(|(_, id)| id).collect();
            Told::Known(EmittedView { event, duplicate: true, differs, executions })
        }
    }
}

/// An event with its data.
#[derive(Serialize, JsonSchema)]
struct Whole {
    #[serde(flatten)]
    row: EventRow,
    data: Value,
    /// Why not everything could be requested yet that rules asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<String>,
}

async fn one(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<EventKey>,
) -> Result<Json<Whole>, Problem> {
    let (row, data) = engine.event(&key).await?;
    let stuck = engine.stuck(&key);
    let row = shown(EventRow { data: None, ..row }, &who);
    Ok(Json(Whole { row, data, stuck }))
}

async fn reemit(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<EventKey>,
    Once(name): Once,
) -> Result<Told<EmittedView>, Problem> {
    if !who.grant.is_whole() {
        let (row, _) = engine.event(&key).await?;
        let Envelope { kind, .. } = &row.envelope;
        let teller = owners::of_sensor_of(&row.envelope);
        let owner = teller.as_deref().or_else(|| owners::of_prefix(&engine, kind.pack()));
        who.must_cover(kind.as_str(), owner)?;
    }
    let accepted = engine.reemit(&who.token_name, &key, name.as_deref()).await?;
    Ok(told(&engine, accepted).await)
}

/// What was given up.
#[derive(Serialize, JsonSchema)]
struct GivenUp {
    event: EventKey,
    /// Parts that cannot be read, of up to 400 executions each.
    parts: u32,
}

async fn give_up(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(event): Named<EventKey>,
) -> Result<Json<GivenUp>, Problem> {
    let parts = engine.give_up(&who.actor(), &event).await?;
    Ok(Json(GivenUp { event, parts }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// Only this rule.
    rule: Option<RuleRef>,
    /// What today's rules make of it, instead of what was decided.
    #[serde(default)]
    now: bool,
}

/// An explanation with the same in words.
#[derive(Serialize, JsonSchema)]
struct Explained {
    #[serde(flatten)]
    explained: RuleExplanation,
    text: Option<String>,
}

async fn explain(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(key): Named<EventKey>,
    Asked(asked): Asked<Explain>,
) -> Result<Json<List<Explained>>, Problem> {
    if let Some(rule) = &asked.rule {
        who.must_cover(&rule.to_string(), Some(rule.pack.as_str()))?;
    }
    let mut explained = engine.explain(&key, asked.rule.as_ref(), asked.now).await?;
    explained.retain(|explained| who.covers(explained.rule.pack.as_str()));
    let told = explained.into_iter().map(|explained| {
        let text = explained.explanation.as_ref().map(ToString::to_string);
        Explained { explained, text }
    });
    Ok(List::all(told.collect()))
}
