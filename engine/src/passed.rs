//! On whose behalf a chain uses what its parameters name.
//!
//! A chain runs under its own pack's permissions. An action or a connection whose name stands in its
//! parameters is the choice of who put it there, who must be allowed it as well: else a pack could do
//! through another one what it may not do itself. So is the server's own cluster, where no connection is
//! named. The names are followed from chain to chain as they
//! are passed on; one that a chain's own text or configuration brings in is its pack's alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::fact::{ExecutionRequested, Passed};
use model::{ActionRef, Value};

use crate::core::Core;
use crate::environment::Environment;
use crate::packs::{Generation, Pack};

/// Stands among the names for the one that was left out: whoever runs a chain that takes a `connection`,
/// and says none, chooses the server's own cluster.
pub(crate) const LEFT_OUT: &str = "";

/// What is passed on among these packs.
pub(crate) struct Passing<'a> {
    pub(crate) core: &'a Core,
    pub(crate) generation: &'a Generation,
    /// The content that the execution runs by.
    pub(crate) pinned: Option<&'a Arc<Pack>>,
}

impl Passing<'_> {
    /// What other packs passed to the chain that `request` asks for: chains that run it, and the rule.
    pub(crate) fn to(&self, request: &ExecutionRequested) -> Vec<Passed> {
        let rule = request.origin.rule().filter(|rule| rule.pack.as_str() != request.action.pack());
        let by_rule = rule.map(|rule| Passed {
            pack: rule.pack.clone(),
            names: self.names(&request.action, &request.parameters),
        });
        request.passed.iter().cloned().chain(by_rule).collect()
    }

    /// What the chain that `request` asks for passes on to another one with these parameters, and of
    /// what it was passed itself.
    pub(crate) fn on(
        &self,
        request: &ExecutionRequested,
        chain: &ActionRef,
        parameters: &Value,
    ) -> Vec<Passed> {
        let given = self.names(chain, parameters);
        let own = request.action.pack().parse().ok();
        let own = own
            .filter(|_| request.action.pack() != chain.pack())
            .map(|pack| Passed { pack, names: given.clone() });
        // What was left out may lie deeper now, as a part of what the next chain is about.
        let goes_on = |name: &String| {
            given.contains(name) || (name == LEFT_OUT && leaves_out_connection(parameters))
        };
        let before = self.to(request).into_iter().map(|passed| Passed {
            names: passed.names.into_iter().filter(goes_on).collect(),
            ..passed
        });
        own.into_iter().chain(before).filter(|passed| !passed.names.is_empty()).collect()
    }

    /// What in the parameters of `chain` may be the name of an action or of a connection.
    fn names(&self, chain: &ActionRef, parameters: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        collect(parameters, &self.core.environment.load(), &mut found);
        if leaves_out_connection(parameters) && self.takes_connection(chain) {
            found.insert(LEFT_OUT.to_owned());
        }
        found
    }

    fn takes_connection(&self, chain: &ActionRef) -> bool {
        let resolved = self.core.library.resolve(self.generation, self.pinned, chain);
        resolved.is_ok_and(|it| it.parameters().properties().contains_key("connection"))
    }
}

fn leaves_out_connection(parameters: &Value) -> bool {
    parameters["connection"].is_null()
}

/// Whether `value` holds this text, anywhere.
pub(crate) fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(map) => map.iter().any(|(key, item)| key == text || holds(item, text)),
        _ => false,
    }
}

fn collect(value: &Value, environment: &Environment, found: &mut BTreeSet<String>) {
    let mut take = |text: &String| {
        if text.parse::<ActionRef>().is_ok() || environment.connections.contains_key(text) {
            found.insert(text.clone());
        }
    };
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, environment, found)),
        Value::Object(map) => {
            map.keys().for_each(&mut take);
            map.values().for_each(|item| collect(item, environment, found));
        }
        _ => {}
    }
}
