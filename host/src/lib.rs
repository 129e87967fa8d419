//! The operating system and the wire, once: child processes, hardened git, HTTP client, clock.
//!
//! Sensors and actions stand on this crate. It knows no events, rules or executions.
//!
//! ```text
//!  sensors ─┐         ┌─▶ process   a program, bounded, ended with all it started
//!           ├─▶ host ─┼─▶ git       the `git` program, without its users' configuration
//!  actions ─┘         ├─▶ http      requests, after guard looked where they go
//!                     ├─▶ kubernetes  objects of a cluster, its kinds, its watches
//!                     ├─▶ file      files that are there whole or not at all
//!                     └─▶ secret    what a connection shows, read when it is used
//! ```
//!
//! What it answers is data or a typed error; nothing here is tried again, and nothing is stored.

pub mod clock;
pub mod connection;
pub mod download;
pub mod exec_child;
pub mod file;
pub mod git;
pub mod guard;
pub mod http;
pub mod kubernetes;
pub mod process;
pub mod rate;
pub mod redact;
pub mod secret;
pub mod tls;

pub use clock::Clock;
