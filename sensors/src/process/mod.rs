//! The `process` sensor: a program of a pack prints events, a line of JSON each.
//!
//! ```text
//!  stdin   {"cursor": …, "parameters": …, "secrets": …}   one line, then its end
//!  stdout  {"type": "ready", "data": {…}}          an event
//!          {"cursor": …}                           all events before it are done with
//!  stderr  anything                                its log
//! ```
//!
//! Events are stored as they come, a cursor together with the events before it: started again, the
//! program is given the cursor stored last. A line that is neither ends the program, so that no
//! later cursor passes over what was not understood. While events are stored nothing is read: a
//! program that floods waits in its own pipe.

mod config;
mod line;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use host::process::{End, Job, Limits, Programs, Service};
use host::redact::Redactor;
use model::{Envelope, Event, Map, Name, PackName, Schema, TraceContext, TriggerType, Value};
use serde_json::json;

pub use config::ProcessConfig;

use line::Line;
use pace::Pace;

use crate::secret::Secret;
use crate::{Context, Emission, HEALTHY, Sensor, SensorError, SensorState};

/// Events of one emission: a store's batch holds 500 facts and 4 MiB.
const EMISSION_EVENTS: usize = 50;
const EMISSION_BYTES: usize = 2 << 20;
/// The longest line: an event's data and what stands around it.
const MAX_LINE: usize = 5 << 20;
/// Where programs are looked for when the server has no `PATH` itself.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs one program and stores what it prints.
pub struct Process {
    /// The program's file.
    program: PathBuf,
    /// What it is given.
    parameters: Value,
    /// Values that only it sees, by name.
    secrets: BTreeMap<String, Secret>,
    /// Finds them in its log and in what it tells.
    redactor: Arc<Redactor>,
    limits: Limits,
    /// Most events that are taken in a second.
    rate: u32,
    programs: Programs,
    /// Its pack, and the event types of that.
    pack: PackName,
    types: BTreeMap<Name, Schema>,
    log: PathBuf,
    random: fn() -> Option<[u8; 16]>,
}

/// What was printed and is not stored yet.
struct Pending<'a> {
    sensor: &'a Process,
    context: &'a Context<'a>,
    emission: Emission,
    /// Whether every event in it says when it happened.
    dated: bool,
    bytes: usize,
    lines: u64,
    pace: Pace,
    /// It prints faster than it is read, and is told so.
    held: bool,
    /// It is known to work: it has told something, or has run for a while.
    works: bool,
}

impl Process {
    async fn supervise(&self, context: &Context<'_>) -> Result<(), SensorError> {
        let folder = self.programs.folder();
        let folder = folder.map_err(|error| {
            SensorError(format!("a temporary folder for the program cannot be made: {error}"))
        })?;
        let inherited =
            |name: &str, default: &str| std::env::var_os(name).unwrap_or(default.into());
        let secret = |(name, value): (&String, &Secret)| (name.clone(), value.expose().into());
        let secrets: Map = self.secrets.iter().map(secret).collect();
        let given = json!({
            "cursor": context.cursor, "parameters": self.parameters, "secrets": secrets,
        });
        let job = Job {
            program: self.program.clone(),
            args: Vec::new(),
            folder: folder.path().to_owned(),
            environment: vec![
                ("PATH".to_owned(), inherited("PATH", DEFAULT_PATH)),
                ("LANG".to_owned(), inherited("LANG", "C.UTF-8")),
                ("HOME".to_owned(), folder.path().into()),
                ("TRIPLINE_SENSOR".to_owned(), context.source.clone().into()),
            ],
            stdin: format!("{given}\n").into_bytes(),
            log: self.log.clone(),
            redactor: self.redactor.clone(),
            limits: self.limits,
            key: context.source.clone(),
        };
        let started = self.programs.start(&job).await;
        let mut service = started.map_err(|error| SensorError(error.to_string()))?;
        let wrong = self.listen(&mut service, context).await;
        let (end, stderr) = service.end().await;
        match wrong {
            _ if context.cancel.is_cancelled() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(SensorError(match end {
                Ok(end) => ended(end, &stderr),
                Err(error) => error.to_string(),
            })),
        }
    }

