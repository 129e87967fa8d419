//! What is told of each request to a cluster, for whoever counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A request that was answered, or was not.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The connection; `default` for the server's own cluster.
    pub connection: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The status of the answer; none: there was none.
    pub status: Option<u16>,
    /// How long until the answer began, the wait for its turn apart.
    pub took: Duration,
}

type Told = dyn Fn(&Observed<'_>) + Send + Sync;

/// Who is told of requests.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Told>>);

impl Observer {
    /// One who does this with each.
    pub fn new(told: impl Fn(&Observed<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(super) fn tell(&self, observed: &Observed<'_>) {
        if let Some(told) = &self.0 {
            told(observed);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
