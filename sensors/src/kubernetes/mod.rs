//! Objects of a cluster: `kubernetes.object`, `kubernetes.condition`, `kubernetes.event`.
//!
//! ```text
//!            no cursor, 410, another history, each hour
//!  ┌────────▶ list ──compare──▶ events + memory + cursor ──▶ follow ──┐
//!  │            ▲                  (each in one commit)        │      │
//!  └── backoff ◀┴──────────────────────────────────────────────┴──────┘
//! ```
//! What it remembers of each object is stored in the commit of the events that tell of it. So
//! whatever ends the sensor, and wherever, the next comparison tells exactly what differs from what
//! was told: nothing twice, and nothing not at all. States between two looks, which the API server
//! itself no longer has, become one.
//!
//! [`compare`] is a function of plain values; [`list`] and [`follow`] are the IO around it.

mod compare;
mod conditions;
mod config;
mod cursor;
mod ear;
mod follow;
mod list;
mod object;
mod outbox;
mod packing;
mod path;
mod question;
mod remaining;
mod rights;
mod schema;
mod told;
mod unfit;
mod ways;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as Span;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::kubernetes::{Cluster, Failure, Resource};
use model::{Duration, ErrorKind, TriggerType};
use tokio::sync::Notify;

pub use config::{ObjectConfig, build};
pub use rights::{history, rights};
pub(crate) use schema::{parameters_of, payload_of};

use cursor::Cursor;
use follow::Following;
use list::Guarded;
use outbox::Outbox;
use question::Question;

use crate::{Context, Sensor, SensorError, SensorState, SinkError};

/// Whether what is there at first is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initial {
    Emit,
    Skip,
}

/// How long things take.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long one watch lasts.
    pub length: Span,
    /// How long a watch may say nothing.
    pub idle: Span,
    /// How long until what is remembered is compared with all that is there.
    pub check: Duration,
    /// The first and the longest pause after a failure.
    pub retry: (Duration, Duration),
}

/// Watches objects of one kind.
#[derive(Debug)]
pub struct ObjectSensor {
    config: ObjectConfig,
    cluster: Arc<Cluster>,
    kind: TriggerType,
    random: fn() -> Option<[u8; 16]>,
    timing: Timing,
    poked: Notify,
    question: Question,
}

