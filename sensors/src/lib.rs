//! Sensors: the outside world → events.
//!
//! This crate owns the port [`Sensor`] and the sensors: timers, git repositories, webhooks,
//! objects of clusters, and programs of packs.
//! It never knows what a rule is, nor where events go: it hands them to a [`Sink`] and goes on
//! when they are durable. A webhook is no task: the server asks it whether a request is an event.
//!
//! [`build`] makes a sensor of what a user wrote, or says what is wrong with it and where:
//!
//! ```
//! use sensors::{BuildContext, Built, build};
//! let parameters = serde_json::json!({ "every": "30s" });
//! let context = BuildContext::new("tripline:main/timer.interval/0a1b", ".");
//! let built = build("timer.interval", parameters.as_object().unwrap(), &context);
//! assert!(matches!(built, Ok(Built::Task(_))));
//!
//! let errors = build("timer.cron", &model::Map::new(), &context).unwrap_err();
//! assert_eq!(errors[0].message, "missing parameter `cron`");
//! ```

mod build;
mod fields;
pub mod git;
mod kinds;
pub mod kubernetes;
pub mod port;
pub mod process;
mod secret;
pub mod timer;
pub mod webhook;

pub use build::{
    BuildContext, BuildError, Built, PackContext, SecretLookup, SecretPermit, beyond, build, check,
};
pub use kinds::{SensorKind, TriggerKind, apart, sensor_types, trigger_types};
pub use port::*;
