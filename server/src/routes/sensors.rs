//! `/sensors`: what listens, how it stands, starting it again.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::SensorView;
use model::ErrorKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::List;
use super::table::Table;
use crate::App;
use crate::access::{About, Access, Thing};
use crate::answer::Accepted;
use crate::auth::Authenticated;
use crate::extract::Named;
use crate::owners;
use crate::problem::Problem;
use crate::webhooks::Counts;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/sensors",
            Access::viewer(About::Many),
            "Lists sensors and subscriptions.",
            list,
        )
        .on(
            Method::GET,
            "/sensors/{id}",
            Access::viewer(About::Thing(Thing::Sensor)),
            "A sensor.",
            one,
        )
        .on(
            Method::POST,
            "/sensors/{id}/restart",
            Access::operator(About::Thing(Thing::Sensor)),
            "Starts a sensor again at once.",
            restart,
        )
}

/// A sensor with what its webhook refused.
#[derive(Serialize, JsonSchema)]
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

async fn list(State(app): State<App>, who: Authenticated) -> Result<Json<List<Sensor>>, Problem> {
    let sees = |sensor: &Sensor| owners::of_sensor(&sensor.view).iter().any(|p| who.covers(p));
    Ok(List::seen(List::all(all(&app).await?.collect()), sees))
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
) -> Result<Accepted, Problem> {
    engine.restart_sensor(&id)?;
    Ok(Accepted)
}
