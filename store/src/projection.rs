//! What facts mean for the rows that are looked up: one place for every store.

use std::collections::{BTreeMap, BTreeSet};

use model::access::TokenCreated;
use model::fact::{EventAccepted, ExecutionRequested};
use model::{
    Actor, EventKey, ExecutionId, ExecutionState, Fact, Hash, Name, PackName, RuleRef, Stream,
    Timestamp, Value, Version,
};

use crate::port::{
    Asked, AskedTo, CursorRow, EventRow, ExecutionRow, KeyRow, Position, Recorded, Restored,
    RuleCount, TokenRow,
};

/// What changes of an execution while it lives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) state: ExecutionState,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) message: Option<String>,
    /// Who asked for the first of the runs that went on as this one.
    pub(crate) first_by: Option<Actor>,
    /// Where somebody asked for its end, or that it be held as it is still.
    pub(crate) asked: Option<Position>,
}

impl Standing {
    /// Requested, and nothing more.
    pub(crate) const QUEUED: Self = Self {
        state: ExecutionState::Queued,
        started_at: None,
        finished_at: None,
        wake_at: None,
        message: None,
        first_by: None,
        asked: None,
    };

    /// Takes in the next fact of the execution's stream, at `position`. The end is the end: what
    /// comes late stays in the log and changes nothing here.
    pub(crate) fn apply(&mut self, position: Position, fact: &Fact) {
        if self.state.is_end() {
            return;
        }
        self.state = self.state.after(fact);
        self.wake_at = self.wake_after(fact);
        self.started_at = self.started_at.or_else(|| fact.begun_at());
        match fact {
            Fact::ExecutionContinues { by, .. } => self.first_by.clone_from(by),
            Fact::CancelRequested { .. } => self.asked = Some(position),
            // It is held again after each word about a step, for the reason that it was first.
            Fact::ExecutionPaused { .. } => _ = self.asked.get_or_insert(position),
            Fact::ExecutionResumed { .. } => self.asked = None,
            Fact::AttentionNeeded { error, .. } => self.message = Some(error.message.clone()),
            Fact::StepResolved { .. } => self.message = None,
            Fact::ExecutionFinished { outcome, at } => {
                self.finished_at = Some(*at);
                self.message = outcome.error.as_ref().map(|error| error.message.clone());
            }
            _ => {}
        }
    }

    /// When the execution goes on by itself after `fact`. A request to cancel makes one that waits
    /// or is paused due at once, so that it is not forgotten should the engine die before it looks again; one
    /// that does not wait is not hurried by it.
    fn wake_after(&self, fact: &Fact) -> Option<Timestamp> {
        match fact {
            Fact::ExecutionParked { until, .. } => *until,
            Fact::CancelRequested { at, .. }
                if matches!(self.state, ExecutionState::Waiting | ExecutionState::Paused) =>
            {
                Some(*at)
            }
            Fact::CancelRequested { .. } => self.wake_at,
            _ => None,
        }
    }
}

/// What somebody asked of an execution by this fact.
pub(crate) fn asked(word: Recorded) -> Option<Asked> {
    let (to, reason, at) = match word.fact {
        Fact::CancelRequested { reason, at } => (AskedTo::Cancel, reason, at),
        Fact::ExecutionPaused { reason, at, .. } => (AskedTo::Pause, reason, at),
        _ => return None,
    };
    Some(Asked { to, by: word.actor, reason, at })
}

/// The row of an execution that was requested at `position`, with what somebody asked of it.
pub(crate) fn execution_row(
    id: ExecutionId,
    request: ExecutionRequested,
    position: Position,
    standing: Standing,
    asked: Option<Asked>,
) -> ExecutionRow {
    let Standing { state, started_at, finished_at, wake_at, message, .. } = standing;
    ExecutionRow {
        id,
        action: request.action,
        state,
        origin: request.origin,
        requested_at: request.at,
        started_at,
        finished_at,
        wake_at,
        message,
        asked,
        pack: request.pack,
        position,
    }
}

/// How often an event was told again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    /// In all.
    pub(crate) all: u64,
    /// With other data.
    pub(crate) differing: u64,
}

impl Repeats {
    /// What `fact` adds.
    pub(crate) const fn of(fact: &Fact) -> Self {
        match fact {
            Fact::EventRepeated { .. } => Self { all: 1, differing: 0 },
            Fact::DuplicateDiffers { .. } => Self { all: 1, differing: 1 },
            _ => Self { all: 0, differing: 0 },
        }
    }
}

/// The row of an event that was accepted at `position`, with its data.
pub(crate) fn event_row(
    key: EventKey,
    accepted: EventAccepted,
    position: Position,
    repeats: Repeats,
    failed: Vec<RuleRef>,
) -> EventRow {
    EventRow {
        key,
        envelope: accepted.event.envelope,
        data: Some(accepted.event.data),
        accepted_at: accepted.accepted_at,
        generation: accepted.generation,
        matched: accepted.matched,
        failed,
        duplicates: repeats.all,
        differing: repeats.differing,
        payload: accepted.payload,
        retold: accepted.retold,
        position,
    }
}

