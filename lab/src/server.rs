//! A server as a child process that can be killed, stopped, frozen and started again.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::until;

/// A program with its arguments, and the process that runs it, if one does.
#[derive(Debug)]
pub struct Server {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    ready: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Describes a server that is ready when a GET of the address `ready` is answered with success,
    /// whatever certificate it shows. Its output goes to `<folder>/<program's name>.log`.
    pub fn new(program: PathBuf, arguments: Vec<String>, ready: String, folder: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        Self { name, program, arguments, ready, log, child: None }
    }

    /// Starts the process, unless it runs, and waits until it is ready.
    pub async fn start(&mut self) -> Result<()> {
        if self.ended().is_some() {
            self.child = Some(self.spawn().with_context(|| format!("cannot start {}", self.name))?);
        }
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()?;
        let (what, ready) = (format!("{} is ready", self.name), self.ready.clone());
        let started = until(&what, async || {
            if let Some(how) = self.ended() {
                return Some(Err(how));
            }
            let answer = client.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(Ok(()))
        });
        match started.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(how)) => bail!("{} ended ({how}):\n{}", self.name, self.last_words()),
            Err(error) => Err(error.context(self.last_words())),
        }
    }

    /// SIGKILL, to whatever it started too: no chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Ok(None) = child.try_wait() {
                killpg(pid(&child), Signal::SIGKILL).ok();
            }
            child.wait().ok();
        }
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        // A frozen process ends only once it is thawed.
        self.signal(Signal::SIGCONT);
        let what = format!("{} stops", self.name);
        until(&what, async || self.ended()).await?;
        self.child = None;
        Ok(())
    }

    /// SIGSTOP: it answers nothing and closes nothing, until it is thawed.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Its program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn spawn(&self) -> Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        // The kernel ends it when the thread that started it is gone: nothing is left behind, even
        // by a test that was killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        start_for_good(command)
    }

    /// How the process ended; `None` while it runs.
    fn ended(&mut self) -> Option<String> {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(status)) => status.as_ref().map(ExitStatus::to_string),
            Some(Err(error)) => Some(error.to_string()),
            None => Some("was not started".to_owned()),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill(pid(child), signal).ok();
        }
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Its own, and that of the group that it leads.
fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

type Start = (Command, Sender<std::io::Result<Child>>);

/// Starts a process from a thread that lives as long as this one's process. "The parent is gone"
/// means the thread, and a test's own thread ends before servers that several tests share.
fn start_for_good(command: Command) -> Result<Child> {
    static STARTER: OnceLock<Mutex<Sender<Start>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (asked, asks) = channel::<Start>();
        thread::spawn(move || {
            for (mut command, answer) in asks {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(asked)
    });
    let (answer, answered) = channel();
    let starter = starter.lock().map_err(|_| anyhow!("the starting thread panicked"))?;
    starter.send((command, answer))?;
    drop(starter);
    Ok(answered.recv()??)
}
