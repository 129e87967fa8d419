//! Functions of the design that this version does not have: known by name, so that a chain that
//! uses them hears so.

use model::ErrorKind;
use rhai::{Dynamic, Engine};

use crate::raise::{Answer, wrong};

/// Their names.
pub(crate) const WORDS: [&str; 6] =
    ["race", "wait_for", "approve", "lock", "continue_as", "secret"];

/// What is said of them.
pub(crate) fn message(word: &str) -> String {
    format!("`{word}` is known, but this version of Tripline does not support it yet")
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
