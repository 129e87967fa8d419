//! Wrong tokens: after a handful from one address its next ones are not even looked at for a while.
//!
//! A token is 256 random bits, so nobody guesses one; what is bounded is the work and the log that
//! somebody who tries can make. Who shows a good token is never held up, whoever else shares the
//! address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Duration, Timestamp};

/// Wrong tokens of one address within [`WINDOW`] that are told apart from a missing one.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered: 64 KiB. When there are more, all are forgotten: a flood from
/// everywhere is not held up by counting it.
const ADDRESSES: usize = 1_024;

/// The address that a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Wrong tokens of late, by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttle(Arc<Mutex<HashMap<IpAddr, Failures>>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    until: Timestamp,
}

impl Throttle {
    /// Counts a wrong token; from too many on, the seconds until the next is looked at.
    pub(crate) fn failed(&self, from: IpAddr, now: Timestamp) -> Option<u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failures| failures.until > now);
        if all.len() >= ADDRESSES && !all.contains_key(&from) {
            all.clear();
        }
        let first = Failures { count: 0, until: WINDOW.after(now) };
        let failures = all.entry(from).or_insert(first);
        failures.count = failures.count.saturating_add(1);
        let left = failures.until.duration_since(now).as_secs().max(0) as u32 + 1;
        (failures.count > MOST).then_some(left)
    }
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
    fn an_address_is_held_up_by_its_own_wrong_tokens_and_for_a_minute() {
        let throttle = Throttle::default();
        for _ in 0..MOST {
            assert_eq!(throttle.failed(A, at(0)), None);
        }
        assert_eq!(throttle.failed(A, at(20)), Some(41));
        assert_eq!(throttle.failed(B, at(20)), None, "another address");
        assert_eq!(throttle.failed(A, at(60)), None, "a minute later");
    }

    #[test]
    fn a_flood_from_everywhere_fills_no_memory() {
        let throttle = Throttle::default();
        for n in 0..3_000_u32 {
            throttle.failed(IpAddr::from(n.to_be_bytes()), at(0));
        }
        assert!(throttle.0.lock().unwrap().len() <= ADDRESSES);
    }
}
