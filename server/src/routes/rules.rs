//! `/rules`: list, look into, enable, disable, let the file decide again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::Engine;
use engine::view::RuleView;
use model::RuleRef;

use super::List;
use crate::App;
use crate::auth::Authenticated;
use crate::extract::Named;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/rules", get(list))
        .route("/rules/{rule}", get(one))
        .route("/rules/{rule}/enable", post(enable))
        .route("/rules/{rule}/disable", post(disable))
        .route("/rules/{rule}/clear", post(clear))
}

async fn list(State(engine): State<Engine>) -> Result<Json<List<RuleView>>, Problem> {
    Ok(List::all(engine.rules().await?))
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
) -> Result<StatusCode, Problem> {
    switch(&engine, &who, &rule, Some(true)).await
}

async fn disable(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(rule): Named<RuleRef>,
) -> Result<StatusCode, Problem> {
    switch(&engine, &who, &rule, Some(false)).await
}

async fn clear(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(rule): Named<RuleRef>,
) -> Result<StatusCode, Problem> {
    switch(&engine, &who, &rule, None).await
}

async fn switch(
    engine: &Engine,
    who: &Authenticated,
    rule: &RuleRef,
    enabled: Option<bool>,
) -> Result<StatusCode, Problem> {
    engine.switch_rule(who.actor(), rule, enabled).await?;
    Ok(StatusCode::NO_CONTENT)
}
