//! `datastore.*`: performed by the engine, in the commit that also stores the step and its result.

use actions::datastore::{Change, Entry, Plan, entry_key, plan};
use model::fact::StepResult;
use model::{ActionRef, Call, Fact, StepError, StepPath, Stream, Timestamp, Value, Version};
use store::{Encoded, KeyRow, Write};

use crate::core::{Core, Trouble};

/// A datastore step, ready to be stored.
pub(super) struct Planned {
    /// Its intent and its end.
    pub(super) facts: Vec<Encoded>,
    /// The change of the entry, if there is one, with the version it was planned on.
    pub(super) change: Option<Write>,
}

/// Plans the step against the entry as it is now; who stores the plan meets a conflict if the
/// entry changes in between, and plans again.
pub(super) async fn planned(
    core: &Core,
    pack: &str,
    path: &StepPath,
    call: &Call,
) -> Result<Planned, Trouble> {
    let now = core.now();
    let (result, change) = match (call.action(), call.parameters()) {
        (Some(action), Some(parameters)) => match keyed(core, pack, action, parameters) {
            Ok(key) => {
                let (row, version) = current(core, &key, now).await?;
                let list = match action.name() == "list" {
                    true => core.store.keys(&key, "", now, actions::datastore::MAX_LISTED).await?,
                    false => Vec::new(),
                };
                let listed = list.into_iter().map(entry).collect();
                let Plan { result, change } =
                    plan(action, parameters, row.map(entry).as_ref(), listed, now);
                (result, change.map(|change| write(key, version, change)))
            }
            Err(error) => (Err(error), None),
        },
        _ => (Err(StepError::new(model::ErrorKind::Internal, "not a datastore action")), None),
    };
    let result = match result {
        Ok(value) => StepResult::Done(core.bounded(value).await?),
        Err(mut error) => {
            error.action = call.action().cloned();
            error.attempts = 1;
            StepResult::Failed(error)
        }
    };
    let intended = Fact::StepIntended { path: path.clone(), call: call.clone(), at: now };
    let finished = Fact::StepFinished { path: path.clone(), result, attempts: 1, at: now };
    Ok(Planned { facts: vec![intended.into(), finished.into()], change })
}

/// The entry that a call is about.
fn keyed(
    core: &Core,
    pack: &str,
    action: &ActionRef,
    parameters: &Value,
) -> Result<String, StepError> {
    match core.library.fault(action, parameters) {
        Some(fault) => Err(fault),
        None => entry_key(action, pack, parameters),
    }
}

/// The entry, and a version of its stream at which it was so.
async fn current(
    core: &Core,
    key: &str,
    now: Timestamp,
) -> Result<(Option<KeyRow>, Version), Trouble> {
    if let Some(row) = core.store.key(key, now).await? {
        let version = row.version;
        return Ok((Some(row), version));
    }
    // Absent, or expired: its stream may have facts. It may also have come to be since: so the
    // version first, and what is seen at it or later afterwards.
    let (_, version) = core.store.read(&Stream::Key(key.to_owned()), Version::NONE).await?;
    let row = core.store.key(key, now).await?;
    let version = row.as_ref().map_or(version, |row| row.version);
    Ok((row, version))
}

fn entry(row: KeyRow) -> Entry {
    Entry { key: row.key, value: row.value, expires_at: row.expires_at }
}

fn write(key: String, version: Version, change: Change) -> Write {
    let fact = match change {
        Change::Set { value, expires_at } => Fact::KeySet { value, expires_at },
        Change::Delete => Fact::KeyDeleted,
    };
    Write::new(Stream::Key(key), Some(version), [fact])
}
