//! `/rules`: list, look into, enable, disable, let the file decide again.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::RuleView;
use model::RuleRef;

use super::table::Table;
use super::{ByName, List};
use crate::access::{About, Access, Thing};
use crate::answer::Done;
use crate::auth::Authenticated;
use crate::extract::{Asked, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(Method::GET, "/rules", Access::viewer(About::Many), "Lists rules.", list)
        .on(
            Method::GET,
            "/rules/{rule}",
            Access::viewer(About::Thing(Thing::OfPack)),
            "A rule and its text.",
            one,
        )
        .on(
            Method::POST,
            "/rules/{rule}/enable",
            Access::operator(About::Thing(Thing::OfPack)),
            "Enables a rule, whatever its file says.",
            enable,
        )
        .on(
            Method::POST,
            "/rules/{rule}/disable",
            Access::operator(About::Thing(Thing::OfPack)),
            "Disables a rule, whatever its file says.",
            disable,
        )
        .on(
            Method::POST,
            "/rules/{rule}/clear",
            Access::operator(About::Thing(Thing::OfPack)),
            "Lets the file of a rule decide again.",
            clear,
        )
}

async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<ByName>,
) -> Result<Json<List<RuleView, String>>, Problem> {
    let mut rules = engine.rules().await?;
    rules.retain(|view| who.covers(view.rule.pack.as_str()));
    Ok(List::by_name(rules, asked, |view| view.rule.to_string()))
}

async fn one(
    State(engine): State<Engine>,
    Named(rule): Named<RuleRef>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(engine.rule(&rule).await?))
}

async fn enable(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(rule): Named<RuleRef>,
) -> Result<Done, Problem> {
    switch(&engine, &who, &rule, Some(true)).await
}

async fn disable(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(rule): Named<RuleRef>,
) -> Result<Done, Problem> {
    switch(&engine, &who, &rule, Some(false)).await
}

async fn clear(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(rule): Named<RuleRef>,
) -> Result<Done, Problem> {
    switch(&engine, &who, &rule, None).await
}

async fn switch(
    engine: &Engine,
    who: &Authenticated,
    rule: &RuleRef,
    enabled: Option<bool>,
) -> Result<Done, Problem> {
    engine.switch_rule(who.actor(), rule, enabled).await?;
    Ok(Done)
}
