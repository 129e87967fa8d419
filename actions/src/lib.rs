//! Actions: steps → results.
//!
//! This crate owns the port [`Action`] and the built-in actions. It never knows what a chain or
//! an execution's journal is: it gets parameters and a key, and says how the performance went.

pub mod port;

pub use port::*;
