//! Which pack a thing belongs to: what a token that is limited to packs is measured by.

use engine::AskError;
use engine::view::{SensorView, TimerView};
use model::{EventKey, ExecutionId, Origin, Stream};
use store::{EventRow, ExecutionRow};

use crate::App;
use crate::access::Thing;
use crate::problem::Problem;

/// The packs that the thing with this id belongs to, any of which will do; none: there is no such
/// thing.
pub(crate) async fn of(app: &App, thing: Thing, id: &str) -> Result<Vec<String>, Problem> {
    match thing {
        Thing::OfPack => {
            // What is built in belongs to nobody.
            let installed = Some(pack(id)).filter(|pack| app.engine.has_pack(pack));
            Ok(installed.map(ToOwned::to_owned).into_iter().collect())
        }
        Thing::Key => Ok(vec![pack(id).to_owned()]),
        Thing::Execution => execution(app, id).await,
        Thing::Event => event(app, id).await,
        Thing::Sensor => sensor(app, id).await,
    }
}

/// The first part of `pack.name`, `pack/name` or `pack`.
fn pack(id: &str) -> &str {
    id.split(['.', '/']).next().unwrap_or_default()
}

async fn execution(app: &App, id: &str) -> Result<Vec<String>, Problem> {
    // A child belongs to whom its root belongs to.
    let Ok(root) = id.split('/').next().unwrap_or_default().parse::<ExecutionId>() else {
        return Ok(Vec::new());
    };
    let row = app.engine.store().execution(&root).await?;
    Ok(row.iter().map(of_execution).collect())
}

/// The pack whose rule asked for it, or whose action a person ran.
pub(crate) fn of_execution(row: &ExecutionRow) -> String {
    match &row.origin {
        Origin::Rule { rule, .. } => rule.pack.to_string(),
        _ => row.action.pack().to_owned(),
    }
}

async fn event(app: &App, id: &str) -> Result<Vec<String>, Problem> {
    let Ok(key) = id.parse::<EventKey>() else { return Ok(Vec::new()) };
    let row = app.engine.store().event(&key).await?;
    Ok(row.iter().flat_map(of_event).collect())
}

/// The pack of its sensor or of its type, and those whose rules selected it.
pub(crate) fn of_event(row: &EventRow) -> Vec<String> {
    let from = row.envelope.source.split_once('/').map(|(_, sensor)| pack(sensor).to_owned());
    let kind = row.envelope.kind.pack().to_owned();
    let rules = row.matched.iter().map(|(rule, _)| rule.pack.to_string());
    from.into_iter().chain([kind]).chain(rules).collect()
}

async fn sensor(app: &App, id: &str) -> Result<Vec<String>, Problem> {
    match app.engine.sensor(id).await {
        Ok(found) => Ok(of_sensor(&found)),
        Err(AskError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The pack that names it, and those whose rules listen to it.
pub(crate) fn of_sensor(sensor: &SensorView) -> Vec<String> {
    let rules = sensor.rules.iter().map(|rule| rule.pack.to_string());
    [pack(&sensor.id).to_owned()].into_iter().chain(rules).collect()
}

/// Those whose rules listen to it.
pub(crate) fn of_timer(timer: &TimerView) -> Vec<String> {
    timer.rules.iter().map(|rule| rule.pack.to_string()).collect()
}

/// The packs that the thing behind a stream belongs to; none: it concerns the installation.
pub(crate) async fn of_stream(app: &App, stream: &Stream) -> Result<Vec<String>, Problem> {
    match stream {
        Stream::Event(key) | Stream::Pages(key) => event(app, key.as_str()).await,
        Stream::Execution(id) => execution(app, id.as_str()).await,
        Stream::Sensor(id) | Stream::Key(id) => Ok(vec![pack(id).to_owned()]),
        Stream::Rule(rule) => Ok(vec![rule.pack.to_string()]),
        Stream::Pack(name) => Ok(vec![name.to_string()]),
        Stream::Token(_) | Stream::Secret(_) | Stream::Installation => Ok(Vec::new()),
    }
}
