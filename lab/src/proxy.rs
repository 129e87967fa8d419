//! What stands between a client and the API server: it answers as a busy or broken one does, or hangs up,
//! when a test says so, and passes everything else on.

use std::convert::Infallible;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::identity::{self, Credential};
use crate::{ADMIN, Cluster};

/// An API server in trouble. Dropped, it is gone.
#[derive(Debug)]
pub struct Proxy {
    kubeconfig: PathBuf,
    desk: Arc<Desk>,
    /// Its task, which ends with it.
    _serving: JoinSet<()>,
}

/// What it answers instead of the API server.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What the method, path and query of requests contain that are answered so, as `GET /path?query`.
    pub of: &'static str,
    /// The status of the answer, which is empty where it is a success.
    pub status: u16,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
    /// How many requests are answered so.
    pub times: usize,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

#[derive(Debug)]
struct Desk {
    client: Passed,
    troubles: Mutex<Vec<Trouble>>,
    asked: Mutex<Vec<Asked>>,
    hang_up: Notify,
    passed: AtomicU64,
}

struct Passed(kube::Client);

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passed")
    }
}

impl Proxy {
    /// One before the cluster's API server, which takes everybody for its admin.
    pub async fn before(cluster: &Cluster) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let kubeconfig = cluster.folder().join(format!("proxy-{}.kubeconfig", address.port()));
        let ca = cluster.folder().join(identity::CA);
        let url = format!("http://{address}");
        fs::write(&kubeconfig, identity::kubeconfig(&url, &ca, &Credential::Token(ADMIN)))?;
        let desk = Arc::new(Desk {
            client: Passed(cluster.client(ADMIN).await?),
            troubles: Mutex::default(),
            asked: Mutex::default(),
            hang_up: Notify::new(),
            passed: AtomicU64::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, desk.clone()));
        Ok(Self { kubeconfig, desk, _serving: serving })
    }

    /// A kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Answers so from now on, after what it was told before.
    pub fn answer(&self, trouble: Trouble) {
        lock(&self.desk.troubles).push(trouble);
    }

    /// Passes everything on again.
    pub fn recover(&self) {
        lock(&self.desk.troubles).clear();
    }

    /// Ends every connection, in the middle of whatever it is.
    pub fn hang_up(&self) {
        self.desk.hang_up.notify_waiters();
    }

    /// How many bytes of answers it has passed on.
    pub fn passed(&self) -> u64 {
        self.desk.passed.load(Ordering::Relaxed)
    }

    /// What came since this was asked last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.desk.asked))
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, desk.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, desk: Arc<Desk>) {
    let answer = service_fn(|request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(counted(desk.clone(), desk.answer(request).await)) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        // Whoever was cut off notices it.
        _ = connection => {}
        () = desk.hang_up.notified() => {}
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let method = request.method().to_string();
        let line = format!("{method} {path}");
        let answer = match self.trouble(&line) {
            Some(trouble) => trouble.answer(),
            None => self.pass(request).await.unwrap_or_else(|_| plain(502)),
        };
        let (at, status) = (Instant::now(), answer.status().as_u16());
        lock(&self.asked).push(Asked { at, method, path, status });
        answer
    }

    fn trouble(&self, line: &str) -> Option<Trouble> {
        let mut troubles = lock(&self.troubles);
        let found = troubles.iter().position(|one| line.contains(one.of))?;
        let trouble = troubles[found].clone();
        troubles[found].times = troubles[found].times.saturating_sub(1);
        if troubles[found].times == 0 {
            troubles.remove(found);
        }
        Some(trouble)
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let mut passed = Request::builder().method(parts.method).uri(parts.uri);
        for name in [ACCEPT, CONTENT_TYPE] {
            if let Some(value) = parts.headers.get(&name) {
                passed = passed.header(name, value);
            }
        }
        let body = body.collect().await?.to_bytes();
        let mut answer = self.client.0.send(passed.body(Body::from(body))?).await?;
        // How it is sent on is decided here.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            answer.headers_mut().remove(name);
        }
        Ok(answer)
    }
}

/// The same answer, whose bytes are counted as they are taken.
fn counted(
    desk: Arc<Desk>,
    answer: Response<Body>,
) -> Response<impl hyper::body::Body<Data = Bytes, Error = kube::Error>> {
    answer.map(|body| {
        body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            desk.passed.fetch_add(bytes, Ordering::Relaxed);
            frame
        })
    })
}

impl Trouble {
    fn answer(&self) -> Response<Body> {
        let mut answer = plain(self.status);
        if let Some(seconds) = self.retry_after {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// As a gateway says it: no word of the API's own.
fn plain(status: u16) -> Response<Body> {
    let text: &[u8] = if status < 300 { b"" } else { b"there is trouble" };
    let mut answer = Response::new(Body::from(text.to_vec()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Asked {
    /// How long after `earlier` it came.
    pub fn after(&self, earlier: &Self) -> Duration {
        self.at.saturating_duration_since(earlier.at)
    }
}
