//! Requests to the API that were refused, for the audit.
//!
//! The first refusal of somebody is stored at once, what follows within a minute as one number at
//! its end. At most [`MOST`] of those who ask are told apart at a time, all others are counted
//! together: however many requests are refused, some fifty facts a minute say so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::fact::RequestsRefused;
use model::{Actor, BatchId, Duration, ErrorKind, Fact, Stream, Timestamp};
use store::{Batch, Write};

use crate::engine::Engine;
use crate::random;

/// Those who are told apart at a time; one person with a wrong script is one.
const MOST: usize = 20;
/// How long refusals are counted before their number is stored.
const WINDOW: Duration = Duration::from_secs(60);
/// Characters of a path that are kept: those of the API have fewer.
const MAX_PATH: usize = 200;

/// Who was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The holder of the token of this name.
    Token(String),
    /// Somebody without a good token, from this address.
    Address(IpAddr),
    /// Somebody of whom no more is known, or one of too many.
    Somebody,
}

/// A request that was refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Who sent it.
    pub who: Who,
    /// Why it was refused.
    pub reason: ErrorKind,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
}

/// Refusals since the first one, by who was refused and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<BTreeMap<Key, Counted>>>);

type Key = (Who, &'static str);

#[derive(Debug, Default)]
struct Counted {
    more: u64,
    latest: Option<Refusal>,
}

impl Refusals {
    /// Counts a refusal; who it is stored under if it is the first.
    fn count(&self, refusal: &Refusal) -> Option<Key> {
        let mut open = self.lock();
        let mut key = (refusal.who.clone(), refusal.reason.as_str());
        if open.len() >= MOST && !open.contains_key(&key) {
            key.0 = Who::Somebody;
        }
        if let Some(counted) = open.get_mut(&key) {
            counted.more += 1;
            counted.latest = Some(refusal.clone());
            return None;
        }
        open.insert(key.clone(), Counted::default());
        Some(key)
    }

    fn close(&self, key: &Key) -> Counted {
        self.lock().remove(key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Who {
    fn actor(&self) -> Actor {
        match self {
            Self::Token(name) => Actor::token(name),
            Self::Address(address) => Actor::address(&address.to_string()),
            Self::Somebody => Actor::address("somebody"),
        }
    }
}

impl Engine {
    /// Notes for the audit that a request was refused.
    pub fn refused(&self, refusal: Refusal) {
        if self.core.stopping.is_cancelled() {
            return;
        }
        if let Some(key) = self.refusals.count(&refusal) {
            self.core.tasks.spawn(self.clone().keep_refusals(key, refusal));
        }
    }

    async fn keep_refusals(self, key: Key, first: Refusal) {
        let since = self.now();
        self.store_refusals(&key.0, first, 1, since).await;
        tokio::select! {
            () = self.core.clock.sleep(WINDOW) => {}
            () = self.core.stopping.cancelled() => {}
        }
        if let Counted { more: times @ 1.., latest: Some(latest) } = self.refusals.close(&key) {
            self.store_refusals(&key.0, latest, times, since).await;
        }
    }

    async fn store_refusals(&self, who: &Who, of: Refusal, times: u64, since: Timestamp) {
        let (at, path) = (self.now(), of.path.chars().take(MAX_PATH).collect());
        let refused =
            RequestsRefused { reason: of.reason, method: of.method, path, times, since, at };
        let facts = vec![Fact::RequestsRefused(refused)];
        let batch = Batch {
            id: BatchId::new(format!("refused/{}", random::name())),
            actor: who.actor(),
            at,
            writes: vec![Write::new(Stream::Refusals, None, facts)],
        };
        // Not worth waiting for: a store that takes nothing has other things to do first.
        if let Err(error) = self.core.store.append(batch).await {
            tracing::warn!(%error, "refused requests are not in the audit");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(who: Who) -> Refusal {
        let (method, path) = ("GET".to_owned(), "/api/v1/rules".to_owned());
        Refusal { who, reason: ErrorKind::Denied, method, path }
    }

    #[test]
    fn each_is_stored_once_a_minute_and_a_flood_from_everywhere_as_one() {
        let refusals = Refusals::default();
        let ci = refusal(Who::Token("ci".to_owned()));
        let key = refusals.count(&ci).unwrap();
        for _ in 0..5 {
            assert_eq!(refusals.count(&ci), None);
        }
        let addresses =
            (0..3_000_u32).map(|n| refusal(Who::Address(IpAddr::from(n.to_be_bytes()))));
        let stored = addresses.filter_map(|one| refusals.count(&one)).count();
        assert_eq!(stored, MOST, "those told apart besides `ci`, and all others as one");
        assert_eq!(refusals.close(&key).more, 5);
        assert_eq!(refusals.close(&(Who::Somebody, "denied")).more, 3_000 - MOST as u64);
        assert!(refusals.count(&ci).is_some(), "a new minute");
    }
}
