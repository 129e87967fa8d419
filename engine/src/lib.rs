//! The engine: the imperative shell around the pure parts.
//!
//! ```text
//!  sensing ──events──▶ intake ──▶ rules (evaluators) ──requests──▶ driver ⇄ chains (evaluators)
//!                        │                                           │ steps
//!                        └───────────── store ◀──────────────────────┴──▶ actions
//! ```
//! It owns the order in which things happen: what is stored before what is done. It knows no HTTP
//! and no command line; [`Engine`] is what these stand on.

mod arrival;
pub mod ask;
mod asked;
pub mod backup;
pub mod core;
mod decide;
mod deeds;
mod desk;
pub mod doctor;
pub mod driver;
pub mod dry_run;
mod emitting;
pub mod engine;
pub mod environment;
mod evaluators;
mod export;
mod fair;
mod folders;
mod giving_up;
mod going_on;
mod hooks;
pub mod intake;
mod jumps;
pub mod logs;
pub mod metrics;
mod notices;
pub mod packs;
pub mod packtest;
mod pages;
mod passed;
mod permissions;
mod queries;
mod random;
mod refusals;
mod render;
pub mod rerun;
pub mod retry;
pub mod secrets;
mod sensing;
mod settings;
mod spans;
mod suspects;
mod tokens;
mod undecided;
mod upkeep;
pub mod view;
mod watch;

pub use actions::desk::{Kept, NoArtifact, OpenStep, PREFIX as STEP_TOKEN};
pub use ask::{AskError, NewEvent};
pub use desk::StepBearer;
pub use engine::{Engine, StartError};
pub use folders::Folders;
pub use hooks::{WebhookPlace, WebhookRefused};
pub use intake::Accepted;
pub use packs::{check_packs, check_packs_in};
pub use random::secret as random_secret;
pub use refusals::{Refusal, Who};
pub use settings::Settings;
pub use spans::{BadCollector, Collector, Share};
pub use tokens::{ADMIN, Holder, PREFIX as TOKEN_PREFIX};
