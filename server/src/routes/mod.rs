//! The API's routes, one file a noun.

mod actions;
mod events;
mod executions;
mod health;
mod keys;
mod packs;
mod rules;
mod sensors;
mod stream;
mod timers;
mod triggers;

use std::any::Any;

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use model::ErrorKind;
use serde::Serialize;
use store::Position;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::App;
use crate::auth::{Tokens, authenticate};
use crate::extract::MAX_BODY;
use crate::problem::Problem;

/// Most rows that one answer holds, and how many it holds if nobody says.
const MAX_ROWS: usize = 1_000;
const ROWS: usize = 50;

/// An answer with a list.
#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    /// What `before` must be to get the rows after these; absent after the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Position>,
}

impl<T: Serialize> List<T> {
    /// All there are.
    fn all(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }

    /// A page of at most `limit`; there may be more if it is full.
    fn page(items: Vec<T>, limit: usize, position: impl Fn(&T) -> Position) -> Json<Self> {
        let last = items.last().filter(|_| items.len() == limit);
        let next = last.map(position);
        Json(Self { items, next })
    }
}

/// The number of rows that was asked for.
fn rows(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(ROWS) {
        n if (1..=MAX_ROWS).contains(&n) => Ok(n),
        n => Err(Problem::malformed(format!("`limit`: {n} is not from 1 to {MAX_ROWS}"))),
    }
}

/// Everything that is reached at the API's address.
pub(crate) fn router(app: App, tokens: Tokens) -> Router {
    let nouns = Router::new()
        .merge(actions::routes())
        .merge(events::routes())
        .merge(executions::routes())
        .merge(health::routes())
        .merge(keys::routes())
        .merge(packs::routes())
        .merge(rules::routes())
        .merge(sensors::routes())
        .merge(stream::routes())
        .merge(timers::routes())
        .merge(triggers::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // Around the fallbacks too: without a token nobody learns what there is.
        .layer(middleware::from_fn_with_state(tokens, authenticate));
    Router::new()
        .nest("/api/v1", nouns)
        .merge(health::probes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(app)
}

async fn unknown_path() -> Problem {
    Problem::new(ErrorKind::NotFound, "there is nothing at this path")
        .with_hint("the API is under /api/v1/; a slash in an id is sent as %2F")
}

async fn unknown_method() -> Problem {
    Problem::new(ErrorKind::Rejected, "this path does not take this method")
}

/// A defect of ours fails the one request that met it.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let told = panic.downcast_ref::<String>().map(String::as_str);
    let told = told.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = told, "a request failed by a defect of Tripline");
    Problem::new(ErrorKind::Internal, "a defect of Tripline; its log says more").into_response()
}
