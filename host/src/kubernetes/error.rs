//! Why a cluster did not do what it was asked: errors in the words of the closed list of kinds.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use kube::client::AuthError;
use model::ErrorKind;
use serde_json::{Value, json};

use super::Access;
use super::rbac::Missing;
use crate::http as wire;
use crate::redact::known;

/// A request without success.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, from the closed list.
    pub kind: ErrorKind,
    /// What was wrong, and what to do about it where that is known.
    pub message: String,
    /// The status of the answer, or of the word that ended a watch; none: there was no answer.
    pub status: Option<u16>,
    /// The API's own word for it, such as `AlreadyExists`.
    pub reason: String,
    /// When to try again, if the other side says so.
    pub retry_after: Option<Duration>,
    /// Causes by field, or the rule that is missing.
    pub details: Value,
    /// Whether the request certainly had no effect.
    pub certain: bool,
}

impl Failure {
    /// A failure before anything was sent.
    pub fn unsent(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            reason: String::new(),
            retry_after: None,
            details: Value::Null,
            certain: true,
        }
    }

    /// An answer to the question for a list that is none.
    pub(super) fn no_list() -> Self {
        let message = "the server answered with success, and with no list: is it the API server, or a proxy before it?";
        Self::unsent(ErrorKind::Unavailable, message)
    }

    /// No answer in time.
    pub(super) fn silent(patience: Duration) -> Self {
        let message = format!("the API server did not answer within {} s", patience.as_secs());
        Self { certain: false, ..Self::unsent(ErrorKind::Timeout, message) }
    }

    /// The connection ended in the middle of an answer.
    pub(super) fn cut(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = format!("the connection to the API server broke: {}", wire::chain(error));
        Self { certain: false, ..Self::unsent(ErrorKind::Unavailable, message) }
    }

    /// What the API server answered instead of success.
    pub(super) fn answered(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let told = serde_json::from_str::<Value>(body).ok().filter(|told| told["kind"] == "Status");
        // Without a word of the API it is a proxy, or a server that is not the API.
        let text = || known().beginning(body.trim(), 200);
        let mut failure = told.map_or_else(
            || Self::with_code(status.as_u16(), &Value::Null, text()),
            |told| Self::told(&told),
        );
        let after = headers.get(http::header::RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        failure.retry_after = after.or(failure.retry_after);
        failure
    }

    /// What an object of kind `Status` says.
    pub(super) fn told(status: &Value) -> Self {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let message = status["message"].as_str().unwrap_or_default();
        Self::with_code(code.unwrap_or(500), status, message.to_owned())
    }

    fn with_code(code: u16, status: &Value, message: String) -> Self {
        let missing = (code == 403).then(|| Missing::read(&message)).flatten();
        let causes = status["details"]["causes"].clone();
        let details = match &missing {
            Some(missing) => missing.details(),
            None if causes.is_null() => Value::Null,
            None => json!({ "causes": causes }),
        };
        let after = status["details"]["retryAfterSeconds"].as_u64();
        Self {
            kind: kind(code, status, missing.is_some()),
            message: match (&missing, message.is_empty()) {
                (Some(missing), _) => missing.told(),
                _ if code == 404 && status.is_null() => {
                    format!("the API server serves no such kind (any more): {message}")
                }
                (None, true) => format!("the API server answered with status {code}"),
                (None, false) => message,
            },
            status: Some(code),
            reason: status["reason"].as_str().unwrap_or_default().to_owned(),
            retry_after: after.map(Duration::from_secs),
            details,
            // A gateway may have lost the answer; the API server itself may have lost etcd's.
            certain: code < 500 && code != 408,
        }
    }

    /// What kept the client from getting an answer.
    pub(super) fn of(error: &kube::Error) -> Self {
        use kube::Error::{Auth, HyperError, RustlsTls, Service};
        match error {
            Auth(error) => Self::unsent(ErrorKind::Unauthenticated, credentials(error)),
            Service(error) => match error.downcast_ref::<AuthError>() {
                Some(error) => Self::unsent(ErrorKind::Unauthenticated, credentials(error)),
                None => Self::lost(error.as_ref()),
            },
            HyperError(error) => Self::lost(error),
            RustlsTls(error) => Self::unsent(ErrorKind::Unavailable, wire::chain(error)),
            other => Self::unsent(ErrorKind::Rejected, wire::chain(other)),
        }
    }

    fn lost(error: &(dyn std::error::Error + 'static)) -> Self {
        let connecting = error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        if !connecting {
            return Self::cut(error);
        }
        let message = format!("the API server cannot be reached: {}", wire::chain(error));
        Self::unsent(ErrorKind::Unavailable, message)
    }

    /// The same, of credentials that were refused, with what to do.
    pub(super) fn of_credentials(self, connection: &str, access: &Access) -> Self {
        let message = format!(
            "the API server does not take the credentials of the connection `{connection}` ({}): they may have expired: renew them in {}",
            self.message,
            access.place()
        );
        Self { message, ..self }
    }

    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404) && !self.is_unserved()
    }

    /// Whether the API server knows no such kind (any more): it says nothing of the object then.
    pub fn is_unserved(&self) -> bool {
        self.status == Some(404) && self.reason.is_empty()
    }

    /// Whether the version or the page that was asked for is too old to be known.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }

    /// Whether a right is missing.
    pub fn is_denied(&self) -> bool {
        self.kind == ErrorKind::Denied
    }
}

