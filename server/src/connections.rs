//! Connections: how many there are at once, and how long each may keep us waiting.
//!
//! Anybody who reaches a listener can open connections and say nothing, or say it slowly. HTTP/1
//! alone is spoken: one connection is one request at a time, so that counting connections bounds
//! the work too. When all places are taken, an idle connection makes room; where none is idle, the
//! newcomer is answered 503.

mod places;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use model::ErrorKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::places::{Place, Places};
use crate::problem::Problem;
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
/// Who found no place is listened to this long, and so many are at once: an answer is more than
/// most of them look for.
const REFUSAL: Duration = Duration::from_secs(2);
const REFUSALS: usize = 32;
/// When to come back to a listener whose connections are all busy.
const COME_BACK_SECONDS: u32 = 5;
/// How often the log says that connections are refused.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// A system that has no room for a connection is given this long.
const BREATH: Duration = Duration::from_secs(1);

/// What a listener's connections may ask of us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most at once, and [`REFUSALS`] more to be told so. Both listeners together stay well below the
    /// 1,024 open files that a process is commonly allowed.
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
    let places = Places::new(bounds.connections);
    let mut refused = Refused::default();
    let open = TaskTracker::new();
    let accept = async {
        loop {
            let (connection, from) = next(&listener).await;
            let Some(place) = places.take(from.ip()).await else {
                refused.tell(connection, &open);
                continue;
            };
            let (router, closing) = (router.clone(), closing.clone());
            let conversation =
                converse(connection, from, router, bounds, place, closing, open.clone());
            open.spawn(conversation);
        }
    };
    closing.run_until_cancelled(accept).await;
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection, however many fail before it.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
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
    from: SocketAddr,
    router: Router,
    bounds: Bounds,
    place: Place,
    closing: CancellationToken,
    open: TaskTracker,
) {
    let (peer, place) = (Peer(from.ip()), Arc::new(place));
    let router = TowerToHyperService::new(router);
    let ended = place.ended();
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(peer);
        let answered = place.begin().map(|busy| {
            // Who hangs up has asked all the same: nothing may stay half done. Its place is taken
            // until then.
            let (place, answer) = (place.clone(), router.call(request));
            open.spawn(async move { (answer.await, busy, place) })
        });
        async move {
            let Some(answered) = answered else { return Ok(no_place()) };
            match answered.await {
                Ok((answer, busy, _)) => answer.map(|answer| busy.until_sent(answer)),
                Err(_) => Ok(defect()),
            }
        }
    });
    let mut conversation =
        std::pin::pin!(http(bounds.head).serve_connection(io(connection), service));
    let ending = async {
        match bounds.life {
            Some(life) => drop(tokio::time::timeout(life, closing.cancelled()).await),
            None => closing.cancelled().await,
        }
    };
    tokio::select! {
        _ = conversation.as_mut() => {}
        () = ended.cancelled() => {}
        () = ending => {
            conversation.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LAST_REQUEST, conversation).await;
        }
    }
}

/// HTTP as it is spoken here.
fn http(head: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    http.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    http
}

fn io(connection: TcpStream) -> TokioIo<TcpStream> {
    // Answers are small and complete: waiting for more to send with them only delays them.
    let _ = connection.set_nodelay(true);
    TokioIo::new(connection)
}

/// The router answers what panics in it.
fn defect() -> axum::response::Response {
    let detail = "a defect of Tripline; its log says more";
    Problem::new(ErrorKind::Internal, detail).into_response()
}

fn no_place() -> axum::response::Response {
    let problem =
        Problem::new(ErrorKind::Unavailable, "as many connections as there may be are busy");
    problem.retry_after(Some(COME_BACK_SECONDS)).into_response()
}

/// Connections that found no place.
struct Refused {
    places: Arc<Semaphore>,
    said: Option<tokio::time::Instant>,
}

impl Default for Refused {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(REFUSALS)), said: None }
    }
}

impl Refused {
    /// Answers 503 to what is asked first; closes at once where many are told so already.
    fn tell(&mut self, connection: TcpStream, open: &TaskTracker) {
        if self.said.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
            tracing::warn!("all connections are busy: further ones are answered 503");
            self.said = Some(tokio::time::Instant::now());
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let service = service_fn(async |_| Ok::<_, Infallible>(no_place()));
        let mut http = http(REFUSAL);
        let conversation = http.keep_alive(false).serve_connection(io(connection), service);
        open.spawn(async move {
            let _ = tokio::time::timeout(REFUSAL, conversation).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests;
