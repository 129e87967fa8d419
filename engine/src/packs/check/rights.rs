//! What files use and their pack does not ask for.

use host::guard::Blocked;
use model::{ActionRef, Diagnostic, Location};

use super::Check;
use crate::packs::Findings;
use crate::packs::named::Named;
use crate::packs::reached::Unlisted;

impl Check<'_> {
    /// What a call of `reference` needs, with what it names, and the pack does not ask for.
    pub(super) fn uses(
        &self,
        reference: &ActionRef,
        at: &Location,
        named: Option<Named>,
    ) -> Findings {
        let resolved = self.library.resolve(self.generation, Some(self.pack), reference);
        let Ok(resolved) = resolved else { return Vec::new() };
        // A parameter of a pack's own action may be called `connection` too.
        let named = named.filter(|_| resolved.version().is_none());
        let named = named.and_then(|named| self.unasked(&named));
        let action = self.permission(reference, at);
        let told = action.is_some() || named.is_some();
        let host = if told { None } else { self.no_host(reference, at) };
        [action, named, host].into_iter().flatten().collect()
    }

    fn permission(&self, reference: &ActionRef, at: &Location) -> Option<Diagnostic> {
        let own = reference.pack() == self.pack.name.as_str();
        // Of `secrets.get`, as of `secret(path)`, the path decides.
        let by_path = reference.as_str() == "secrets.get";
        if own || by_path || self.pack.permissions.allows_action(reference) {
            return None;
        }
        let message = format!("the pack uses `{reference}` but does not ask for it");
        let hint = format!("add `{reference}` to `permissions.actions` in its pack.yaml");
        self.denied(at, &message, &hint)
    }

    /// A pack that may not reach any host by the action that asks hosts.
    fn no_host(&self, reference: &ActionRef, at: &Location) -> Option<Diagnostic> {
        let permissions = &self.pack.permissions;
        let nowhere = permissions.hosts.is_empty() && permissions.connections.is_empty();
        if reference.as_str() != "http.request" || !nowhere {
            return None;
        }
        let message = "the pack uses `http.request` but asks for no host and no connection";
        let hint = "add the hosts to `permissions.hosts` in its pack.yaml";
        self.denied(at, message, hint)
    }

    /// A host that stands in a file and that the pack does not ask for. Where it asks for none at
    /// all, that is told already.
    pub(super) fn unlisted(&self, found: Option<Unlisted>) -> Option<Diagnostic> {
        let (host, at) = found.filter(|_| !self.pack.permissions.hosts.is_empty())?;
        let message = format!("the pack sends requests to `{host}` but does not ask for it");
        let hint = match (Blocked::NotListed { host: host.clone() }).entry() {
            Ok(host) => format!("add `{host}` to `permissions.hosts` in its pack.yaml"),
            Err(why) => why.to_owned(),
        };
        self.denied(&at, &message, &hint)
    }

    /// A connection or secret that stands in a file and that the pack does not ask for.
    pub(super) fn unasked(&self, named: &Named) -> Option<Diagnostic> {
        let (at, message, hint) = named.unasked(&self.pack.permissions)?;
        self.denied(at, &message, &hint)
    }

    /// A use that would be denied whenever it came to it; nothing is said of a pack of which it is
    /// not known what it asks for.
    pub(super) fn denied(&self, at: &Location, message: &str, hint: &str) -> Option<Diagnostic> {
        let known = !self.is_unread(&self.pack.name);
        known.then(|| self.shown(Diagnostic::error(at.clone(), message).with_hint(hint)))
    }
}
