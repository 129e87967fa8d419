//! The API's routes, one file a noun.

mod actions;
mod audit;
mod backup;
mod events;
mod executions;
mod health;
mod keys;
mod metrics;
mod packs;
mod plans;
mod rules;
mod secrets;
mod sensors;
mod step;
mod stream;
mod table;
mod timers;
mod tokens;
mod triggers;

use std::any::Any;

pub(crate) use self::table::Operation;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use model::{Duration, ErrorKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Position;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::ServerErrorsFailureClass;
use tower_http::trace::TraceLayer;
use tracing::Span;

use self::table::Table;
use crate::App;
use crate::auth::{Tokens, authenticate};
use crate::extract::MAX_BODY;
use crate::openapi;
use crate::problem::Problem;

/// Most rows that one answer holds, and how many it holds if nobody says.
const MAX_ROWS: usize = 1_000;
const ROWS: usize = 50;

/// An answer with a list.
#[derive(Serialize, JsonSchema)]
struct List<T, C = Position> {
    items: Vec<T>,
    /// What `before`, or `after` where a list goes by name, must be to get the rows after these; absent
    /// after the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<C>,
}

impl<T: Serialize> List<T> {
    /// All there are.
    fn all(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }
}

impl<T: Serialize> List<T, String> {
    /// The page of `all` that is asked for, in the order of their names, of which none stands twice.
    fn by_name(mut all: Vec<T>, asked: ByName, name: impl Fn(&T) -> String) -> Json<Self> {
        all.sort_by_cached_key(&name);
        let seen = asked.after.map_or(0, |last| all.partition_point(|item| name(item) <= last));
        let mut items = all.split_off(seen);
        let is_last = items.len() <= asked.limit.0;
        items.truncate(asked.limit.0);
        let next = items.last().filter(|_| !is_last).map(name);
        Json(Self { items, next })
    }
}

impl<T: Serialize, C> List<T, C> {
    /// A page of at most `limit`; there may be more if it is full.
    fn page(items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Json<Self> {
        let last = items.last().filter(|_| items.len() == limit);
        let next = last.map(cursor);
        Json(Self { items, next })
    }

    /// Without what is not for the asker to see. A page may be shorter then, and still not the last.
    fn seen(Json(mut list): Json<Self>, sees: impl FnMut(&T) -> bool) -> Json<Self> {
        list.items.retain(sees);
        Json(list)
    }
}

/// Which page of a list that goes by name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByName {
    /// Only what comes after this one: the `next` of the page before.
    after: Option<String>,
    #[serde(default)]
    limit: Rows,
}

/// The number of rows that is asked for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "usize")]
#[schemars(inline, extend("minimum" = 1, "maximum" = MAX_ROWS))]
struct Rows(usize);

impl Default for Rows {
    fn default() -> Self {
        Self(ROWS)
    }
}

impl TryFrom<usize> for Rows {
    type Error = String;

    fn try_from(asked: usize) -> Result<Self, String> {
        match asked {
            1..=MAX_ROWS => Ok(Self(asked)),
            _ => Err(format!("{asked} is not from 1 to {MAX_ROWS}")),
        }
    }
}

/// A time to live. One that is too long has the right form: it fits the description, and is unfit.
fn lasting(ttl: Option<String>) -> Result<Option<Duration>, Problem> {
    let read =
        |text: String| text.parse().map_err(|error| Problem::unfit(format!("`ttl`: {error}")));
    ttl.map(read).transpose()
}

/// Everything that is reached at the API's address.
pub(crate) fn router(app: App, tokens: Tokens) -> Router {
    let (nouns, operations, schemas) = table(app.clone()).finish();
    let metrics = metrics::route(app.clone(), tokens.clone());
    let nouns = nouns
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // Around the fallbacks too: without a token nobody learns what there is.
        .layer(middleware::from_fn_with_state(tokens, authenticate));
    let description = openapi::document(&operations, schemas);
    Router::new()
        .nest("/api/v1", nouns)
        .route("/openapi.json", get(async || Json(description)))
        .merge(health::probes())
        .merge(metrics)
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(app.clone(), metrics::refusals))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http().on_failure(log_failure))
        .with_state(app)
}

/// What is answered 503 has said why when it began, and is asked again and again.
fn log_failure(failure: ServerErrorsFailureClass, latency: std::time::Duration, _: &Span) {
    match failure {
        ServerErrorsFailureClass::StatusCode(StatusCode::SERVICE_UNAVAILABLE) => {}
        failure => tracing::error!(%failure, ?latency, "a request failed"),
    }
}

/// Every route under `/api/v1`.
fn table(app: App) -> Table {
    let nouns: [fn(Table) -> Table; 17] = [
        actions::routes,
        audit::routes,
        backup::routes,
        events::routes,
        executions::routes,
        health::routes,
        keys::routes,
        packs::routes,
        plans::routes,
        rules::routes,
        secrets::routes,
        sensors::routes,
        step::routes,
        stream::routes,
        timers::routes,
        tokens::routes,
        triggers::routes,
    ];
    let empty = Table::new(app, openapi::schemas());
    nouns.into_iter().fold(empty, |table, routes| routes(table))
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
