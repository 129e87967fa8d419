//! What a step asks of a cluster, and the object that it names.

use std::sync::Arc;
use std::time::Duration;

use host::kubernetes::{Cluster, Failure, Patch, Request, Resource, Selected, veil};
use model::{ErrorKind, Performance, StepError, Value};
use serde_json::json;
use tokio::time::sleep;

use super::manifest::Identity;
use crate::Performing;

/// Longest value of a step's own idea of what it waits for.
pub(super) const DEFAULT_PATIENCE: &str = "10m";

/// Whose the fields are that we write, where an apply names nobody else.
pub(super) const MANAGER: &str = "tripline";

/// A step, and the cluster it is for.
pub(super) struct Asked<'a> {
    pub(super) cluster: Arc<Cluster>,
    pub(super) performing: &'a Performing,
    /// The API server is only asked what would be.
    pub(super) dry: bool,
}

/// Why a step did not get what it asked for.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: StepError,
    /// Whether nothing came of it for certain.
    certain: bool,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let error = StepError::new(failure.kind, failure.message).with_details(failure.details);
        Self { error, certain: failure.certain }
    }
}

impl From<StepError> for Trouble {
    fn from(error: StepError) -> Self {
        Self { error, certain: true }
    }
}

impl Trouble {
    /// What it says of the step's effect.
    pub(super) fn performance(self) -> Performance {
        if self.certain {
            Performance::Failed(self.error)
        } else {
            Performance::Unknown(self.error)
        }
    }
}

/// An error that certainly had no effect.
pub(super) fn refused(kind: ErrorKind, message: impl Into<String>) -> Trouble {
    StepError::new(kind, message).into()
}

impl<'a> Asked<'a> {
    pub(super) fn parameters(&self) -> &'a Value {
        &self.performing.parameters
    }

    /// A parameter that is text; empty where it is not given.
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.option(name).unwrap_or_default()
    }

    /// A parameter that is text, where it is given.
    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        self.parameters()[name].as_str()
    }

    /// A parameter that is a length of time.
    pub(super) fn duration(&self, name: &str) -> Result<model::Duration, StepError> {
        duration(name, self.option(name).unwrap_or(DEFAULT_PATIENCE))
    }

    /// The namespace for what names none itself.
    pub(super) async fn namespace(&self) -> Result<String, Failure> {
        match self.option("namespace") {
            Some(namespace) => Ok(namespace.to_owned()),
            None => self.cluster.default_namespace().await,
        }
    }

    /// The object that the parameters name.
    pub(super) async fn target(&self) -> Result<Target, Failure> {
        let resource = self.cluster.resource(self.text("api_version"), self.text("kind")).await?;
        let name = self.text("name").to_owned();
        self.target_of(resource, None, name).await
    }

    /// An object of a kind; `namespace` wins over the step's own.
    pub(super) async fn target_of(
        &self,
        resource: Resource,
        namespace: Option<String>,
        name: String,
    ) -> Result<Target, Failure> {
        let namespace = match (resource.namespaced, namespace) {
            (false, _) => None,
            (true, Some(namespace)) => Some(namespace),
            (true, None) => Some(self.namespace().await?),
        };
        Ok(Target { cluster: self.cluster.clone(), resource, namespace, name })
    }

    /// Waits for this time, unless the step is cancelled meanwhile.
    pub(super) async fn pause(&self, time: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.performing.cancel.cancelled() => {
                Err(Failure::unsent(ErrorKind::Cancelled, "it was given up"))
            }
        }
    }

    /// Sends what changes something, or asks what it would change.
    pub(super) async fn send(&self, request: Request) -> Result<Value, Failure> {
        self.send_as(MANAGER, request).await
    }

    /// The same, where the fields that it sets are `manager`'s.
    pub(super) async fn send_as(&self, manager: &str, request: Request) -> Result<Value, Failure> {
        let dry = self.dry.then_some("All");
        let request = request.with("fieldManager", manager).with_some("dryRun", dry);
        self.cluster.request(&request).await
    }
}

/// A length of time as users write it.
pub(super) fn duration(name: &str, text: &str) -> Result<model::Duration, StepError> {
    let invalid = |error| {
        StepError::new(ErrorKind::InvalidParameters, format!("`{name}` is `{text}`: {error}"))
    };
    text.parse().map_err(invalid)
}

/// One object of a cluster, whether it is there or not.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) cluster: Arc<Cluster>,
    pub(super) resource: Resource,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Target {
    /// Its path, or that of a part of it.
    pub(super) fn path(&self, part: Option<&str>) -> String {
        self.resource.object(self.namespace.as_deref(), &self.name, part)
    }

    /// The object as it is now, or a part of it.
    pub(super) async fn get(&self, part: Option<&str>) -> Result<Value, Failure> {
        let found = self.cluster.request(&Request::get(&self.path(part))).await;
        found.map_err(|failure| match failure.is_not_found() {
            true => Failure { message: format!("{}: it is not there", self.identity()), ..failure },
            false => failure,
        })
    }

    /// The object, where it is there.
    pub(super) async fn find(&self) -> Result<Option<Value>, Failure> {
        self.cluster.find(&self.resource, self.namespace.as_deref(), &self.name).await
    }

    /// The first objects of a kind in its namespace that carry these labels.
    pub(super) async fn beside(
        &self,
        api_version: &str,
        kind: &str,
        labels: &str,
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        let resource = self.cluster.resource(api_version, kind).await?;
        let selected = Selected {
            namespace: self.namespace.as_deref(),
            labels: Some(labels),
            ..Selected::all(&resource)
        };
        Ok(self.cluster.list(&selected, limit, None).await?.objects)
    }

    /// A request that patches it, or a part of it.
    pub(super) fn patch(&self, how: Patch, patch: Value, part: Option<&str>) -> Request {
        Request::patch(&self.path(part), how, patch)
    }

    /// What names it.
    pub(super) fn identity(&self) -> Identity {
        Identity {
            api_version: self.resource.api_version.clone(),
            kind: self.resource.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// An object as results show it.
pub(super) fn shown(mut object: Value) -> Value {
    veil(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// What names an object, and what became of it.
pub(super) fn told(identity: &Identity, result: &str) -> Value {
    let Identity { api_version, kind, namespace, name } = identity;
    json!({
        "api_version": api_version, "kind": kind, "namespace": namespace, "name": name,
        "result": result,
    })
}
