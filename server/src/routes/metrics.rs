//! `/metrics`, where whoever collects metrics looks for them: what the engine counts and measures,
//! in Prometheus' text format. It names rules and actions of every pack, so it takes a token that
//! covers them all; Prometheus sends one (`authorization: { credentials_file: … }`).

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use engine::{Engine, Refusal, Who};
use model::ErrorKind;

use crate::App;
use crate::access::{About, Access, guard};
use crate::auth::{Authenticated, Tokens, authenticate};
use crate::problem::Problem;
use crate::throttle::Peer;

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

/// Counts what is answered as refused, whoever refused it, and notes it for the audit.
pub(super) async fn refusals(
    State(engine): State<Engine>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let peer = request.extensions().get::<Peer>().map(|peer| Who::Address(peer.0));
    let response = next.run(request).await;
    let reason = match response.status() {
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
        StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
        _ => return response,
    };
    engine.metrics().request_refused(reason.as_str());
    let holder = response.extensions().get::<Authenticated>();
    let holder = holder.map(|holder| Who::Token(holder.token_name.clone()));
    let who = holder.or(peer).unwrap_or(Who::Somebody);
    engine.refused(Refusal { who, reason, method, path });
    response
}
