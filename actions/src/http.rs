//! `http.request`: one request, and what its answer, or the lack of one, says about its effect.

mod access;
mod download;
mod exchange;
mod outcome;
mod plan;
mod request;
mod secrets;

use std::borrow::Cow;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::connection::Connections;
use host::git::Exports;
use model::{Effect, ErrorKind, Performance, Plan, Schema, StepError, Value};
use serde_json::json;

use self::download::Wanted;
use crate::declare::metadata;
use crate::{Action, Metadata, Performing};
use access::Access;
pub use access::{host_denied, http_url};
use exchange::exchange;
use request::Request;
use secrets::Secrets;

const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"];

/// One HTTP request.
pub(crate) struct HttpRequest {
    metadata: Metadata,
    connections: Connections,
    exports: Exports,
}

impl HttpRequest {
    /// Requests over these connections; downloads go to the folder of `exports`.
    pub(crate) fn new(connections: Connections, exports: Exports) -> Self {
        Self { metadata: declaration(), connections, exports }
    }

    /// What a step asks for, and how it gets in.
    fn asked(&self, performing: &Performing) -> Result<(Access, Request, Secrets), StepError> {
        let invalid = |message| StepError::new(ErrorKind::InvalidParameters, message);
        let access = Access::of(performing, &self.connections)?;
        let (parameters, key) = (&performing.parameters, &performing.key);
        let request = Request::parse(parameters, key, &access).map_err(invalid)?;
        let wanted = Wanted::of(performing, &self.exports).map_err(invalid)?;
        let secrets = Secrets::of(parameters).map_err(invalid)?;
        Ok((access, request.into_file(wanted), secrets))
    }
}

pub(crate) fn declaration() -> Metadata {
    let scalars = json!({ "type": ["string", "number", "boolean"] });
    metadata(
        "http.request",
        "Sends an HTTP request and returns the answer",
        None,
        &json!({
            "url": { "type": "string", "required": true, "description": "http or https; with a connection, below its base_url" },
            "connection": {
                "type": "string",
                "description": "a connection of type http: its base_url, credentials and rate limit",
            },
            "method": { "enum": METHODS, "default": "GET" },
            "headers": { "type": "object", "additionalProperties": scalars },
            "query": {
                "type": "object",
                "additionalProperties": { "type": ["string", "number", "boolean", "array"] },
                "description": "added to the URL's; a list gives its name several times",
            },
            "json": { "description": "the body, as JSON" },
            "form": {
                "type": "object",
                "additionalProperties": scalars,
                "description": "the body, as a form",
            },
            "body": { "type": "string", "description": "the body, as text" },
            "expect": {
                "type": "array",
                "items": { "type": ["integer", "string"] },
                "default": ["2xx"],
                "description": "statuses that mean success: `204`, `2xx`, `200-299`",
            },
            "timeout": { "type": "string", "default": "30s", "description": "from start to the end of the answer" },
            "follow_redirects": {
                "type": "boolean",
                "default": true,
                "description": "at most 5; to another host only for GET and HEAD, without the headers given here",
            },
            "download": download::schema(),
            "idempotency_header": {
                "type": "string",
                "description": "sends the step's key in this header, by which the server knows a repetition",
            },
            "secrets": {
                "type": "array",
                "items": { "type": "string" },
                "maxItems": secrets::MAX_PLACES,
                "description": "places in the answer that are secret, such as `json.access_token` or `headers.set-cookie`: they become tokens",
            },
        }),
        &json!({
            "status": { "type": "integer" },
            "headers": { "type": "object", "description": "names in lower case" },
            "body": { "type": ["string", "null"], "description": "null where it is no text, or in a file" },
            "body_base64": { "type": "string", "description": "the body where it is no text" },
            "json": { "description": "the body where it is JSON, else null" },
            "json_error": { "type": "string", "description": "why a body that is said to be JSON is not in `json`" },
            "url": { "type": "string", "description": "after redirects" },
            "path": { "type": "string", "description": "with `download`: the file" },
            "size": { "type": "integer", "description": "with `download`: its bytes" },
            "sha256": { "type": "string", "description": "with `download`: its digest" },
        }),
    )
}

/// Whether a request of this method changes nothing.
fn is_asking(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// Whether the server is only asked: what is unknown of it has had no effect there.
fn is_read(parameters: &Value) -> bool {
    is_asking(parameters["method"].as_str().unwrap_or("GET"))
}

/// What sending such a request twice would do. A file that is written is an effect, though the same
/// each time, so that a dry run writes none.
fn effect(parameters: &Value) -> Effect {
    let keyed = parameters["idempotency_header"].is_string();
    match parameters["method"].as_str().unwrap_or("GET") {
        "GET" | "HEAD" if parameters["download"].is_null() => Effect::Read,
        "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" => Effect::Idempotent,
        _ if keyed => Effect::Idempotent,
        _ => Effect::Unsafe,
    }
}

async fn perform(
    performing: Performing,
    (access, request, secrets): (Access, Request, Secrets),
) -> Performance {
    let request = request.within(performing.trace);
    let timeout = request.timeout;
    let expect = request.expect.clone();
    let given_up = |message| StepError::new(ErrorKind::Cancelled, message);
    // Who waits for others to be asked has sent nothing, and loses no time to answer.
    tokio::select! {
        biased;
        () = access.turn() => {}
        () = performing.cancel.cancelled() => {
            return Performance::Failed(given_up("the request was given up before it was sent"));
        }
    }
    let answer = tokio::select! {
        biased;
        answer = tokio::time::timeout(timeout.to_std(), exchange(request, &access)) => answer,
        () = performing.cancel.cancelled() => {
            return Performance::Unknown(given_up("the request was given up before it was answered"));
        }
    };
    let performance = match answer {
        Ok(Ok(answer)) => outcome::of_answer(answer, &expect, &secrets),
        Ok(Err(trouble)) => outcome::of_trouble(trouble),
        Err(_) => Performance::Unknown(StepError::new(
            ErrorKind::Timeout,
            format!("no whole answer within {timeout}: raise `timeout` if that is too short"),
        )),
    };
    if let Performance::Done(result) = &performance
        && let Some(lines) = secrets.absent(result)
    {
        host::process::note(&performing.log.join("stderr.log"), &lines).await;
    }
    access.hide(performance)
}

impl Action for HttpRequest {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn effect(&self, parameters: &Value) -> Effect {
        effect(parameters)
    }

    fn result(&self, parameters: &Value) -> Cow<'_, Schema> {
        // Without a place nothing has to be compiled. What names none is told when it is performed.
        let secrets = Secrets::of(parameters).ok().filter(|secrets| !secrets.is_empty());
        let schema = secrets.and_then(|secrets| secrets.schema(&self.metadata.result));
        schema.map_or(Cow::Borrowed(&self.metadata.result), Cow::Owned)
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        async move {
            let (access, request, _) = self.asked(planned)?;
            plan::plan(&access, &request)
        }
        .boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            let reads = is_read(&performing.parameters);
            let asked = match self.asked(&performing) {
                Ok(asked) => asked,
                Err(error) => return Performance::Failed(error),
            };
            match perform(performing, asked).await {
                // Whatever happened on the way, a read had no effect; a file is whole or not there.
                Performance::Unknown(error) if reads => Performance::Failed(error),
                performance => performance,
            }
        }
        .boxed()
    }
}
