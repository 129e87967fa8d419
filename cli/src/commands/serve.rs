//! `tripline serve`: an engine and its server, until a signal ends them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::packs::shipped::{self, Shipped};
use host::Clock;
use host::process::Launcher;
use nix::sys::signal::Signal as Limit;
use server::files::Addresses;
use server::{Running, ServeError};
use store::{Sqlite, Store};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, Flags, LogFormat, variables};
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
    #[command(flatten)]
    flags: Flags,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let settings = config::settings(&self.flags)?;
        let config = Config::of(&settings);
        log(&config);
        for unread in variables::unread(&settings) {
            tracing::warn!("{unread}");
        }
        let failed =
            |error: std::io::Error| Failure::new(Exit::Failed, "system", error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let served = runtime.block_on(serve(&config));
        // After a second signal something may still be at work; nothing of it is waited for.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    }
}

fn log(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Clean(std::io::stderr()));
    match config.log_format {
        LogFormat::Text => log.with_ansi(output::colours_on_stderr()).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Writes the log without values of secrets: each line comes in one piece.
struct Clean<W>(W);

impl<W: std::io::Write> std::io::Write for Clean<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(&host::redact::known().bytes(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

async fn serve(config: &Config) -> Outcome {
    host::file::for_owner_alone();
    take_size_limit_for_full_disk()?;
    let grace = config.grace.to_std();
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
    existing(&config.packs)?;
    let store = open_store(&config.state).await?;
    Addresses::remove(&config.state);
    let packs = unpacked(&config.packs, &config.state)?;
    let launcher = Launcher::own().map_err(|error| Failure::file("the running binary", &error))?;
    let settings = engine::Settings {
        steps: config.steps,
        programs: config.programs,
        git: config.git.clone(),
        secrets: config.secrets(),
        retention: config.retention.clone(),
        protected_namespaces: config.protected_namespaces.clone(),
        ca_file: config.ca_file.clone(),
        advertise: config.advertise.clone(),
        environment: config.environment.clone(),
        traces: config.traces.clone(),
        ..engine::Settings::new(&config.state, packs, launcher)
    };
    let engine = Engine::start(settings, store, Clock::System).await;
    let engine = engine.map_err(|error| Failure::new(Exit::Failed, "start", error.to_string()))?;
    let settings = server::Settings {
        listen: config.listen.clone(),
        webhooks_listen: config.webhooks_listen.clone(),
        state: config.state.clone(),
    };
    let running = server::serve(engine.clone(), settings).await;
    Ok((engine, running.map_err(not_served)?))
}

fn not_served(error: ServeError) -> Failure {
    match error {
        ServeError::Listen { .. } => Failure::new(Exit::Failed, "listen", error.to_string())
            .with_hint("choose other addresses with --listen and --webhooks-listen"),
        ServeError::File(error) => Failure::new(Exit::Failed, "file", error.to_string()),
    }
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

/// Where packs lie: those that are part of the program are written into the state folder.
fn unpacked(packs: &[PathBuf], state: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = state.join("shipped");
    let place = |pack: &PathBuf| {
        let named = Shipped::named(&pack.to_string_lossy()).map_err(Failure::usage)?;
        let Some(shipped) = named else { return Ok(pack.clone()) };
        let written = shipped.write(&folder);
        written.map_err(|error| Failure::file(folder.display(), &error))
    };
    packs.iter().map(place).collect()
}

/// The folders of packs, all of which must be there: one that is not mounted yet would else look
/// like one whose packs are no longer wanted.
pub(super) fn existing(packs: &[PathBuf]) -> Result<(), Failure> {
    let is_shipped = |pack: &PathBuf| pack.to_string_lossy().starts_with(shipped::PREFIX);
    match packs.iter().find(|folder| !is_shipped(folder) && !folder.is_dir()) {
        None => Ok(()),
        Some(missing) => {
            let missing = missing.display();
            Err(Failure::usage(format!("there is no folder of packs {missing}")).with_hint(format!(
                "make it (`mkdir {missing}`), mount it, or name another: --packs, or `packs` in tripline.yaml"
            )))
        }
    }
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

/// A file at its limit of size (`ulimit -f`) ends a process that does not hear the signal; one that
/// does is refused the write, and waits as on a full disk. Programs that are run don't inherit it.
fn take_size_limit_for_full_disk() -> Result<(), Failure> {
    let heard = signal(SignalKind::from_raw(Limit::SIGXFSZ as i32));
    heard.map(drop).map_err(|error| Failure::file("signals", &error))
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
