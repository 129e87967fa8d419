//! Listeners: opened, told of in `server.json`, closed when the engine stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::Engine;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::App;
use crate::auth::Tokens;
use crate::connections::{Bounds, answer};
use crate::files::{self, Addresses, FileError};
use crate::webhooks::Refusals;
use crate::{routes, webhooks};

/// How long answers under way may take once the engine has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How often it is looked whether webhook sensors have come or gone.
const LOOK_FOR_WEBHOOKS: Duration = Duration::from_millis(200);
/// How long an address that cannot be listened on is left alone.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` of the API; port 0 takes a free one.
    pub listen: String,
    /// `host:port` of the webhooks' listener; port 0 takes a free one.
    pub webhooks_listen: String,
    /// The state folder, for `server.json` and `admin.token`.
    pub state: PathBuf,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the state folder.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    api: SocketAddr,
    webhooks: watch::Receiver<Option<SocketAddr>>,
    tasks: TaskTracker,
    state: PathBuf,
}

impl Running {
    /// Where the API listens.
    pub const fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where webhooks are received, while there are any; changes as sensors come and go.
    pub fn webhooks(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.webhooks.clone()
    }

    /// Completes when the engine has stopped and the last answers are given.
    pub async fn stopped(self) {
        self.tasks.close();
        if tokio::time::timeout(LAST_ANSWERS, self.tasks.wait()).await.is_err() {
            tracing::warn!("some answers were not taken in time");
        }
        Addresses::remove(&self.state);
    }
}

/// Serves `engine` until it stops. When this returns, the API answers and `server.json` says where.
pub async fn serve(engine: Engine, settings: Settings) -> Result<Running, ServeError> {
    let tokens = Tokens::new(&files::token(&settings.state)?, engine.clone());
    let listener = bind(&settings.listen).await?;
    let api = local(&listener, &settings.listen)?;
    let (tell, webhooks) = watch::channel(None);
    let app = App { engine: engine.clone(), refusals: Refusals::default() };
    let hooks = Hooks { app: app.clone(), settings: settings.clone(), api, tell };
    // What can be known at start fails the start; what comes later is logged and tried again.
    let first =
        if engine.has_webhooks() { Some(bind(&settings.webhooks_listen).await?) } else { None };
    hooks.say(first.as_ref())?;
    let tasks = TaskTracker::new();
    tasks.spawn(answer(listener, routes::router(app, tokens), Bounds::API, engine.stopping()));
    tasks.spawn(hooks.keep(first));
    Ok(Running { api, webhooks, tasks, state: settings.state })
}

/// The listener for webhooks: there exactly while a webhook sensor is.
struct Hooks {
    app: App,
    settings: Settings,
    api: SocketAddr,
    tell: watch::Sender<Option<SocketAddr>>,
}

impl Hooks {
    async fn keep(self, first: Option<TcpListener>) {
        let stopping = self.app.engine.stopping();
        let mut open = first;
        while !stopping.is_cancelled() {
            if let Some(listener) = open.take() {
                self.receive(listener, &stopping).await;
                self.app.refusals.tell(self.app.engine.now(), true);
            } else {
                self.until(true, &stopping).await;
                open = self.open(&stopping).await;
            }
        }
    }

    /// Receives webhooks until there are no webhook sensors.
    async fn receive(&self, listener: TcpListener, stopping: &CancellationToken) {
        let closing = stopping.child_token();
        let router = webhooks::router(self.app.clone());
        let answered = answer(listener, router, Bounds::WEBHOOKS, closing.clone());
        tokio::join!(answered, async {
            self.until(false, stopping).await;
            closing.cancel();
        });
        if let Err(error) = self.say(None) {
            tracing::error!(%error, "the addresses cannot be told");
        }
    }

    /// Waits until there are (or are no) webhook sensors, or the engine stops.
    async fn until(&self, wanted: bool, stopping: &CancellationToken) {
        while self.app.engine.has_webhooks() != wanted && !stopping.is_cancelled() {
            self.app.refusals.tell(self.app.engine.now(), false);
            let _ = tokio::time::timeout(LOOK_FOR_WEBHOOKS, stopping.cancelled()).await;
        }
    }

    /// Opens the listener; what keeps it from that is told, and left alone for a while.
    async fn open(&self, stopping: &CancellationToken) -> Option<TcpListener> {
        if stopping.is_cancelled() {
            return None;
        }
        let opened = async {
            let listener = bind(&self.settings.webhooks_listen).await?;
            self.say(Some(&listener))?;
            Ok::<_, ServeError>(listener)
        };
        match opened.await {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::error!(%error, "webhooks are not received");
                let _ = tokio::time::timeout(BIND_AGAIN, stopping.cancelled()).await;
                None
            }
        }
    }

    /// Writes `server.json` and tells who listens to [`Running::webhooks`].
    fn say(&self, listener: Option<&TcpListener>) -> Result<(), ServeError> {
        let address = &self.settings.webhooks_listen;
        let webhooks = listener.map(|listener| local(listener, address)).transpose()?;
        let addresses = Addresses { pid: std::process::id(), api: self.api, webhooks };
        addresses.write(&self.settings.state)?;
        self.tell.send_replace(webhooks);
        Ok(())
    }
}

async fn bind(address: &str) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Listen { address: address.to_owned(), source })
}

fn local(listener: &TcpListener, address: &str) -> Result<SocketAddr, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    listener.local_addr().map_err(failed)
}
