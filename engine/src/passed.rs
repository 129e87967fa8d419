//! On whose behalf a chain uses what its parameters name.
//!
//! A chain runs under its own pack's permissions. An action or a connection whose name stands in its
//! parameters is the choice of who put it there, who must be allowed it as well: else a pack could do
//! through another one what it may not do itself. The names are followed from chain to chain as they
//! are passed on; one that a chain's own text or configuration brings in is its pack's alone.

use std::collections::BTreeSet;

use model::fact::{ExecutionRequested, Passed};
use model::{ActionRef, Value};

use crate::environment::Environment;

/// What other packs passed to the chain that `request` asks for: chains that run it, and the rule.
pub(crate) fn to(request: &ExecutionRequested, environment: &Environment) -> Vec<Passed> {
    let rule = request.origin.rule().filter(|rule| rule.pack.as_str() != request.action.pack());
    let by_rule = rule.map(|rule| Passed {
        pack: rule.pack.clone(),
        names: names(&request.parameters, environment),
    });
    request.passed.iter().cloned().chain(by_rule).collect()
}

/// What the chain that `request` asks for passes on to another one with these parameters, and of
/// what it was passed itself.
pub(crate) fn on(
    request: &ExecutionRequested,
    chain: &ActionRef,
    parameters: &Value,
    environment: &Environment,
) -> Vec<Passed> {
    let given = names(parameters, environment);
    let own = request.action.pack().parse().ok();
    let own = own
        .filter(|_| request.action.pack() != chain.pack())
        .map(|pack| Passed { pack, names: given.clone() });
    let before = to(request, environment).into_iter().map(|passed| Passed {
        names: passed.names.intersection(&given).cloned().collect(),
        ..passed
    });
    own.into_iter().chain(before).filter(|passed| !passed.names.is_empty()).collect()
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

/// What in `value` may be the name of an action or of a connection.
fn names(value: &Value, environment: &Environment) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(value, environment, &mut found);
    found
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
