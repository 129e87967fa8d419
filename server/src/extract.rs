//! What a request says, read strictly: every misfit is a problem document that names the place.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;

use axum::body::BodyDataStream;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use futures::StreamExt;
use model::json::Unread;
use model::{ErrorKind, TraceContext};
use serde::de::DeserializeOwned;

use crate::connections::BODY;
use crate::problem::Problem;
use crate::words::plain;

/// Largest body of an API request: an event's data and its envelope.
pub(crate) const MAX_BODY: usize = 5 * 1024 * 1024;

/// A body in JSON, whatever its content type claims. No body at all reads as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

/// The query, with no name in it that is not known.
pub(crate) struct Asked<T>(pub(crate) T);

/// The one thing that the path names. A slash in it is sent as `%2F`.
pub(crate) struct Named<T>(pub(crate) T);

/// The name that a request has, so that it starts nothing twice when it is sent again.
pub(crate) struct Once(pub(crate) Option<String>);

impl Once {
    /// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>
    pub(crate) const HEADER: &str = "Idempotency-Key";
    /// Most characters of a name: enough for a UUID or a URL.
    pub(crate) const LONGEST: usize = 255;
}

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(sent) = parts.headers.get(Self::HEADER) else { return Ok(Self(None)) };
        let fits = |key: &&str| (1..=Self::LONGEST).contains(&key.len());
        let key = sent.to_str().ok().map(str::trim).filter(fits).map(ToOwned::to_owned);
        let wrong = || {
            let detail =
                format!("`{}` is not from 1 to {} visible characters", Self::HEADER, Self::LONGEST);
            Problem::malformed(detail)
        };
        key.map(|key| Self(Some(key))).ok_or_else(wrong)
    }
}

/// The place in a trace that the request comes from.
pub(crate) struct Traced(pub(crate) Option<TraceContext>);

impl Traced {
    /// <https://www.w3.org/TR/trace-context/>
    pub(crate) const HEADER: &str = "traceparent";
    /// What tracing systems know of it; a list may come in several headers.
    pub(crate) const STATE: &str = "tracestate";
}

impl<S: Send + Sync> FromRequestParts<S> for Traced {
    type Rejection = Infallible;

    /// One that cannot be read is left out, as the standard asks.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let place = parts.headers.get(Self::HEADER).and_then(|sent| sent.to_str().ok());
        let state = parts.headers.get_all(Self::STATE).iter();
        let state: Vec<&str> = state.filter_map(|sent| sent.to_str().ok()).collect();
        Ok(Self(TraceContext::read(place, Some(&state.join(",")))))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = tokio::time::timeout(BODY, Bytes::from_request(request, state)).await;
        let body = read.map_err(|_| late())?.map_err(|error| unread(&error))?;
        let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let asked = model::json::read(text).map_err(|error| match error {
            Unread::Number(number) => Problem::unfit(format!("the body does not fit: {number}")),
            Unread::Json(error) => unfit(&error),
        })?;
        model::json::check_keys(text).map_err(|twice| unfit(&twice))?;
        Ok(Self(asked))
    }
}

fn unfit(error: &serde_json::Error) -> Problem {
    let wrong = if error.is_data() { "the body does not fit" } else { "the body is not JSON" };
    Problem::malformed(format!("{wrong}: {}", plain(&error.to_string())))
}

/// A body of any bytes and any length, read piece by piece.
pub(crate) struct Octets(BodyDataStream);

impl<S: Sync> FromRequest<S> for Octets {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body().into_data_stream()))
    }
}

impl Octets {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = tokio::time::timeout(BODY, self.0.next()).await.map_err(|_| late())?;
        next.transpose().map_err(|error| Problem::malformed(format!("the body broke off: {error}")))
    }
}

fn late() -> Problem {
    Problem::refused(408, "timeout", "the body did not arrive in time")
}

fn unread(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body has more than {MAX_BODY} bytes");
        return Problem::new(ErrorKind::TooLarge, detail);
    }
    Problem::malformed(error.body_text())
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = read.map_err(|error| misasked(&error.body_text()))?;
        Ok(Self(asked))
    }
}

/// axum's words begin with what it did; then perhaps a name, and what is wrong with its value.
fn misasked(text: &str) -> Problem {
    let said = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let told = match said.split_once(": ").filter(|(name, _)| !name.contains(' ')) {
        Some((name, wrong)) => format!("`{name}`: {}", plain(wrong)),
        None => plain(said),
    };
    Problem::malformed(format!("the query does not fit: {told}"))
}

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|error| Problem::malformed(error.body_text()))?;
        text.parse().map(Self).map_err(|error| Problem::malformed(format!("{error}")))
    }
}
