//! On whose behalf an execution's steps are performed, and what they may do.

use model::{PackName, StepError};

use super::run::{Run, Runs};
use crate::packs::Generation;
use crate::passed::Passing;
use crate::permissions::Rights;

impl Run {
    /// The pack on whose behalf steps are performed: the chain's own, or that of the rule that
    /// asks for the action.
    pub(super) fn owner(&self) -> Option<PackName> {
        let rule = || self.journal.request.as_ref()?.origin.rule().map(|rule| rule.pack.clone());
        self.pinned.as_ref().map(|pack| pack.name.clone()).or_else(rule)
    }

    /// The pack that a step is made for: the chain's own, or that of the rule that asks for the
    /// action. None: a person does.
    pub(super) fn caller(&self) -> Option<PackName> {
        match &self.runs {
            Runs::Chain(_) | Runs::Nothing(_) => self.pinned.as_ref().map(|pack| pack.name.clone()),
            Runs::Single => self.rule_pack(),
        }
    }

    fn rule_pack(&self) -> Option<PackName> {
        self.journal.request.as_ref()?.origin.rule().map(|rule| rule.pack.clone())
    }

    /// What the steps of this execution may do now.
    pub(super) fn rights(&self) -> Rights {
        let chain = self.journal.request.as_ref().filter(|_| !matches!(self.runs, Runs::Single));
        let generation = self.core.generation.load();
        let passed = chain.map(|request| self.passing(&generation).to(request));
        self.rights_of(self.caller().as_ref()).on_behalf_of(passed.unwrap_or_default())
    }

    /// What is passed on to the chain that it runs, and by it.
    pub(super) fn passing<'a>(&'a self, generation: &'a Generation) -> Passing<'a> {
        Passing { core: &self.core, generation, pinned: self.pinned.as_ref() }
    }

    pub(super) fn rights_of(&self, caller: Option<&PackName>) -> Rights {
        let (generation, environment) =
            (self.core.generation.load_full(), self.core.environment.load_full());
        Rights::of(generation, environment, caller, self.pinned.as_ref())
    }

    /// Why a rule may not run this chain of another pack; asked before it begins.
    pub(super) fn forbidden(&self) -> Option<StepError> {
        let journal = &self.journal;
        let begun =
            journal.undo.is_some() || !journal.entries.is_empty() || !journal.records.is_empty();
        let (Runs::Chain(_), Some(rule_pack), false) = (&self.runs, self.rule_pack(), begun) else {
            return None;
        };
        let action = &self.journal.request.as_ref()?.action;
        self.rights_of(Some(&rule_pack)).action(action).err()
    }
}
