//! Connections and secrets that a pack's files name in plain text: a use that would be denied
//! whenever it came to it is told when the pack is loaded.

use chains::{NamedCall, Written};
use host::connection::{OWN_CLUSTER, used};
use model::{ActionRef, Foreseen, Location, Value};
use rules::Action;

use super::{Permissions, fits_pattern, fits_secret};

/// What a file names, and where.
pub(super) struct Named {
    kind: Kind,
    name: String,
    at: Location,
}

enum Kind {
    Connection,
    Secret,
}

impl Kind {
    /// What a built-in action's call may name, and in which parameter.
    fn of(action: &ActionRef) -> (Self, &'static str) {
        match action.as_str() {
            "secrets.get" | "secrets.store" => (Self::Secret, "path"),
            _ => (Self::Connection, "connection"),
        }
    }
}

impl Named {
    /// The server's own cluster, where something on clusters names no connection.
    pub(super) fn own_cluster(what: &str, parameters: &Foreseen, at: &Location) -> Option<Self> {
        let named = parameters.at("connection").is_given();
        let name = if named { None } else { used(what, None) };
        name.map(|name| Self::connection(name, at.clone()))
    }

    /// The connection `name`.
    pub(super) fn connection(name: &str, at: Location) -> Self {
        Self { kind: Kind::Connection, name: name.to_owned(), at }
    }

    /// The secret that `permissions.secrets` calls `entry`.
    pub(super) fn secret(entry: String, at: Location) -> Self {
        Self { kind: Kind::Secret, name: entry, at }
    }

    /// What a chain's call of a built-in action names.
    pub(super) fn by_call(call: &NamedCall) -> Option<Self> {
        let (kind, parameter) = Kind::of(&call.action);
        let (_, written, at) = call.parameters.iter().find(|(name, ..)| name == parameter)?;
        let Written::Value(Value::String(name)) = written else { return None };
        Some(Self { kind, name: name.clone(), at: at.clone() })
    }

    /// The same of a rule's action.
    pub(super) fn by_rule(action: &Action) -> Option<Self> {
        let (kind, parameter) = Kind::of(&action.reference);
        let name = action.parameters.literals().get(parameter)?.as_str()?.to_owned();
        let at = action.parameters.location_of(parameter);
        Some(Self { kind, name, at: at.unwrap_or_else(|| action.location.clone()) })
    }

    /// Where it stands, what is wrong and what to do, if the pack does not ask for it.
    pub(super) fn unasked(&self, permissions: &Permissions) -> Option<(&Location, String, String)> {
        let (what, patterns, fits): (_, _, fn(&str, &str) -> bool) = match self.kind {
            Kind::Connection => ("connection", &permissions.connections, fits_pattern),
            Kind::Secret => ("secret", &permissions.secrets, fits_secret),
        };
        if patterns.iter().any(|pattern| fits(pattern, &self.name)) {
            return None;
        }
        let name = &self.name;
        let message = match name.as_str() {
            OWN_CLUSTER if what == "connection" => format!(
                "the pack uses the server's own cluster, the connection `{name}`, but does not ask for it"
            ),
            _ => format!("the pack uses the {what} `{name}` but does not ask for it"),
        };
        let hint = format!("add `{name}` to `permissions.{what}s` in its pack.yaml");
        Some((&self.at, message, hint))
    }
}
