//! Namespaces that are going: what is written there is still there, and goes with them.

use std::collections::BTreeMap;

use host::kubernetes::Failure;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::asked::Asked;
use super::going::is_going;

/// What one step knows of the namespaces that it writes to.
#[derive(Default)]
pub(super) struct Namespaces(Mutex<BTreeMap<String, Seen>>);

/// A namespace as it was seen.
#[derive(Clone, Copy)]
enum Seen {
    /// At this time; whether it was going, or gone.
    At(Instant, bool),
    /// Nobody lets us see it: nothing is known of it.
    Never,
}

impl Namespaces {
    /// Whether this namespace is going, as it was seen after `written`. Those who ask at the same time ask
    /// the cluster once.
    pub(super) async fn is_going(
        &self,
        asked: &Asked<'_>,
        name: &str,
        written: Instant,
    ) -> Result<bool, Failure> {
        let mut all = self.0.lock().await;
        let seen = match all.get(name).copied() {
            Some(Seen::At(at, _)) if at < written => None,
            seen => seen,
        };
        let seen = match seen {
            Some(seen) => seen,
            None => look(asked, name).await?,
        };
        all.insert(name.to_owned(), seen);
        Ok(matches!(seen, Seen::At(_, true)))
    }
}

async fn look(asked: &Asked<'_>, name: &str) -> Result<Seen, Failure> {
    let at = Instant::now();
    let namespaces = asked.cluster.resource("v1", "Namespace").await?;
    match asked.cluster.find(&namespaces, None, name).await {
        Ok(found) => Ok(Seen::At(at, found.as_ref().is_none_or(is_going))),
        Err(failure) if failure.is_denied() => Ok(Seen::Never),
        // Something was written already.
        Err(failure) => Err(Failure { certain: false, ..failure }),
    }
}
