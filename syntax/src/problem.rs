//! What the YAML library found wrong, in our words.

use std::str::Utf8Error;

use model::{Diagnostic, Location};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use crate::source::{Place, Source};
use crate::tree::{MAX_DEPTH, MAX_NODES, MAX_REPEATED};

/// The library's error as a finding.
pub(crate) fn describe(error: &Error, source: &Source) -> Diagnostic {
    let error = error.without_snippet();
    let at = error.location().map_or(Place::START, |at| Place {
        line: usize::try_from(at.line()).unwrap_or(1).max(1),
        column: usize::try_from(at.column()).unwrap_or(1).max(1),
    });
    let (message, hint) = explain(error);
    if let Some(tab) = tab(error, source, at) {
        return source.error(tab, message).with_hint(SPACES);
    }
    let finding = source.error(at, message);
    match hint.or_else(|| slip(error, source, at)) {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

/// A message and, where it is known, what to do.
fn explain(error: &Error) -> (String, Option<String>) {
    let with = |message: &str, hint: &str| (message.to_owned(), Some(hint.to_owned()));
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => (
            format!("the key `{key}` stands twice in this map"),
            Some("a key stands once: join the two, or rename one".to_owned()),
        ),
        Error::DuplicateMappingKey { key: None, .. } => {
            with("a key stands twice in this map", "join the two, or rename one")
        }
        Error::MergeKeyNotAllowed { .. } => {
            with("the merge key `<<` is not supported", "write the fields out")
        }
        Error::UnsupportedTag { tag, .. } => (
            format!("the tag `{tag}` is not supported"),
            Some("remove it; quote a value that must be a string".to_owned()),
        ),
        Error::MultipleDocuments { .. } => {
            with("the file holds several documents", "one file, one document: remove the `---`")
        }
        Error::Unexpected { expected: "string scalar", .. } => {
            ("a list or a map cannot be a key".to_owned(), None)
        }
        Error::AliasReplayLimitExceeded { .. } => (
            format!("aliases (`*name`) repeat more than {MAX_REPEATED} values"),
            Some(SPLIT.to_owned()),
        ),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            (format!("the file is nested deeper than {MAX_DEPTH} levels"), Some(FLATTEN.to_owned()))
        }
        Error::Budget { breach: BudgetBreach::Nodes { .. }, .. } => {
            (format!("the file holds more than {MAX_NODES} values"), Some(SPLIT.to_owned()))
        }
        _ => (spoken(error), None),
    }
}

/// The library's words, or better ones.
fn spoken(error: &Error) -> String {
    let text = library(error);
    WORDS.iter().find(|words| text.starts_with(words.0)).map_or(text, |words| words.1.to_owned())
}

fn library(error: &Error) -> String {
    UserMessageFormatter.format_message(error).trim_end().to_owned()
}

const SPACES: &str = "YAML is indented with spaces, not with tabs";
const FLATTEN: &str = "bring what is nested so deep further up, or pass it on as a text";
const SPLIT: &str = "split it, or keep the values in a file that steps read themselves";
const TAB: &str = "a tab cannot stand here";
const CLOSE: &str = "close every `{` and `[` that is open above";
/// How the library's message begins, what we say instead, what to do.
const WORDS: [(&str, &str, &str); 14] = [
    ("recursion limit exceeded", "brackets are nested too deep: 64 levels are read", FLATTEN),
    (
        "YAML document too large or too complex",
        "the file holds too many values, or its aliases (`*name`) repeat too many",
        SPLIT,
    ),
    ("tabs disallowed", TAB, SPACES),
    ("while scanning a plain scalar, found a tab", TAB, SPACES),
    ("a block scalar content cannot start with a tab", TAB, SPACES),
    ("tab cannot be used as indentation", TAB, SPACES),
    (
        "mapping values are not allowed",
        "a `:` cannot stand here",
        "quote a value that holds `: `, and indent the fields of one map alike",
    ),
    ("illegal placement of ':'", "a `:` cannot stand here", CLOSE),
    ("while parsing a flow mapping", "a `,` or `}` is expected here", CLOSE),
    ("while parsing a flow sequence", "a `,` or `]` is expected here", CLOSE),
    (
        "while parsing a block mapping",
        "this line belongs to no map above it",
        "indent the fields of one map alike",
    ),
    (
        "invalid indentation in multiline quoted",
        "a quoted text goes on here, indented less than where it begins",
        "close its quote above",
    ),
    (
        "invalid trailing content",
        "a value ended with its quote, and more of it follows",
        "quote a value that begins with a quote as a whole: '\"size\" in trigger'",
    ),
    (
        "unexpected character",
        "a value cannot begin with this character",
        "quote a value that begins with a character YAML reserves",
    ),
];

/// The tab in the indentation that an error is about: it stands before the place that the library tells,
/// or further down, where that is the end of what it had read.
fn tab(error: &Error, source: &Source, at: Place) -> Option<Place> {
    let tab_in = |line: &str| {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        indent.chars().position(|c| c == '\t').filter(|_| !text.is_empty())
    };
    let mut lines = source.text.lines().enumerate().skip(at.line - 1);
    let (line, column) = match lines.next().map(|(n, line)| (n, tab_in(line))) {
        Some((n, Some(column))) if column < at.column => (n, column),
        _ if spoken(error) == TAB => {
            lines.find_map(|(n, line)| tab_in(line).map(|column| (n, column)))?
        }
        _ => return None,
    };
    Some(Place { line: line + 1, column: column + 1 })
}

/// Slips whose error message alone does not say what to do.
fn slip(error: &Error, source: &Source, at: Place) -> Option<String> {
    let text = source.text.lines().nth(at.line - 1).unwrap_or_default();
    let in_flow = text.find('{').is_some_and(|brace| text[brace..].contains('['));
    let hint = if in_flow && (text.contains("[\"") || text.contains("['")) {
        r#"inside { … } a key with brackets must be quoted: { 'trigger.labels["a.b"]': x }"#
    } else if text.contains("${") {
        "quote a value that holds `${…}`: \"${…}\""
    } else if text.contains("{{") {
        "an expression is written \"${…}\", with its quotes"
    } else {
        let library = library(error);
        match error {
            Error::Unexpected { expected: "string scalar", .. } => "a key is a text",
            _ => WORDS.iter().find(|words| library.starts_with(words.0))?.2,
        }
    };
    Some(hint.to_owned())
}

/// Bytes that are not UTF-8: where the first stands.
pub(crate) fn not_utf8(file: &str, bytes: &[u8], error: Utf8Error) -> Diagnostic {
    let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
    let line = valid.matches('\n').count() + 1;
    let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let at = Location { file: file.to_owned(), line, column };
    let finding = Diagnostic::error(at, "the file is not UTF-8 text").with_hint("save it as UTF-8");
    finding.in_text(&String::from_utf8_lossy(bytes))
}
