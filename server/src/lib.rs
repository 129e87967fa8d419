//! The HTTP side of an engine: the API, its live stream, and the listener for webhooks.
//!
//! This crate owns *how the engine is reached*: routes, tokens, problem documents, listeners, and
//! the two files by which the command line finds a server. It never knows how anything is done:
//! every route asks [`engine::Engine`] and says what it answered.
//!
//! | path | what |
//! |---|---|
//! | `/api/v1/<noun>` | one file each in `routes/`; a bearer token is required |
//! | `/api/v1/stream` | every fact as it is stored (SSE), resumable by position |
//! | `/openapi.json` | the API's description, made of its routes |
//! | `/healthz`, `/readyz` | whether the process lives, and whether it takes work |
//! | `/metrics` | what the engine counts and measures, for Prometheus; a bearer token is required |
//! | `/webhooks/<pack>/<sensor>` | on a listener of its own, there while webhook sensors are |
//!
//! An id that holds slashes (`ex_…/3.1`, `timer.cron/0a1b`) is one segment of a path: `ex_…%2F3.1`.
//!
//! ```no_run
//! # async fn example(engine: engine::Engine) -> Result<(), server::ServeError> {
//! let settings = server::Settings {
//!     listen: "127.0.0.1:0".to_owned(),
//!     webhooks_listen: "127.0.0.1:0".to_owned(),
//!     state: "state".into(),
//! };
//! let running = server::serve(engine.clone(), settings).await?;
//! println!("http://{}", running.api());
//! engine.shutdown(std::time::Duration::from_secs(30)).await;
//! running.stopped().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod answer;
mod auth;
mod by_hand;
mod connections;
mod describe;
mod extract;
pub mod files;
mod listener;
mod openapi;
mod owners;
mod problem;
mod routes;
mod throttle;
mod webhooks;
mod words;

pub use listener::{Running, ServeError, Settings, serve};

/// What routes are given.
#[derive(Clone, axum::extract::FromRef)]
struct App {
    engine: engine::Engine,
    refusals: webhooks::Refusals,
}
