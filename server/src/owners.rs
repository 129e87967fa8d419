//! Which pack a thing belongs to: what a token that is limited to packs is measured by.
//!
//! What is built in (types, timers, the engine) is no pack, whatever its name begins with: a token
//! for `web*` does not cover `webhook.received`. What the engine tells of itself belongs to whom it
//! tells of.

use std::collections::BTreeMap;

use engine::view::{SensorView, TimerView};
use engine::{AskError, Engine};
use model::source::Emitter;
use model::{Envelope, EventKey, EventSource, ExecutionId, RuleRef, Stream};
use store::{EventRow, ExecutionRow};

use crate::App;
use crate::access::Thing;
use crate::problem::Problem;

/// The packs that the thing with this id belongs to, any of which will do: none for what concerns
/// the installation. `None`: there is no such thing, or it is built in and for everybody to see. What
/// stands below a pack's name belongs to that pack whether it is there or not: who does not cover it is
/// not told which.
pub(crate) async fn of(app: &App, thing: Thing, id: &str) -> Result<Option<Vec<String>>, Problem> {
    match thing {
        Thing::OfPack => Ok(named(app, id)),
        Thing::Key => Ok(Some(vec![first(id).to_owned()])),
        Thing::Execution => execution(app, id).await,
        Thing::Event => event(app, id).await,
        Thing::Sensor => sensor(app, id).await,
    }
}

/// The first part of `pack.name`, `pack/name` or `pack`.
fn first(id: &str) -> &str {
    id.split(['.', '/']).next().unwrap_or_default()
}

/// The pack whose name `id` begins with; none: it is built in.
fn named(app: &App, id: &str) -> Option<Vec<String>> {
    of_prefix(&app.engine, first(id)).map(|pack| vec![pack.to_owned()])
}

async fn execution(app: &App, id: &str) -> Result<Option<Vec<String>>, Problem> {
    let Ok(root) = root(id).parse::<ExecutionId>() else { return Ok(None) };
    let row = app.engine.store().execution(&root).await?;
    let owners = |row| of_execution(&app.engine, &row).map(ToOwned::to_owned).into_iter().collect();
    Ok(row.map(owners))
}

/// The pack that each of these belongs to, by the id of its root; none: the installation.
pub(crate) async fn of_roots(
    app: &App,
    rows: &[ExecutionRow],
) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let mut owners = BTreeMap::new();
    for row in rows {
        let id = root(row.id.as_str());
        if !owners.contains_key(id) {
            let of_root = execution(app, id).await?.unwrap_or_default().into_iter().next();
            owners.insert(id.to_owned(), of_root);
        }
    }
    Ok(owners)
}

/// A child belongs to whom its root belongs to.
pub(crate) fn root(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

/// The pack whose rule asked for it, or whose action a person ran; none: the action is built in.
fn of_execution<'a>(engine: &Engine, row: &'a ExecutionRow) -> Option<&'a str> {
    match row.origin.rule() {
        Some(rule) => Some(rule.pack.as_str()),
        None => of_prefix(engine, row.action.pack()),
    }
}

/// The pack that an action or a type whose name begins like this belongs to; none: it is built in.
pub(crate) fn of_prefix<'a>(engine: &Engine, prefix: &'a str) -> Option<&'a str> {
    Some(prefix).filter(|prefix| !engine.is_built_in(prefix))
}

async fn event(app: &App, id: &str) -> Result<Option<Vec<String>>, Problem> {
    let Ok(key) = id.parse::<EventKey>() else { return Ok(None) };
    match app.engine.store().event(&key).await? {
        Some(row) => of_event(app, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The pack of its sensor or of its type, those whose rules selected it, and of what the engine
/// tells of itself those that it tells of.
pub(crate) async fn of_event(app: &App, row: &EventRow) -> Result<Vec<String>, Problem> {
    let source = EventSource::parse(&row.envelope.source).map(|source| source.emitter);
    let mut owners: Vec<String> =
        row.matched.iter().map(|(rule, _)| rule.pack.to_string()).collect();
    match source {
        Some(Emitter::Engine) => owners.extend(told_of(app, &row.envelope).await?),
        Some(Emitter::Sensor(sensor)) => owners.push(sensor.pack.to_string()),
        Some(Emitter::Subscription(..) | Emitter::Api(_) | Emitter::Execution) | None => {}
    }
    owners.extend(named(app, row.envelope.kind.as_str()).unwrap_or_default());
    Ok(owners)
}

/// The pack whose sensor told the event, where one did.
pub(crate) fn of_sensor_of(envelope: &Envelope) -> Option<String> {
    match EventSource::parse(&envelope.source)?.emitter {
        Emitter::Sensor(sensor) => Some(sensor.pack.to_string()),
        _ => None,
    }
}

/// Whom the engine tells of: an execution, a sensor, a rule or a pack, as the event's subject says.
async fn told_of(app: &App, envelope: &Envelope) -> Result<Vec<String>, Problem> {
    let subject = envelope.subject.as_deref().unwrap_or_default();
    let about = envelope.kind.as_str().strip_prefix("tripline.").unwrap_or_default();
    let owners = match first(about) {
        "execution" | "approval" | "loop_detected" => execution(app, subject).await?,
        "sensor" => sensor(app, subject).await?,
        "rule" => subject.parse::<RuleRef>().ok().map(|rule| vec![rule.pack.to_string()]),
        "pack" => Some(vec![subject.to_owned()]),
        _ => None,
    };
    Ok(owners.unwrap_or_default())
}

/// One that is gone belongs to whose it was.
async fn sensor(app: &App, id: &str) -> Result<Option<Vec<String>>, Problem> {
    match app.engine.sensor(id).await {
        Ok(found) => Ok(Some(of_sensor(app, &found))),
        Err(AskError::NotFound(_)) => Ok(named(app, id)),
        Err(error) => Err(error.into()),
    }
}

/// The pack that names it, and those whose rules listen to it.
pub(crate) fn of_sensor(app: &App, sensor: &SensorView) -> Vec<String> {
    let rules = sensor.rules.iter().map(|rule| rule.pack.to_string());
    named(app, &sensor.id).into_iter().flatten().chain(rules).collect()
}

/// Those whose rules listen to it.
pub(crate) fn of_timer(timer: &TimerView) -> Vec<String> {
    timer.rules.iter().map(|rule| rule.pack.to_string()).collect()
}

/// The packs that the thing behind a stream belongs to; none: it concerns the installation.
pub(crate) async fn of_stream(app: &App, stream: &Stream) -> Result<Vec<String>, Problem> {
    let owners = match stream {
        Stream::Event(key) | Stream::Pages(key) => event(app, key.as_str()).await?,
        Stream::Execution(id) => execution(app, id.as_str()).await?,
        Stream::Sensor(id) => sensor(app, id).await?,
        Stream::Seen(object) => {
            // A sensor's id has one slash.
            let end = object.match_indices('/').nth(1).map_or(object.len(), |(end, _)| end);
            sensor(app, &object[..end]).await?
        }
        Stream::Key(id) => Some(vec![first(id).to_owned()]),
        Stream::Rule(rule) => Some(vec![rule.pack.to_string()]),
        Stream::Pack(name) => Some(vec![name.to_string()]),
        Stream::Token(_) | Stream::Secret(_) | Stream::Installation | Stream::Refusals => None,
    };
    Ok(owners.unwrap_or_default())
}
