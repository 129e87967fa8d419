//! What bounds a chain. A program that stays within these can neither hang its thread for long nor
//! overflow its stack.

use expr::Limits;

/// Stack of a thread that evaluates chains. Only what is used costs memory.
///
/// rhai walks values recursively. Between two measures ([`MEASURED_EVERY`]) a program can nest them
/// some thousand levels deeper than [`HELD_DEPTH`]; out of the measure's sight (captured by a closure
/// that no variable holds) as deep as [`OPERATIONS`] allow.
pub const EVALUATOR_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Most journaled calls of one execution.
pub const MAX_STEPS: usize = 10_000;

/// Most operations of one evaluation, closures included; a handler has as many of its own.
pub(crate) const OPERATIONS: u64 = 500_000;

/// Most bytes that the variables of one function may reach.
pub(crate) const HELD_BYTES: usize = 256 * 1024 * 1024;

/// Most values that the variables of one function may reach, each time they are reached.
pub(crate) const HELD_VALUES: usize = 4_000_000;

/// How deep what variables reach may be nested. rhai walks values recursively, and walks the whole
/// of a list or map whenever a function returns it: a deep one costs stack, and time squared.
pub(crate) const HELD_DEPTH: usize = 256;

/// How many operations lie between two measures; a string of the largest size costs one.
pub(crate) const MEASURED_EVERY: u64 = 1_000;

/// Most values that are copied for one branch or handler.
pub(crate) const COPIED_VALUES: usize = 20_000;

/// Deepest nesting of what a branch or handler captures.
pub(crate) const COPIED_DEPTH: usize = 64;

/// Most bytes of the text of one `log`.
pub(crate) const LOG_BYTES: usize = 16 * 1024;

/// Most bytes of a program's text, libraries apart.
pub(crate) const SOURCE_BYTES: usize = 256 * 1024;

/// Compiled programs that one evaluator keeps.
pub(crate) const CACHED_PROGRAMS: usize = 64;

/// The bounds that rhai itself holds.
pub(crate) const LIMITS: Limits = Limits {
    // Our own count, which rhai's resets cannot fool, is reached first.
    operations: 4 * OPERATIONS,
    call_levels: 64,
    expression_depth: 64,
    string_bytes: model::value::INLINE_VALUE_BYTES,
    items: model::value::MAX_TOTAL_ITEMS,
    variables: 256,
    functions: 512,
    modules: 32,
    loops: true,
};
