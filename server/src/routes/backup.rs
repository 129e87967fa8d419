//! `/backup`: a backup, made while work goes on, as fast as the client takes it.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::Engine;
use engine::backup::Snapshot;
use futures::stream;
use schemars::SchemaGenerator;
use serde_json::json;
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

pub(super) fn routes(table: Table) -> Table {
    table.on(Method::GET, "/backup", Access::admin(), "A backup: a tar archive.", backup)
}

async fn backup(State(engine): State<Engine>, who: Authenticated) -> Result<Archive, Problem> {
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
        tokio::task::spawn_blocking(move || {
            let out = io::BufWriter::with_capacity(PIECE, Pieces(&pieces));
            if let Err(error) = snapshot.write(out) {
                tracing::warn!(%error, "a backup ended early");
                // The client may be why.
                let _ = pieces.blocking_send(Err(error));
            }
        });
        let pieces = stream::unfold((taken, stopping), |(mut taken, stopping)| async {
            let next = tokio::select! {
                next = taken.recv() => next?,
                () = stopping.cancelled() => Err(io::Error::other("the server is stopping")),
            };
            Some((next, (taken, stopping)))
        });
        let mut response = Body::from_stream(pieces).into_response();
        let tar = HeaderValue::from_static("application/x-tar");
        response.headers_mut().insert(header::CONTENT_TYPE, tar);
        response
    }
}

/// What is written goes to the client, piece by piece.
struct Pieces<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let length = piece.len();
        self.0.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
