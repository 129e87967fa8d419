//! Following an execution: its facts from the first one on, over the server's live stream.
//!
//! A connection that breaks, because the server is started again perhaps, is made again and goes
//! on after the last fact seen.

use std::time::Duration;

use model::{ExecutionId, ExecutionState, Fact, Outcome, Timestamp, Value};
use reqwest::Response;
use serde::Deserialize;

use crate::client::{Connection, segment};
use crate::execution::Execution;
use crate::failure::{Exit, Failure};
use crate::timeline::Timeline;

/// How long a server that went away is looked for, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);
/// How long nothing happens until it is asked whether anything can.
const QUIET: Duration = Duration::from_secs(2);
/// A server sends something every 15 s: one that is silent this long is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// What was followed to where nothing more comes by itself.
pub(crate) struct Followed {
    /// The run that it ended with: the first one, or the last that went on from it.
    pub(crate) id: ExecutionId,
    pub(crate) end: End,
}

/// How following an execution ended.
pub(crate) enum End {
    /// With the execution itself.
    Ended(Box<Outcome>),
    /// A person must decide about this one, or about one that it runs, before it goes on.
    Attention(ExecutionId),
}

impl Followed {
    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match &self.end {
            End::Ended(outcome) if outcome.state == ExecutionState::Succeeded => Exit::Done,
            End::Ended(_) => Exit::Failed,
            End::Attention(_) => Exit::Attention,
        }
    }
}

/// One message of the stream.
#[derive(Deserialize)]
struct Message {
    position: u64,
    at: Timestamp,
    #[serde(rename = "type")]
    kind: String,
    fact: Value,
}

/// Follows an execution, and each run that goes on from it, to the end or to where a person must
/// decide; `tell` gets the timeline.
pub(crate) async fn follow(
    connection: &Connection,
    id: &ExecutionId,
    mut tell: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<Followed, Failure> {
    let mut id = id.clone();
    loop {
        let end = follow_run(connection, &id, &mut tell).await?;
        let End::Ended(outcome) = &end else { return Ok(Followed { id, end }) };
        let Some(next) = outcome.continued_as.clone() else { return Ok(Followed { id, end }) };
        id = next;
    }
}

async fn follow_run(
    connection: &Connection,
    id: &ExecutionId,
    tell: &mut impl FnMut(&str) -> Result<(), Failure>,
) -> Result<End, Failure> {
    let mut timeline = Timeline::default();
    let mut stream = Stream::new(connection, id);
    loop {
        let message = match next(connection, id, &mut stream).await? {
            Ok(message) => message,
            Err(undecided) => return Ok(End::Attention(undecided)),
        };
        // A fact of a newer server has no line of ours.
        let Some(fact) = message.fact() else { continue };
        if let Some(line) = timeline.line(message.at, &fact) {
            tell(&line)?;
        }
        match fact {
            Fact::ExecutionFinished { outcome, .. } => {
                return Ok(End::Ended(Box::new(outcome)));
            }
            // An old one may have been decided since.
            Fact::AttentionNeeded { .. } => {
                if let Some(undecided) = undecided(connection, id).await? {
                    return Ok(End::Attention(undecided));
                }
            }
            _ => {}
        }
    }
}

/// The next message; or, where none comes, what a person must decide about before there is one: of what
/// it runs the stream does not tell.
async fn next(
    connection: &Connection,
    id: &ExecutionId,
    stream: &mut Stream<'_>,
) -> Result<Result<Message, ExecutionId>, Failure> {
    let message = stream.next();
    tokio::pin!(message);
    loop {
        tokio::select! {
            message = &mut message => return message.map(Ok),
            () = tokio::time::sleep(QUIET) => {}
        }
        // Whether the server is gone the stream finds out.
        if let Ok(Some(undecided)) = undecided(connection, id).await {
            return Ok(Err(undecided));
        }
    }
}

/// The first of what must be decided about, if anything.
async fn undecided(
    connection: &Connection,
    id: &ExecutionId,
) -> Result<Option<ExecutionId>, Failure> {
    let path = format!("/executions/{}", segment(id.as_str()));
    let execution: Execution = connection.client()?.get(&path, &[]).await?;
    Ok(execution.undecided().cloned())
}

impl Message {
    fn fact(&self) -> Option<Fact> {
        let named = match &self.fact {
            Value::Null => Value::from(self.kind.as_str()),
            fact => serde_json::json!({ (self.kind.as_str()): fact }),
        };
        serde_json::from_value(named).ok()
    }
}

/// The messages of one execution, over as many connections as it takes.
struct Stream<'a> {
    connection: &'a Connection,
    name: String,
    open: Option<Response>,
    unread: Vec<u8>,
    seen: Option<u64>,
}

impl<'a> Stream<'a> {
    fn new(connection: &'a Connection, id: &ExecutionId) -> Self {
        let name = model::Stream::Execution(id.clone()).to_string();
        Self { connection, name, open: None, unread: Vec::new(), seen: None }
    }

    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            while let Some(event) = take_event(&mut self.unread) {
                if let Some(message) = read_event(&event) {
                    self.seen = Some(message.position);
                    return Ok(message);
                }
            }
            let Some(response) = &mut self.open else {
                self.open = Some(self.connect().await?);
                continue;
            };
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            if let Ok(Ok(Some(bytes))) = chunk {
                self.unread.extend_from_slice(&bytes);
            } else {
                self.unread.clear();
                self.open = None;
            }
        }
    }

    /// Looks the server up anew: it may have come back at another address.
    async fn connect(&self) -> Result<Response, Failure> {
        let first = self.seen.is_none();
        let attempt = || async { self.connection.client()?.stream(&self.name, self.seen).await };
        let again = async {
            loop {
                match attempt().await {
                    Err(failure) if failure.is_unreachable() && !first => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    answered => return answered,
                }
            }
        };
        let gone = |_| Err(Failure::unreachable("the server went away and did not come back"));
        tokio::time::timeout(PATIENCE, again).await.unwrap_or_else(gone)
    }
}

/// Cuts the first event, which ends with an empty line, off what was read.
fn take_event(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = unread.windows(2).position(|pair| pair == b"\n\n")?;
    let rest = unread.split_off(end + 2);
    Some(std::mem::replace(unread, rest))
}

/// The message in an event; none in those that only keep the connection alive.
fn read_event(event: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(event).ok()?;
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    serde_json::from_str(&data.join("\n")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_where_they_end_however_they_arrive() {
        let mut unread =
            b": alive\n\nid: 7\ndata: {\"position\":7,\"at\":\"2026-01-01T00:00:00Z\",".to_vec();
        assert!(read_event(&take_event(&mut unread).unwrap()).is_none());
        assert!(take_event(&mut unread).is_none());
        unread.extend_from_slice(b"\"type\":\"KeyDeleted\",\"fact\":null}\n\nid");
        let message = read_event(&take_event(&mut unread).unwrap()).unwrap();
        assert_eq!((message.position, message.fact()), (7, Some(Fact::KeyDeleted)));
        assert_eq!(unread, b"id");
    }
}
