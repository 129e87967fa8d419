//! Sensors: the outside world → events.
//!
//! This crate owns the port [`Sensor`] and the sensors for timers, git repositories and webhooks.
//! It never knows what a rule is, nor where events go: it hands them to a [`Sink`] and goes on
//! when they are durable.

pub mod port;

pub use port::*;