/// Why it does not go on as it did.
#[derive(Debug)]
enum Stop {
    /// The cluster refused or did not answer.
    Failed(Failure),
    /// Too much is missing.
    Guarded(Guarded),
    /// What is asked for is nothing that the cluster could have.
    Misfit(String),
    /// What was gathered was not stored, or what is stored cannot be read.
    Store(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<SinkError> for Stop {
    fn from(error: SinkError) -> Self {
        Self::Store(error.to_string())
    }
}

impl ObjectSensor {
    fn new(
        config: ObjectConfig,
        cluster: Arc<Cluster>,
        kind: TriggerType,
        random: fn() -> Option<[u8; 16]>,
        timing: Timing,
    ) -> Self {
        let (poked, question) = (Notify::new(), Question::default());
        Self { config, cluster, kind, random, timing, poked, question }
    }

    /// The same sensor in other time.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    async fn watch(&self, context: &Context<'_>) -> Result<(), SensorError> {
        let cursor = match &context.cursor {
            Some(stored) => Cursor::read(stored).map_err(SensorError)?,
            None => Cursor::new(context.clock.now()),
        };
        let mut outbox = Outbox::new(self, context, cursor);
        if context.cursor.is_none() {
            // What is made from now on is new, however long it takes until it can be looked at.
            outbox.store().await.map_err(|error| SensorError(error.to_string()))?;
        }
        let mut failures = 0;
        // A watch that goes on never says when it has caught up; a list does.
        let mut stale = context.behind;
        loop {
            let known = outbox.cursor.known_at;
            let stop = match self.session(&mut outbox, stale).await {
                Ok(()) => {
                    stale = true;
                    continue;
                }
                Err(stop) => stop,
            };
            outbox.settle().await.map_err(|error| SensorError(error.to_string()))?;
            outbox.fall_back();
            let came_on = outbox.cursor.known_at != known;
            failures = if came_on { 1 } else { failures + 1 };
            let told_so = matches!(&stop, Stop::Failed(failure) if is_stale(failure));
            stale = told_so || (stale && !came_on);
            if let Stop::Failed(failure) = &stop
                && failure.is_gone()
                && failures == 1
            {
                continue;
            }
            self.rest(&mut outbox, stop, failures).await?;
        }
    }

    /// Compares where that is needed, then follows until it is needed again.
    async fn session(&self, outbox: &mut Outbox<'_>, stale: bool) -> Result<(), Stop> {
        let config = &self.config;
        let resource = self.cluster.resource(&config.api_version, &config.kind).await?;
        if !resource.namespaced && !config.namespaces.is_empty() {
            return Err(Stop::Misfit(format!(
                "objects of the kind {} lie in no namespace: leave out `namespaces`",
                resource.kind
            )));
        }
        let history = self.history().await?;
        let known = outbox.cursor.history.clone();
        let replaced = known.is_some() && history.is_some() && known != history;
        let latest = self.latest(&resource).await?;
        // The cluster counts from before what is known where it was restored from a backup. A watch would
        // wait in silence for versions to come again.
        let went_back = latest.iter().any(|(name, version)| outbox.cursor.is_past(name, version));
        let other = replaced || went_back;
        let lost = stale || other || !outbox.cursor.is_complete(&self.scopes());
        let check = self.timing.check;
        let due = outbox.cursor.is_due(check, outbox.now()) || !outbox.cursor.is_marked();
        if due && !lost {
            self.catch_up(outbox, &resource, &latest).await?;
        }
        if due || lost {
            self.compare(outbox, &resource, other).await?;
            outbox.cursor.history = history.or(known);
            outbox.store().await?;
            self.question.settle();
        }
        let next = check.after(outbox.cursor.compared_at.unwrap_or(outbox.now()));
        Following::new(self, outbox, resource, latest).until(next, None).await
    }

    /// Those who were told before are owed each change that the API server still knows: a list makes one
    /// of several.
    async fn catch_up(
        &self,
        outbox: &mut Outbox<'_>,
        resource: &Resource,
        latest: &BTreeMap<String, String>,
    ) -> Result<(), Stop> {
        let end = Duration::from_secs(60).after(outbox.now());
        let known = outbox.cursor.versions.clone();
        let mut following = Following::new(self, outbox, resource.clone(), latest.clone());
        match following.until(end, Some(Duration::from_secs(1))).await {
            // Watches that are always cut, by a proxy, would put the list off for good.
            Err(Stop::Failed(_)) if outbox.cursor.versions == known => Ok(()),
            caught_up => caught_up,
        }
    }

    /// The versions of all namespaces that are watched as they are now.
    async fn latest(&self, resource: &Resource) -> Result<BTreeMap<String, String>, Stop> {
        let mut versions = BTreeMap::new();
        for scope in self.scopes() {
            let selected = self.selected(resource, scope.as_deref());
            let page = self.cluster.list(&selected, 1, None).await?;
            versions.insert(scope.unwrap_or_default(), page.version);
        }
        Ok(versions)
    }

    /// The uid of kube-system, where it may be read.
    async fn history(&self) -> Result<Option<String>, Stop> {
        let namespaces = self.cluster.resource("v1", "Namespace").await?;
        match self.cluster.find(&namespaces, None, "kube-system").await {
            Ok(found) => Ok(found.and_then(|it| Some(it["metadata"]["uid"].as_str()?.to_owned()))),
            Err(failure) if failure.is_denied() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Says why it stopped, and waits before it goes on.
    async fn rest(
        &self,
        outbox: &mut Outbox<'_>,
        stop: Stop,
        failures: u32,
    ) -> Result<(), SensorError> {
        let Context { sink, clock, .. } = outbox.context;
        let (mut pause, state) = match stop {
            Stop::Store(error) => return Err(SensorError(error)),
            Stop::Guarded(Guarded { missing, of }) => {
                self.question.ask(missing);
                (Duration::from_secs(300), SensorState::Guarded { missing, of })
            }
            Stop::Misfit(why) => (Duration::from_secs(300), SensorState::Waiting(why)),
            Stop::Failed(failure) => {
                let pause = self.backoff(failures, failure.retry_after);
                if failure.status == Some(404) {
                    self.cluster.rediscover();
                    self.unserved(outbox).await?;
                    (pause, SensorState::Waiting(failure.message))
                } else if failure.is_denied() {
                    (pause, SensorState::Waiting(failure.message))
                } else {
                    let next_try = pause.after(clock.now());
                    (pause, SensorState::Failing { error: failure.message, next_try })
                }
            }
        };
        pause = pause.max(self.timing.retry.0);
        sink.state(state);
        tokio::select! {
            () = clock.sleep(pause) => {}
            () = self.poked.notified() => {}
        }
        Ok(())
    }

    /// Notes that the kind was taken away: what is gone when it comes back, went with it.
    async fn unserved(&self, outbox: &mut Outbox<'_>) -> Result<(), SensorError> {
        if outbox.cursor.unserved || outbox.cursor.known_at.is_none() {
            return Ok(());
        }
        // Who cannot be asked now is asked at the next failure.
        let lacks = self.cluster.lacks(&self.config.api_version, &self.config.kind).await;
        if !lacks.unwrap_or(false) {
            return Ok(());
        }
        outbox.cursor.unserved = true;
        // Whatever is there then is compared with what is remembered.
        outbox.cursor.listing = true;
        outbox.store().await.map_err(|error| SensorError(error.to_string()))
    }

    /// The pause after so many failures in a row: twice as long each time, up to a half more by
    /// chance, so that many who lost the same server don't come back together.
    fn backoff(&self, failures: u32, asked: Option<Span>) -> Duration {
        let (first, longest) = self.timing.retry;
        let doubled = first.as_millis().saturating_mul(1 << failures.saturating_sub(1).min(16));
        let pause = doubled.min(longest.as_millis());
        let chance = (self.random)().map_or(0, |bytes| u64::from(bytes[0]));
        let jittered = pause + pause * chance / 512;
        let asked = asked.map_or(0, |asked| u64::try_from(asked.as_millis()).unwrap_or(0));
        Duration::from_millis(jittered.max(asked.min(300_000)))
    }
}

/// Whether what is known is too old, or too new, for the API server to go on from there, or what comes
/// next is too large for a watch.
fn is_stale(failure: &Failure) -> bool {
    failure.is_gone()
        || failure.kind == ErrorKind::TooLarge
        || failure.message.contains("Too large resource version")
}

impl Sensor for ObjectSensor {
    /// Nobody knows yet whether the cluster lets it watch, and what changes before it does is no change.
    fn begins(&self) -> SensorState {
        SensorState::Waiting("it has not looked at the cluster yet".to_owned())
    }

    fn run<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Result<(), SensorError>> {
        async move {
            let cancel = context.cancel.clone();
            tokio::select! {
                ended = self.watch(&context) => ended,
                () = cancel.cancelled() => Ok(()),
            }
        }
        .boxed()
    }

    fn poke(&self) {
        self.poked.notify_one();
    }

    fn confirm(&self) {
        self.question.confirm();
        self.poke();
    }
}
