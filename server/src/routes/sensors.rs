//! `/sensors`: what listens, how it stands, starting it again.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::SensorView;
use model::Fact;
use schemars::JsonSchema;
use serde::Serialize;

use super::table::Table;
use super::{ByName, List};
use crate::App;
use crate::access::{About, Access, Thing};
use crate::answer::Accepted;
use crate::auth::Authenticated;
use crate::extract::{Asked, Named};
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
            "/sensors/{name}",
            Access::viewer(About::Thing(Thing::Sensor)),
            "A sensor.",
            one,
        )
        .on(
            Method::GET,
            "/sensors/{name}/logs",
            Access::viewer(About::Thing(Thing::Sensor)),
            "What the program of a sensor printed to stderr.",
            logs,
        )
        .on(
            Method::POST,
            "/sensors/{name}/restart",
            Access::operator(About::Thing(Thing::Sensor)),
            "Starts a sensor again at once.",
            restart,
        )
        .on(
            Method::POST,
            "/sensors/{name}/confirm",
            Access::operator(About::Thing(Thing::Sensor)),
            "Tells a sensor that waits for it that what it found is right, such as many deletions.",
            confirm,
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

impl Sensor {
    fn of(app: &App, view: SensorView) -> Self {
        Self { refused: app.refusals.of(&view.id), view }
    }

    /// Without the rules of others that listen to it too.
    fn shown(mut self, who: &Authenticated) -> Self {
        who.keep_covered(&mut self.view.rules);
        self
    }
}

async fn list(
    State(app): State<App>,
    who: Authenticated,
    Asked(asked): Asked<ByName>,
) -> Result<Json<List<Sensor, String>>, Problem> {
    let sees = |view: &SensorView| {
        who.grant.is_whole() || owners::of_sensor(&app, view).iter().any(|pack| who.covers(pack))
    };
    let mut views = app.engine.sensors().await?;
    views.retain(sees);
    let shown = views.into_iter().map(|view| Sensor::of(&app, view).shown(&who));
    Ok(List::by_name(shown.collect(), asked, |sensor| sensor.view.id.clone()))
}

async fn one(
    State(app): State<App>,
    who: Authenticated,
    Named(name): Named<String>,
) -> Result<Json<Sensor>, Problem> {
    Ok(Json(Sensor::of(&app, app.engine.sensor(&name).await?).shown(&who)))
}

/// The newest part of a log.
#[derive(Serialize, JsonSchema)]
struct Log {
    text: String,
}

async fn logs(
    State(engine): State<Engine>,
    Named(name): Named<String>,
) -> Result<Json<Log>, Problem> {
    Ok(Json(Log { text: engine.sensor_log(&name).await? }))
}

async fn restart(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(name): Named<String>,
) -> Result<Accepted, Problem> {
    let sensor = engine.sensor_address(&name)?;
    let at = engine.now();
    engine.note(who.actor(), Fact::SensorRestarted { sensor, at }).await?;
    engine.restart_sensor(&name)?;
    Ok(Accepted)
}

async fn confirm(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(name): Named<String>,
) -> Result<Accepted, Problem> {
    let sensor = engine.sensor_to_confirm(&name)?;
    let at = engine.now();
    engine.note(who.actor(), Fact::SensorConfirmed { sensor, at }).await?;
    engine.confirm_sensor(&name).await?;
    Ok(Accepted)
}
