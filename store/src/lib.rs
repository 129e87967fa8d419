//! The store: one log of facts, one picture of it.
//!
//! Everything that must survive is a fact appended to a log; everything that is looked up is a
//! projection of that log. This crate owns the port [`Store`] and its implementations. It never
//! knows what a rule or a chain is: it moves facts and keeps rows.
//!
//! Kept out of the port on purpose: hash chains, files, transactions, SQL. They belong to one
//! implementation.

pub mod port;

pub use port::*;
