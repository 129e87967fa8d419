//! Words of the command line that the documents know and this version does not: whoever types one
//! is told that, not that it was misspelled.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands, alone or as a noun and its verb.
const WORDS: &[&str] = &[
    "approval",
    "lock",
    "pack import-st2",
    "pack rbac",
    "pack rollback",
    "pack sync",
    "pause",
    "rule backtest",
    "unpause",
];

/// The word of a later version that made clap give up, if one did.
pub(super) fn word(args: &[OsString], error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let mut before = words.take_while(|word| word != wrong).filter(|word| !word.starts_with('-'));
    let word = match before.next() {
        Some(noun) => format!("{noun} {wrong}"),
        None => wrong.clone(),
    };
    WORDS.contains(&word.as_str()).then_some(word)
}
