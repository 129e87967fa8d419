//! `/step`: what the program of a step that runs elsewhere asks and hands in. Who asks says which step
//! it is: the token opens that one, and nothing else.

use axum::Json;
use axum::body::Body as Bytes;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use engine::{Kept, NoArtifact};
use model::{ErrorKind, Hash, Value};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use super::table::Table;
use crate::access::Access;
use crate::answer::Done;
use crate::auth::AtDesk;
use crate::describe::{Output, Signature};
use crate::extract::{Body, Named, Octets};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/step/parameters",
            Access::step(),
            "What the step's program is to do, with secrets in the clear.",
            parameters,
        )
        .on(
            Method::GET,
            "/step/program",
            Access::step(),
            "The step's program, where it is one of its pack.",
            program,
        )
        .on(
            Method::PUT,
            "/step/artifacts/{file}",
            Access::step(),
            "Hands in a file, which is kept among the server's exports as long as the execution.",
            artifact,
        )
        .on(
            Method::PUT,
            "/step/result",
            Access::step(),
            "Hands in what the step's program made of it; it counts once the program has ended well.",
            result,
        )
}

/// A file that was taken in.
#[derive(Serialize, JsonSchema)]
struct Artifact {
    /// Where it is on the server.
    path: String,
    /// Its bytes.
    size: u64,
    /// Their digest.
    sha256: Hash,
}

/// What nobody on the way may keep.
struct Private(&'static str, Vec<u8>);

impl IntoResponse for Private {
    fn into_response(self) -> Response {
        let mut response = Bytes::from(self.1).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.0));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Output for Private {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        let content = json!({ "*/*": { "schema": {} } });
        let answer = json!({ "description": "What was asked for.", "content": content });
        signature.answers.insert("200".to_owned(), answer);
    }
}

async fn parameters(AtDesk(step): AtDesk) -> Private {
    Private("application/json", step.parameters.to_string().into_bytes())
}

async fn program(AtDesk(step): AtDesk) -> Result<Private, Problem> {
    let none = || {
        Problem::new(ErrorKind::NotFound, "the step's program is not one of its pack")
            .with_hint("its action names the image's own with `command`")
    };
    let file = step.program.as_ref().ok_or_else(none)?;
    let read = tokio::fs::read(file).await;
    let unread = |error| Problem::new(ErrorKind::Internal, format!("{}: {error}", file.display()));
    Ok(Private("application/octet-stream", read.map_err(unread)?))
}

async fn result(AtDesk(step): AtDesk, Body(result): Body<Value>) -> Result<Done, Problem> {
    step.hand_in(result).await.map_err(Problem::unavailable)?;
    Ok(Done)
}

async fn artifact(
    AtDesk(step): AtDesk,
    Named(file): Named<String>,
    mut body: Octets,
) -> Result<Json<Artifact>, Problem> {
    let mut incoming = step.artifact(&file).await.map_err(not_taken)?;
    while let Some(piece) = body.next().await? {
        incoming.write(&piece).await.map_err(not_taken)?;
    }
    let Kept { path, size, sha256 } = incoming.keep().await.map_err(not_taken)?;
    Ok(Json(Artifact { path: path.to_string_lossy().into_owned(), size, sha256 }))
}

fn not_taken(why: NoArtifact) -> Problem {
    match why {
        NoArtifact::Place(_) => Problem::malformed(why.to_string()),
        NoArtifact::TooLarge | NoArtifact::TooMuch | NoArtifact::TooMany => {
            Problem::new(ErrorKind::TooLarge, why.to_string())
        }
        NoArtifact::Disk(_) => Problem::unavailable(why.to_string()),
    }
}
