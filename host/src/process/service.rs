//! A program that is expected to run for as long as it is wanted, and whose output is read as it
//! comes. What is not read yet waits in the pipe, and so does the program.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{End, Job, NotStarted, Programs, Running, after_line, engine, nonce, pipes, refusal};

/// Most bytes of a service's log; as much again of what came before is kept beside it.
pub const MAX_SERVICE_LOG: u64 = 512 * 1024;
/// How long a program that has closed its output may take to exit.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// A running program. Dropped, it is killed.
pub struct Service {
    running: Running,
    stdout: BufReader<ChildStdout>,
    /// What was read together with the trampoline's line.
    first: Option<Bytes>,
    /// The program, and the trampoline's nonce until the program itself has printed something.
    began: (String, Option<String>),
    refused: Option<io::Error>,
    /// It has closed its output.
    closed: bool,
    exited: CancellationToken,
    log: Option<AbortOnDropHandle<String>>,
    _input: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Service").field(&self.began.0).finish()
    }
}

impl Programs {
    /// Starts `job`. Its stdin ends after what the job gives it; its stderr goes into the job's
    /// log, of which the newest part is kept.
    pub async fn start(&self, job: &Job) -> Result<Service, NotStarted> {
        let nonce = nonce().map_err(engine("random bytes"))?;
        let mut running = self.spawn(job)?;
        let (stdin, stdout, stderr) = running.pipes()?;
        let exited = CancellationToken::new();
        let input = [format!("go {nonce}\n").into_bytes(), job.stdin.clone()];
        let (input_exited, log_exited) = (exited.clone(), exited.clone());
        let feed = tokio::spawn(async move {
            let pieces = input.each_ref().map(Vec::as_slice);
            pipes::feed(stdin, &pieces, &input_exited).await;
        });
        let (file, redactor) = (job.log.clone(), job.redactor.clone());
        let log = tokio::spawn(async move {
            pipes::rolling_log(stderr, &file, MAX_SERVICE_LOG, &redactor, log_exited).await
        });
        let service = Service {
            running,
            stdout: BufReader::with_capacity(CHUNK, stdout),
            first: None,
            began: (job.program.display().to_string(), Some(nonce)),
            refused: None,
            closed: false,
            exited,
            log: Some(AbortOnDropHandle::new(log)),
            _input: AbortOnDropHandle::new(feed),
        };
        service.begin(&self.launcher.program).await
    }
}

impl Service {
    /// Reads the trampoline's line; without it, nothing has begun.
    async fn begin(mut self, launcher: &Path) -> Result<Self, NotStarted> {
        let nonce = self.began.1.clone().unwrap_or_default();
        let mut read = BytesMut::new();
        while read.len() <= nonce.len() {
            match self.chunk().await {
                Some(chunk) => read.extend_from_slice(&chunk),
                None => break,
            }
        }
        if after_line(&read, &nonce).is_some() {
            self.first = Some(read.freeze().slice(nonce.len() + 1..));
            return Ok(self);
        }
        let (end, stderr) = self.end().await;
        Err(NotStarted::Trampoline { launcher: launcher.display().to_string(), end: end?, stderr })
    }

    /// What it printed next; none once it has closed its output, which mostly means its end.
    pub async fn read(&mut self) -> Option<Bytes> {
        let chunk = match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => first,
            None => self.chunk().await?,
        };
        // The kernel's refusal stands where the program would begin.
        let nonce = self.began.1.take();
        match nonce.and_then(|nonce| refusal(&chunk, &nonce)) {
            Some(errno) => {
                self.refused = Some(io::Error::from_raw_os_error(errno));
                None
            }
            None => Some(chunk),
        }
    }

    async fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        // A pipe that cannot be read has nothing more to say.
        let read = self.stdout.read_buf(&mut chunk).await.unwrap_or(0);
        self.closed = read == 0;
        (read > 0).then(|| chunk.freeze())
    }

    /// Ends it if it still runs (SIGTERM, then SIGKILL); how it ended, unless it never began, and
    /// the end of its stderr.
    pub async fn end(mut self) -> (Result<End, NotStarted>, String) {
        if self.closed {
            // It is about to end by itself: its own exit code says more than our signal.
            let _ = tokio::time::timeout(LAST_MOMENT, self.running.child.wait()).await;
        }
        let asked = CancellationToken::new();
        asked.cancel();
        let end = self.running.end(&asked, &CancellationToken::new()).await;
        self.exited.cancel();
        let stderr = match self.log.take() {
            Some(log) => log.await.unwrap_or_default(),
            None => String::new(),
        };
        let end = match self.refused {
            Some(source) => Err(NotStarted::Refused { program: self.began.0, source }),
            None => end.map_err(engine("waiting for it")),
        };
        (end, stderr)
    }
}

/// The newest part of a service's log, at most twice [`MAX_SERVICE_LOG`].
pub fn service_log(file: &Path) -> io::Result<String> {
    let read = |path: &Path| match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    let mut bytes = read(&pipes::older(file))?;
    bytes.extend(read(file)?);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