    /// Stores what is printed until there is no more, or the sensor is to end.
    async fn listen(
        &self,
        service: &mut Service,
        context: &Context<'_>,
    ) -> Result<(), SensorError> {
        let mut pending = Pending::new(self, context);
        let mut read = BytesMut::new();
        let mut healthy = pin!(context.clock.sleep(HEALTHY));
        loop {
            let chunk = tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Ok(()),
                () = &mut healthy, if !pending.works => {
                    pending.works();
                    continue;
                }
                chunk = service.read() => chunk,
            };
            let Some(chunk) = chunk else { break };
            // Only what is new can hold the end of a line that has begun before.
            let mut searched = read.len();
            read.extend_from_slice(&chunk);
            while let Some(at) = read[searched..].iter().position(|byte| *byte == b'\n') {
                let line = read.split_to(searched + at);
                read.advance(1);
                searched = 0;
                pending.take(&line).await?;
            }
            pending.store().await?;
            if read.len() > MAX_LINE {
                return Err(pending.wrong(&format!("has more than {MAX_LINE} bytes")));
            }
        }
        match read.is_empty() {
            true => Ok(()),
            false => Err(pending.wrong("has no end: the program stopped within it")),
        }
    }

    /// The event that a line tells of, if its pack has such events.
    fn event(&self, told: line::Told, context: &Context<'_>) -> Result<Event, String> {
        let prefix = format!("{}.", self.pack);
        let name = told.kind.strip_prefix(&prefix).unwrap_or(&told.kind);
        let schema = name.parse().ok().and_then(|name: Name| self.types.get(&name));
        let schema = schema.ok_or_else(|| {
            let known: Vec<String> = self.types.keys().map(ToString::to_string).collect();
            let known = known.join(", ");
            format!(
                "names the event type `{}`, which the pack does not have: it has {known}",
                told.kind
            )
        })?;
        if let Some(misfit) = schema.violations(&told.data).into_iter().next() {
            return Err(format!("does not fit the event type `{name}`: {}", misfit.message));
        }
        let kind: TriggerType =
            format!("{prefix}{name}").parse().map_err(|error| format!("{error}"))?;
        let id = told.id.map_or_else(|| self.random_id(), Ok)?;
        // What is none is left out, as W3C asks.
        let [place, state] = [&told.traceparent, &told.tracestate].map(Option::as_deref);
        let (traceparent, tracestate) = TraceContext::split(TraceContext::read(place, state));
        let envelope = Envelope {
            id,
            source: context.source.clone(),
            kind,
            time: told.time.unwrap_or_else(|| context.clock.now()),
            subject: told.subject,
            cause: None,
            traceparent,
            tracestate,
        };
        Ok(Event { envelope, data: told.data })
    }

    fn random_id(&self) -> Result<String, String> {
        let bytes =
            (self.random)().ok_or("has no id, and the system has no random bytes for one")?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }
}

impl<'a> Pending<'a> {
    fn new(sensor: &'a Process, context: &'a Context<'a>) -> Self {
        Self {
            sensor,
            context,
            emission: Emission::default(),
            dated: true,
            bytes: 0,
            lines: 0,
            pace: Pace::per_second(sensor.rate),
            held: false,
            works: false,
        }
    }

    /// A program that only starts is not known to work: it may end at once, again and again.
    fn works(&mut self) {
        if !std::mem::replace(&mut self.works, true) {
            self.context.sink.state(SensorState::Running);
        }
    }

