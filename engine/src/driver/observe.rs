//! What is measured and told of an execution once it is stored.

use model::{Call, Fact, StepPath, Timestamp, TraceParent};
use store::Encoded;

use super::run::Run;
use crate::spans::{self, Step};

impl Run {
    /// Counts, and tells in spans, what has ended with these facts.
    pub(super) fn observe(&self, facts: &[Encoded]) {
        let Some(request) = &self.journal.request else { return };
        for fact in facts {
            match &**fact {
                Fact::ExecutionFinished { outcome, at } => {
                    self.core.metrics.finished(&request.action, outcome.state);
                    if self.core.spans.are_sent() {
                        let started = self.journal.started_at;
                        let span = spans::of_execution(&self.id, request, started, outcome, *at);
                        self.core.spans.end(span);
                    }
                }
                Fact::StepFinished { path, result, attempts, at } if self.core.spans.are_sent() => {
                    let asked = self.asked_at(facts, path);
                    if let Some((call, from)) = asked {
                        let (execution, attempts) = (request.trace(&self.id), *attempts);
                        let step = Step { id: &self.id, path, call, result, attempts };
                        self.core.spans.end(spans::of_step(execution, &step, from, *at));
                    }
                }
                _ => {}
            }
        }
    }

    /// What the step at `path` is, and when it was asked for: as the journal says, or `facts` that
    /// it has not taken in yet.
    fn asked_at<'a>(
        &'a self,
        facts: &'a [Encoded],
        path: &StepPath,
    ) -> Option<(&'a Call, Timestamp)> {
        if let Some(entry) = self.journal.entries.get(path) {
            return Some((&entry.call, entry.at));
        }
        facts.iter().find_map(|fact| match &**fact {
            Fact::StepIntended { path: found, call, at } if found == path => Some((call, *at)),
            _ => None,
        })
    }

    /// What the log says of each line that is about this execution: its trace.
    pub(super) fn logged(&self) -> tracing::Span {
        let trace = self.span().map(|span| format!("{:032x}", span.trace)).unwrap_or_default();
        tracing::info_span!("execution", trace)
    }

    /// The span of this execution.
    fn span(&self) -> Option<TraceParent> {
        self.journal.request.as_ref().map(|request| request.span(&self.id))
    }

    /// The span of the step at `path`.
    pub(super) fn span_of_step(&self, path: &StepPath) -> Option<TraceParent> {
        self.span().map(|span| spans::step_place(span, &self.id, path))
    }
}
