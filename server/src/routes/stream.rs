//! `/stream`: facts as they are stored, as server-sent events.
//!
//! Each message's id is the position of its fact; a client that comes back with it (the header
//! `Last-Event-ID`, which browsers send by themselves, or `?after=`) misses nothing. Without
//! either the stream begins now. `?stream=execution/ex_…` gives the facts of one thing, from its
//! first.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use engine::Engine;
use futures::StreamExt;
use futures::stream;
use model::{Actor, Stream, Timestamp, Value, Version};
use serde::{Deserialize, Serialize};
use store::{Position, Recorded, StoreError};

use crate::App;
use crate::extract::Asked;
use crate::problem::Problem;

/// Facts read at once: of 16 MiB at most, and mostly of a few hundred KiB.
const PAGE: usize = 256;
/// Shorter than the idle limits of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<App> {
    Router::new().route("/stream", get(follow))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    after: Option<Position>,
    stream: Option<Stream>,
}

async fn follow(
    State(engine): State<Engine>,
    Asked(asked): Asked<From>,
    headers: HeaderMap,
) -> Result<Sse<impl futures::Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = match (last_event_id(&headers)?.or(asked.after), &asked.stream) {
        (Some(position), _) => position,
        (None, Some(_)) => Position(0),
        (None, None) => engine.store().head().await?,
    };
    let stopping = engine.stopping();
    let reader =
        Reader { engine, after, only: asked.stream, version: Version::NONE, read: VecDeque::new() };
    let facts = stream::unfold(reader, Reader::next).map(|recorded| Ok(message(&recorded)));
    let facts = facts.take_until(stopping.cancelled_owned());
    Ok(Sse::new(facts).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What a client saw last; it wins over the address, which stays the same when a client returns.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(sent) = headers.get("last-event-id") else { return Ok(None) };
    let position = sent.to_str().ok().and_then(|text| text.parse().ok()).map(Position);
    let wrong = || Problem::malformed("`Last-Event-ID` is not a position of this stream");
    position.map(Some).ok_or_else(wrong)
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
fn content(recorded: &Recorded) -> Value {
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
