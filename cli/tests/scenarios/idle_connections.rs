//! Hundreds of connections that say nothing, on both listeners of a real server.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{client, send};
use crate::webhooks::{Delivery, receiver};

/// Below the time after which an idle connection is closed anyway.
const BOUNDED: Duration = Duration::from_secs(25);

/// More than there are places on either listener, fewer than a process is commonly allowed.
const MANY: usize = 700;

fn idle(address: &str) -> Vec<TcpStream> {
    let address = address.trim_start_matches("http://");
    (0..MANY).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn hundreds_of_idle_connections_keep_nobody_waiting() {
    let world = receiver();
    let server = world.serve();
    let (api, webhooks) = (server.api(), server.webhooks());

    let (begun, silent) = (Instant::now(), idle(&api));
    assert_eq!(server.ask("GET", "/api/v1/health", None).status, 200);
    assert_eq!(send(client().get(format!("{api}/healthz"))).status, 200);
    assert!(begun.elapsed() < BOUNDED, "it took {:?}", begun.elapsed());
    drop(silent);

    let (begun, _silent) = (Instant::now(), idle(&webhooks));
    assert_eq!(Delivery::of("d-1", br#"{"n": 1}"#).send(&server).status, 202);
    assert!(begun.elapsed() < BOUNDED, "it took {:?}", begun.elapsed());
}
