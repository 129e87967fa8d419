//! What a step uses, and what it hands over to a chain, of the secrets that its execution was granted:
//! the same in a run and in a dry run.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::fact::Grant;
use model::{ActionRef, Call, PackName, StepError, Token, Value};

use super::ask::Intention;
use crate::packs::Pack;
use crate::permissions::Rights;
use crate::secrets::{handed_to, usable};

/// Who makes a step, and what it was granted.
pub(crate) struct Holder<'a> {
    pub(crate) granted: &'a BTreeMap<Token, Grant>,
    /// The pack that the step is made for.
    pub(crate) caller: Option<PackName>,
    /// The pack whose chain it is, as it was when it began.
    pub(crate) pinned: Option<&'a Arc<Pack>>,
    /// What the step may do.
    pub(crate) rights: Rights,
}

impl Holder<'_> {
    /// The same call, and what it hands over to a child; refused where it would use or hand over what
    /// may not be.
    pub(crate) fn handing(&self, intention: Intention) -> (Intention, BTreeMap<Token, Grant>) {
        let (Intention::Call(call) | Intention::Datastore(call) | Intention::Secrets(call)) =
            &intention
        else {
            return (intention, BTreeMap::new());
        };
        let (Some(action), Some(parameters)) = (call.action(), call.parameters()) else {
            return (intention, BTreeMap::new());
        };
        let handed = self.may_use_those_in(parameters).and_then(|()| match call {
            Call::Child { .. } => self.granted_to(action, parameters),
            _ => Ok(BTreeMap::new()),
        });
        match handed {
            Ok(tokens) => (intention, tokens),
            Err(error) => (Intention::refusing(call.clone(), error), BTreeMap::new()),
        }
    }

    /// What a child gets of these tokens, if it may be handed all in its parameters.
    pub(crate) fn granted_to(
        &self,
        child: &ActionRef,
        parameters: &Value,
    ) -> Result<BTreeMap<Token, Grant>, StepError> {
        let rights = |pack: Option<&PackName>| self.rights.of_another(pack, self.pinned);
        handed_to(child, parameters, self.granted, self.rights.generation(), rights)
    }

    /// Whether the secrets whose tokens stand in `parameters` may be used by now: what was allowed when
    /// they were read may have been taken away, and what a child gave back may be its pack's alone.
    fn may_use_those_in(&self, parameters: &Value) -> Result<(), StepError> {
        let current =
            self.caller.as_ref().and_then(|name| self.rights.generation().packs.get(name));
        let pinned = self.pinned.filter(|pack| Some(&pack.name) == self.caller.as_ref());
        let packs: Vec<&Pack> = current.into_iter().chain(pinned).map(Arc::as_ref).collect();
        usable(parameters, self.granted, &self.rights, &packs)
    }
}
