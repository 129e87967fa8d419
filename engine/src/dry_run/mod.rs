//! Dry runs: what an action would do, said without doing it.
//!
//! ```text
//!  rehearse ──▶ new calls ──▶ read: performed   else: planned ──▶ journal in memory ──▶ rehearse …
//! ```
//! A chain is evaluated against a journal that nobody stores. Actions that only read are performed;
//! all others are asked for their plan, which may say what performing would answer. Where it does
//! not, the chain goes on until it uses the answer, and the dry run ends there. Sleeps are over at
//! once; keys and secrets that would have changed read as if they had.

mod report;
mod state;
mod step;
mod walk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{ActionRef, Map, Value, Violation};
use tokio_util::sync::CancellationToken;

use crate::ask::AskError;
use crate::engine::Engine;

pub use report::{DryRun, DryStep, End, How, Stopped};
use state::State;
use walk::{Asked, Walk};

/// Longest dry run: somebody waits for the answer.
const LIMIT: Duration = Duration::from_secs(45);

impl Engine {
    /// What running `action` would do. `assumed` are results for steps whose plans don't say them,
    /// by path; the steps of a child have its step's path and a slash before their own.
    pub async fn dry_run(
        &self,
        action: ActionRef,
        parameters: Map,
        assumed: BTreeMap<String, Value>,
    ) -> Result<DryRun, AskError> {
        let (resolved, parameters, fresh) = self.called(&action, parameters)?;
        let mut state = State::new(self.core.clone(), assumed, Instant::now() + LIMIT);
        let cancel = state.cancel.clone();
        // What is under way ends with who asked, and with the engine.
        let _ended = cancel.clone().drop_guard();
        let asked = Asked { action, parameters, prefix: String::new(), passed: Vec::new() };
        let mut walk = Walk::new(&self.core, &resolved, asked);
        walk.learn(&fresh, &mut state);
        let engine_stops = self.core.stopping.clone();
        let report = tokio::select! {
            report = walk.walk(&mut state) => report,
            () = engine_stops.cancelled() => {
                return Err(AskError::Unavailable("the engine is stopping".to_owned()));
            }
        };
        unused(&state)?;
        Ok(report)
    }
}

/// A result was given for a step that there is not: a slip, most likely.
fn unused(state: &State) -> Result<(), AskError> {
    let left = state.assumed.keys().map(|path| Violation {
        path: "assume".to_owned(),
        message: format!("`{path}`: the dry run met no step there whose result it did not know"),
        hint: Some("leave it out, or look up the step's path without it".to_owned()),
    });
    match left.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        some => Err(AskError::Invalid(some)),
    }
}

/// A token under which everything that a dry run performs ends.
fn token(core: &crate::core::Core) -> CancellationToken {
    core.killing.child_token()
}
