//! Connections: how many there are at once, and how long each may keep us waiting.
//!
//! Anybody who reaches a listener can open connections and say nothing, or say it slowly. HTTP/1
//! alone is spoken: one connection is one request at a time, so that counting connections bounds
//! the work too.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::throttle::Peer;

/// How long a request's headers may take, counted from the connection or the last answer. Shorter,
/// and clients that keep a connection for their next request would often find it closed.
const HEAD: Duration = Duration::from_secs(30);
/// How long a request's body may take. GitHub gives up after as long.
pub(crate) const BODY: Duration = Duration::from_secs(10);
/// The request line and all headers; signed requests have less than 8 KiB.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 100;
/// How long a connection that was told to end may go on with its last request.
const LAST_REQUEST: Duration = Duration::from_secs(30);
/// A system that has no room for a connection is given this long.
const BREATH: Duration = Duration::from_secs(1);

/// What a listener's connections may ask of us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most at once; the next waits in the system's queue. Both listeners together stay well below
    /// the 1,024 open files that a process is commonly allowed.
    connections: usize,
    head: Duration,
    /// After so long a connection ends with the request it is at.
    life: Option<Duration>,
}

impl Bounds {
    /// The live stream is an answer that may last for days.
    pub(crate) const API: Self = Self { connections: 256, head: HEAD, life: None };
    /// More than there are places for requests, so that who finds none is told so. A sender who
    /// doesn't read our answers is cut off in the end.
    pub(crate) const WEBHOOKS: Self =
        Self { connections: 384, head: HEAD, life: Some(Duration::from_secs(300)) };
}

/// Answers requests until `closing`, and those that were begun before it to their end.
pub(crate) async fn answer(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    closing: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let open = TaskTracker::new();
    let accept = async {
        loop {
            // The semaphore is never closed: without a place there is nothing to do but wait.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let connection = next(&listener).await;
            let (router, closing) = (router.clone(), closing.clone());
            open.spawn(async move {
                converse(connection, router, bounds, closing).await;
                drop(place);
            });
        }
    };
    closing.run_until_cancelled(accept).await;
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection, however many fail before it.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => return connection,
            Err(error) if is_the_caller_s(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be taken");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn is_the_caller_s(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one connection's requests. How it ends is nobody's concern but the caller's.
async fn converse(
    connection: TcpStream,
    router: Router,
    bounds: Bounds,
    closing: CancellationToken,
) {
    // Answers are small and complete: waiting for more to send with them only delays them.
    let _ = connection.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head);
    http.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let peer = connection.peer_addr().ok().map(|address| Peer(address.ip()));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.call(request)
    });
    let conversation = http.serve_connection(TokioIo::new(connection), service);
    let ending = std::pin::pin!(async {
        match bounds.life {
            Some(life) => drop(tokio::time::timeout(life, closing.cancelled()).await),
            None => closing.cancelled().await,
        }
    });
    let conversation = std::pin::pin!(conversation);
    if let Either::Right(((), mut conversation)) = select(conversation, ending).await {
        conversation.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LAST_REQUEST, conversation).await;
    }
}

#[cfg(test)]
mod tests;
