//! Wrong tokens: after a handful that begin alike from one address, the next of them are not even
//! looked at for a while; after a handful of any kind, what is wrong is answered so.
//!
//! A token is 256 random bits, so nobody guesses one; what is bounded is the work and the log that a
//! script with an old token, or somebody who tries, can make. Who shows a good token is held up by
//! nobody who does not know how it begins, whoever else shares the address: a proxy, a machine.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Duration, Timestamp};

/// Wrong tokens within [`WINDOW`] before the next are held up.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Callers that are remembered: 64 KiB. When there are more, all are forgotten: a flood from
/// everywhere is not held up by counting it.
const CALLERS: usize = 1_024;

/// The address that a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How a token begins: enough to tell those apart that there are.
type Beginning = [u8; 8];

/// Wrong tokens of late.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttle {
    /// By address and beginning: these are not looked at.
    alike: Failures<(IpAddr, Beginning)>,
    /// By address.
    from: Failures<IpAddr>,
}

impl Throttle {
    /// The seconds until this token is looked at again; none: it may be.
    pub(crate) fn held_up(&self, from: IpAddr, token: &str, now: Timestamp) -> Option<u32> {
        self.alike.left(&(from, beginning(token)), now)
    }

    /// Counts a wrong token; from too many on, the seconds until fewer are counted.
    pub(crate) fn failed(&self, from: IpAddr, token: &str, now: Timestamp) -> Option<u32> {
        self.alike.count((from, beginning(token)), now);
        self.from.count(from, now)
    }
}

fn beginning(token: &str) -> Beginning {
    // What all tokens have tells none apart.
    let token = token.strip_prefix(engine::TOKEN_PREFIX).unwrap_or(token);
    let mut beginning = Beginning::default();
    beginning.iter_mut().zip(token.bytes()).for_each(|(to, byte)| *to = byte);
    beginning
}

#[derive(Debug, Clone)]
struct Failures<K>(Arc<Mutex<HashMap<K, Counted>>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    count: u32,
    until: Timestamp,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Failures<K> {
    /// Counts one more; from too many on, the seconds until they are forgotten.
    fn count(&self, key: K, now: Timestamp) -> Option<u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, counted| counted.until > now);
        if all.len() >= CALLERS && !all.contains_key(&key) {
            all.clear();
        }
        let first = Counted { count: 0, until: WINDOW.after(now) };
        let counted = all.entry(key).or_insert(first);
        counted.count = counted.count.saturating_add(1);
        (counted.count > MOST).then(|| seconds(counted.until, now))
    }

    /// The seconds until they are forgotten, where the next would be one too many.
    fn left(&self, key: &K, now: Timestamp) -> Option<u32> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = all.get(key).filter(|counted| counted.until > now)?;
        (counted.count >= MOST).then(|| seconds(counted.until, now))
    }
}

fn seconds(until: Timestamp, now: Timestamp) -> u32 {
    until.duration_since(now).as_secs().max(0) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn tokens_that_begin_like_many_wrong_ones_are_not_looked_at_for_a_minute() {
        let throttle = Throttle::default();
        for n in 0..MOST {
            assert_eq!(throttle.held_up(A, "an old token", at(0)), None, "{n}");
            assert_eq!(throttle.failed(A, "an old token", at(0)), None);
        }
        assert_eq!(throttle.held_up(A, "an old to…", at(20)), Some(41));
        assert_eq!(throttle.held_up(A, "another token", at(20)), None, "who shares the address");
        let issued = |random: &str| format!("{}{random}", engine::TOKEN_PREFIX);
        for _ in 0..MOST {
            throttle.failed(A, &issued("revoked one"), at(20));
        }
        assert_eq!(throttle.held_up(A, &issued("revoked one"), at(20)), Some(61));
        assert_eq!(throttle.held_up(A, &issued("another one"), at(20)), None);
        assert_eq!(throttle.held_up(B, "an old token", at(20)), None, "another address");
        assert_eq!(throttle.held_up(A, "an old token", at(60)), None, "a minute later");
    }

    #[test]
    fn many_wrong_tokens_of_any_kind_are_told_so() {
        let throttle = Throttle::default();
        for n in 0..MOST {
            assert_eq!(throttle.failed(A, &format!("{n} guessed"), at(0)), None);
        }
        assert_eq!(throttle.failed(A, "one more", at(20)), Some(41));
        assert_eq!(throttle.held_up(A, "a right one", at(20)), None);
        assert_eq!(throttle.failed(B, "one more", at(20)), None, "another address");
        assert_eq!(throttle.failed(A, "one more", at(60)), None, "a minute later");
    }

    #[test]
    fn a_flood_from_everywhere_fills_no_memory() {
        let throttle = Throttle::default();
        for n in 0..3_000_u32 {
            throttle.failed(IpAddr::from(n.to_be_bytes()), &n.to_string(), at(0));
        }
        assert!(throttle.from.0.lock().unwrap().len() <= CALLERS);
        assert!(throttle.alike.0.lock().unwrap().len() <= CALLERS);
    }
}
