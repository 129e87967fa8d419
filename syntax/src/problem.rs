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
            with("a list or a map cannot be a key", "a key is a text")
        }
        Error::AliasReplayLimitExceeded { .. } => {
            (format!("aliases (`*name`) repeat more than {MAX_REPEATED} values"), None)
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            (format!("the file is nested deeper than {MAX_DEPTH} levels"), None)
        }
        Error::Budget { breach: BudgetBreach::Nodes { .. }, .. } => {
            (format!("the file holds more than {MAX_NODES} values"), None)
        }
        _ => (spoken(error), None),
    }
}

/// The library's words, or better ones.
fn spoken(error: &Error) -> String {
    let text = UserMessageFormatter.format_message(error).trim_end().to_owned();
    let plain = WORDS.iter().find(|(begins, ..)| text.starts_with(begins));
    plain.map_or(text, |(_, plain, _)| (*plain).to_owned())
}

/// How the library's message begins, what we say instead, what to do.
const WORDS: [(&str, &str, &str); 6] = [
    (
        "mapping values are not allowed",
        "a `:` cannot stand here",
        "quote a value that holds `: `, and indent the fields of one map alike",
    ),
    (
        "while parsing a flow mapping",
        "a `,` or `}` is expected here",
        "close every `{` and `[` that is open above",
    ),
    (
        "while parsing a flow sequence",
        "a `,` or `]` is expected here",
        "close every `{` and `[` that is open above",
    ),
    (
        "illegal placement of ':'",
        "a `:` cannot stand here",
        "close every `{` and `[` that is open above",
    ),
    (
        "while parsing a block mapping",
        "this line belongs to no map above it",
        "indent the fields of one map alike",
    ),
    (
        "invalid indentation in multiline quoted",
        "a quoted text goes on here, and is indented less than where it begins",
        "close the quote above",
    ),
];

/// Slips whose error message alone does not say what to do.
fn slip(error: &Error, source: &Source, at: Place) -> Option<String> {
    let text = source.text.lines().nth(at.line - 1)?;
    let indent = &text[..text.len() - text.trim_start().len()];
    let in_flow = text.find('{').is_some_and(|brace| text[brace..].contains('['));
    let spoken = spoken(error);
    if indent.contains('\t') {
        Some("YAML is indented with spaces, not with tabs".to_owned())
    } else if in_flow && (text.contains("[\"") || text.contains("['")) {
        let example = r#"{ 'trigger.labels["a.b"]': x }"#;
        Some(format!("inside {{ … }} a key with brackets must be quoted: {example}"))
    } else if text.contains("${") {
        Some("quote a value that holds `${…}`: \"${…}\"".to_owned())
    } else if spoken.starts_with("mapping values are not allowed") {
        Some("quote a value that holds `: `, and indent the fields of one map alike".to_owned())
    } else if spoken.starts_with("invalid trailing content") {
        let example = "'\"size\" in trigger'";
        Some(format!("quote a value that begins with a quote as a whole: {example}"))
    } else if spoken.starts_with("unexpected character") {
        Some("quote a value that begins with a character YAML reserves".to_owned())
    } else if spoken.contains("did not find expected key") {
        Some("indent the fields of one map alike".to_owned())
    } else {
        None
    }
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
