//! A pack's documentation page, made of its files: the same files give the same page.

use std::fmt::{self, Write as _};
use std::path::Path;

use model::value::brief;
use model::{Diagnostic, Map, Schema, Value};
use rules::Rule;
use rules::criteria::Criterion;
use rules::operator::{Operator, Test};

use super::{ActionKind, OnUnknown, Pack, PackAction, SensorSpec, offline};

/// The page of the pack in `folder`, or what is wrong with the pack.
pub fn page_of(folder: &Path) -> Result<String, Vec<Diagnostic>> {
    let (packs, findings) = offline::load(folder, &[]);
    match packs.first() {
        Some(pack) if !findings.iter().any(Diagnostic::is_error) => Ok(page(pack)),
        _ => Err(findings.into_iter().filter(Diagnostic::is_error).collect()),
    }
}

/// The page of `pack`, in Markdown.
pub fn page(pack: &Pack) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut text, pack);
    text
}

fn write_page(text: &mut String, pack: &Pack) -> fmt::Result {
    writeln!(text, "# Pack `{}`\n", pack.name)?;
    if !pack.description.is_empty() {
        writeln!(text, "{}\n", pack.description)?;
    }
    let team = pack.team.as_ref().map(|team| format!(", kept by {team}")).unwrap_or_default();
    writeln!(text, "Version {}{team}.", pack.version)?;
    let requires = pack.requires.iter().map(|r| format!("`{}` {}", r.pack, r.versions));
    let requires: Vec<String> = requires.collect();
    if !requires.is_empty() {
        writeln!(text, "It needs the packs {}.", requires.join(", "))?;
    }
    if !pack.config_schema.properties().is_empty() {
        writeln!(text, "\n## Configuration\n")?;
        properties(text, &pack.config_schema)?;
    }
    permissions(text, pack)?;
    triggers(text, pack)?;
    sensors(text, pack)?;
    rules(text, pack)?;
    actions(text, pack)
}

/// A table of named values.
fn properties(text: &mut String, schema: &Schema) -> fmt::Result {
    writeln!(text, "| name | type | | what |\n|---|---|---|---|")?;
    for (name, property) in schema.properties() {
        let get = |word: &str| property.get(word).and_then(Value::as_str).unwrap_or_default();
        writeln!(
            text,
            "| `{name}` | {} | {} | {} |",
            kind(property),
            cell(&given(property)),
            cell(get("description"))
        )?;
    }
    Ok(())
}

/// What a property may be whose schema names no type: not a word that could be taken for one.
const ANYTHING: &str = "*anything*";

fn kind(property: &Value) -> String {
    let listed = |all: &[Value], show: fn(&Value) -> String| {
        all.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    match (&property["type"], &property["enum"]) {
        (_, Value::Array(choices)) => listed(choices, |one| format!("`{}`", cell(&plain(one)))),
        (Value::Array(kinds), _) => listed(kinds, plain),
        (Value::String(kind), _) => kind.clone(),
        _ => ANYTHING.to_owned(),
    }
}

fn given(property: &Value) -> String {
    let flag = |word: &str| property.get(word) == Some(&Value::Bool(true));
    let default = property.get("default").map(|value| format!("default `{}`", plain(value)));
    let words = [
        flag("required").then(|| "required".to_owned()),
        default,
        flag("secret").then(|| "secret".to_owned()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A text without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => brief(other, 80),
    }
}

/// Text that a table's cell can hold.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn permissions(text: &mut String, pack: &Pack) -> fmt::Result {
    let asked = &pack.permissions;
    let lists = [
        ("actions", &asked.actions),
        ("connections", &asked.connections),
        ("secrets", &asked.secrets),
        ("hosts", &asked.hosts),
        ("events", &asked.events),
    ];
    writeln!(text, "\n## Permissions\n")?;
    let mut none = true;
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "- {what}: {}", names.join(", "))?;
        none = false;
    }
    match (asked.exec, none) {
        (true, _) => writeln!(text, "- runs programs on the server"),
        (false, true) => writeln!(text, "It asks for none."),
        (false, false) => Ok(()),
    }
}

fn triggers(text: &mut String, pack: &Pack) -> fmt::Result {
    if !pack.triggers.is_empty() {
        writeln!(text, "\n## Triggers")?;
    }
    for trigger in pack.triggers.values() {
        writeln!(text, "\n### `{}`\n", trigger.kind)?;
        described(text, &trigger.description)?;
        if !trigger.payload.properties().is_empty() {
            properties(text, &trigger.payload)?;
        }
    }
    Ok(())
}

fn described(text: &mut String, description: &str) -> fmt::Result {
    match description.trim() {
        "" => Ok(()),
        description => writeln!(text, "{description}\n"),
    }
}

fn sensors(text: &mut String, pack: &Pack) -> fmt::Result {
    if pack.sensors.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Sensors\n\n| name | type | parameters |\n|---|---|---|")?;
    for (name, sensor) in &pack.sensors {
        writeln!(text, "| `{name}` | {} | {} |", sensor.kind, parameters(sensor))?;
    }
    Ok(())
}

