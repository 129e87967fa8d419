//! The steps of one execution that are under way in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::StepPath;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::perform::{Job, Report, perform};
use crate::core::Core;
use crate::fair::Permit;

/// Steps under way.
#[derive(Default)]
pub(super) struct Flight {
    tasks: JoinSet<Report>,
    cancels: BTreeMap<StepPath, CancellationToken>,
}

impl Flight {
    pub(super) fn is_empty(&self) -> bool {
        self.cancels.is_empty()
    }

    pub(super) fn contains(&self, path: &StepPath) -> bool {
        self.cancels.contains_key(path)
    }

    pub(super) fn begin(&mut self, core: &Arc<Core>, job: Job, place: Permit) {
        self.cancels.insert(job.path.clone(), job.performing.cancel.clone());
        self.tasks.spawn(perform(core.clone(), job, place).in_current_span());
    }

    /// Tells every step under way to end.
    pub(super) fn cancel(&self) {
        self.cancels.values().for_each(CancellationToken::cancel);
    }

    /// The next report, and all others that are at hand with it.
    pub(super) async fn landed(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(next) = match reports.is_empty() {
            true => self.tasks.join_next().await,
            false => self.tasks.try_join_next(),
        } {
            match next {
                Ok(report) => {
                    self.cancels.remove(report.path());
                    reports.push(report);
                }
                // Nobody ends a task: the runtime is ending, so nothing is learnt here any more.
                Err(error) if error.is_cancelled() => std::future::pending().await,
                Err(error) => tracing::error!(%error, "a step's task panicked"),
            }
        }
        if reports.is_empty() {
            // Only panicked tasks were left: their steps count as cut off.
            self.cancels.clear();
        }
        reports
    }
}
