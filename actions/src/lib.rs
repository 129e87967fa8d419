//! Actions: steps → results.
//!
//! This crate owns the port [`Action`] and the built-in actions. It never knows what a chain or
//! an execution's journal is: it gets parameters and a key, and says how the performance went.
//!
//! ```
//! // What `check` and `action list` know needs no server.
//! let names = actions::declarations();
//! assert!(names.iter().any(|action| action.reference.as_str() == "http.request"));
//! ```

mod connection;
mod core;
pub mod datastore;
mod declare;
pub mod desk;
mod git;
mod http;
mod kubernetes;
pub mod port;
pub mod program;
pub mod secrets;
pub mod template;

use host::git::Exports;
use std::sync::Arc;

pub use http::{host_denied, http_url};
pub use kubernetes::{
    ClusterJob, ClusterProgram, ClusterProgramSpec, PROTECTED as PROTECTED_NAMESPACES,
    program_rights as cluster_program_rights, rights as cluster_rights,
};
pub use port::*;
pub use program::{Program, ProgramSpec};

/// What the built-in actions stand on.
#[derive(Debug, Clone, Default)]
pub struct BuiltinContext {
    /// The mirrors that git sensors fill.
    pub mirrors: host::git::Mirrors,
    /// Where `git.export` and `http.request` put what has no absolute target.
    pub exports: Exports,
    /// The connections that actions use by name.
    pub connections: host::connection::Connections,
    /// Namespaces of clusters in which nothing is deleted; none named: [`PROTECTED_NAMESPACES`].
    pub protected_namespaces: Option<Vec<String>>,
}

/// Every built-in action that this crate performs. `datastore.*`, `secrets.*` and `template.render` are
/// the engine's.
pub fn builtin(context: &BuiltinContext) -> Vec<SharedAction> {
    let mut actions: Vec<SharedAction> = Vec::new();
    actions.extend(core::Core::all().map(|action| Arc::new(action) as SharedAction));
    actions.push(Arc::new(git::Export::new(context.mirrors.clone(), context.exports.clone())));
    actions.push(Arc::new(git::push::Push::commit(context.mirrors.clone())));
    actions.push(Arc::new(git::push::Push::tag(context.mirrors.clone())));
    actions.push(Arc::new(http::HttpRequest::new(
        context.connections.clone(),
        context.exports.clone(),
    )));
    let protected = context.protected_namespaces.clone();
    let protected = protected.unwrap_or_else(|| kubernetes::PROTECTED.map(str::to_owned).into());
    let protected = protected.into();
    let kubernetes = kubernetes::Kubernetes::all(&context.connections, &protected);
    actions.extend(kubernetes.map(|action| Arc::new(action) as SharedAction));
    actions
}

/// What there is to know of every built-in action, `datastore.*` among them, by name.
pub fn declarations() -> Vec<Metadata> {
    let performed = builtin(&BuiltinContext::default());
    let mut all: Vec<Metadata> = performed.iter().map(|action| action.metadata().clone()).collect();
    all.extend(datastore::declarations());
    all.extend(secrets::declarations());
    all.push(template::declaration());
    all.sort_by(|one, other| one.reference.cmp(&other.reference));
    all
}
