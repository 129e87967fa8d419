//! The parameters of what watches a cluster.

use std::time::Duration;

use model::{Map, Value};

use super::compare::Operation;
use super::object::Changes;
use super::path::Path;
use super::told::Telling;
use super::{Initial, ObjectSensor, Timing};
use crate::build::fit;
use crate::fields::{optional, text};
use crate::{BuildContext, BuildError};

/// What is watched, and what of it is told.
#[derive(Debug, Clone)]
pub struct ObjectConfig {
    pub(super) trigger: &'static str,
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Sorted; empty: all.
    pub(super) namespaces: Vec<String>,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    pub(super) metadata_only: bool,
    pub(super) changes: Changes,
    pub(super) telling: Telling,
    pub(super) initial: Initial,
    pub(super) guarded: bool,
    connection: Option<String>,
}

impl ObjectConfig {
    /// Reads parameters that fit the schema of `trigger`.
    pub(crate) fn read(trigger: &str, parameters: &Map) -> Result<Self, BuildError> {
        let metadata_only = parameters.get("metadata_only") == Some(&Value::Bool(true));
        let changes = changes(parameters, metadata_only)?;
        let (trigger, api_version, kind, changes, telling) = match trigger {
            "kubernetes.event" => {
                // Whatever is counted up afterwards, it is the same event.
                let once = Changes::Paths(vec![path("reason")?, path("type")?]);
                ("kubernetes.event", "v1", "Event", once, Telling::Events)
            }
            "kubernetes.condition" => {
                let changes = Changes::Paths(vec![path("status.conditions")?]);
                let telling = Telling::Conditions(list(parameters, "types"));
                let (api_version, kind) =
                    (text(parameters, "api_version")?, text(parameters, "kind")?);
                ("kubernetes.condition", api_version, kind, changes, telling)
            }
            _ => {
                let telling = Telling::Objects(operations(parameters));
                let (api_version, kind) =
                    (text(parameters, "api_version")?, text(parameters, "kind")?);
                ("kubernetes.object", api_version, kind, changes, telling)
            }
        };
        if !is_api_version(api_version) {
            let message = format!("`{api_version}` is no API version");
            let error = BuildError::at("api_version", message);
            return Err(error.with_hint("write it as `v1` or `apps/v1`"));
        }
        let mut namespaces = list(parameters, "namespaces");
        namespaces.sort();
        namespaces.dedup();
        Ok(Self {
            trigger,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespaces,
            labels: optional(parameters, "labels")?,
            fields: optional(parameters, "fields")?,
            metadata_only,
            changes,
            telling,
            initial: match text(parameters, "initial")? {
                "emit" => Initial::Emit,
                _ => Initial::Skip,
            },
            guarded: parameters.get("delete_guard") != Some(&Value::from("off")),
            connection: optional(parameters, "connection")?,
        })
    }

    pub(crate) fn build(self, context: &BuildContext) -> Result<ObjectSensor, BuildError> {
        let found = context.connections.cluster(self.connection.as_deref(), context.user.as_ref());
        let cluster = found.map_err(|error| BuildError::at("connection", error.to_string()))?;
        let kind = self.trigger.parse();
        let kind = kind.map_err(|error| BuildError::at("", format!("{error}")))?;
        Ok(ObjectSensor::new(self, cluster, kind, context.random, Timing::default()))
    }

    /// Whether a selector chooses among the objects.
    pub(super) fn selective(&self) -> bool {
        self.labels.is_some() || self.fields.is_some()
    }
}

/// Makes a sensor of what a user wrote, for a caller that sets its timing
/// ([`ObjectSensor::with_timing`]).
pub fn build(
    trigger: &str,
    parameters: &Map,
    context: &BuildContext,
) -> Result<ObjectSensor, Vec<BuildError>> {
    let config = ObjectConfig::read(trigger, &fit(trigger, parameters)?);
    config.and_then(|config| config.build(context)).map_err(|error| vec![error])
}

/// The timing of a sensor; shorter in tests.
impl Default for Timing {
    fn default() -> Self {
        Self {
            length: Duration::from_secs(290),
            // The API server sends a bookmark each minute.
            idle: Duration::from_secs(150),
            check: model::Duration::from_secs(3600),
            retry: (model::Duration::from_secs(1), model::Duration::from_secs(60)),
        }
    }
}

fn is_api_version(text: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(name)
}

fn path(text: &str) -> Result<Path, BuildError> {
    text.parse().map_err(|error: String| BuildError::at("changes", error))
}

fn list(parameters: &Map, name: &str) -> Vec<String> {
    let list = parameters.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn operations(parameters: &Map) -> Vec<Operation> {
    let named = list(parameters, "operations");
    Operation::ALL.into_iter().filter(|one| named.iter().any(|name| name == one.as_str())).collect()
}

fn changes(parameters: &Map, metadata_only: bool) -> Result<Changes, BuildError> {
    let paths = match parameters.get("changes") {
        Some(Value::Array(paths)) => paths,
        Some(Value::String(all)) if all == "any" => return Ok(Changes::Any),
        _ => return Ok(Changes::Spec),
    };
    let mut read = Vec::new();
    for (n, text) in paths.iter().enumerate() {
        let at = format!("changes.{n}");
        let path = text.as_str().unwrap_or_default().parse::<Path>();
        let path = path.map_err(|error| BuildError::at(&at, error))?;
        if metadata_only && path.first() != "metadata" {
            let message =
                format!("`{path}` never changes: with `metadata_only` only `metadata` is there");
            return Err(BuildError::at(&at, message));
        }
        read.push(path);
    }
    Ok(Changes::Paths(read))
}
