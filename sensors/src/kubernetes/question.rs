//! Many deletions at once are a question to a person. The answer is used up by the list it was given for:
//! the first that comes to its end after it.

use std::sync::{Mutex, PoisonError};

/// Whether so much may be gone.
#[derive(Debug, Default)]
pub(super) struct Question(Mutex<Stand>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stand {
    #[default]
    Unasked,
    /// Whether so many objects may be gone.
    Asked(usize),
    /// So many may.
    Confirmed(usize),
}

impl Question {
    /// Asks whether so many objects may be gone.
    pub(super) fn ask(&self, missing: usize) {
        self.change(|_| Stand::Asked(missing));
    }

    /// A person says that it is right. Said unasked, it counts for nothing.
    pub(super) fn confirm(&self) {
        self.change(|stand| match stand {
            Stand::Asked(missing) => Stand::Confirmed(missing),
            other => other,
        });
    }

    /// How many deletions a person says are right.
    pub(super) fn confirmed(&self) -> usize {
        match self.change(|stand| stand) {
            Stand::Confirmed(missing) => missing,
            Stand::Unasked | Stand::Asked(_) => 0,
        }
    }

    /// A list came to its end: there is nothing to ask, and nothing more to be told for an answer.
    pub(super) fn settle(&self) {
        self.change(|_| Stand::Unasked);
    }

    fn change(&self, change: impl FnOnce(Stand) -> Stand) -> Stand {
        let mut stand = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *stand = change(*stand);
        *stand
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_for_what_was_asked_and_once() {
        let question = Question::default();
        question.confirm();
        assert_eq!(question.confirmed(), 0, "nobody had asked");
        question.ask(11);
        assert_eq!(question.confirmed(), 0);
        question.confirm();
        question.confirm();
        assert_eq!(question.confirmed(), 11);
        question.settle();
        assert_eq!(question.confirmed(), 0);
        question.confirm();
        assert_eq!(question.confirmed(), 0);
    }
}
