//! `tripline serve`: an engine and its server, until a signal ends them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use engine::Engine;
use host::Clock;
use host::process::Launcher;
use server::Running;
use store::{Sqlite, Store};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, check_address};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tripline serve                                      with ./tripline.yaml, else the defaults
  tripline serve --packs packs/ --state /var/lib/tripline
  tripline serve --listen 127.0.0.1:0                 on a free port; `server.json` says which

The log goes to stderr; TRIPLINE_LOG chooses what is in it (debug, engine=trace, …).
SIGTERM or Ctrl-C ends it in order: steps under way get --grace to end, what has not ended goes
on at the next start. A second signal ends it at once.";

/// The server's command line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The settings [default: ./tripline.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A pack's folder, or one whose sub-folders are packs; may be given more than once
    /// [default: ./packs]
    #[arg(long, value_name = "DIR")]
    packs: Vec<PathBuf>,
    /// Where everything is kept [default: ./state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where the API listens [default: 127.0.0.1:7410]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<String>,
    /// Where webhooks are received, while a pack has any [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    webhooks_listen: Option<String>,
    /// How long steps under way may take to end
    #[arg(long, value_name = "TIME", default_value = "30s")]
    grace: model::Duration,
    /// How the log is written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map(|()| text.to_owned())
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let config = self.config()?;
        log(self.log_format);
        let failed =
            |error: std::io::Error| Failure::new(Exit::Failed, "system", error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let served = runtime.block_on(serve(&config, self.grace.to_std()));
        // After a second signal something may still be at work; nothing of it is waited for.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    }

    /// What the file says, with what the flags say in its place.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref())?;
        if !self.packs.is_empty() {
            config.packs.clone_from(&self.packs);
        }
        if let Some(state) = &self.state {
            config.state.clone_from(state);
        }
        if let Some(listen) = &self.listen {
            config.listen.clone_from(listen);
        }
        if let Some(listen) = &self.webhooks_listen {
            config.webhooks_listen.clone_from(listen);
        }
        Ok(config)
    }
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TRIPLINE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(output::colours_on_stderr()).init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn serve(config: &Config, grace: Duration) -> Outcome {
    let mut signals = Signals::new()?;
    let (engine, running) = tokio::select! {
        started = start(config) => started?,
        exit = signals.next() => return Ok(exit),
    };
    announce(&running)?;
    signals.next().await;
    tracing::info!("stopping; a second signal ends it at once");
    let stop = async {
        if !engine.shutdown(grace).await {
            tracing::warn!("some steps did not end within {grace:?}: they go on at the next start");
        }
        running.stopped().await;
    };
    tokio::select! {
        () = stop => Ok(Exit::Done),
        exit = signals.next() => Ok(exit),
    }
}

async fn start(config: &Config) -> Result<(Engine, Running), Failure> {
    let store = open_store(&config.state).await?;
    let launcher = Launcher::own().map_err(|error| Failure::file("the running binary", &error))?;
    let settings = engine::Settings {
        steps: config.steps,
        programs: config.programs,
        allow_local_git: config.allow_local_git,
        ..engine::Settings::new(&config.state, existing(&config.packs), launcher)
    };
    let engine = Engine::start(settings, store, Clock::System).await;
    let engine = engine.map_err(|error| Failure::new(Exit::Failed, "start", error.to_string()))?;
    let settings = server::Settings {
        listen: config.listen.clone(),
        webhooks_listen: config.webhooks_listen.clone(),
        state: config.state.clone(),
    };
    let running = server::serve(engine.clone(), settings).await;
    let running = running.map_err(|error| {
        Failure::new(Exit::Failed, "listen", error.to_string())
            .with_hint("choose other addresses with --listen and --webhooks-listen")
    })?;
    Ok((engine, running))
}

async fn open_store(state: &Path) -> Result<Arc<dyn Store>, Failure> {
    let folder = state.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        Sqlite::open(&folder, &store::sqlite::Options::default())
    });
    match opened.await {
        Ok(Ok(store)) => Ok(Arc::new(store)),
        Ok(Err(error)) => Err(Failure::new(Exit::Failed, "store", error.to_string())),
        Err(error) => Err(Failure::new(Exit::Failed, "store", error.to_string())),
    }
}

/// The folders that are there: a server may start before it has packs.
fn existing(packs: &[PathBuf]) -> Vec<PathBuf> {
    for missing in packs.iter().filter(|folder| !folder.is_dir()) {
        tracing::warn!(folder = %missing.display(), "there is no such folder of packs");
    }
    packs.to_vec()
}

/// Says where it listens, and again when that changes.
fn announce(running: &Running) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    output::say(&format!("tripline {version} listens on http://{}", running.api()))?;
    let mut webhooks = running.webhooks();
    tokio::spawn(async move {
        loop {
            let address = *webhooks.borrow_and_update();
            if let Some(address) = address {
                // Nobody may be reading any more.
                let _ =
                    output::say(&format!("webhooks are received on http://{address}/webhooks/"));
            }
            if webhooks.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(|error| Failure::file("signals", &error));
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// The next one; the exit code is that of a process that ends by it at once.
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => Exit::Interrupted,
            _ = self.interrupt.recv() => Exit::Interrupted,
        }
    }
}
