//! The `expect:` of a test.

use model::diagnostic::instead;
use model::{ActionRef, Diagnostic, ExecutionState, Location, Name, TriggerType};
use syntax::{Entry, Fields, Node};

use super::case::{Emitted, End, Expect, Expected, ExpectedError, ExpectedStep};
use super::file::{Context, entries, error_kind};
use super::mocks::names_exist;

type Parsed<T> = Result<T, Vec<Diagnostic>>;

const KNOWN: [&str; 11] = [
    "rules",
    "rule_errors",
    "steps",
    "outcome",
    "result",
    "error",
    "executions",
    "emits",
    "logs",
    "keys",
    "global_keys",
];

/// Ends of an execution, and how a test may leave it.
const OUTCOMES: [ExecutionState; 6] = [
    ExecutionState::Succeeded,
    ExecutionState::Failed,
    ExecutionState::Cancelled,
    ExecutionState::TimedOut,
    ExecutionState::NeedsAttention,
    ExecutionState::Waiting,
];

pub(super) fn parse(node: &Node, context: &Context<'_>) -> Parsed<Expect> {
    let fields = Fields::new(node, &KNOWN, &[]);
    if node.as_map().is_some_and(<[Entry]>::is_empty) {
        let finding = node.error("the test expects nothing");
        fields.report(finding.with_hint("say at least which rules or steps: `rules: []`"));
    }
    let rules = fields.optional("rules").list().zip(node.entry("rules"));
    let rules = rules.and_then(|(items, entry)| {
        let names = items.iter().map(|item| rule(item, item.as_str(), context));
        Some((fields.part(joined(names))?, entry.key.location()))
    });
    let keys = entries(&fields, &context.pack.name);
    let expect = Expect {
        at: Some(node.location()),
        rules,
        rule_errors: fields.part(rule_errors(&fields, context)).unwrap_or_default(),
        end: fields.part(end(&fields, context)).unwrap_or_default(),
        executions: fields.part(executions(&fields, context)).unwrap_or_default(),
        emits: fields.part(emits(&fields)).flatten(),
        logs: fields.optional("logs").strings().zip(node.entry("logs").map(|e| e.key.location())),
        keys: keys.into_iter().map(|(key, value, at)| (key, value.to_value(), at)).collect(),
    };
    fields.finish(Some(expect))
}

/// All of them, or all that is wrong.
fn joined<T>(parts: impl Iterator<Item = Parsed<T>>) -> Parsed<Vec<T>> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(part) => good.push(part),
            Err(findings) => wrong.extend(findings),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

/// A rule of the pack, by its name alone.
fn rule(node: &Node, text: Option<&str>, context: &Context<'_>) -> Parsed<Name> {
    let Some(text) = text else {
        return Err(vec![node.error(format!("expected a rule's name, found {}", node.describe()))]);
    };
    let own = format!("{}.", context.pack.name);
    let name = text.strip_prefix(&own).unwrap_or(text);
    if let Some(known) = context.pack.rules.keys().find(|known| known.as_str() == name) {
        return Ok(known.clone());
    }
    let known = context.pack.rules.keys().map(Name::as_str);
    let finding = node.error(format!("the pack has no rule `{text}`"));
    Err(vec![finding.with_hint(instead(name, known))])
}

fn rule_errors(
    fields: &Fields<'_>,
    context: &Context<'_>,
) -> Parsed<Vec<(Name, String, Location)>> {
    let entries = fields.optional("rule_errors").entries().unwrap_or_default();
    joined(entries.iter().map(|entry| {
        let name = rule(&entry.value, Some(entry.key.name()), context)?;
        let Some(part) = entry.value.as_str() else {
            let message = format!("expected a part of the error, found {}", entry.value.describe());
            return Err(vec![entry.value.error(message)]);
        };
        Ok((name, part.to_owned(), entry.key.location()))
    }))
}

fn executions(fields: &Fields<'_>, context: &Context<'_>) -> Parsed<Vec<(Name, Location, End)>> {
    let entries = fields.optional("executions").entries().unwrap_or_default();
    joined(entries.iter().map(|entry| {
        let name = rule(&entry.value, Some(entry.key.name()), context)?;
        let fields = Fields::new(&entry.value, &["steps", "outcome", "result", "error"], &[]);
        let end = fields.part(end(&fields, context));
        fields.finish(end.map(|end| (name, entry.key.location(), end)))
    }))
}

