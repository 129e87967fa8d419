//! `template.render`, which `actions` cannot perform: it knows no expressions.

use std::cell::OnceCell;
use std::sync::Arc;

use actions::{Action, BuiltinContext, Metadata, Performing, SharedAction};
use expr::condition::{Frame, Interpreter};
use expr::template::Template;
use futures::FutureExt;
use futures::future::BoxFuture;
use model::value::MAX_DEPTH;
use model::{Effect, ErrorKind, Map, Performance, Plan, StepError, Value};

/// What expressions may read.
const NAMES: [&str; 1] = ["values"];

thread_local! {
    static INTERPRETER: OnceCell<Interpreter> = const { OnceCell::new() };
}

/// Every built-in action that performs itself.
pub(crate) fn builtin(context: &BuiltinContext) -> Vec<SharedAction> {
    let mut all = actions::builtin(context);
    all.push(Arc::new(Render(actions::template::declaration())));
    all
}

/// Fills templates.
struct Render(Metadata);

impl Action for Render {
    fn metadata(&self) -> &Metadata {
        &self.0
    }

    fn effect(&self, _: &Value) -> Effect {
        Effect::Read
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        let rendered = rendered(&planned.parameters);
        std::future::ready(rendered.map(|it| Plan::new("fills a template").answering(it))).boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        let rendered = rendered(&performing.parameters);
        let performed = rendered.map_or_else(Performance::Failed, Performance::Done);
        std::future::ready(performed).boxed()
    }
}

fn rendered(parameters: &Value) -> Result<Value, StepError> {
    let rendered = INTERPRETER.with(|cell| {
        let interpreter = cell.get_or_init(|| Interpreter::new(&NAMES));
        let mut frame = Frame::new();
        frame.set("values", &parameters["values"]);
        let mut filler = Filler { interpreter, frame };
        filler.fill(&parameters["template"], "template", MAX_DEPTH)
    });
    let invalid = |message| StepError::new(ErrorKind::InvalidParameters, message);
    Ok(serde_json::json!({ "value": rendered.map_err(invalid)? }))
}

struct Filler<'a> {
    interpreter: &'a Interpreter,
    frame: Frame<'a>,
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
        filled.map_err(|failed| format!("`{path}`: {}", failed.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
