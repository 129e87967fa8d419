//! Child programs: JSON in on stdin, a result out on stdout, a log on stderr, all within bounds.
//!
//! Every program starts through the trampoline ([`crate::exec_child`]) in a process group of its
//! own, and is recorded while it runs. It is over when it exits: pipes that something else holds
//! open are read for a second more, then what is left of its group is killed. Only what detached
//! itself with `setsid` goes on.

mod children;
mod group;
mod pipes;
mod service;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

pub use crate::exec_child::Limits;
use crate::exec_child::NOT_STARTED;
use crate::redact::Redactor;
pub use children::{Child, Children};
use group::Group;
use pipes::Captured;
pub use service::{MAX_SERVICE_LOG, Service, service_log};

/// Most bytes of a program's stdout.
pub const MAX_STDOUT: usize = 4 * 1024 * 1024;
/// Most bytes of a step's log.
pub const MAX_LOG: u64 = 1024 * 1024;
/// Between SIGTERM and SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(5);

/// How to start the trampoline.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// A binary that calls [`crate::exec_child::main`].
    pub program: PathBuf,
    /// Its arguments up to those of the trampoline itself.
    pub args: Vec<OsString>,
}

impl Launcher {
    /// This binary's own hidden command `exec-child`.
    pub fn own() -> io::Result<Self> {
        // The kernel's name for the running binary holds even after an upgrade replaced the file.
        let running = Path::new("/proc/self/exe");
        let program = if running.exists() { running.to_owned() } else { std::env::current_exe()? };
        Ok(Self { program, args: vec!["exec-child".into()] })
    }
}

/// Runs programs on behalf of one state folder.
#[derive(Debug, Clone)]
pub struct Programs {
    launcher: Launcher,
    children: Children,
    work: PathBuf,
}

/// A program to run.
#[derive(Debug)]
pub struct Job {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(String, OsString)>,
    /// What it reads on stdin.
    pub stdin: Vec<u8>,
    /// The file that its stderr is appended to; at most [`MAX_LOG`] with what is there.
    pub log: PathBuf,
    /// Finds values of secrets in what is logged.
    pub redactor: Arc<Redactor>,
    /// Bounds that the kernel keeps.
    pub limits: Limits,
    /// For whom it runs: stands in its record.
    pub key: String,
}

/// How a program that began went.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// What it printed, up to [`MAX_STDOUT`].
    pub stdout: Vec<u8>,
    /// It printed more than that.
    pub flooded: bool,
    /// The last 4 KiB of stderr.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited by itself with this code.
    Exited(i32),
    /// A signal that did not come from here ended it.
    Signalled(i32),
    /// It was ended on request.
    Cancelled,
    /// It was ended because it printed more than [`MAX_STDOUT`].
    Flooded,
}

