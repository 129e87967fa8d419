//! `/metrics`, where whoever collects metrics looks for them: what the engine counts and measures,
//! in Prometheus' text format. It names rules and actions of every pack, so it takes a token that
//! covers them all; Prometheus sends one (`authorization: { credentials_file: … }`).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use engine::Engine;

use crate::App;
use crate::access::{About, Access, guard};
use crate::auth::{Tokens, authenticate};
use crate::problem::Problem;

/// The version of the format that is written.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn route(app: App, tokens: Tokens) -> Router<App> {
    let access = Access::viewer(About::Installation);
    let guarded = middleware::from_fn_with_state((app, access), guard);
    let authenticated = middleware::from_fn_with_state(tokens, authenticate);
    Router::new().route("/metrics", get(metrics).layer(guarded).layer(authenticated))
}

async fn metrics(
    State(engine): State<Engine>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    Ok(([(CONTENT_TYPE, FORMAT)], engine.metrics_text().await?))
}

/// Counts what is answered as refused, whoever refused it.
pub(super) async fn refusals(State(engine): State<Engine>, response: Response) -> Response {
    let reason = match response.status() {
        StatusCode::UNAUTHORIZED => Some("unauthenticated"),
        StatusCode::FORBIDDEN => Some("denied"),
        StatusCode::TOO_MANY_REQUESTS => Some("rate_limited"),
        _ => None,
    };
    if let Some(reason) = reason {
        engine.metrics().request_refused(reason);
    }
    response
}