fn kind(code: u16, status: &Value, missing_right: bool) -> ErrorKind {
    let caused_by = |reason: &str| {
        let causes = status["details"]["causes"].as_array();
        causes.is_some_and(|causes| causes.iter().any(|cause| cause["reason"] == reason))
    };
    match code {
        401 => ErrorKind::Unauthenticated,
        403 if missing_right => ErrorKind::Denied,
        // It will be gone, and can then be made anew.
        403 if caused_by("NamespaceTerminating") => ErrorKind::Unavailable,
        403 if status["message"].as_str().is_some_and(|told| told.contains("exceeded quota")) => {
            ErrorKind::Rejected
        }
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        408 | 504 => ErrorKind::Timeout,
        410 | 500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

/// What is wrong with credentials. What a program for credentials prints is never shown.
fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let program = cmd.split_whitespace().next().unwrap_or_default();
            format!("the program for credentials, `{program}`, failed: {}", out.status)
        }
        AuthError::AuthExecParse(_) => {
            "what the program for credentials printed are none".to_owned()
        }
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => {
            "the credentials hold characters that no header can".to_owned()
        }
        other => format!("the credentials: {}", wire::chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_kinds_of_the_closed_list() {
        for (code, told, kind) in [
            (401, json!({ "reason": "Unauthorized" }), ErrorKind::Unauthenticated),
            (403, json!({ "message": "no" }), ErrorKind::Denied),
            (403, json!({ "message": "exceeded quota: pods" }), ErrorKind::Rejected),
            (404, json!({ "reason": "NotFound" }), ErrorKind::NotFound),
            (409, json!({ "reason": "AlreadyExists" }), ErrorKind::Conflict),
            (410, json!({ "reason": "Expired" }), ErrorKind::Unavailable),
            (422, json!({ "reason": "Invalid" }), ErrorKind::Rejected),
            (429, json!({ "reason": "TooManyRequests" }), ErrorKind::RateLimited),
            (500, json!({ "reason": "InternalError" }), ErrorKind::Unavailable),
            (504, json!({ "reason": "Timeout" }), ErrorKind::Timeout),
        ] {
            let mut told = told;
            told["kind"] = "Status".into();
            told["code"] = code.into();
            let status = StatusCode::from_u16(code).unwrap();
            let failure = Failure::answered(status, &HeaderMap::new(), &told.to_string());
            assert_eq!((failure.kind, failure.status), (kind, Some(code)), "{told}");
            assert_eq!(failure.certain, code < 500, "{told}");
        }
    }

    #[test]
    fn a_namespace_that_is_going_can_be_waited_for() {
        let told = json!({ "kind": "Status", "code": 403, "details": {
            "causes": [{ "reason": "NamespaceTerminating" }] } });
        assert_eq!(Failure::told(&told).kind, ErrorKind::Unavailable);
    }

    #[test]
    fn an_answer_says_when_to_come_again_and_which_fields_are_wrong() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let busy = Failure::answered(StatusCode::SERVICE_UNAVAILABLE, &headers, "<html>");
        assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
        let causes = json!([{ "field": "spec.replicas", "message": "Invalid value: -1" }]);
        let told =
            json!({ "kind": "Status", "code": 422, "details": { "causes": causes.clone() } });
        assert_eq!(Failure::told(&told).details, json!({ "causes": causes }));
    }
}