/// Names and plain values: what is nested is in the file.
fn parameters(sensor: &SensorSpec) -> String {
    let shown = sensor.parameters.iter().map(|(name, value)| match value {
        Value::Object(_) => format!("{name}: …"),
        Value::Array(items) if items.iter().any(Value::is_object) => format!("{name}: …"),
        value => format!("{name}: `{}`", cell(&plain(value))),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn rules(text: &mut String, pack: &Pack) -> fmt::Result {
    if !pack.rules.is_empty() {
        writeln!(text, "\n## Rules")?;
    }
    for rule in pack.rules.values() {
        writeln!(text, "\n### `{}`\n", rule.reference.name)?;
        described(text, rule.description.as_deref().unwrap_or_default())?;
        if !rule.enabled {
            writeln!(text, "Its file switches it off.\n")?;
        }
        self::rule(text, rule)?;
    }
    Ok(())
}

fn rule(text: &mut String, rule: &Rule) -> fmt::Result {
    let with = inline(&rule.trigger.parameters);
    writeln!(text, "- when `{}`{with} happens", rule.trigger.kind)?;
    for criterion in &rule.criteria.all {
        writeln!(text, "- and {}", holds(criterion))?;
    }
    let groups = rule
        .criteria
        .any
        .iter()
        .map(|group| group.iter().map(holds).collect::<Vec<_>>().join(" and "));
    let groups: Vec<String> = groups.collect();
    if !groups.is_empty() {
        writeln!(text, "- and one of: {}", groups.join("; or "))?;
    }
    if let Some(condition) = &rule.when {
        writeln!(text, "- and `{}`", condition.source().trim())?;
    }
    let names: Vec<String> =
        rule.action.parameters.names().map(|name| format!("`{name}`")).collect();
    let given =
        if names.is_empty() { String::new() } else { format!(" with {}", names.join(", ")) };
    writeln!(text, "- then `{}` runs{given}", rule.action.reference)
}

fn inline(parameters: &Map) -> String {
    let shown = parameters.iter().map(|(name, value)| format!("{name} `{}`", plain(value)));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) }
}

/// A criterion in words.
fn holds(criterion: &Criterion) -> String {
    let tests = criterion.tests.iter().map(|test| format!("`{}` {}", criterion.path, said(test)));
    tests.collect::<Vec<_>>().join(" and ")
}

fn said(test: &Test) -> String {
    if let Some(items) = test.items() {
        let each = items.iter().map(holds).collect::<Vec<_>>().join(" and ");
        let which = if test.operator() == Operator::Any { "an item" } else { "only items" };
        return format!("has {which} of which {each}");
    }
    let words = words(test.operator());
    let case = if test.ignores_case() { ", whatever the case" } else { "" };
    match test.operator() {
        Operator::Exists | Operator::Nexists => match test.written() {
            Value::Bool(false) => self::words(opposite(test.operator())).to_owned(),
            _ => words.to_owned(),
        },
        _ => format!("{words} `{}`{case}", plain(test.written())),
    }
}

fn opposite(operator: Operator) -> Operator {
    if operator == Operator::Exists { Operator::Nexists } else { Operator::Exists }
}

fn words(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq => "is",
        Operator::Ne => "is not",
        Operator::In => "is one of",
        Operator::Nin => "is none of",
        Operator::Lt => "is less than",
        Operator::Le => "is at most",
        Operator::Gt => "is more than",
        Operator::Ge => "is at least",
        Operator::Matches => "matches",
        Operator::MatchRegex => "matches from its start",
        Operator::MatchWildcard => "looks like",
        Operator::Contains => "contains",
        Operator::Ncontains => "does not contain",
        Operator::StartsWith => "starts with",
        Operator::EndsWith => "ends with",
        Operator::Exists => "is there",
        Operator::Nexists => "is not there",
        Operator::TimediffLt => "is younger in seconds than",
        Operator::TimediffGt => "is older in seconds than",
        Operator::Any | Operator::All => "has items",
    }
}

fn actions(text: &mut String, pack: &Pack) -> fmt::Result {
    if !pack.actions.is_empty() {
        writeln!(text, "\n## Actions")?;
    }
    for action in pack.actions.values() {
        writeln!(text, "\n### `{}`\n", action.metadata.reference)?;
        described(text, &action.metadata.description)?;
        writeln!(text, "{}", nature(action))?;
        for (title, schema) in
            [("Parameters", &action.metadata.parameters), ("Result", &action.metadata.result)]
        {
            if !schema.properties().is_empty() {
                writeln!(text, "\n{title}:\n")?;
                properties(text, schema)?;
            }
        }
    }
    Ok(())
}

/// What it is, what repeating it does, and how long it may take.
fn nature(action: &PackAction) -> String {
    let what = match &action.kind {
        ActionKind::Chain(_) => "A chain".to_owned(),
        ActionKind::Program(_) => format!("A program, effect `{}`", action.effect()),
    };
    let timeout = action.metadata.timeout.map(|timeout| format!("an attempt at most {timeout}"));
    let deadline = action.deadline.map(|deadline| format!("at most {deadline} in all"));
    let verify = action.verify.as_ref().map(|(verify, _)| format!("verified by `{verify}`"));
    let plan = action.plan.as_ref().map(|(plan, _)| format!("planned by `{plan}`"));
    let unknown = match action.on_unknown {
        OnUnknown::Ask => None,
        OnUnknown::Retry => Some("tried again where its outcome is unknown".to_owned()),
        OnUnknown::Fail => Some("failed where its outcome is unknown".to_owned()),
    };
    let words = [Some(what), timeout, deadline, verify, plan, unknown].into_iter().flatten();
    words.collect::<Vec<_>>().join(", ") + "."
}
