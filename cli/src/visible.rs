//! What others wrote, as a terminal may show it: programs, senders and files say what it displays, not
//! what it does.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with its control characters, line breaks and tabs apart, as escapes that can be read; without
/// colours and with plain line ends. Characters that turn the direction of text count as such, too: they
/// show a line as another than it is.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\u{1b}' if colour(rest) > 0 => colour(rest),
            '\r' if rest.starts_with("\r\n") => 1,
            _ => {
                show(next, &mut shown);
                next.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Cow::Owned(shown)
}

/// The same on one line, for the cells of a table.
pub(crate) fn line(told: &str) -> String {
    text(told).trim_end_matches('\n').replace('\n', "\\n").replace('\t', " ")
}

fn show(next: char, shown: &mut String) {
    // Writing to a string cannot fail.
    let _ = match next {
        '\r' => shown.write_str("\\r"),
        next if !acts(next) => shown.write_char(next),
        next if next.is_ascii() => write!(shown, "\\x{:02x}", u32::from(next)),
        next => write!(shown, "{}", next.escape_unicode()),
    };
}

/// Whether a terminal would do something instead of showing it.
fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || turns
}

/// How long the change of colour is that `text` begins with, if it does.
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return 0 };
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'));
    match end {
        Some(end) if parameters[end..].starts_with('m') => end + 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (told, shown) in [
            ("plain, ä 漢 🎉\n\ttext", "plain, ä 漢 🎉\n\ttext"),
            ("\u{1b}[2J\u{1b}[1;1Hgone", "\\x1b[2J\\x1b[1;1Hgone"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{1b}]52;c;aGk=\u{1b}\\", "\\x1b]52;c;aGk=\\x1b\\"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("done\rfail", "done\\rfail"),
            ("a\u{8}b\u{0}c\u{7f}", "a\\x08b\\x00c\\x7f"),
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("\u{1b}[31mred\u{1b}[0m, \u{1b}[38;5;200mpink\u{1b}[m", "red, pink"),
            ("\u{1b}[31", "\\x1b[31"),
            ("\u{1b}", "\\x1b"),
            ("access\u{202e}\u{2066}level", "access\\u{202e}\\u{2066}level"),
        ] {
            assert_eq!(text(told), shown, "{told:?}");
        }
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(line("a\nb\tc\u{1b}[K\n"), "a\\nb c\\x1b[K");
    }
}
