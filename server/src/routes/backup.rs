//! `/backup`: a backup, made while work goes on, as fast as the client takes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::Engine;
use engine::backup::Snapshot;
use futures::stream;
use model::Fact;
use schemars::SchemaGenerator;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::table::Table;
use crate::access::Access;
use crate::auth::Authenticated;
use crate::describe::{Output, Signature};
use crate::problem::Problem;

/// Bytes of one piece, and pieces that wait for the client: 4 MiB in all.
const PIECE: usize = 256 * 1024;
const PIECES: usize = 16;
/// A client that takes nothing for so long is given up: until then it keeps a copy of the database
/// on the disk, and everybody else from making a backup.
const IDLE: Duration = Duration::from_secs(5 * 60);

pub(super) fn routes(table: Table) -> Table {
    table.on(Method::GET, "/backup", Access::admin(), "A backup: a tar archive.", backup)
}

async fn backup(State(engine): State<Engine>, who: Authenticated) -> Result<Archive, Problem> {
    engine.note(who.actor(), Fact::BackupTaken { at: engine.now() }).await?;
    let snapshot = engine.snapshot().await?;
    let position = snapshot.manifest.position.0;
    tracing::info!(position, token = %who.token_name, "a backup is made");
    Ok(Archive { snapshot, stopping: engine.stopping() })
}

struct Archive {
    snapshot: Snapshot,
    stopping: CancellationToken,
}

impl IntoResponse for Archive {
    fn into_response(self) -> Response {
        let (pieces, taken) = mpsc::channel(PIECES);
        let Self { snapshot, stopping } = self;
        let (runtime, whole) = (Handle::current(), Arc::new(AtomicBool::new(false)));
        // The channel ends after it was noted whether the archive is whole.
        let (written, open) = (whole.clone(), pieces.clone());
        tokio::task::spawn_blocking(move || {
            let out = io::BufWriter::with_capacity(PIECE, Pieces { pieces, runtime });
            match snapshot.write(out) {
                Ok(()) => written.store(true, Ordering::Release),
                Err(error) => tracing::warn!(%error, "a backup ended early"),
            }
            drop(open);
        });
        let pieces = stream::unfold(Some((taken, stopping, whole)), |left| async {
            let (mut taken, stopping, whole) = left?;
            let next = tokio::select! {
                next = taken.recv() => next,
                () = stopping.cancelled() => Some(Err(io::Error::other("the server is stopping"))),
            };
            match next {
                Some(piece) => Some((piece, Some((taken, stopping, whole)))),
                None if whole.load(Ordering::Acquire) => None,
                // An end without an error would look like one of an archive that is whole.
                None => Some((Err(io::Error::other("the backup ended early")), None)),
            }
        });
        let mut response = Body::from_stream(pieces).into_response();
        let tar = HeaderValue::from_static("application/x-tar");
        response.headers_mut().insert(header::CONTENT_TYPE, tar);
        response
    }
}

/// What is written goes to the client, piece by piece.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let length = piece.len();
        self.runtime.block_on(hand_over(&self.pieces, piece, IDLE))?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the client has taken enough of what came before.
async fn hand_over(
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    piece: Bytes,
    idle: Duration,
) -> io::Result<()> {
    let sent = tokio::time::timeout(idle, pieces.send(Ok(piece))).await.map_err(|_| {
        let message = format!("the client took nothing for {} s", idle.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, message)
    })?;
    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

impl Output for Archive {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        let schema = json!({ "type": "string", "format": "binary" });
        let content = json!({ "application/x-tar": { "schema": schema } });
        let description = "The archive; one that lacks `SHA256SUMS` at its end was cut short.";
        let answer = json!({ "description": description, "content": content });
        signature.answers.insert("200".to_owned(), answer);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_is_not() {
        let (pieces, mut taken) = mpsc::channel(1);
        let piece = || Bytes::from_static(b"piece");
        let taking = tokio::spawn(async move {
            for _ in 0..3 {
                assert!(taken.recv().await.is_some());
            }
            taken
        });
        for _ in 0..4 {
            hand_over(&pieces, piece(), IDLE).await.unwrap();
        }
        let stalled = taking.await.unwrap();
        let given_up = hand_over(&pieces, piece(), Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
        drop(stalled);
        let gone = hand_over(&pieces, piece(), IDLE).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
