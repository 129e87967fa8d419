//! Batches, checked before any store takes them.

use std::collections::BTreeSet;

use model::{Actor, BatchId, Fact, Stream, Timestamp};

use crate::port::{Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, MAX_FACT_BYTES, StoreError, Write};
use crate::sealed::{MAX_SEALED_BYTES, MAX_SEALED_CHANGES, Sealing};

/// A well-formed batch within the bounds.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: BatchId,
    pub(crate) actor: Actor,
    pub(crate) at: Timestamp,
    pub(crate) writes: Vec<Write>,
    pub(crate) sealing: Vec<Sealing>,
    /// Bytes of all encoded facts and records.
    pub(crate) bytes: usize,
}

impl Prepared {
    /// `batch` with what it weighs, or what is wrong with it.
    pub(crate) fn of(batch: Batch, sealing: Vec<Sealing>) -> Result<Self, StoreError> {
        let Batch { id, actor, at, writes } = batch;
        let refused = |why: String| StoreError::Refused(format!("`{}` {why}", id.as_str()));
        check_shape(&writes).map_err(refused)?;
        let bytes = check_bytes(&writes).map_err(refused)?;
        let bytes = bytes + check_sealing(&sealing).map_err(refused)?;
        Ok(Self { id, actor, at, writes, sealing, bytes })
    }
}

fn check_shape(writes: &[Write]) -> Result<(), String> {
    let facts: usize = writes.iter().map(|write| write.facts.len()).sum();
    if facts > MAX_BATCH_FACTS {
        return Err(format!("holds {facts} facts, more than {MAX_BATCH_FACTS}"));
    }
    if facts == 0 {
        return Err("holds no fact".to_owned());
    }
    let mut streams = BTreeSet::new();
    for write in writes {
        let stream = &write.stream;
        if !streams.insert(stream) {
            return Err(format!("writes the stream `{stream}` twice"));
        }
        if write.facts.is_empty() {
            return Err(format!("names the stream `{stream}` without a fact for it"));
        }
        if let Some(stray) = write.facts.iter().find(|fact| !belongs(fact, stream)) {
            return Err(format!("puts a {} into the stream `{stream}`", stray.name()));
        }
    }
    Ok(())
}

fn check_bytes(writes: &[Write]) -> Result<usize, String> {
    let mut total = 0;
    for fact in writes.iter().flat_map(|write| &write.facts) {
        let (name, bytes) = (fact.name(), fact.bytes().len());
        if bytes > MAX_FACT_BYTES {
            return Err(format!(
                "holds a {name} of {bytes} bytes, more than {MAX_FACT_BYTES}: keep its body as a blob"
            ));
        }
        total += bytes;
    }
    if total > MAX_BATCH_BYTES {
        return Err(format!("holds {total} bytes of facts, more than {MAX_BATCH_BYTES}"));
    }
    Ok(total)
}

fn check_sealing(sealing: &[Sealing]) -> Result<usize, String> {
    if sealing.len() > MAX_SEALED_CHANGES {
        return Err(format!("changes {} records, more than {MAX_SEALED_CHANGES}", sealing.len()));
    }
    match sealing.iter().map(Sealing::bytes).find(|bytes| *bytes > MAX_SEALED_BYTES) {
        Some(bytes) => {
            Err(format!("holds a record of {bytes} bytes, more than {MAX_SEALED_BYTES}"))
        }
        None => Ok(sealing.iter().map(Sealing::bytes).sum()),
    }
}

/// Whether the fact is of the kind that such a stream holds: the projection relies on it.
fn belongs(fact: &Fact, stream: &Stream) -> bool {
    match fact {
        Fact::InstallationNamed { .. }
        | Fact::GenerationActivated { .. }
        | Fact::StateRestored { .. }
        | Fact::BackupTaken { .. }
        | Fact::DryRunMade { .. }
        | Fact::SensorRestarted { .. }
        | Fact::SensorConfirmed { .. }
        | Fact::PacksReloaded { .. }
        | Fact::SecretsRekeyed { .. } => matches!(stream, Stream::Installation),
        Fact::PackActivated { .. } | Fact::PackRejected { .. } => matches!(stream, Stream::Pack(_)),
        Fact::RuleSwitched { .. } => matches!(stream, Stream::Rule(_)),
        Fact::TokenCreated(_) | Fact::TokenRevoked { .. } => matches!(stream, Stream::Token(_)),
        Fact::RequestsRefused(_) => matches!(stream, Stream::Refusals),
        Fact::EventAccepted(_)
        | Fact::EventRepeated { .. }
        | Fact::DuplicateDiffers { .. }
        | Fact::MoreMatched { .. }
        | Fact::PageGivenUp { .. }
        | Fact::RuleFailed { .. } => matches!(stream, Stream::Event(_)),
        Fact::PagesDeferred { .. } | Fact::PageStored { .. } => matches!(stream, Stream::Pages(_)),
        Fact::CursorMoved { .. } => matches!(stream, Stream::Sensor(_)),
        Fact::ObjectSeen { .. } | Fact::ObjectGone => matches!(stream, Stream::Seen(_)),
        Fact::KeySet { .. } | Fact::KeyDeleted => matches!(stream, Stream::Key(_)),
        Fact::ExecutionRequested(_)
        | Fact::StepIntended { .. }
        | Fact::StepRecorded { .. }
        | Fact::AttemptFailed { .. }
        | Fact::AttemptStarted { .. }
        | Fact::AttemptCutOff { .. }
        | Fact::PollAnswered { .. }
        | Fact::StepFinished { .. }
        | Fact::AttentionNeeded { .. }
        | Fact::StepResolved { .. }
        | Fact::CancelRequested { .. }
        | Fact::ExecutionPaused { .. }
        | Fact::ExecutionResumed { .. }
        | Fact::JournalInherited { .. }
        | Fact::ExecutionContinues { .. }
        | Fact::UndoBegan { .. }
        | Fact::ExecutionParked { .. }
        | Fact::TokensGranted { .. }
        | Fact::SettingsRead { .. }
        | Fact::ExecutionFinished { .. } => matches!(stream, Stream::Execution(_)),
        Fact::SecretSet { .. } | Fact::SecretVersionsDropped { .. } | Fact::SecretDeleted => {
            matches!(stream, Stream::Secret(_))
        }
    }
}
