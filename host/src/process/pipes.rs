//! A running program's three pipes: parameters in, result and log out, each within its bound.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use crate::redact::Redactor;

/// How long pipes that somebody else holds open are read after the program's exit.
const AFTER_EXIT: Duration = Duration::from_secs(1);
/// How much of the end of stderr an error shows.
const TAIL: usize = 4 * 1024;
/// Stands where a log was cut.
const CUT: &str = "\n[cut here: the log of a step holds at most 1 MiB]\n";

/// What a program printed.
#[derive(Debug, Default)]
pub(super) struct Captured {
    pub(super) bytes: Vec<u8>,
    /// There was more than the bound allows.
    pub(super) cut: bool,
}

/// A pipe that is read until its end, or until a while after the program's.
struct Reader<P> {
    pipe: P,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    chunk: Vec<u8>,
}

impl<P: AsyncRead + Unpin> Reader<P> {
    fn new(pipe: P, exited: CancellationToken) -> Self {
        let closing = Box::pin(async move {
            exited.cancelled().await;
            tokio::time::sleep(AFTER_EXIT).await;
        });
        Self { pipe, closing, chunk: vec![0; 16 * 1024] }
    }

    async fn next(&mut self) -> Option<&[u8]> {
        let length = tokio::select! {
            biased;
            () = &mut self.closing => 0,
            // A pipe that cannot be read has nothing more to say.
            length = self.pipe.read(&mut self.chunk) => length.unwrap_or(0),
        };
        (length > 0).then(|| &self.chunk[..length])
    }
}

/// Reads at most `bound` bytes; what comes after is thrown away, and `flooded` fires.
pub(super) async fn capture(
    pipe: impl AsyncRead + Unpin,
    bound: usize,
    flooded: &CancellationToken,
    exited: CancellationToken,
) -> Captured {
    let mut reader = Reader::new(pipe, exited);
    let mut captured = Captured::default();
    while let Some(chunk) = reader.next().await {
        let room = bound - captured.bytes.len();
        captured.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            captured.cut = true;
            flooded.cancel();
        }
    }
    captured
}

/// Appends what comes to `file` until that holds `bound` bytes; returns the end of all of it.
/// Both without the values that `redactor` knows, also where one comes in pieces.
///
/// A log that cannot be written is no reason to end a program: it is said once, and the end of
/// what the program prints is kept all the same.
pub(super) async fn log(
    pipe: impl AsyncRead + Unpin,
    file: &Path,
    bound: u64,
    redactor: &Redactor,
    exited: CancellationToken,
) -> String {
    let mut reader = Reader::new(pipe, exited);
    let mut log = Log::open(file, bound).await;
    let mut tail = Vec::new();
    let mut clean = redactor.stream();
    while let Some(chunk) = reader.next().await {
        log.keep(&mut tail, &clean.push(chunk)).await;
    }
    log.keep(&mut tail, &clean.finish()).await;
    text_from(&tail)
}

/// Appends a line of the engine's own to `file`, within the same bound.
pub(super) async fn note(line: &str, file: &Path, bound: u64) {
    Log::open(file, bound).await.append(line.as_bytes()).await;
}

/// The same without an end: what is full becomes the file's older part, in place of the one before.
pub(super) async fn rolling_log(
    pipe: impl AsyncRead + Unpin,
    file: &Path,
    bound: u64,
    redactor: &Redactor,
    exited: CancellationToken,
) -> String {
    let mut reader = Reader::new(pipe, exited);
    let mut log = Log::open(file, u64::MAX).await;
    let mut tail = Vec::new();
    let mut clean = redactor.stream();
    while let Some(chunk) = reader.next().await {
        log.keep(&mut tail, &clean.push(chunk)).await;
        if log.length() >= bound {
            log = log.roll(file).await;
        }
    }
    log.keep(&mut tail, &clean.finish()).await;
    text_from(&tail)
}

/// Where the older part of a rolling log lies.
pub(super) fn older(file: &Path) -> PathBuf {
    file.with_extension("older.log")
}

/// `bytes` as text, without the rest of a character whose beginning was cut off.
fn text_from(bytes: &[u8]) -> String {
    let start = bytes.iter().take(4).position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
    String::from_utf8_lossy(&bytes[start..]).trim_end().to_owned()
}

/// A log file that takes no more than its bound.
struct Log {
    file: Option<File>,
    room: u64,
}

impl Log {
    async fn open(path: &Path, bound: u64) -> Self {
        match Self::open_file(path).await {
            Ok((file, length)) => {
                let room = bound.saturating_sub(length);
                Self { file: (room > 0).then_some(file), room }
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a step's log cannot be opened");
                Self { file: None, room: 0 }
            }
        }
    }

    /// Bytes in the file, where there is no bound.
    fn length(&self) -> u64 {
        u64::MAX - self.room
    }

    /// A new one in place of this, which is kept beside it.
    async fn roll(self, path: &Path) -> Self {
        drop(self.file);
        if let Err(error) = tokio::fs::rename(path, older(path)).await {
            tracing::warn!(file = %path.display(), %error, "a full log cannot be put aside");
        }
        Self::open(path, u64::MAX).await
    }

    async fn open_file(path: &Path) -> io::Result<(File, u64)> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        let length = file.metadata().await?.len();
        Ok((file, length))
    }

    /// Appends `chunk`, and keeps the end of what came so far.
    async fn keep(&mut self, tail: &mut Vec<u8>, chunk: &[u8]) {
        tail.extend_from_slice(chunk);
        tail.drain(..tail.len().saturating_sub(TAIL));
        self.append(chunk).await;
    }

    async fn append(&mut self, chunk: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let fits = chunk.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        self.room -= fits as u64;
        let cut = if fits < chunk.len() { CUT } else { "" };
        if let Err(error) = write(file, &[&chunk[..fits], cut.as_bytes()]).await {
            tracing::warn!(%error, "a step's log cannot be written");
            self.file = None;
        } else if !cut.is_empty() {
            self.file = None;
            // The note takes the file over its bound, so that a later attempt adds nothing.
        }
    }
}

async fn write(file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
    for piece in pieces {
        file.write_all(piece).await?;
    }
    file.flush().await
}

/// Writes the go and the parameters. A program may end, or close stdin, without reading them.
pub(super) async fn feed(mut pipe: ChildStdin, input: &[&[u8]], exited: &CancellationToken) {
    let writing = async {
        for piece in input {
            pipe.write_all(piece).await?;
        }
        pipe.shutdown().await
    };
    tokio::select! {
        () = exited.cancelled() => {}
        result = writing => {
            if let Err(error) = result {
                tracing::debug!(%error, "a program did not read all of its parameters");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_character() {
        assert_eq!(text_from(&"äö\n".as_bytes()[1..]), "ö");
        assert_eq!(text_from(b"plain"), "plain");
        assert_eq!(text_from(b""), "");
    }
}
