//! The text a tree was read from, kept to show the line of a finding.

use model::{Diagnostic, Location};

/// A longer line is not shown with its finding.
const SHOWN_BYTES: usize = 400;

/// A file's name and text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A place in a source: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// The beginning of a file.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl Source {
    pub(crate) fn location(&self, place: Place) -> Location {
        Location { file: self.file.clone(), line: place.line, column: place.column }
    }

    pub(crate) fn error(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        let mut finding = Diagnostic::error(self.location(place), message).in_text(&self.text);
        finding.line = finding.line.filter(|line| line.len() <= SHOWN_BYTES);
        finding
    }

    /// The place of character `column` (from 0) of line `line` (from 0) of the scalar `value` that
    /// begins at `start`: the line of the value is looked for where block and plain scalars have
    /// it. A scalar that is folded or escaped does not show its lines: then its own beginning.
    pub(crate) fn place_in_scalar(
        &self,
        start: Place,
        value: &str,
        line: usize,
        column: usize,
    ) -> Place {
        let wanted = value.lines().nth(line).unwrap_or_default();
        let skip = start.line.saturating_sub(1);
        // A block scalar's header stands on the line before its first one.
        let lines = self.text.lines().enumerate().skip(skip + line).take(2);
        let found = lines.into_iter().find_map(|(number, text)| {
            let from = if number == skip { byte_of(text, start.column) } else { 0 };
            let at = text.get(from..)?.find(wanted)? + from;
            Some(Place { line: number + 1, column: text[..at].chars().count() + 1 + column })
        });
        found.filter(|_| !wanted.is_empty()).unwrap_or(start)
    }
}

/// The byte at which character `column` (from 1) of `text` begins.
fn byte_of(text: &str, column: usize) -> usize {
    text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at)
}
