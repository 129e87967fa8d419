//! What a step did, or would do.

use model::{Change, Plan, Value};

use super::difference::{difference, plain};
use super::manifest::Identity;

/// One object before and after.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) identity: Identity,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    /// `created`, `configured`, `deleted` or `unchanged`.
    pub(super) result: &'static str,
}

/// What a step did, or would do.
#[derive(Debug, Default)]
pub(super) struct Acted {
    pub(super) moved: Vec<Moved>,
    /// What it answers; in a dry run, where that can be known.
    pub(super) result: Option<Value>,
}

impl Moved {
    pub(super) fn new(identity: Identity, before: Option<Value>, after: Option<Value>) -> Self {
        let result = match (&before, &after) {
            (None, Some(_)) => "created",
            (Some(_), None) => "deleted",
            (Some(before), Some(after)) if plain(before) != plain(after) => "configured",
            _ => "unchanged",
        };
        Self { identity, before, after, result }
    }

    pub(super) fn is_change(&self) -> bool {
        self.result != "unchanged"
    }

    fn change(&self) -> Change {
        let diff = difference(self.before.as_ref(), self.after.as_ref());
        Change { what: self.identity.to_string(), diff, ..Change::default() }
    }
}

impl Acted {
    /// Nothing but an answer.
    pub(super) fn answer(result: Value) -> Self {
        Self { moved: Vec::new(), result: Some(result) }
    }

    /// The same as a plan.
    pub(super) fn plan(self) -> Plan {
        let changed: Vec<&Moved> = self.moved.iter().filter(|moved| moved.is_change()).collect();
        let said = |moved: &&Moved| format!("{} {}", future(moved.result), moved.identity);
        let summary = match changed.as_slice() {
            [] => "nothing: the cluster says so already".to_owned(),
            few if few.len() <= 3 => few.iter().map(said).collect::<Vec<_>>().join(", "),
            many => format!("{} objects change", many.len()),
        };
        let plan = changed.iter().fold(Plan::new(summary), |plan, moved| plan.with(moved.change()));
        match self.result {
            Some(result) => plan.answering(result),
            None => plan,
        }
    }
}

fn future(result: &str) -> &'static str {
    match result {
        "created" => "creates",
        "deleted" => "deletes",
        _ => "changes",
    }
}
