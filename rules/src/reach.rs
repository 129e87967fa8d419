//! Criteria on paths at which nothing can ever stand: a slip in a name would be taken for "no
//! match" of every event.

use model::diagnostic::suggest;
use model::reach::{Found, Nowhere, at, items, nowhere};
use model::{Diagnostic, Map, Schema};
use serde_json::json;

use crate::criteria::{Criteria, Criterion};
use crate::path::{Path, Root, Segment};

/// What is known of what criteria look into; none where it is not.
#[derive(Debug, Default)]
pub struct Known {
    trigger: Option<Map>,
    config: Option<Map>,
}

impl Known {
    /// Events with data of the schema `trigger`, in a pack whose configuration has the schema
    /// `config`.
    pub fn new(trigger: Option<&Schema>, config: Option<&Schema>) -> Self {
        Self { trigger: trigger.map(Schema::as_value), config: config.map(Schema::as_value) }
    }

    /// What is wrong with the paths of `criteria`.
    pub(crate) fn check(&self, criteria: &Criteria) -> Vec<Diagnostic> {
        let all = criteria.all.iter().chain(criteria.any.iter().flatten());
        all.flat_map(|criterion| self.criterion(criterion, None)).collect()
    }

    /// `item` describes the items of the list that the criterion stands in.
    fn criterion(&self, criterion: &Criterion, item: Option<&Map>) -> Vec<Diagnostic> {
        let envelope = envelope();
        let path = &criterion.path;
        let schema = match path.root() {
            Root::Trigger => self.trigger.as_ref(),
            Root::Event => Some(&envelope),
            Root::Config => self.config.as_ref(),
            Root::Item => item,
        };
        let Some(schema) = schema else { return Vec::new() };
        let names: Vec<&str> = path.segments().iter().map(Segment::name).collect();
        if let Some(nowhere) = nowhere(schema, &names) {
            let (message, hint) = told(path, &names, nowhere);
            return vec![criterion.written.error(message).with_hint(hint)];
        }
        let item = at(schema, &names).and_then(items);
        let inner = criterion.tests.iter().filter_map(|test| test.items()).flatten();
        inner.flat_map(|criterion| self.criterion(criterion, item)).collect()
    }
}

fn told(path: &Path, names: &[&str], nowhere: Nowhere) -> (String, String) {
    let root = match path.root() {
        Root::Trigger => "trigger",
        Root::Event => "event",
        Root::Config => "config",
        Root::Item => "item",
    };
    let (known, rest) = names.split_at(nowhere.depth);
    let whole = std::iter::once(root).chain(known.iter().copied()).collect::<Vec<_>>().join(".");
    let name = rest.first().copied().unwrap_or_default();
    match nowhere.found {
        Found::Names(names) => {
            let hint = match suggest(name, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if names.is_empty() => format!("`{whole}` has no names at all"),
                None => format!("known here: {}", names.join(", ")),
            };
            (format!("`{whole}` never has a `{name}`"), hint)
        }
        Found::List => {
            let hint = format!("write `{whole}: {{ any: {{ {}: … }} }}`", rest.join("."));
            (format!("`{whole}` is a list: its items have no names"), hint)
        }
        Found::Scalar(kind) => {
            let hint = format!("compare `{whole}` itself");
            (format!("`{whole}` is a value of type {kind}: it has no `{name}`"), hint)
        }
    }
}

/// What rules see as `event`.
fn envelope() -> Map {
    let text = json!({ "type": "string" });
    let envelope = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "id": text, "source": text, "type": text, "time": text,
            "subject": { "type": ["string", "null"] },
            "cause": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": { "execution": text, "depth": { "type": "integer" } },
            },
        },
    });
    match envelope {
        serde_json::Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn finds(criteria: &str, expected: Expect) {
        let schema =
            |value: serde_json::Value| Schema::compile(value.as_object().unwrap()).unwrap();
        let trigger = schema(json!({
            "ref": { "type": "string" },
            "body": {},
            "commits": { "type": "array", "items": { "type": "object",
                "additionalProperties": false, "properties": { "id": { "type": "string" } } } },
        }));
        let config = schema(json!({ "branch": { "type": "string" } }));
        let document = syntax::parse("a.yaml", criteria).unwrap();
        let criteria = Criteria::parse(document.root()).unwrap();
        let told =
            Known::new(Some(&trigger), Some(&config)).check(&criteria).into_iter().map(|f| {
                let hint = f.hint.unwrap_or_default();
                format!("{}:{} {} -- {hint}", f.at.line, f.at.column, f.message)
            });
        expected.assert_eq(&told.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_path_that_can_lead_somewhere_is_left_alone() {
        finds(
            "trigger: { exists: true }\n\
             trigger.body.anything.0: 1\n\
             trigger.commits.0.id: a\n\
             trigger.commits: { any: { item.id: a, id: b } }\n\
             event.cause.depth: 1\n\
             config.branch: main\n",
            expect![""],
        );
    }

    #[test]
    fn a_slip_in_a_path_is_told_with_what_may_be_meant() {
        finds(
            "trigger.rf: a\n\
             event.kind: a\n\
             config.brnch: main\n\
             any:\n\
             - trigger.ref.name: a\n\
             - trigger.commits.id: a\n\
             - trigger.commits: { all: { idd: a } }\n\
             - event.cause.execution_id: a\n",
            expect![[r#"
                1:1 `trigger` never has a `rf` -- did you mean `ref`?
                2:1 `event` never has a `kind` -- known here: cause, id, source, subject, time, type
                3:1 `config` never has a `brnch` -- did you mean `branch`?
                5:3 `trigger.ref` is a value of type string: it has no `name` -- compare `trigger.ref` itself
                6:3 `trigger.commits` is a list: its items have no names -- write `trigger.commits: { any: { id: … } }`
                7:29 `item` never has a `idd` -- did you mean `id`?
                8:3 `event.cause` never has a `execution_id` -- did you mean `execution`?"#]],
        );
    }
}
