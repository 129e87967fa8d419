//! `/timers`: when they fire next.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use engine::Engine;
use engine::view::TimerView;
use serde::Deserialize;

use super::List;
use crate::App;
use crate::extract::Asked;
use crate::problem::Problem;

/// Most firings of one timer that are worked out, and how many if nobody says.
const MAX_FIRINGS: usize = 100;
const FIRINGS: usize = 5;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/timers", get(list))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upcoming {
    /// Firings of each timer.
    count: Option<usize>,
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<Upcoming>,
) -> Result<Json<List<TimerView>>, Problem> {
    match asked.count.unwrap_or(FIRINGS) {
        n if n <= MAX_FIRINGS => Ok(List::all(engine.timers(n).await?)),
        n => Err(Problem::malformed(format!("`count`: {n} is more than {MAX_FIRINGS}"))),
    }
}
