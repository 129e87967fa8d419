//! Problems: whatever the API refuses or fails at, as an RFC 9457 document. Made here alone.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::AskError;
use model::{ErrorKind, Violation};
use serde::Serialize;
use store::StoreError;

/// What a problem's `type` begins with.
const TYPE: &str = "https://tripline.dev/problems/";
/// When to come back to a server that is stopping or whose store fails.
const COME_BACK_SECONDS: u32 = 5;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    hint: Option<String>,
    violations: Vec<Violation>,
    retry_after: Option<u32>,
}

/// The document's members.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    reference: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Misfit<'a>>,
}

/// One thing about a value that does not fit its schema.
#[derive(Serialize)]
struct Misfit<'a> {
    path: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> Misfit<'a> {
    fn of(violation: &'a Violation) -> Self {
        let Violation { path, message, hint } = violation;
        Self { path, message, hint: hint.as_deref() }
    }
}

impl Problem {
    /// A problem of one of the closed list of kinds, with the status that goes with it.
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            status: status(kind),
            kind: kind.as_str(),
            detail: detail.into(),
            hint: None,
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The request itself is not well-formed.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameters, detail)
    }

    /// The request is well-formed, and what it says cannot be.
    pub(crate) fn unfit(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..Self::malformed(detail) }
    }

    /// The server takes nothing at the moment.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(ErrorKind::Unavailable, detail);
        Self { retry_after: Some(COME_BACK_SECONDS), ..problem }
    }

    /// A problem with a status and a name of the sender's own choice, for webhooks.
    pub(crate) fn refused(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, kind, ..Self::new(ErrorKind::Rejected, detail) }
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub(crate) fn retry_after(self, seconds: Option<u32>) -> Self {
        Self { retry_after: seconds, ..self }
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Rejected => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        let (detail, hint) = (error.to_string(), error.hint().map(ToOwned::to_owned));
        let problem = match error {
            AskError::NotFound(_) | AskError::NoExecution(_) => {
                Self::new(ErrorKind::NotFound, detail)
            }
            AskError::Conflict(_) | AskError::WentOn(_) | AskError::NothingToDecide(_) => {
                Self::new(ErrorKind::Conflict, detail)
            }
            AskError::TooLarge(_) => Self::new(ErrorKind::TooLarge, detail),
            AskError::Unavailable(_) => Self::unavailable(detail),
            AskError::Invalid(violations) => Self { violations, ..Self::unfit(detail) },
        };
        Self { hint, ..problem }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        AskError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            reference: format!("{TYPE}{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            kind: self.kind,
            hint: self.hint.as_deref(),
            violations: self.violations.iter().map(Misfit::of).collect(),
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
