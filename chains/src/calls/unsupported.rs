//! Functions of the design that this version does not have: known by name, so that a chain that
//! uses them hears so.

use model::ErrorKind;
use rhai::{Dynamic, Engine};

use crate::raise::{Answer, wrong};

/// Their names.
pub(crate) const WORDS: [&str; 4] = ["race", "wait_for", "approve", "lock"];

/// What is said of them.
pub(crate) fn message(word: &str) -> String {
    format!("`{word}` is known, but this version of Tripline does not support it yet")
}

/// What a chain can do without them.
pub(crate) fn instead(word: &str) -> &'static str {
    match word {
        "race" => "use `parallel`, which waits for every branch",
        "wait_for" => "use `poll`, or a rule that starts what comes next",
        "approve" => "end the chain here, and start what comes next by hand",
        _ => "remove it",
    }
}

pub(super) fn register(engine: &mut Engine) {
    for word in WORDS {
        let refuse = move || -> Answer { Err(wrong(ErrorKind::Rejected, message(word))) };
        engine.register_fn(word, refuse);
        engine.register_fn(word, move |_: Dynamic| refuse());
        engine.register_fn(word, move |_: Dynamic, _: Dynamic| refuse());
        engine.register_fn(word, move |_: Dynamic, _: Dynamic, _: Dynamic| refuse());
    }
}
