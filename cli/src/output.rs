//! What is printed: tables for people, JSON and YAML for programs, colour only on a terminal.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use model::{Timestamp, Value};
use serde::Serialize;

use crate::failure::Failure;
use crate::visible;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// The flag that chooses it.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// How to print it: table, json or yaml
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    #[arg(hide_possible_values = true)]
    pub(crate) format: Format,
}

/// One column of a table: its title and what of a row it shows.
pub(crate) struct Column {
    title: &'static str,
    cell: Cell,
}

enum Cell {
    /// The value at this JSON pointer.
    At(&'static str),
    /// The same, a time: cut to seconds.
    Time(&'static str),
    /// Something made of the row.
    Of(fn(&Value) -> String),
}

impl Column {
    pub(crate) const fn at(title: &'static str, pointer: &'static str) -> Self {
        Self { title, cell: Cell::At(pointer) }
    }

    pub(crate) const fn time(title: &'static str, pointer: &'static str) -> Self {
        Self { title, cell: Cell::Time(pointer) }
    }

    pub(crate) const fn of(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell: Cell::Of(cell) }
    }

    fn show(&self, row: &Value) -> String {
        match self.cell {
            Cell::At(pointer) => row.pointer(pointer).map_or_else(none, plain),
            Cell::Time(pointer) => {
                let time = row.pointer(pointer).and_then(Value::as_str);
                time.and_then(|text| text.parse().ok()).map_or_else(none, seconds)
            }
            Cell::Of(cell) => cell(row),
        }
    }
}

fn none() -> String {
    "-".to_owned()
}

/// A value as a cell shows it: texts without quotes, lists of them with commas.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => none(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::String(text) if text.is_empty() => none(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => none(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => model::value::brief(other, 80),
    }
}

/// A time without its fractions of a second.
pub(crate) fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Prints to stdout for people: what others wrote in it does nothing to their terminal. An error means
/// that nobody reads it any more.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    print(&shown(text, colours_on_stdout()))
}

/// Tells on stderr, likewise.
pub(crate) fn tell(text: &str) {
    eprintln!("{}", shown(text, colours_on_stderr()));
}

/// Asks on stderr; the answer follows on the same line.
pub(crate) fn ask(text: &str) {
    eprint!("{}", shown(text, colours_on_stderr()));
    // Where stderr is closed nobody reads the question.
    let _ = io::stderr().flush();
}

/// Prints to stdout for programs, as it is.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    Ok(stdout.flush()?)
}

/// Prints a listing.
pub(crate) fn list(format: Format, rows: &[Value], columns: &[Column]) -> Result<(), Failure> {
    match format {
        Format::Table if rows.is_empty() => say("nothing found"),
        Format::Table => say(&table(rows, columns)),
        _ => value(format, &rows),
    }
}

/// Prints one thing as JSON or YAML; a table of one thing is YAML, too.
pub(crate) fn value(format: Format, value: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: String| Failure::from(io::Error::other(error));
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value).map_err(|e| failed(e.to_string()))?,
        _ => serde_saphyr::to_string(value).map_err(|e| failed(e.to_string()))?,
    };
    print(&text)
}

fn table(rows: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().map(|column| column.title));
    let wide = io::stdout().is_terminal();
    table.set_content_arrangement(match wide {
        true => ContentArrangement::Dynamic,
        // Programs cut lines by themselves: one row, one line.
        false => ContentArrangement::Disabled,
    });
    table.add_rows(
        rows.iter().map(|row| columns.iter().map(|column| visible::line(&column.show(row)))),
    );
    let last = columns.len().saturating_sub(1);
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if n == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}

/// Colours that carry no meaning of their own: the words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Dim,
}

/// Where a colour begins and ends in text that is to be shown. Unicode keeps these characters for such
/// use: in what others wrote they colour something at most.
const COLOURS: [(char, &str); 5] = [
    ('\u{fdd0}', "\u{1b}[0m"),
    ('\u{fdd1}', "\u{1b}[31m"),
    ('\u{fdd2}', "\u{1b}[32m"),
    ('\u{fdd3}', "\u{1b}[33m"),
    ('\u{fdd4}', "\u{1b}[2m"),
];

/// `text` in a colour, where stdout or stderr shows colours: [`say`] and [`tell`] know which.
pub(crate) fn coloured(colour: Colour, text: &str) -> String {
    match colours_on_stdout() || colours_on_stderr() {
        true => marked(colour, text),
        false => text.to_owned(),
    }
}

fn marked(colour: Colour, text: &str) -> String {
    let mark = match colour {
        Colour::Red => '\u{fdd1}',
        Colour::Green => '\u{fdd2}',
        Colour::Yellow => '\u{fdd3}',
        Colour::Dim => '\u{fdd4}',
    };
    format!("{mark}{text}\u{fdd0}")
}

/// A word of warning on stderr, beside what is done.
pub(crate) fn warn(message: &str) {
    tell(&format!("{}: {message}", coloured(Colour::Yellow, "warning")));
}

fn colours_on_stdout() -> bool {
    wants_colour(io::stdout().is_terminal())
}

/// Whether stderr shows colours.
pub(crate) fn colours_on_stderr() -> bool {
    wants_colour(io::stderr().is_terminal())
}

/// `text` as a terminal may get it.
fn shown(text: &str, colours: bool) -> String {
    let mut shown = visible::text(text).into_owned();
    for (mark, code) in COLOURS {
        shown = shown.replace(mark, if colours { code } else { "" });
    }
    shown
}

/// See no-color.org: any value but the empty one turns colours off.
fn wants_colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_row_is_a_line_whatever_it_holds() {
        let rows = [
            json!({ "name": "a.b", "on": true, "at": "2026-01-02T03:04:05.678Z", "rules": [] }),
            json!({ "name": "long.name", "on": false, "at": null, "rules": ["x.y", "x.z"] }),
        ];
        let columns = [
            Column::at("NAME", "/name"),
            Column::at("ON", "/on"),
            Column::time("AT", "/at"),
            Column::at("RULES", "/rules"),
        ];
        expect![[r#"
            NAME       ON   AT                    RULES
            a.b        yes  2026-01-02T03:04:05Z  -
            long.name  no   -                     x.y, x.z"#]]
        .assert_eq(&table(&rows, &columns));
    }

    #[test]
    fn colour_is_only_where_it_is_wanted_and_only_ours() {
        let text = format!("{} \u{1b}[32mx\u{1b}[H", marked(Colour::Red, "failed"));
        assert_eq!(shown(&text, false), "failed x\\x1b[H");
        assert_eq!(shown(&text, true), "\u{1b}[31mfailed\u{1b}[0m x\\x1b[H");
    }
}
