//! `/timers`: when they fire next.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::TimerView;
use schemars::JsonSchema;
use serde::Deserialize;

use super::List;
use super::table::Table;
use crate::access::{About, Access};
use crate::auth::Authenticated;
use crate::extract::Asked;
use crate::owners;
use crate::problem::Problem;

/// Most firings of one timer that are worked out, and how many if nobody says.
const MAX_FIRINGS: usize = 100;
const FIRINGS: usize = 5;

pub(super) fn routes(table: Table) -> Table {
    table.on(
        Method::GET,
        "/timers",
        Access::viewer(About::Many),
        "Lists timers with their next firings.",
        list,
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Upcoming {
    /// Firings of each timer.
    #[schemars(range(max = MAX_FIRINGS))]
    count: Option<usize>,
}

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<Upcoming>,
) -> Result<Json<List<TimerView>>, Problem> {
    match asked.count.unwrap_or(FIRINGS) {
        n if n <= MAX_FIRINGS => {
            let sees = |timer: &TimerView| owners::of_timer(timer).iter().any(|p| who.covers(p));
            let seen = List::seen(List::all(engine.timers(n).await?), sees);
            Ok(List::shown(seen, |timer| who.keep_covered(&mut timer.rules)))
        }
        n => Err(Problem::malformed(format!("`count`: {n} is more than {MAX_FIRINGS}"))),
    }
}