    /// Takes one line; stores what waits where it would become too much.
    async fn take(&mut self, text: &[u8]) -> Result<(), SensorError> {
        self.lines += 1;
        if text.len() > MAX_LINE {
            return self.refuse(&format!("has more than {MAX_LINE} bytes")).await;
        }
        let event = match Line::read(text, &self.sensor.redactor) {
            Ok(Line::Blank) => return Ok(()),
            Ok(Line::Cursor(cursor)) => {
                self.emission.cursor = Some(cursor);
                return Ok(());
            }
            Ok(Line::Event(told)) => {
                let dated = told.time.is_some();
                self.sensor.event(told, self.context).map(|event| (event, dated))
            }
            Err(error) => Err(error),
        };
        match event {
            Err(error) => self.refuse(&error).await,
            Ok((event, dated)) => {
                let full = self.emission.events.len() >= EMISSION_EVENTS;
                // A cursor stands for the events before it, not for this one.
                if full
                    || self.bytes + text.len() > EMISSION_BYTES
                    || self.emission.cursor.is_some()
                {
                    self.store().await?;
                }
                self.bytes += text.len();
                self.dated &= dated;
                self.emission.events.push(event);
                Ok(())
            }
        }
    }

    /// Stores what was printed before a line that is wrong.
    async fn refuse(&mut self, error: &str) -> Result<(), SensorError> {
        self.store().await?;
        Err(not_understood(self.lines, error))
    }

    /// The line that has not ended yet is wrong.
    fn wrong(&self, error: &str) -> SensorError {
        not_understood(self.lines + 1, error)
    }

    async fn store(&mut self) -> Result<(), SensorError> {
        self.bytes = 0;
        let emission = Emission {
            dated: std::mem::replace(&mut self.dated, true),
            ..std::mem::take(&mut self.emission)
        };
        if emission.events.is_empty() && emission.cursor.is_none() {
            return Ok(());
        }
        // A cursor alone is a commit too.
        if !self.in_time(emission.events.len().max(1)).await {
            // What is not stored is told again, from the cursor before; nothing after it is.
            return Err(SensorError("it was told to end while it waited".to_owned()));
        }
        let stored = self.context.sink.emit(emission).await;
        stored.map_err(|error| SensorError(error.to_string()))?;
        self.works();
        Ok(())
    }
}

impl Pending<'_> {
    /// Waits until so many events may be stored; false if the sensor is to end before that.
    async fn in_time(&mut self, events: usize) -> bool {
        let wait = self.pace.take(events, self.context.clock.stands().passed);
        if wait.is_zero() != self.held {
            return self.waited(wait).await;
        }
        self.held = !wait.is_zero();
        self.context.sink.state(match self.held {
            true => SensorState::Waiting(format!(
                "the program prints more than {} events a second (`limits.events_per_second`): it is read more slowly",
                self.sensor.rate
            )),
            false => SensorState::Running,
        });
        self.waited(wait).await
    }

    async fn waited(&self, wait: std::time::Duration) -> bool {
        let Ok(millis) = u64::try_from(wait.as_millis()) else { return false };
        if millis == 0 {
            return true;
        }
        tokio::select! {
            biased;
            () = self.context.cancel.cancelled() => false,
            () = self.context.clock.sleep(model::Duration::from_millis(millis)) => true,
        }
    }
}

fn not_understood(line: u64, error: &str) -> SensorError {
    SensorError(format!(
        "line {line} of the program's output {error} (stdout is for events and cursors, one JSON \
         object a line; print everything else to stderr)"
    ))
}

/// Whatever its exit code: a program that watches is not done.
fn ended(end: End, stderr: &str) -> String {
    let how = match end {
        End::Exited(code) => format!("the program ended with exit code {code}"),
        End::Signalled(signal) => format!("the program was ended by signal {signal}"),
        End::Cancelled | End::Flooded => "the program closed its output and was ended".to_owned(),
    };
    match stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}: {}", line.trim().chars().take(300).collect::<String>()),
        None => how,
    }
}

impl Sensor for Process {
    fn run<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Result<(), SensorError>> {
        async move { self.supervise(&context).await }.boxed()
    }
}
