//! The timeline: one line for each fact of an execution that people want to see.

use std::collections::BTreeMap;

use model::fact::StepResult;
use model::{Call, Fact, Record, StepPath, Timestamp};

use crate::execution::{colour, took};
use crate::output::{coloured, seconds};

/// What it needs to remember from one fact to the next: the steps that have begun.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    steps: BTreeMap<StepPath, (String, Timestamp)>,
}

impl Timeline {
    /// The line for `fact`, where it has one.
    pub(crate) fn line(&mut self, at: Timestamp, fact: &Fact) -> Option<String> {
        let (word, text) = self.words(fact)?;
        let word = coloured(colour(word), &format!("{word:<15}"));
        Some(format!("{}  {word}  {text}", seconds(at)).trim_end().to_owned())
    }

    fn words(&mut self, fact: &Fact) -> Option<(&'static str, String)> {
        Some(match fact {
            Fact::ExecutionRequested(request) => ("queued", request.action.to_string()),
            Fact::StepIntended { path, call, at } => {
                let label = format!("{path} {}", label(call));
                self.steps.insert(path.clone(), (label.clone(), *at));
                ("begun", label)
            }
            Fact::StepRecorded { path, record, .. } => recorded(path, record),
            Fact::AttemptFailed { path, attempt, error, next_at, .. } => {
                let what = self.label(path);
                let again = seconds(*next_at);
                ("retrying", format!("{what}: attempt {attempt}: {error}; next at {again}"))
            }
            Fact::StepFinished { path, result, at, .. } => self.finished(path, result, *at),
            Fact::AttentionNeeded { path, error, .. } => {
                let what =
                    path.as_ref().map_or_else(|| "the chain".to_owned(), |path| self.label(path));
                ("needs_attention", format!("{what}: {error}"))
            }
            Fact::StepResolved { path, resolution, .. } => {
                let what =
                    path.as_ref().map_or_else(|| "the chain".to_owned(), |path| self.label(path));
                ("resolved", format!("{what}: {}", resolved(resolution)))
            }
            Fact::CancelRequested { reason, .. } => {
                ("cancelling", reason.clone().unwrap_or_else(|| "on request".to_owned()))
            }
            Fact::ExecutionPaused { reason, .. } => {
                ("paused", reason.clone().unwrap_or_else(|| "on request".to_owned()))
            }
            Fact::ExecutionResumed { .. } => ("resumed", String::new()),
            Fact::UndoBegan { .. } => ("undoing", "handlers run, newest first".to_owned()),
            Fact::ExecutionParked { until: Some(until), .. } => {
                ("waiting", format!("until {}", seconds(*until)))
            }
            Fact::ExecutionFinished { outcome, .. } => {
                let error = outcome.error.as_ref().map(ToString::to_string);
                let next = outcome.continued_as.as_ref().map(|next| format!("goes on as {next}"));
                (outcome.state.as_str(), error.or(next).unwrap_or_default())
            }
            _ => return None,
        })
    }

    fn finished(
        &self,
        path: &StepPath,
        result: &StepResult,
        at: Timestamp,
    ) -> (&'static str, String) {
        let label = self.label(path);
        let time = self.steps.get(path).map(|(_, begun)| took(*begun, at)).unwrap_or_default();
        match result {
            StepResult::Done(_) => ("done", format!("{label}  {time}")),
            StepResult::Failed(error) => ("failed", format!("{label}  {time}: {error}")),
        }
    }

    fn label(&self, path: &StepPath) -> String {
        self.steps.get(path).map_or_else(|| path.to_string(), |(label, _)| label.clone())
    }
}

/// What the chain answered itself: a line for each, as each has a number.
fn recorded(path: &StepPath, record: &Record) -> (&'static str, String) {
    match record {
        Record::Log(message) => ("log", format!("{path} {message}")),
        Record::Emit { kind, .. } => ("emitted", format!("{path} {kind}")),
        Record::EmitRefused { kind, error } => ("failed", format!("{path} emit {kind}: {error}")),
        Record::Now(at) => ("done", format!("{path} now()  {}", seconds(*at))),
        Record::Uuid(uuid) => ("done", format!("{path} uuid()  {uuid}")),
        Record::Undo | Record::OnExit => {
            ("done", format!("{path} {}()  registered", record.function()))
        }
    }
}

fn label(call: &Call) -> String {
    match (call, call.action()) {
        (Call::Sleep { until }, _) => format!("sleep until {}", seconds(*until)),
        (Call::Poll { action, .. }, _) => format!("poll {action}"),
        (_, Some(action)) => action.to_string(),
        (_, None) => String::new(),
    }
}

fn resolved(resolution: &model::Resolution) -> String {
    match resolution {
        model::Resolution::Done(_) => "it was done".to_owned(),
        model::Resolution::Retry => "tried again".to_owned(),
        model::Resolution::Fail(message) => format!("it failed: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use model::{ErrorKind, Outcome, StepError};

    #[test]
    fn whatever_has_a_number_has_a_line() {
        let at = Timestamp::from_second(7).unwrap();
        let refused = StepError::new(ErrorKind::Rejected, "no such type");
        let kind: model::TriggerType = "p.told".parse().unwrap();
        let records = [
            Record::Now(at),
            Record::Uuid("0190".to_owned()),
            Record::Undo,
            Record::OnExit,
            Record::Log("hello".to_owned()),
            Record::Emit { kind: kind.clone(), data: model::Value::Null },
            Record::EmitRefused { kind, error: refused },
        ];
        let told = (1..).zip(records).map(|(n, record)| {
            let fact = Fact::StepRecorded { path: StepPath::top(n), record, at };
            Timeline::default().line(at, &fact).unwrap()
        });
        expect![[r#"
            1970-01-01T00:00:07Z  done             1 now()  1970-01-01T00:00:07Z
            1970-01-01T00:00:07Z  done             2 uuid()  0190
            1970-01-01T00:00:07Z  done             3 undo()  registered
            1970-01-01T00:00:07Z  done             4 on_exit()  registered
            1970-01-01T00:00:07Z  log              5 hello
            1970-01-01T00:00:07Z  emitted          6 p.told
            1970-01-01T00:00:07Z  failed           7 emit p.told: no such type (rejected)"#]]
        .assert_eq(&told.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_life_is_told_a_line_a_fact() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let path = StepPath::top(1);
        let facts = [
            Fact::StepIntended {
                path: path.clone(),
                call: Call::Sleep { until: at(5) },
                at: at(1),
            },
            Fact::ExecutionParked { until: Some(at(5)), at: at(1) },
            Fact::StepFinished {
                path,
                result: StepResult::Done(model::Value::Null),
                attempts: 1,
                at: at(5),
            },
            Fact::ExecutionParked { until: None, at: at(5) },
            Fact::ExecutionFinished {
                outcome: Outcome::failed(StepError::new(ErrorKind::Failed, "no")),
                at: at(6),
            },
        ];
        let mut timeline = Timeline::default();
        let lines: Vec<String> =
            facts.iter().filter_map(|fact| timeline.line(at(9), fact)).collect();
        expect![[r#"
            1970-01-01T00:00:09Z  begun            1 sleep until 1970-01-01T00:00:05Z
            1970-01-01T00:00:09Z  waiting          until 1970-01-01T00:00:05Z
            1970-01-01T00:00:09Z  done             1 sleep until 1970-01-01T00:00:05Z  4.0s
            1970-01-01T00:00:09Z  failed           no (failed)"#]]
        .assert_eq(&lines.join("\n"));
    }
}
