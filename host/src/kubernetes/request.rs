//! Single requests: plain values, sent by [`Cluster`].

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use jiff::fmt::rfc2822::DateTimeParser;
use kube::client::Body;
use model::{ErrorKind, Timestamp, Value};
use reqwest::Url;
use tokio::time::timeout;

use super::{Cluster, Failure, PATIENCE, numbers};

/// Most bytes of one answer: a page of 500 objects that are not all huge.
const MAX_ANSWER: usize = 128 << 20;
/// Most bytes of one line, such as one object of a watch: several times what etcd stores.
const MAX_LINE: usize = 16 << 20;
/// Where a path is joined to: only path and query of it are sent.
const NOWHERE: &str = "http://nowhere";

/// How a patch is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7396.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own, which knows lists by key.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// A request to the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, as [`super::Resource`] makes it.
    pub path: String,
    /// The query.
    pub query: Vec<(&'static str, String)>,
    /// The body with its type.
    pub body: Option<(&'static str, Value)>,
    /// What answers are understood.
    pub accept: &'static str,
    /// How long nothing may come.
    pub patience: Duration,
}

impl Request {
    fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            accept: "application/json",
            patience: PATIENCE,
        }
    }

    /// Reads.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Makes an object.
    pub fn post(path: &str, object: Value) -> Self {
        Self { body: Some(("application/json", object)), ..Self::new(Method::POST, path) }
    }

    /// Replaces an object.
    pub fn put(path: &str, object: Value) -> Self {
        Self { body: Some(("application/json", object)), ..Self::new(Method::PUT, path) }
    }

    /// Changes an object.
    pub fn patch(path: &str, how: Patch, patch: Value) -> Self {
        Self { body: Some((how.content_type(), patch)), ..Self::new(Method::PATCH, path) }
    }

    /// Removes an object, with these options.
    pub fn delete(path: &str, options: Value) -> Self {
        Self { body: Some(("application/json", options)), ..Self::new(Method::DELETE, path) }
    }

    /// The same with this in its query.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// The same, where a text is given.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// How long to wait before it is sent again, if the server asks for that: one with too many
    /// requests has done nothing, one that is unavailable may have.
    pub(super) fn later(&self, failure: &Failure) -> Option<Duration> {
        let again = match failure.status {
            Some(429) => true,
            Some(503) => self.may_be_repeated(),
            _ => false,
        };
        failure.retry_after.filter(|_| again)
    }

    /// Whether it does no more when it is sent twice.
    fn may_be_repeated(&self) -> bool {
        let operations = Patch::Json.content_type();
        let is_list = self.body.as_ref().is_some_and(|(kind, _)| *kind == operations);
        self.method != Method::POST && !is_list
    }

    pub(super) fn http(&self) -> Result<http::Request<Body>, Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::unsent(
                ErrorKind::InvalidParameters,
                format!("no request can be made: {error}"),
            )
        };
        let mut url = Url::parse(NOWHERE).map_err(|error| bad(&error))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let request = http::Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{query}", self.path))
            .header(ACCEPT, self.accept);
        let request = match &self.body {
            Some((kind, body)) => {
                request.header(CONTENT_TYPE, *kind).body(Body::from(body.to_string().into_bytes()))
            }
            None => request.body(Body::empty()),
        };
        request.map_err(|error| bad(&error))
    }
}

impl Cluster {
    /// Asks, and reads the answer as JSON.
    pub async fn request(&self, request: &Request) -> Result<Value, Failure> {
        let text = self.text(request).await?;
        numbers::read(text.as_bytes()).map_err(|error| no_json(&error))
    }

    /// Asks, and reads so many levels of the answer.
    pub(super) async fn request_pruned(
        &self,
        request: &Request,
        levels: usize,
    ) -> Result<Answer, Failure> {
        let (text, at) = self.dated(request).await?;
        let read = numbers::read_pruned(text.as_bytes(), levels);
        let (value, pruned) = read.map_err(|error| no_json(&error))?;
        Ok(Answer { value, pruned, at })
    }