/// Why a program never began: certainly without effect.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The request to end came first.
    #[error("the program was cancelled before it began")]
    Cancelled,
    /// The engine's own part failed.
    #[error("the program cannot be started: {what}: {source}")]
    Engine {
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The trampoline ended before it became the program.
    #[error("the program cannot be started: {launcher} ended ({end:?}) before it began: {stderr}")]
    Trampoline {
        /// The binary that should have become the program.
        launcher: String,
        /// How it ended.
        end: End,
        /// What it said.
        stderr: String,
    },
    /// The kernel refused to run the program: not there, not executable, no interpreter, limits.
    #[error("{program} cannot be run: {source}")]
    Refused {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl Programs {
    /// Runs programs through `launcher`; records and temporary folders live in `state`.
    pub fn new(state: &Path, launcher: Launcher) -> Self {
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        Self { launcher, children: Children::new(state.join("children")), work: state.join("work") }
    }

    /// Ends the programs that outlived an earlier engine on this state folder, and removes their
    /// temporary folders. Only for the start, before any program runs.
    pub async fn recover(&self) -> io::Result<Vec<Child>> {
        let ended = self.children.end_survivors(TERM_GRACE).await?;
        match tokio::fs::remove_dir_all(&self.work).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(ended),
        }
    }

    /// An empty folder that is removed when it is dropped.
    pub fn folder(&self) -> io::Result<TempDir> {
        std::fs::create_dir_all(&self.work)?;
        tempfile::Builder::new().prefix("step-").tempdir_in(&self.work)
    }

    /// Runs `job` to its end; `cancel` ends it (SIGTERM, and SIGKILL [`TERM_GRACE`] later). An
    /// error means that it never began. Dropping the future kills the program at once.
    pub async fn run(&self, job: &Job, cancel: &CancellationToken) -> Result<Output, NotStarted> {
        if cancel.is_cancelled() {
            return Err(NotStarted::Cancelled);
        }
        let nonce = nonce().map_err(engine("random bytes"))?;
        let mut running = self.spawn(job)?;
        let (stdin, stdout, stderr) = running.pipes()?;
        let go = format!("go {nonce}\n");
        let input = [go.as_bytes(), &job.stdin];
        let (exited, flooded) = (CancellationToken::new(), CancellationToken::new());
        let bound = MAX_STDOUT + nonce.len() + 1;
        let (end, stdout, stderr, ()) = tokio::join!(
            async {
                let end = running.end(cancel, &flooded).await;
                exited.cancel();
                end
            },
            pipes::capture(stdout, bound, &flooded, exited.clone()),
            pipes::log(stderr, &job.log, MAX_LOG, &job.redactor, exited.clone()),
            pipes::feed(stdin, &input, &exited),
        );
        drop(running);
        self.tell(job, &nonce, end.map_err(engine("waiting for it"))?, stdout, stderr)
    }

    /// Starts the trampoline and records it; it waits for its go.
    fn spawn(&self, job: &Job) -> Result<Running, NotStarted> {
        let mut command = Command::new(&self.launcher.program);
        command
            .args(&self.launcher.args)
            .args(job.limits.arguments())
            .arg("--")
            .arg(&job.program)
            .args(&job.args)
            .current_dir(&job.folder)
            .env_clear()
            .envs(job.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(engine("starting the engine's own binary"))?;
        // A child that was not waited for has an id.
        let pid = child.id().unwrap_or_default() as i32;
        let group = Group::of(pid);
        let record = self.children.record(pid, group, &job.key).map_err(engine("recording it"))?;
        Ok(Running { child, group, _record: record })
    }

    /// Reads the trampoline's part of the output, and leaves the program's.
    fn tell(
        &self,
        job: &Job,
        nonce: &str,
        end: End,
        stdout: Captured,
        stderr: String,
    ) -> Result<Output, NotStarted> {
        let Captured { mut bytes, cut } = stdout;
        let Some(printed) = after_line(&bytes, nonce) else {
            return Err(match end {
                End::Cancelled => NotStarted::Cancelled,
                end => {
                    let launcher = self.launcher.program.display().to_string();
                    NotStarted::Trampoline { launcher, end, stderr }
                }
            });
        };
        if end == End::Exited(NOT_STARTED.into())
            && let Some(errno) = refusal(printed, nonce)
        {
            let source = io::Error::from_raw_os_error(errno);
            return Err(NotStarted::Refused { program: job.program.display().to_string(), source });
        }
        bytes.drain(..=nonce.len());
        Ok(Output { end, stdout: bytes, flooded: cut, stderr })
    }
}

/// Adds a line of the engine's own to the log of a step.
pub async fn note(log: &Path, line: &str) {
    pipes::note(line, log, MAX_LOG).await;
}

fn engine(what: &'static str) -> impl FnOnce(io::Error) -> NotStarted {
    move |source| NotStarted::Engine { what, source }
}

/// What follows the first line of `bytes`, if that is `line`.
fn after_line<'a>(bytes: &'a [u8], line: &str) -> Option<&'a [u8]> {
    bytes.strip_prefix(line.as_bytes())?.strip_prefix(b"\n")
}

/// The kernel's reason, where the trampoline printed one.
fn refusal(printed: &[u8], nonce: &str) -> Option<i32> {
    let errno = printed.strip_prefix(nonce.as_bytes())?;
    std::str::from_utf8(errno).ok()?.trim().parse().ok()
}

fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// A program in its process group. Dropped, nothing of the group is left.
struct Running {
    child: tokio::process::Child,
    group: Group,
    _record: children::Recorded,
}

type Pipes = (tokio::process::ChildStdin, tokio::process::ChildStdout, tokio::process::ChildStderr);

impl Running {
    fn pipes(&mut self) -> Result<Pipes, NotStarted> {
        let child = &mut self.child;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((stdin, stdout, stderr)),
            _ => Err(engine("its pipes")(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits for the exit, which it brings about when `cancel` or `flooded` fires.
    async fn end(
        &mut self,
        cancel: &CancellationToken,
        flooded: &CancellationToken,
    ) -> io::Result<End> {
        let why = tokio::select! {
            biased;
            status = self.child.wait() => return Ok(end_of(status?)),
            () = cancel.cancelled() => End::Cancelled,
            () = flooded.cancelled() => End::Flooded,
        };
        self.group.signal(Signal::SIGTERM);
        if tokio::time::timeout(TERM_GRACE, self.child.wait()).await.is_err() {
            self.group.signal(Signal::SIGKILL);
            self.child.wait().await?;
        }
        Ok(why)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.kill_rest();
    }
}

fn end_of(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(status.signal().unwrap_or_default()),
    }
}
