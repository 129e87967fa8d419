//! The expression language: one strict rhai engine for conditions, `${…}` templates and chains.
//!
//! This crate owns *how rhai is set up* (what is left out, what is an error, what bounds it) and
//! how JSON becomes a rhai value and back. It never knows what an event, a rule or a step is, and
//! does no IO. rhai is built without its feature `sync`: an [`engine`] lives on one thread.
//!
//! ```
//! let engine = expr::engine(&expr::Limits::CONDITION);
//! let mut scope = rhai::Scope::new();
//! let value = expr::to_dynamic(&serde_json::json!({ "size": 3 })).unwrap();
//! scope.push_dynamic("trigger", value);
//! assert!(engine.eval_expression_with_scope::<bool>(&mut scope, "trigger.size <= 5").unwrap());
//! // No silent surprise: a missing property is an error, not `false`.
//! assert!(engine.eval_expression_with_scope::<bool>(&mut scope, "trigger.sise <= 5").is_err());
//! ```

pub mod condition;
pub mod engine;
mod fault;
mod frame;
pub mod json;
mod lookup;
mod order;
mod reads;
pub mod template;
mod words;

pub use engine::{Limits, engine};
pub use fault::spoken;
pub use json::{NotJson, to_dynamic, to_value};
