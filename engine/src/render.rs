//! `template.render`, which `actions` cannot perform: it knows no expressions.
//!
//! Its texts come from chains and, with these, from whoever sends events. So they are filled on
//! threads of their own, and all of them together within bounds.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actions::{Action, BuiltinContext, Metadata, Performing, SharedAction};
use expr::condition::{Frame, Interpreter};
use expr::template::Template;
use futures::FutureExt;
use futures::future::BoxFuture;
use model::value::{MAX_DEPTH, MAX_EVENT_BYTES};
use model::{Effect, ErrorKind, Map, Performance, Plan, StepError, Value};
use tokio_util::sync::CancellationToken;

/// What expressions may read.
const NAMES: [&str; 1] = ["values"];
/// Most operations of all expressions of one template: what a rule's condition may take, twenty times.
const OPERATIONS: u64 = 1_000_000;
/// How long all of them may take: an operation on a long text takes longer than others.
const TIME: Duration = Duration::from_secs(5);
/// Most bytes of all that is filled in.
const BYTES: usize = MAX_EVENT_BYTES;

/// Where templates are filled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    /// Threads that nothing else waits for.
    Threads,
    /// The thread that asks: a clock that skips waits for no other.
    Here,
}

/// Every built-in action that performs itself.
pub(crate) fn builtin(context: &BuiltinContext, on: On) -> Vec<SharedAction> {
    let mut all = actions::builtin(context);
    all.push(Arc::new(Render { metadata: actions::template::declaration(), on }));
    all
}

/// Fills templates.
struct Render {
    metadata: Metadata,
    on: On,
}

impl Action for Render {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn effect(&self, _: &Value) -> Effect {
        Effect::Read
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        let filled = self.fill(planned.parameters.clone(), planned.cancel.clone());
        async { Ok(Plan::new("fills a template").answering(filled.await?)) }.boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        let filled = self.fill(performing.parameters, performing.cancel);
        async { filled.await.map_or_else(Performance::Failed, Performance::Done) }.boxed()
    }
}

impl Render {
    async fn fill(&self, parameters: Value, cancel: CancellationToken) -> Result<Value, StepError> {
        let fill = move || rendered(&parameters, cancel);
        match self.on {
            On::Here => fill(),
            On::Threads => tokio::task::spawn_blocking(fill).await.unwrap_or_else(|error| {
                Err(StepError::new(ErrorKind::Internal, format!("filling it ended: {error}")))
            }),
        }
    }
}

fn rendered(parameters: &Value, cancel: CancellationToken) -> Result<Value, StepError> {
    let (end, spent) = (Instant::now() + TIME, Cell::new(0));
    let over = move || {
        spent.set(spent.get() + 1);
        // Looking at the time takes longer than an operation.
        let late = || spent.get() % 256 == 0 && (Instant::now() > end || cancel.is_cancelled());
        spent.get() > OPERATIONS || late()
    };
    let interpreter = Interpreter::until(&NAMES, over);
    let mut frame = Frame::new();
    frame.set("values", &parameters["values"]);
    let mut filler = Filler { interpreter: &interpreter, frame, room: BYTES };
    let filled = filler.fill(&parameters["template"], "template", MAX_DEPTH);
    let invalid = |message| StepError::new(ErrorKind::InvalidParameters, message);
    Ok(serde_json::json!({ "value": filled.map_err(invalid)? }))
}

struct Filler<'a> {
    interpreter: &'a Interpreter,
    frame: Frame<'a>,
    /// Bytes that may still be filled in.
    room: usize,
}

impl Filler<'_> {
    /// `value` with its texts filled; `path` says where it stands.
    fn fill(&mut self, value: &Value, path: &str, depth: usize) -> Result<Value, String> {
        let below = depth.checked_sub(1).ok_or_else(|| format!("`{path}` is nested too deep"))?;
        Ok(match value {
            Value::String(text) => self.text(text, path)?,
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let filled = items.map(|(n, item)| self.fill(item, &format!("{path}.{n}"), below));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entry = |(name, item): (&String, &Value)| {
                    Ok((name.clone(), self.fill(item, &format!("{path}.{name}"), below)?))
                };
                Value::Object(map.iter().map(entry).collect::<Result<Map, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn text(&mut self, text: &str, path: &str) -> Result<Value, String> {
        let template = Template::parse(text, self.interpreter).map_err(|error| {
            let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!(
                "`{path}`, line {}, column {}: {}{hint}",
                error.line, error.column, error.message
            )
        })?;
        let filled = template.render(self.interpreter, &mut self.frame);
        let filled = filled.map_err(|failed| format!("`{path}`: {}", failed.message))?;
        let left = self.room.checked_sub(size(&filled));
        self.room = left.ok_or_else(|| format!("`{path}`: more than {BYTES} bytes in all"))?;
        Ok(filled)
    }
}

/// Some bytes for each value, and those of its texts.
fn size(value: &Value) -> usize {
    8 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(name, item)| name.len() + size(item)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(parameters: &Value) -> Result<Value, StepError> {
        super::rendered(parameters, CancellationToken::new())
    }

    #[test]
    fn texts_are_filled_wherever_they_stand_and_keep_their_types() {
        let values = json!({ "name": "web", "ports": [80, 443], "a": { "b": true } });
        for (template, expected) in [
            (json!("server ${values.name}:${values.ports[1]};"), json!("server web:443;")),
            (json!("${values.ports}"), json!([80, 443])),
            (
                json!({ "on": "${values.a.b}", "n": [1, "${values.ports[0] + 1}"] }),
                json!({ "on": true, "n": [1, 81] }),
            ),
            (json!("$${values.name}"), json!("${values.name}")),
            (json!(7), json!(7)),
        ] {
            let parameters = json!({ "template": template, "values": values });
            assert_eq!(rendered(&parameters).unwrap(), json!({ "value": expected }));
        }
    }

    #[test]
    fn what_cannot_be_filled_says_where_it_stands() {
        for (template, expected) in [
            (json!({ "a": ["x", "${values.nmae}"] }), "`template.a.1`: "),
            (json!("one\ntwo ${values.name"), "`template`, line 2, column 5: "),
            (json!("${trigger.x}"), "`template`, line 1, column 3: "),
        ] {
            let error = rendered(&json!({ "template": template, "values": { "name": 1 } }));
            let error = error.unwrap_err();
            assert!(error.message.starts_with(expected), "{error}");
            assert_eq!(error.kind, ErrorKind::InvalidParameters);
        }
    }

    #[test]
    fn all_texts_together_stay_within_bounds_however_many_they_are() {
        let long = "x".repeat(400_000);
        let list: Vec<u32> = (0..4_000).collect();
        let nested = "${values.list.map(|x| values.list.filter(|y| x == y).len()).len()}";
        for (template, expected) in [
            (json!(vec!["${values.long}"; 100]), "`template.10`: more than 4194304 bytes in all"),
            (json!("${values.long}".repeat(100)), "`template`: the text has more than"),
            (json!(nested), "`template`: the expression takes too long"),
            (json!(vec!["${values.list.filter(|x| x > 7).len()}"; 100]), "takes too long"),
        ] {
            let values = json!({ "long": long, "list": list });
            let error = rendered(&json!({ "template": template, "values": values })).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_cancelled_goes_no_further() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let list: Vec<u32> = (0..4_000).collect();
        let template = "${values.list.filter(|x| x > 7).len()}";
        let parameters = json!({ "template": template, "values": { "list": list } });
        assert!(super::rendered(&parameters, cancel).is_err());
        assert_eq!(rendered(&parameters).unwrap(), json!({ "value": 3_992 }));
    }
}
