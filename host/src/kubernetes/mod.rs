//! The Kubernetes API: one client for each cluster, shared by sensors and actions.
//!
//! ```text
//!  connection ─▶ access: how to get in ─▶ Cluster ─┬─▶ request, text, lines   anything
//!                                                  ├─▶ get, list, watch       objects of a kind
//!                                                  └─▶ resource               where a kind lies
//! ```
//! Objects are plain JSON: what one version of a cluster knows of a kind, this crate need not.
//! Whoever asks a cluster keeps to its rate, all together. Nothing is tried again here but what was
//! refused for stale credentials, which has had no effect, and for a patient one what a busy server
//! wants to be asked later.

mod access;
mod builtin;
mod error;
mod numbers;
mod objects;
mod observed;
mod path;
mod rbac;
mod request;
mod resource;
mod right;
mod served;
mod veil;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryFutureExt;
use http::Response;
use kube::client::Body;
use tokio::sync::Mutex as Gate;
use tokio::time::{Instant, sleep, timeout};

pub use access::Access;
pub use builtin::{Defined, Naming};
pub use error::Failure;
pub use objects::{Listed, Selected};
pub use observed::{Observed, Observer};
pub use path::Path;
pub use rbac::Missing;
pub use request::{Lines, Patch, Request};
pub use resource::Resource;
pub use right::{Place, Right, kind_of};
pub use veil::{is_secret, veil};
pub use watch::{Told, Watch};

use crate::Clock;
use crate::rate::Limiter;
use crate::secret::Lookup;

/// How often a cluster is asked at most unless its connection says otherwise: what `kubectl` does.
pub const REQUESTS_PER_SECOND: f64 = 50.0;

/// How long a request of a patient one is put off at most, all in all.
const LATER: Duration = Duration::from_secs(20);
/// The shortest time that it is put off, whatever the server says.
const SOONEST: Duration = Duration::from_millis(500);

/// A cluster that can be asked. It is reached when somebody asks it for the first time.
pub struct Cluster {
    shared: Arc<Shared>,
    observer: Observer,
    /// How long a server that is busy may put a request off.
    later: Duration,
}

/// What all who ask one cluster have in common.
struct Shared {
    name: String,
    access: Access,
    lookup: Lookup,
    limiter: Limiter,
    session: Gate<Option<Session>>,
    /// What was discovered, by `api_version`.
    kinds: Mutex<BTreeMap<String, Arc<Vec<Resource>>>>,
}

/// A client with the credentials of one moment.
#[derive(Clone)]
struct Session {
    number: u64,
    client: kube::Client,
}

