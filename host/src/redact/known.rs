//! What this process has opened, for its own log.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::Redactor;
use super::index::Index;

/// Everything that the redactors look for that somebody holds. One index over all: a line of the log is
/// gone through once, however many executions with secrets are open.
#[derive(Default)]
pub struct Known(RwLock<Index>);

impl Known {
    /// What `redactor` looks for is known from here on, for as long as somebody holds it.
    pub fn hold(&'static self, mut redactor: Redactor) -> Arc<Redactor> {
        if !redactor.is_empty() {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            redactor.index.needles().for_each(|needle| all.add(needle.clone()));
            redactor.held_by = Some(self);
        }
        Arc::new(redactor)
    }

    /// Nobody holds a redactor any more that looks for these.
    pub(super) fn forget(&self, held: &Index) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.needles().for_each(|needle| all.remove(needle));
    }

    /// `bytes` without any value that is known now.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).replaced(bytes)
    }

    /// The first characters of `text` without any value that is known now. What is cut first would
    /// keep the beginning of a value that the cut goes through.
    pub fn beginning(&self, text: &str, characters: usize) -> String {
        let clean = self.bytes(text.as_bytes());
        String::from_utf8_lossy(&clean).chars().take(characters).collect()
    }
}

/// What this process knows. One for all, because the log is.
pub fn known() -> &'static Known {
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);
    &KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of a test's own.
    fn known() -> &'static Known {
        Box::leak(Box::default())
    }

    fn redactor(value: &str, label: &str) -> Redactor {
        Redactor::new([(value, label)])
    }

    fn shown(known: &Known, line: &str) -> String {
        String::from_utf8(known.bytes(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn the_log_forgets_what_nobody_holds_any_more() {
        let known = known();
        let one = known.hold(redactor("another value", "[other]"));
        assert_eq!(shown(known, "another value"), "[other]");
        drop(one.clone());
        assert_eq!(shown(known, "another value"), "[other]");
        drop(one);
        assert_eq!(shown(known, "another value"), "another value");
        assert!(known.0.read().unwrap().is_empty(), "nothing of it is kept");
    }

    #[test]
    fn what_several_hold_is_known_until_the_last_is_gone() {
        let known = known();
        let held: Vec<_> = ["[one]", "[two]", "[three]"]
            .map(|label| known.hold(redactor("the same value", label)))
            .into_iter()
            .collect();
        for one in held {
            assert_eq!(shown(known, "<the same value>"), "<[one]>");
            drop(one);
        }
        assert_eq!(shown(known, "<the same value>"), "<the same value>");
    }

    #[test]
    fn the_longest_of_what_any_holds_is_found_and_values_that_begin_alike_are_told_apart() {
        let known = known();
        let _short = known.hold(redactor("a common beginning", "[short]"));
        let long = known.hold(redactor("a common beginning and more", "[long]"));
        let _other = known.hold(redactor("a common beginnung", "[other]"));
        let line = "a common beginning and more; a common beginnung; a common beginning.";
        assert_eq!(shown(known, line), "[long]; [other]; [short].");
        drop(long);
        assert_eq!(shown(known, line), "[short] and more; [other]; [short].");
    }

    #[test]
    fn no_line_shows_a_value_that_was_held_before_it_came() {
        let known = known();
        let hold_and_look = |n: usize| {
            for round in 0..100 {
                let value = format!("value {n} of round {round}");
                let held = known.hold(redactor(&value, "[it]"));
                assert_eq!(shown(known, &format!("see {value}.")), "see [it].");
                drop(held);
                assert_eq!(shown(known, &value), value);
            }
        };
        std::thread::scope(|scope| {
            for n in 0..4 {
                scope.spawn(move || hold_and_look(n));
            }
        });
    }
}
