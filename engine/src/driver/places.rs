//! Places among the steps that are performed at the same time.
//!
//! A step gets its place before its intent (or a later attempt's beginning) is stored. So a kill
//! finds an open intent only of what was begun at once, and a step that waits for room is simply
//! begun by the next start, whatever its effect.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use model::StepPath;
use tokio::sync::oneshot;

use crate::fair::{Lane, Permit, Permits};

/// The places that one execution's steps wait for, or hold until they begin.
#[derive(Default)]
pub(super) struct Places {
    turns: BTreeMap<StepPath, Turn>,
    wanted: BTreeSet<StepPath>,
}

enum Turn {
    Waits(oneshot::Receiver<Permit>),
    Come(Permit),
}

impl Places {
    /// Whether the step at `path` has its place; one that has not asked for it does so now.
    pub(super) fn reserve(&mut self, path: &StepPath, permits: &Permits, lane: &Lane) -> bool {
        self.wanted.insert(path.clone());
        let ask = || Turn::Waits(permits.ask(lane));
        self.turns.entry(path.clone()).or_insert_with(ask).has_come()
    }

    /// Whether the step at `path` has asked for its place and has to go on waiting.
    pub(super) fn waits(&mut self, path: &StepPath) -> bool {
        let waits = self.turns.get_mut(path).is_some_and(|turn| !turn.has_come());
        if waits {
            self.wanted.insert(path.clone());
        }
        waits
    }

    /// The place of a step that begins.
    pub(super) fn take(&mut self, path: &StepPath) -> Option<Permit> {
        match self.turns.remove(path)? {
            Turn::Come(permit) => Some(permit),
            turn @ Turn::Waits(_) => {
                self.turns.insert(path.clone(), turn);
                None
            }
        }
    }

    /// Gives up the places that nobody has asked about since the last call.
    pub(super) fn give_up_unwanted(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        self.turns.retain(|path, _| wanted.contains(path));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Completes once a step that waits has its place.
    pub(super) async fn come(&mut self) {
        poll_fn(|context| {
            let mut came = false;
            for turn in self.turns.values_mut() {
                let Turn::Waits(permit) = turn else { continue };
                if let Poll::Ready(Ok(permit)) = Pin::new(permit).poll(context) {
                    *turn = Turn::Come(permit);
                    came = true;
                }
            }
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Turn {
    fn has_come(&mut self) -> bool {
        if let Self::Waits(turn) = self
            && let Ok(permit) = turn.try_recv()
        {
            *self = Self::Come(permit);
        }
        matches!(self, Self::Come(_))
    }
}