impl Session {
    /// Whether the certificate that a program gave ends in the next minute: tokens are asked for again by
    /// the client, certificates by nobody.
    fn is_over(&self) -> bool {
        let soon = model::Duration::from_secs(60).after(Clock::System.now());
        self.client.valid_until().is_some_and(|end| end <= soon)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Cluster");
        let Shared { name, access, .. } = self.shared.as_ref();
        shown.field("name", name).field("access", access).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster called `name`; `lookup` finds the secrets that `access` names.
    pub fn new(name: &str, access: Access, limiter: Limiter, lookup: Lookup) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            access,
            lookup,
            limiter,
            session: Gate::default(),
            kinds: Mutex::default(),
        };
        let shared = Arc::new(shared);
        Self { shared, observer: Observer::default(), later: Duration::ZERO }
    }

    /// The same cluster, whose requests `observer` is told of.
    #[must_use]
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// The same cluster for somebody who has time: a request that a busy server wants to be sent
    /// later (`Retry-After`) is sent again then, where sending it twice does no harm. The server is
    /// obeyed for 20 s in all; what it puts off for longer fails as it does for everybody else.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { shared: self.shared.clone(), observer: self.observer.clone(), later: LATER }
    }

    /// The name of its connection; `default` for the server's own.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The namespace that its credentials are for where none is named.
    pub async fn default_namespace(&self) -> Result<String, Failure> {
        Ok(self.session().await?.client.default_namespace().to_owned())
    }

    /// Where objects of this kind lie. It is asked once, and again where a kind is not known.
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, Failure> {
        if let Some(known) = self.known(api_version, kind) {
            return Ok(known);
        }
        let all = self.request(&Request::get(&resource::group_path(api_version))).await;
        let all = all.map_err(|failure| resource::unknown_group(failure, api_version, kind))?;
        let all = Arc::new(resource::read(api_version, &all));
        let mut kinds = self.shared.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(api_version.to_owned(), all);
        drop(kinds);
        self.known(api_version, kind).ok_or_else(|| resource::unknown(api_version, kind))
    }

    fn known(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let kinds = self.shared.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(api_version)?.iter().find(|known| known.kind == kind).cloned()
    }

    /// Forgets which kinds there are: one of them is not there any more, or not as it was.
    pub fn rediscover(&self) {
        self.shared.kinds.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends a request, and again when a server that is busy says so.
    async fn send(&self, request: &Request) -> Result<Response<Body>, Failure> {
        let until = Instant::now() + self.later;
        let mut certain = true;
        loop {
            let failure = match self.send_once(request).await {
                Err(failure) => failure,
                answer => return answer,
            };
            certain &= failure.certain;
            let later = request.later(&failure).map(|later| later.max(SOONEST));
            match later.filter(|later| Instant::now() + *later <= until) {
                Some(later) => sleep(later).await,
                None => return Err(Failure { certain, ..failure }),
            }
        }
    }

    /// Sends a request in its turn, with credentials read again if the ones at hand are stale; they are
    /// before the next request where nobody could be reached.
    async fn send_once(&self, request: &Request) -> Result<Response<Body>, Failure> {
        let mut fresh = false;
        loop {
            self.shared.limiter.turn().await;
            let session = self.session().await?;
            let sent = session.client.send(request.http()?).map_err(|error| Failure::of(&error));
            let (begun, late) = (Instant::now(), |_| Failure::silent(request.patience));
            let answer = timeout(request.patience, sent).await.map_err(late).flatten();
            self.tell(request, answer.as_ref().ok(), begun.elapsed());
            if answer.as_ref().is_err_and(|failure| failure.certain) {
                // Nobody was reached who would refuse them: the way there may be another one by now.
                self.leave(session.number).await;
            }
            let answer = answer?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            if status == http::StatusCode::UNAUTHORIZED && !fresh {
                fresh = true;
                self.leave(session.number).await;
                continue;
            }
            let (parts, body) = answer.into_parts();
            let text = timeout(request.patience, request::text(body)).await;
            let text = text.ok().and_then(Result::ok).unwrap_or_default();
            let failure = Failure::answered(status, &parts.headers, &text);
            if failure.is_unserved() {
                self.rediscover();
            }
            return Err(match status {
                http::StatusCode::UNAUTHORIZED => {
                    failure.of_credentials(self.name(), &self.shared.access)
                }
                _ => failure,
            });
        }
    }

    fn tell(&self, request: &Request, answer: Option<&Response<Body>>, took: Duration) {
        let status = answer.map(|answer| answer.status().as_u16());
        let (connection, method) = (self.name(), request.method.as_str());
        self.observer.tell(&Observed { connection, method, status, took });
    }

    async fn session(&self) -> Result<Session, Failure> {
        let mut held = self.shared.session.lock().await;
        if let Some(session) = held.as_ref().filter(|session| !session.is_over()) {
            return Ok(session.clone());
        }
        let client = self.shared.access.connect(&self.shared.lookup).await?;
        let session = Session { number: next_number(), client };
        *held = Some(session.clone());
        Ok(session)
    }

    /// Has the next request read the credentials again, unless somebody did since.
    async fn leave(&self, number: u64) {
        let mut held = self.shared.session.lock().await;
        if held.as_ref().is_some_and(|session| session.number == number) {
            *held = None;
        }
    }
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How long a request may go without an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);
