//! `tripline reference`: the generated parts of the documentation, for `cargo xtask docs`.

use std::fmt::Write;

use clap::{CommandFactory, ValueEnum};
use engine::metrics::METRICS;
use model::{Map, Value};

use super::CommandLine;
use crate::failure::{Exit, Outcome};
use crate::output;

/// Which page, or part of one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "PART")]
    part: Part,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Every command with its flags
    Cli,
    /// The built-in actions with their schemas
    Actions,
    /// The built-in trigger types with their schemas
    Triggers,
    /// The metrics with their labels
    Metrics,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        output::say(&match self.part {
            Part::Cli => cli(),
            Part::Actions => actions(),
            Part::Triggers => triggers(),
            Part::Metrics => metrics(),
        })?;
        Ok(Exit::Done)
    }
}

const CLI: &str = "\
# Command line

Every command with its flags. This page is made by `cargo xtask docs`.

Commands that talk to a server take `--server URL`, `--context NAME` or `--state DIR`, and `--token
TOKEN`; below they are left out. The server is found by the first of: such a flag, a variable
(`TRIPLINE_SERVER`, `TRIPLINE_CONTEXT`), the context in use (`tripline context use`), the local state
folder (`state` of ./tripline.yaml, else ./state). The token is `--token`, else `TRIPLINE_TOKEN`, else
that of the context, else that in the state folder. A context's token is sent to its own server alone.
How commands end is in [exit codes](exit-codes.md).
";

fn cli() -> String {
    let mut page = CLI.to_owned();
    let mut all = CommandLine::command().term_width(100);
    all.build();
    describe(&mut page, &mut all);
    page
}

fn describe(page: &mut String, command: &mut clap::Command) {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace('-', " ");
    let help = command.render_help().to_string();
    let help: Vec<&str> = sections(&help).into_iter().filter(|text| is_told(text)).collect();
    // Writing to a string does not fail.
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n\n"));
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        if sub.get_name() != "help" {
            describe(page, sub);
        }
    }
}

/// Parts of a help text, which empty lines divide.
fn sections(help: &str) -> Vec<&str> {
    help.split("\n\n").map(str::trim_end).filter(|part| !part.is_empty()).collect()
}

/// What every client command has is told once, at the top of the page.
fn is_told(section: &str) -> bool {
    !section.starts_with("Connection:")
}

fn actions() -> String {
    let told = actions::declarations().into_iter().map(|action| {
        let effect = action
            .effect
            .map_or_else(|| "depends on the parameters".to_owned(), |effect| format!("`{effect}`"));
        format!(
            "### {}\n\n{}. Effect: {effect}.\n\n{}{}",
            action.reference,
            action.description.trim_end_matches('.'),
            table("Parameter", action.parameters.properties()),
            table("Result", action.result.properties()),
        )
    });
    told.map(|text| text.trim_end().to_owned()).collect::<Vec<_>>().join("\n\n")
}

fn triggers() -> String {
    let told = sensors::trigger_types().into_iter().map(|kind| {
        format!(
            "### {}\n\n{}.\n\n{}{}",
            kind.name,
            kind.description.trim_end_matches('.'),
            table("Parameter", &kind.parameters),
            table("Payload", &kind.payload),
        )
    });
    told.map(|text| text.trim_end().to_owned()).collect::<Vec<_>>().join("\n\n")
}

fn metrics() -> String {
    let mut table = "| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    for engine::metrics::Metric { name, kind, labels, help } in METRICS {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.name(), labels.join(", "));
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
    }
    table.trim_end().to_owned()
}

/// Properties with their types and what is said of them.
fn table(title: &str, properties: &Map) -> String {
    if properties.is_empty() {
        return String::new();
    }
    let mut table = format!("| {title} | Type | Meaning |\n|---|---|---|\n");
    for (name, schema) in properties {
        let _ = writeln!(table, "| `{name}` | {} | {} |", kind(schema), meaning(schema));
    }
    table + "\n"
}

fn kind(schema: &Value) -> String {
    let listed =
        |values: &Vec<Value>| values.iter().map(output::plain).collect::<Vec<_>>().join(", ");
    match (&schema["type"], &schema["enum"]) {
        (_, Value::Array(values)) => listed(values),
        (Value::String(kind), _) => kind.clone(),
        (Value::Array(kinds), _) => listed(kinds),
        // Not a word that could be taken for a type: a schema has none.
        _ => "*anything*".to_owned(),
    }
}

fn meaning(schema: &Value) -> String {
    let mut told = Vec::new();
    if schema["required"] == true {
        told.push("required".to_owned());
    }
    if schema["secret"] == true {
        told.push("secret".to_owned());
    }
    if let Some(default) = schema.get("default") {
        told.push(format!("default `{default}`"));
    }
    told.extend(schema["description"].as_str().map(|text| text.trim_end_matches('.').to_owned()));
    told.join("; ").replace('|', "\\|")
}
