//! `/timers`: when they fire next.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::TimerView;
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::Table;
use super::{ByName, List, Rows};
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
    /// Only timers that come after this one: the `next` of the page before.
    after: Option<String>,
    #[serde(default)]
    limit: Rows,
}

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<Upcoming>,
) -> Result<Json<List<TimerView, String>>, Problem> {
    match asked.count.unwrap_or(FIRINGS) {
        n if n <= MAX_FIRINGS => {
            let mut timers = engine.timers(n).await?;
            timers.retain(|timer| owners::of_timer(timer).iter().any(|pack| who.covers(pack)));
            for timer in &mut timers {
                who.keep_covered(&mut timer.rules);
            }
            let asked = ByName { after: asked.after, limit: asked.limit };
            Ok(List::by_name(timers, asked, |timer| timer.id.clone()))
        }
        n => Err(Problem::malformed(format!("`count`: {n} is more than {MAX_FIRINGS}"))),
    }
}
