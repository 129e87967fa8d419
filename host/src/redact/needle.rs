//! One form of a value, and whether it stands at a place of a text.

use std::sync::Arc;

use zeroize::Zeroizing;

/// Most bytes with which a line is indented that goes on with what the line before began.
const MAX_INDENT: usize = 64;

/// What is looked for, and what is put in its place.
pub(super) struct Needle {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) label: Arc<str>,
    /// Line breaks may stand within it.
    pub(super) wraps: bool,
}

/// How a text begins.
pub(super) enum Fit {
    /// With the needle, which takes so many bytes of it.
    Whole(usize),
    /// As the needle does, and it ends before that.
    Begun,
    Not,
}

impl Needle {
    /// What tells needles apart. What stands for them does not: one is put in the place of what is found.
    pub(super) fn looked_for(&self) -> (&[u8], bool) {
        (&self.bytes, self.wraps)
    }

    /// How `text` begins, seen from this needle.
    pub(super) fn fit(&self, text: &[u8]) -> Fit {
        if !self.wraps {
            return match text.len() < self.bytes.len() {
                false if text.starts_with(&self.bytes) => Fit::Whole(self.bytes.len()),
                true if self.bytes.starts_with(text) => Fit::Begun,
                _ => Fit::Not,
            };
        }
        let mut at = 0;
        for (n, byte) in self.bytes.iter().enumerate() {
            if n > 0 {
                at += line_break(&text[at..]);
            }
            match text.get(at) {
                Some(found) if found == byte => at += 1,
                None => return Fit::Begun,
                Some(_) if n > 0 && may_break(&text[at..]) => return Fit::Begun,
                Some(_) => return Fit::Not,
            }
        }
        Fit::Whole(at)
    }
}

/// What ends a line, also where it is escaped for JSON.
const BREAKS: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];

/// Whether `text` ends within the end of a line.
pub(super) fn may_break(text: &[u8]) -> bool {
    BREAKS.iter().any(|one| text.len() < one.len() && one.starts_with(text))
}

/// How many bytes of a line's end `text` begins with; the indent of the next line included.
pub(super) fn line_break(text: &[u8]) -> usize {
    let Some(found) = BREAKS.into_iter().find(|one| text.starts_with(one)) else { return 0 };
    let indent = text[found.len()..].iter().take(MAX_INDENT);
    found.len() + indent.take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}
