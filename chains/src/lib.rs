//! Durable chains: rhai programs that are evaluated from their start each time, with every call
//! answered from the journal.
//!
//! This crate owns *what a chain means*: which functions it can call, how each call is numbered,
//! how a journal answers it, how branches and handlers run, what bounds a program. It is pure: it
//! performs nothing, knows no clock and no store, and gives the same answer to the same journal in
//! production, in a dry run, in a pack's tests and in a simulation.
//!
//! ```
//! use chains::{Evaluator, Input, Next, Program, Source};
//! use model::{ExecutionId, Journal, Timestamp, Value};
//!
//! let text = r#"run("core.echo", #{ text: params.text })"#.to_owned();
//! let source = Source { file: "hello.rhai".to_owned(), text, libs: Default::default() };
//! let program = Program::compile(source).unwrap();
//! let input = Input {
//!     execution: ExecutionId::random(&[0; 32]),
//!     parameters: serde_json::json!({ "text": "hello" }),
//!     config: Value::Null,
//!     context: Value::Null,
//! };
//! let now = Timestamp::UNIX_EPOCH;
//! let advance = Evaluator::new().advance(&program, &input, &Journal::default(), now);
//! let Next::Pending(steps) = advance.next else { panic!() };
//! assert_eq!(steps[0].path.to_string(), "1");
//! ```

// rhai's errors are large; it passes them on boxed, and so do we.
#![allow(clippy::unnecessary_box_returns)]

mod advance;
mod calls;
mod check;
mod compiled;
mod copy;
mod coverage;
mod direct;
mod evaluator;
mod handlers;
mod host;
mod limits;
mod memory;
mod options;
mod program;
mod raise;
mod replay;
#[doc(hidden)]
pub mod testing;
mod unseen;

pub use advance::{Advance, Ask, Input, Next, Step};
pub use check::{
    Catalog, ForeseenCall, NamedCall, Signature, Written, calls_foreseen, calls_named, check,
};
pub use coverage::Lines;
pub use evaluator::{Evaluator, Rehearsed};
pub use host::Answers;
pub use limits::{EVALUATOR_STACK_BYTES, MAX_STEPS};
pub use options::{PollOptions, Retry, StepOptions};
pub use program::{LANGUAGE, Program, Source};
pub use unseen::Use;
