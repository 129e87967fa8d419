//! The operating system and the wire, once: child processes, hardened git, HTTP client, clock.
//!
//! Sensors and actions stand on this crate. It knows no events, rules or executions.

pub mod clock;
pub mod connection;
pub mod exec_child;
pub mod git;
pub mod guard;
pub mod http;
pub mod process;
pub mod rate;
pub mod redact;
pub mod secret;
pub mod tls;

pub use clock::Clock;
