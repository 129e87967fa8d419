//! The places of a listener's connections, and who gives one up when all are taken.
//!
//! A connection that waits for its next request costs its holder nothing. So it keeps its place only
//! while there are enough: when there is none left, the address that has most connections loses the
//! one that has been idle longest. Who is being answered is never cut off.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places of one listener.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: BTreeMap<u64, Connection>,
    /// Grows with each connection that comes, and each that becomes idle.
    turn: u64,
}

#[derive(Debug)]
struct Connection {
    from: IpAddr,
    /// The turn at which it began to wait for a request; none while one is answered.
    idle: Option<u64>,
    ended: CancellationToken,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    id: u64,
    ended: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), taken: Arc::default() }
    }

    /// A place for a connection; none while all of them are being answered.
    pub(super) async fn take(&self, from: IpAddr) -> Option<Place> {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if !self.taken().end_one() => return None,
            // What was ended gives its place back as soon as its task is looked at.
            Err(_) => self.free.clone().acquire_owned().await.ok()?,
        };
        let ended = CancellationToken::new();
        let id = self.taken().add(network(from), ended.clone());
        Some(Place { places: self.clone(), id, ended, _permit: permit })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn add(&mut self, from: IpAddr, ended: CancellationToken) -> u64 {
        let id = self.next_turn();
        self.connections.insert(id, Connection { from, idle: Some(id), ended });
        id
    }

    /// Ends an idle connection; false: there is none.
    fn end_one(&mut self) -> bool {
        let mut of = HashMap::<_, usize>::new();
        self.connections.values().for_each(|one| *of.entry(one.from).or_default() += 1);
        let idle = self.connections.iter().filter_map(|(id, one)| Some((id, one, one.idle?)));
        let longest = idle.max_by_key(|(_, one, since)| (of[&one.from], std::cmp::Reverse(*since)));
        let Some(id) = longest.map(|(id, ..)| *id) else { return false };
        self.connections.remove(&id).inspect(|one| one.ended.cancel());
        true
    }
}

/// Whose an address is: a network of IPv6 is given to one holder as a whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Place {
    /// Completes when the connection is to make room.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// A request is being answered from now on; none: the connection was ended just before.
    pub(super) fn begin(&self) -> Option<Busy> {
        self.places.taken().connections.get_mut(&self.id)?.idle = None;
        Some(Busy { places: self.places.clone(), id: self.id })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.id);
    }
}

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    places: Places,
    id: u64,
}

impl Busy {
    /// The same answer, which is under way until all of its body is handed over.
    pub(super) fn until_sent(self, answer: Response) -> Response {
        answer.map(|body| Body::new(Sending { body, _busy: self }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let turn = taken.next_turn();
        if let Some(connection) = taken.connections.get_mut(&self.id) {
            connection.idle = Some(turn);
        }
    }
}

/// A body that keeps its connection busy.
struct Sending {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn took(places: &Places, last: u8) -> Place {
        places.take(from(last)).await.expect("a place")
    }

    #[tokio::test]
    async fn the_longest_idle_of_the_address_with_most_connections_makes_room() {
        let places = Places::new(4);
        let lone = took(&places, 1).await;
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(took(&places, 2).await);
        }
        drop(many[0].begin().expect("it was not ended"));
        let (ended, asked) = (many[1].ended(), places.clone());
        let next = tokio::spawn(async move { asked.take(from(3)).await });
        ended.cancelled().await;
        assert!(many[1].begin().is_none(), "what was ended answers nothing any more");
        many.remove(1);
        assert!(next.await.unwrap().is_some());
        assert!([&lone, &many[0], &many[1]].iter().all(|place| !place.ended().is_cancelled()));
    }

    #[tokio::test]
    async fn there_is_no_place_while_all_are_being_answered() {
        let places = Places::new(2);
        let (one, other) = (took(&places, 1).await, took(&places, 1).await);
        let (_one, answered) = (one.begin(), other.begin());
        assert!(places.take(from(2)).await.is_none());
        drop(answered);
        let (ended, asked) = (other.ended(), places.clone());
        let next = tokio::spawn(async move { asked.take(from(2)).await });
        ended.cancelled().await;
        drop(other);
        assert!(next.await.unwrap().is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