fn end(fields: &Fields<'_>, context: &Context<'_>) -> Parsed<End> {
    let place = |name: &str| fields.node().entry(name).map(|entry| entry.key.location());
    let steps = match fields.optional("steps").list() {
        Some(items) => Some(joined(items.iter().map(|item| expected(item, context)))?),
        None => None,
    };
    let outcomes = OUTCOMES.map(|state| (state.as_str(), state));
    let error = match fields.optional("error").node() {
        Some(node) => Some(error(node, context)?),
        None => None,
    };
    Ok(End {
        steps: steps.zip(place("steps")),
        outcome: fields.optional("outcome").one_of(&outcomes).zip(place("outcome")),
        result: fields.optional("result").value().zip(place("result")),
        error: error.zip(place("error")),
    })
}

fn error(node: &Node, context: &Context<'_>) -> Parsed<ExpectedError> {
    if let Some(message) = node.as_str() {
        let message = Some(message.to_owned());
        return Ok(ExpectedError { kind: None, message, action: None });
    }
    let fields = Fields::new(node, &["kind", "message", "action"], &[]);
    let action = fields.optional("action");
    let action = action.string().zip(action.node());
    let action = action
        .and_then(|(text, at)| fields.part(context.action(&text, |message| at.error(message))));
    let kind = error_kind(&fields, "kind");
    let message = fields.optional("message").string();
    fields.finish(Some(ExpectedError { kind, message, action }))
}

fn expected(node: &Node, context: &Context<'_>) -> Parsed<Expected> {
    let one_entry = node.as_map().filter(|entries| entries.len() == 1).map(|entries| &entries[0]);
    match (node.as_str(), one_entry) {
        (Some(name), _) => {
            let action = context.action(name, |message| node.error(message))?;
            Ok(Expected::One(ExpectedStep::plain(action)))
        }
        (None, Some(entry)) if entry.key.name() == "unordered" => unordered(&entry.value, context),
        (None, Some(entry)) => {
            let action = context.action(entry.key.name(), |message| entry.key.error(message))?;
            step(&entry.value, action, context).map(Expected::One)
        }
        (None, None) => {
            let hint = "such as `- http.request`, `- http.request: { with: { … } }` or `- unordered: [ … ]`";
            let message = format!("expected a step, found {}", node.describe());
            Err(vec![node.error(message).with_hint(hint)])
        }
    }
}

fn unordered(node: &Node, context: &Context<'_>) -> Parsed<Expected> {
    let Some(items) = node.as_list() else {
        return Err(vec![
            node.error(format!("expected a list of steps, found {}", node.describe())),
        ]);
    };
    let steps = joined(items.iter().map(|item| match expected(item, context)? {
        Expected::One(step) => Ok(step),
        Expected::Unordered(_) => {
            Err(vec![item.error("`unordered` stands in `unordered`").with_hint("join the two")])
        }
    }));
    steps.map(Expected::Unordered)
}

fn step(node: &Node, action: ActionRef, context: &Context<'_>) -> Parsed<ExpectedStep> {
    let fields = Fields::new(node, &["with", "attempts", "steps"], &[]);
    let with = fields.optional("with").node();
    if let (Some(with), Ok(resolved)) =
        (with, context.library.resolve(context.generation, None, &action))
    {
        names_exist(&fields, with, &resolved);
    }
    let attempts =
        fields.optional("attempts").integer(0, 1_000).and_then(|n| u32::try_from(n).ok());
    let steps = fields
        .optional("steps")
        .list()
        .and_then(|items| fields.part(joined(items.iter().map(|item| expected(item, context)))));
    let with = with.map(Node::to_value);
    fields.finish(Some(ExpectedStep { action, with, attempts, steps }))
}

fn emits(fields: &Fields<'_>) -> Parsed<Option<(Vec<Emitted>, Location)>> {
    let Some((items, entry)) = fields.optional("emits").list().zip(fields.node().entry("emits"))
    else {
        return Ok(None);
    };
    let emitted = joined(items.iter().map(|item| {
        if let Some(name) = item.as_str() {
            let kind = name.parse::<TriggerType>().map_err(|e| vec![item.error(e.to_string())])?;
            return Ok(Emitted { kind, data: None });
        }
        let fields = Fields::new(item, &["type", "data"], &[]);
        let kind = fields.required("type").parsed::<TriggerType>();
        let data = fields.optional("data").value();
        fields.finish(kind.map(|kind| Emitted { kind, data }))
    }))?;
    Ok(Some((emitted, entry.key.location())))
}

impl ExpectedStep {
    fn plain(action: ActionRef) -> Self {
        Self { action, with: None, attempts: None, steps: None }
    }
}
