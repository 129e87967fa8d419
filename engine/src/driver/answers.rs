//! Answers of polls: of many, the last one is kept, and of the secrets in them those of the last.

use std::collections::BTreeSet;

use model::fact::{Grant, StepResult};
use model::{Fact, StepPath, Timestamp, Token, Value, token};
use store::{MAX_SEALED_CHANGES, Sealing};

use super::page::Page;
use super::run::Run;
use crate::core::Trouble;
use crate::pages::Sides;
use crate::secrets::{Fresh, kept, root};

/// Records that one answer takes away: a commit has room for them.
const FORGOTTEN_AT_ONCE: usize = MAX_SEALED_CHANGES / 2;

impl Run {
    /// Notes a poll's next answer, with which `fresh` values came.
    pub(super) async fn answered(
        &mut self,
        page: &mut Page,
        path: StepPath,
        value: Value,
        fresh: &[Fresh],
        (next_at, at): (Timestamp, Timestamp),
    ) -> Result<(), Trouble> {
        let last = self.journal.entries.get(&path).and_then(|entry| entry.answer.as_ref());
        let answer = last.map_or(0, |last| last.number) + 1;
        let before = last.map(|last| last.own.clone()).unwrap_or_default();
        let mut own: BTreeSet<Token> = fresh.iter().map(|fresh| fresh.token.clone()).collect();
        let stays = token::within(&value);
        // What another step has in hand now may hold any of them.
        let alone = self.is_alone(&path);
        let is_gone = |it: &&Token| alone && !stays.contains(it) && !self.is_told(&path, it);
        // What is left of them goes with the next answer.
        let gone = before.iter().filter(is_gone).take(FORGOTTEN_AT_ONCE);
        let gone: BTreeSet<Token> = gone.cloned().collect();
        own.extend(before.difference(&gone).cloned());
        let sealing = self.unsealed(&gone);
        let value = self.core.bounded(value).await?;
        let fact = Fact::PollAnswered { path, answer, value, own, next_at, at };
        self.note_with(page, fact, Sides { writes: Vec::new(), sealing });
        Ok(())
    }

    /// Whether no other step is under way.
    fn is_alone(&self, path: &StepPath) -> bool {
        self.journal.open().all(|(open, _)| open == path)
    }

    /// Whether a token stands anywhere but in this poll's answers.
    fn is_told(&self, path: &StepPath, token: &Token) -> bool {
        let journal = &self.journal;
        let tells = |value: &Value| token::within(value).contains(token);
        let as_value = |value: Result<Value, _>| value.unwrap_or_default();
        let in_entries = journal.entries.iter().any(|(other, entry)| {
            let answer = entry.answer.as_ref().filter(|_| other != path);
            let result = entry.finished.as_ref().map(|finished| match &finished.result {
                StepResult::Done(value) => value.clone(),
                StepResult::Failed(error) => as_value(serde_json::to_value(error)),
            });
            tells(&as_value(serde_json::to_value(&entry.call)))
                || answer.is_some_and(|answer| tells(&answer.value))
                || result.as_ref().is_some_and(tells)
        });
        let mut records = journal.records.values();
        let asked = journal.request.as_ref().is_some_and(|request| tells(&request.parameters));
        in_entries
            || asked
            || records.any(|(_, record)| tells(&as_value(serde_json::to_value(record))))
    }

    /// What it takes to forget the values of tokens that nothing names any more.
    fn unsealed(&self, gone: &BTreeSet<Token>) -> Vec<Sealing> {
        let granted =
            gone.iter().filter_map(|token| Some((token, self.journal.tokens.get(token)?)));
        let kept = granted.filter_map(|(token, grant)| match grant {
            Grant::Kept { by } if *by == root(&self.id) => Some(Sealing::Delete(kept(by, token))),
            Grant::Kept { .. } | Grant::Named { .. } => None,
        });
        kept.collect()
    }
}
