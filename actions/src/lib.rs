//! Actions: steps → results.
//!
//! This crate owns the port [`Action`] and the built-in actions. It never knows what a chain or
//! an execution's journal is: it gets parameters and a key, and says how the performance went.

mod core;
mod declare;
pub mod port;
pub mod program;

use std::sync::Arc;

pub use port::*;
pub use program::{Program, ProgramSpec};

/// What the built-in actions stand on.
#[derive(Debug, Clone, Default)]
pub struct BuiltinContext {}

/// Every built-in action that performs itself, which `datastore.*` doesn't: the engine applies it
/// together with its step's result.
pub fn builtin(_context: &BuiltinContext) -> Vec<SharedAction> {
    let mut actions: Vec<SharedAction> = Vec::new();
    actions.extend(core::Core::all().map(|action| Arc::new(action) as SharedAction));
    actions
}