/// The rule that failed on an event.
pub(crate) fn failed_rule(fact: &Fact) -> Option<RuleRef> {
    match fact {
        Fact::RuleFailed { rule, .. } => Some(rule.clone()),
        _ => None,
    }
}

/// What `fact` adds to the counts of rules: a rule counts once an event, however many executions
/// it asked for.
pub(crate) fn rule_counts(fact: &Fact) -> Vec<(&RuleRef, RuleCount)> {
    match fact {
        Fact::EventAccepted(accepted) => matched_once(&accepted.matched, accepted.accepted_at),
        Fact::MoreMatched { matched, at } => matched_once(matched, *at),
        Fact::RuleFailed { rule, .. } => {
            vec![(rule, RuleCount { matched: 0, failed: 1, last_matched: None })]
        }
        _ => Vec::new(),
    }
}

fn matched_once(matched: &[(RuleRef, ExecutionId)], at: Timestamp) -> Vec<(&RuleRef, RuleCount)> {
    let rules: BTreeSet<_> = matched.iter().map(|(rule, _)| rule).collect();
    let count = RuleCount { matched: 1, failed: 0, last_matched: Some(at) };
    rules.into_iter().map(|rule| (rule, count)).collect()
}

/// The event of a stream of pages whose last fact says that some are left.
pub(crate) fn deferred(latest: Recorded) -> Option<EventKey> {
    match (latest.stream, latest.fact) {
        (Stream::Pages(_), Fact::PageStored { page, of }) if page >= of => None,
        (Stream::Pages(key), _) => Some(key),
        _ => None,
    }
}

/// The cursor in the last fact of a sensor's stream.
pub(crate) fn cursor(latest: Recorded) -> Option<CursorRow> {
    match latest.fact {
        Fact::CursorMoved { cursor, behind } => {
            let version = Version(latest.position.0);
            Some(CursorRow { cursor, behind, version, at: latest.at })
        }
        _ => None,
    }
}

/// The sensor of a stream whose last fact has a cursor, with that.
pub(crate) fn sensor_cursor(latest: Recorded) -> Option<(String, CursorRow)> {
    let Stream::Sensor(id) = latest.stream.clone() else { return None };
    cursor(latest).filter(|row| !row.cursor.is_null()).map(|row| (id, row))
}

/// What is remembered in the last fact of an object's stream, with what comes after `prefix` in the
/// stream's name.
pub(crate) fn seen(latest: Recorded, prefix: &str) -> Option<(String, Value)> {
    match (latest.stream, latest.fact) {
        (Stream::Seen(name), Fact::ObjectSeen { entry }) => {
            Some((name.strip_prefix(prefix)?.to_owned(), entry))
        }
        _ => None,
    }
}

/// The datastore entry in the last fact of its stream, if it is there at `now`.
pub(crate) fn key_row(latest: Recorded, now: Timestamp) -> Option<KeyRow> {
    let version = Version(latest.position.0);
    match (latest.stream, latest.fact) {
        (Stream::Key(key), Fact::KeySet { value, expires_at })
            if expires_at.is_none_or(|end| end > now) =>
        {
            Some(KeyRow { key, value, version, expires_at, at: latest.at })
        }
        _ => None,
    }
}

/// The switch in the last fact of a rule's stream.
pub(crate) fn switch(latest: Recorded) -> Option<(RuleRef, bool)> {
    match (latest.stream, latest.fact) {
        (Stream::Rule(rule), Fact::RuleSwitched { enabled }) => Some((rule, enabled?)),
        _ => None,
    }
}

/// The token in the last fact of its stream.
pub(crate) fn token(latest: Recorded) -> Option<(Name, TokenRow)> {
    let Stream::Token(name) = latest.stream else { return None };
    let row = match latest.fact {
        Fact::TokenCreated(TokenCreated { hash, grant, expires_at, at }) => {
            TokenRow { hash, grant: Some(grant), revoked: false, expires_at, at }
        }
        Fact::TokenRevoked { hash, grant, expires_at, at } => {
            TokenRow { hash, grant, revoked: true, expires_at, at }
        }
        _ => return None,
    };
    Some((name, row))
}

/// The generation of packs that a fact of the installation activates.
pub(crate) fn generation(fact: &Fact) -> Option<(u64, BTreeMap<PackName, Hash>)> {
    match fact {
        Fact::GenerationActivated { generation, packs } => Some((*generation, packs.clone())),
        _ => None,
    }
}

/// The restore of which a fact of the installation tells.
pub(crate) fn restored(fact: &Fact) -> Option<Restored> {
    match fact {
        Fact::StateRestored { taken_at, at } => Some(Restored { taken_at: *taken_at, at: *at }),
        _ => None,
    }
}

/// The name that a fact of the installation gives it.
pub(crate) fn installation_name(fact: &Fact) -> Option<Name> {
    match fact {
        Fact::InstallationNamed { name } => Some(name.clone()),
        _ => None,
    }
}
