//! The parameters of what watches a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use host::kubernetes::Path;
use model::{Map, Value};

use super::compare::Operation;
use super::told::Telling;
use super::ways::Changes;
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
    /// Who is told: at least one.
    pub(super) shares: Vec<Share>,
    pub(super) initial: Initial,
    guarded: bool,
    connection: Option<String>,
}

/// Somebody who is told a part of what is seen.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// The source of these events.
    pub(super) source: String,
    pub(super) telling: Telling,
    pub(super) changes: Changes,
}

impl ObjectConfig {
    /// Reads parameters that fit the schema of `trigger`; what they tell has this source.
    pub(crate) fn read(trigger: &str, parameters: &Map, source: &str) -> Result<Self, BuildError> {
        let metadata_only = parameters.get("metadata_only") == Some(&Value::Bool(true));
        let (trigger, api_version, kind, changes, telling) = match trigger {
            "kubernetes.event" => {
                // Whatever is counted up afterwards, it is the same event.
                let once = Changes::Paths(vec![path("reason")?, path("type")?]);
                ("kubernetes.event", "v1", "Event", once, Telling::Events)
            }
            "kubernetes.condition" => {
                let changes = Changes::Paths(vec![path("status.conditions")?]);
                let reasons = parameters.get("changes") == Some(&Value::from("reason"));
                let telling = Telling::Conditions { types: list(parameters, "types"), reasons };
                let (api_version, kind) =
                    (text(parameters, "api_version")?, text(parameters, "kind")?);
                ("kubernetes.condition", api_version, kind, changes, telling)
            }
            _ => {
                let telling = Telling::Objects(operations(parameters));
                let changes = changes(parameters, metadata_only)?;
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
            shares: vec![Share { source: source.to_owned(), telling, changes }],
            initial: match text(parameters, "initial")? {
                "emit" => Initial::Emit,
                _ => Initial::Skip,
            },
            guarded: parameters.get("delete_guard") != Some(&Value::from("off")),
            connection: optional(parameters, "connection")?,
        })
    }

    /// The same for those who share what is seen, where there are any: each adds parameters of its own.
    pub(crate) fn shared(
        self,
        parameters: &Map,
        shares: &BTreeMap<String, Map>,
    ) -> Result<Self, Vec<BuildError>> {
        if shares.is_empty() {
            return Ok(self);
        }
        let share = |(source, own): (&String, &Map)| {
            let all = parameters.iter().chain(own);
            let all = all.map(|(name, value)| (name.clone(), value.clone())).collect();
            let read = Self::read(self.trigger, &fit(self.trigger, &all)?, source);
            read.map(|one| one.shares).map_err(|error| vec![error])
        };
        let shares: Vec<Vec<Share>> = shares.iter().map(share).collect::<Result<_, _>>()?;
        Ok(Self { shares: shares.concat(), ..self })
    }

    pub(crate) fn build(self, context: &BuildContext) -> Result<ObjectSensor, BuildError> {
        let of = |pack| context.connections.cluster(self.connection.as_deref(), pack);
        // Who shares it and may not is not told.
        let lent = context.users.iter().map(|pack| of(Some(pack))).reduce(Result::or);
        let found = lent.unwrap_or_else(|| of(None));
        let cluster = found.map_err(|error| BuildError::at("connection", error.to_string()))?;
        let kind = self.trigger.parse();
        let kind = kind.map_err(|error| BuildError::at("", format!("{error}")))?;
        Ok(ObjectSensor::new(self, cluster, kind, context.random, Timing::default()))
    }

    /// Every way in which changes count for somebody.
    pub(super) fn changes(&self) -> Vec<Changes> {
        let mut all: Vec<Changes> = Vec::new();
        for share in &self.shares {
            if !all.contains(&share.changes) {
                all.push(share.changes.clone());
            }
        }
        all
    }

    /// The one way in which changes counted before watches were shared.
    pub(super) fn only_changes(&self) -> Changes {
        match self.shares.first() {
            Some(share) if self.trigger != "kubernetes.object" => share.changes.clone(),
            _ => Changes::Spec,
        }
    }

    /// Whether many deletions at once are a question: somebody would be told of them.
    pub(super) fn guards_deletions(&self) -> bool {
        self.guarded && self.shares.iter().any(|share| share.telling.tells(Operation::Deleted))
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
    let config = ObjectConfig::read(trigger, &fit(trigger, parameters)?, &context.source);
    let config = config.map_err(|error| vec![error])?.shared(parameters, &context.shares)?;
    config.build(context).map_err(|error| vec![error])
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
    read.sort();
    read.dedup();
    Ok(Changes::Paths(read))
}
