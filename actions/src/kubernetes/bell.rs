//! Learning at once that an object has changed, where the cluster tells it.
//!
//! ```text
//!  look ─▶ watch begins ─▶ look ─▶ a word of the watch ─▶ look ─▶ …
//! ```
//! Who hears the bell looks: at what happened before the watch began as at what it tells. The bell may
//! be silent for good, so that whoever waits looks now and then all the same.

use std::future::pending;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::kubernetes::{Failure, Selected, Told, Watch};
use model::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::asked::Target;
use super::patience::passes;

/// How long one watch lasts.
const LENGTH: Duration = Duration::from_secs(300);
/// How long it may be silent: the API server says something every minute.
const IDLE: Duration = Duration::from_secs(150);
/// Watches of one step at the same time: each holds a connection. The others wait for theirs.
const WATCHES: usize = 16;

/// The lines that the bells of one step hang on.
pub(super) struct Bells(Semaphore);

/// Rings when an object may have changed.
pub(super) struct Bell<'a> {
    target: &'a Target,
    bells: &'a Bells,
    state: State<'a>,
}

enum State<'a> {
    /// It was not begun yet, or has ended.
    Silent,
    Beginning(BoxFuture<'a, Result<Heard<'a>, Failure>>),
    Watching(Box<Heard<'a>>),
    /// The cluster does not let us: who waits goes on looking.
    Refused,
}

/// A watch, and its place among those of the step.
struct Heard<'a> {
    watch: Watch,
    _place: SemaphorePermit<'a>,
}

impl Bells {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(WATCHES))
    }
}

impl<'a> Bell<'a> {
    pub(super) fn of(target: &'a Target, bells: &'a Bells) -> Self {
        Self { target, bells, state: State::Silent }
    }

    /// Whether a change is told as soon as it happens.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.state, State::Watching(_))
    }

    /// Ends when something is to be looked at by somebody who has seen the object at `version`.
    /// Nothing is lost if nobody waits for that.
    pub(super) async fn rings(&mut self, seen: Option<&str>) {
        loop {
            let word = match &mut self.state {
                State::Refused => pending().await,
                State::Silent => {
                    self.state = State::Beginning(begun(self.target, self.bells).boxed());
                    continue;
                }
                State::Beginning(beginning) => match beginning.await {
                    Ok(watch) => {
                        self.state = State::Watching(Box::new(watch));
                        return;
                    }
                    // At the next look it is tried again.
                    Err(failure) if passes(&failure) => {
                        self.state = State::Silent;
                        pending().await
                    }
                    Err(_) => {
                        self.state = State::Refused;
                        continue;
                    }
                },
                State::Watching(heard) => heard.watch.next().await,
            };
            match word {
                Ok(Some(Told::Bookmark(_))) => {}
                Ok(Some(Told::Added(object) | Told::Modified(object)))
                    if seen.is_some() && version(&object) == seen => {}
                Ok(Some(_)) => return,
                Ok(None) | Err(_) => {
                    self.state = State::Silent;
                    return;
                }
            }
        }
    }
}

/// The version of an object that was read.
pub(super) fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

/// A watch that begins by telling of the object as it is then.
async fn begun<'a>(target: &'a Target, bells: &'a Bells) -> Result<Heard<'a>, Failure> {
    let Target { cluster, resource, namespace, name } = target;
    let Ok(place) = bells.0.acquire().await else { pending().await };
    let field = format!("metadata.name={name}");
    let selected = Selected {
        namespace: namespace.as_deref(),
        fields: Some(&field),
        metadata_only: true,
        ..Selected::all(resource)
    };
    Ok(Heard { watch: cluster.watch(&selected, "", LENGTH, IDLE).await?, _place: place })
}