    /// Asks, and reads the answer as text.
    pub async fn text(&self, request: &Request) -> Result<String, Failure> {
        self.dated(request).await.map(|(text, _)| text)
    }

    /// The same, and when that was by the server's clock, where it says so.
    async fn dated(&self, request: &Request) -> Result<(String, Option<Timestamp>), Failure> {
        let answer = self.send(request).await?;
        let at = date(answer.headers());
        let late = |_| Failure::silent(request.patience);
        let text = timeout(request.patience, text(answer.into_body())).await.map_err(late)??;
        Ok((text, at))
    }

    /// Asks, and reads the answer line by line as it comes: a log, a watch.
    pub async fn lines(&self, request: &Request) -> Result<Lines, Failure> {
        let answer = self.send(request).await?;
        Ok(Lines { body: answer.into_body(), read: BytesMut::new(), searched: 0, ended: false })
    }
}

/// An answer of which so many levels are read.
pub(super) struct Answer {
    pub(super) value: Value,
    /// Whether there are more.
    pub(super) pruned: bool,
    /// When the server answered, by its own clock.
    pub(super) at: Option<Timestamp>,
}

/// When the server answered (RFC 9110, 6.6.1).
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(DATE)?.as_bytes()).ok()
}

fn no_json(error: &serde_json::Error) -> Failure {
    let message = format!("the answer is no JSON: {error}");
    Failure { certain: false, ..Failure::unsent(ErrorKind::Unavailable, message) }
}

pub(super) async fn text(mut body: Body) -> Result<String, Failure> {
    let mut read = Vec::new();
    while let Some(data) = data(&mut body).await? {
        if read.len() + data.len() > MAX_ANSWER {
            return Err(too_large("the answer", MAX_ANSWER));
        }
        read.extend_from_slice(&data);
    }
    Ok(String::from_utf8(read)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// The next piece of a body.
async fn data(body: &mut Body) -> Result<Option<Bytes>, Failure> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::cut(&error)),
            // Trailers are none.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn too_large(what: &str, bound: usize) -> Failure {
    let message = format!("{what} is larger than {} MiB", bound >> 20);
    Failure { certain: false, ..Failure::unsent(ErrorKind::TooLarge, message) }
}

/// An answer that comes line by line.
pub struct Lines {
    body: Body,
    read: BytesMut,
    /// Bytes of `read` that hold no end of a line.
    searched: usize,
    ended: bool,
}

impl Lines {
    /// The next line without its end; none at the end. Nothing is lost if nobody waits for the end
    /// of the answer to this.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let end = self.read[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let mut line = self.read.split_to(self.searched + end + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = self.read.len();
            if self.searched > MAX_LINE {
                return Err(too_large("a line of the answer", MAX_LINE));
            }
            if self.ended {
                let rest = self.read.split().freeze();
                self.searched = 0;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            match data(&mut self.body).await? {
                Some(data) => self.read.extend_from_slice(&data),
                None => self.ended = true,
            }
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("buffered", &self.read.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_says_when_it_was_given() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date(&headers).unwrap().to_string(), "1994-11-06T08:49:37Z");
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }

    #[test]
    fn what_is_sent_again_later_was_not_done_or_may_be_done_twice() {
        let get = Request::get("/x");
        let post = Request::post("/x", json!({}));
        let apply = Request::patch("/x", Patch::Apply, json!({}));
        let operations = Request::patch("/x", Patch::Json, json!([]));
        let later = Some(Duration::from_secs(3));
        let failure = |status, retry_after| {
            let failure = Failure::unsent(ErrorKind::Unavailable, "busy");
            Failure { status: Some(status), retry_after, ..failure }
        };
        for (request, status, expected) in [
            (&get, 429, later),
            (&post, 429, later),
            (&get, 503, later),
            (&apply, 503, later),
            (&post, 503, None),
            (&operations, 503, None),
            (&get, 500, None),
        ] {
            assert_eq!(request.later(&failure(status, later)), expected, "{request:?} {status}");
            assert_eq!(request.later(&failure(status, None)), None, "nothing is asked for");
        }
    }
}
