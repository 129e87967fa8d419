//! `/sensors`: what listens, how it stands, starting it again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::Engine;
use engine::view::SensorView;
use model::ErrorKind;
use serde::Serialize;

use super::List;
use crate::App;
use crate::auth::Authenticated;
use crate::extract::Named;
use crate::problem::Problem;
use crate::webhooks::Counts;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/sensors", get(list))
        .route("/sensors/{id}", get(one))
        .route("/sensors/{id}/restart", post(restart))
}

/// A sensor with what its webhook refused.
#[derive(Serialize)]
struct Sensor {
    #[serde(flatten)]
    view: SensorView,
    #[serde(skip_serializing_if = "Counts::is_empty")]
    refused: Counts,
}

async fn all(app: &App) -> Result<impl Iterator<Item = Sensor>, Problem> {
    let views = app.engine.sensors().await?;
    Ok(views.into_iter().map(|view| Sensor { refused: app.refusals.of(&view.id), view }))
}

async fn list(State(app): State<App>) -> Result<Json<List<Sensor>>, Problem> {
    Ok(List::all(all(&app).await?.collect()))
}

async fn one(State(app): State<App>, Named(id): Named<String>) -> Result<Json<Sensor>, Problem> {
    let found = all(&app).await?.find(|sensor| sensor.view.id == id);
    let missing = || Problem::new(ErrorKind::NotFound, format!("there is no sensor `{id}`"));
    Ok(Json(found.ok_or_else(missing)?))
}

async fn restart(
    State(engine): State<Engine>,
    _: Authenticated,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    engine.restart_sensor(&id)?;
    Ok(StatusCode::ACCEPTED)
}
