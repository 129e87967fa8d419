//! `/packs`: which content is active, what is wrong with the files, reading them again.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::view::PackView;
use engine::{AskError, Engine};
use model::ErrorKind;
use serde::Serialize;

use super::List;
use crate::App;
use crate::auth::Authenticated;
use crate::extract::Named;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/packs", get(list))
        .route("/packs/{pack}", get(one))
        .route("/reload", post(reload))
}

async fn list(State(engine): State<Engine>) -> Json<List<PackView>> {
    List::all(engine.pack_views().await)
}

async fn one(
    State(engine): State<Engine>,
    Named(name): Named<String>,
) -> Result<Json<PackView>, Problem> {
    let found = engine.pack_views().await.into_iter().find(|pack| pack.name == name);
    let missing = || Problem::new(ErrorKind::NotFound, format!("there is no pack `{name}`"));
    Ok(Json(found.ok_or_else(missing)?))
}

#[derive(Serialize)]
struct Reloaded {
    changed: bool,
}

/// Packs reload by themselves when their files change; this does not wait for that.
async fn reload(State(engine): State<Engine>, _: Authenticated) -> Result<Json<Reloaded>, Problem> {
    let changed = engine.reload().await.map_err(AskError::from)?;
    Ok(Json(Reloaded { changed }))
}
