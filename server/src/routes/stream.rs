//! `/stream`: facts as they are stored, as server-sent events.
//!
//! Each message's id is the position of its fact; a client that comes back with it (the header
//! `Last-Event-ID`, which browsers send by themselves, or `?after=`) misses nothing. Without
//! either the stream begins now. `?stream=execution/ex_…` gives the facts of one thing, from its
//! first. It ends with the token that opened it: nothing is told after that was revoked or expired.
//! A position that the log has not reached is refused: it was told before the state was restored.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use engine::Engine;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use model::{Actor, ErrorKind, Fact, Role, RuleRef, Stream, Timestamp, Value, Version};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Position, Recorded, Store, StoreError};

use super::table::Table;
use crate::App;
use crate::access::{About, Access};
use crate::auth::Authenticated;
use crate::describe::{Output, Signature};
use crate::extract::Asked;
use crate::owners;
use crate::problem::Problem;

/// Facts read at once: of 16 MiB at most, and mostly of a few hundred KiB.
const PAGE: usize = 256;
/// Shorter than the idle limits of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes(table: Table) -> Table {
    table.on(
        Method::GET,
        "/stream",
        Access::viewer(About::Many),
        "Facts as they are stored: server-sent events.",
        follow,
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct From {
    after: Option<Position>,
    stream: Option<Stream>,
}

async fn follow(
    State(app): State<App>,
    who: Authenticated,
    Asked(asked): Asked<From>,
    headers: HeaderMap,
) -> Result<Live, Problem> {
    let engine = app.engine.clone();
    let after = match (last_event_id(&headers)?.or(asked.after), &asked.stream) {
        (Some(position), _) => told_before(engine.store(), position).await?,
        (None, Some(_)) => Position(0),
        (None, None) => engine.store().head().await?,
    };
    let stopping = engine.stopping();
    let reader =
        Reader { engine, after, only: asked.stream, version: Version::NONE, read: VecDeque::new() };
    let (tokens, holder) = (app.engine.clone(), who.clone());
    let facts = stream::unfold(reader, Reader::next)
        .take_while(move |_| futures::future::ready(holder.still_holds(&tokens)));
    let facts = facts.filter_map(move |recorded| {
        let (app, who) = (app.clone(), who.clone());
        async move {
            let seen = sees(&app, &who, &recorded.stream).await;
            seen.then(|| shown(recorded, &who)).flatten().map(|recorded| Ok(message(&recorded)))
        }
    });
    let facts = facts.take_until(stopping.cancelled_owned()).boxed();
    Ok(Live(Sse::new(facts)))
}

/// Messages as they come.
struct Live(Sse<BoxStream<'static, Result<Event, Infallible>>>);

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        self.0.keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
    }
}

impl Output for Live {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        let content = json!({ "text/event-stream": { "schema": { "type": "string" } } });
        let description = "Messages, each with the position of its fact as its id.";
        let answer = json!({ "description": description, "content": content });
        signature.answers.insert("200".to_owned(), answer);
    }
}

/// Whether the token covers what a fact is about.
async fn sees(app: &App, who: &Authenticated, stream: &Stream) -> bool {
    match stream {
        // What only an admin may ask for is told to nobody else.
        Stream::Token(_) | Stream::Secret(_) | Stream::Refusals => {
            who.grant.is_whole() && who.grant.role == Role::Admin
        }
        _ if who.grant.is_whole() => true,
        _ => {
            let owners = owners::of_stream(app, stream).await.unwrap_or_default();
            owners.iter().any(|pack| who.covers(pack))
        }
    }
}

/// What a token may see of a fact: of rules, those of its packs. None: the fact is about another's.
fn shown(mut recorded: Recorded, who: &Authenticated) -> Option<Recorded> {
    let covers = |rule: &RuleRef| who.covers(rule.pack.as_str());
    match &mut recorded.fact {
        Fact::EventAccepted(accepted) => accepted.matched.retain(|(rule, _)| covers(rule)),
        Fact::MoreMatched { matched, .. } => matched.retain(|(rule, _)| covers(rule)),
        Fact::RuleFailed { rule, .. } if !covers(rule) => return None,
        _ => {}
    }
    Some(recorded)
}

/// What a client saw last; it wins over the address, which stays the same when a client returns.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(sent) = headers.get("last-event-id") else { return Ok(None) };
    let position = sent.to_str().ok().and_then(|text| text.parse().ok()).map(Position);
    let wrong = || Problem::malformed("`Last-Event-ID` is not a position of this stream");
    position.map(Some).ok_or_else(wrong)
}

/// The position, which must have been told: a client that waited for it to come again would miss what
/// is stored until then.
async fn told_before(store: &dyn Store, position: Position) -> Result<Position, Problem> {
    let head = store.head().await?;
    // A fact may be read a moment before the head tells of it.
    let is_there =
        position <= head || !store.log(Position(position.0.saturating_sub(1)), 1).await?.is_empty();
    if is_there {
        return Ok(position);
    }
    let detail = format!(
        "the stream cannot go on after position {}: the log ends at {}",
        position.0, head.0
    );
    let hint = "the server's state was restored from a backup, perhaps: what was told after that is not there any more; ask again without a position";
    Err(Problem::new(ErrorKind::Conflict, detail).with_hint(hint))
}

#[derive(Serialize)]
struct Message<'a> {
    position: Position,
    stream: &'a Stream,
    at: Timestamp,
    actor: &'a Actor,
    #[serde(rename = "type")]
    kind: &'static str,
    fact: Value,
}

fn message(recorded: &Recorded) -> Event {
    let message = Message {
        position: recorded.position,
        stream: &recorded.stream,
        at: recorded.at,
        actor: &recorded.actor,
        kind: recorded.fact.name(),
        fact: content(recorded),
    };
    let event = Event::default().id(recorded.position.0.to_string());
    // A message is JSON values and texts: nothing that JSON refuses.
    event.data(serde_json::to_string(&message).unwrap_or_default())
}

/// The fact without the name that stands around it.
pub(super) fn content(recorded: &Recorded) -> Value {
    match serde_json::to_value(&recorded.fact) {
        Ok(Value::Object(named)) => named.into_iter().next().map_or(Value::Null, |(_, fact)| fact),
        _ => Value::Null,
    }
}

/// Reads on from where it stands, and waits at the end.
struct Reader {
    engine: Engine,
    after: Position,
    only: Option<Stream>,
    version: Version,
    read: VecDeque<Recorded>,
}

impl Reader {
    /// The next fact; none when the store fails, and the client comes back with its position.
    async fn next(mut self) -> Option<(Recorded, Self)> {
        loop {
            if let Some(recorded) = self.read.pop_front() {
                self.after = recorded.position;
                return Some((recorded, self));
            }
            if let Err(error) = self.refill().await {
                tracing::warn!(%error, "a live stream ended");
                return None;
            }
        }
    }

    async fn refill(&mut self) -> Result<(), StoreError> {
        let store = self.engine.store();
        // Before reading: what comes after it ends the wait.
        let head = store.head().await?;
        let found = match &self.only {
            None => store.log(self.after, PAGE).await?,
            Some(stream) => {
                let (facts, version) = store.read(stream, self.version).await?;
                self.version = version;
                facts
            }
        };
        let after = self.after;
        self.read.extend(found.into_iter().filter(|recorded| recorded.position > after));
        if self.read.is_empty() {
            store.wait(head).await?;
        }
        Ok(())
    }
}
