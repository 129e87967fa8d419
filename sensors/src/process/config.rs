//! What the file of a sensor that is a program says.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use host::process::Limits;
use host::redact::Redactor;
use model::{Duration, Map, Size, Value};

use super::Process;
use crate::fields::{find, text};
use crate::secret::{self, Secret, SecretRef};
use crate::{BuildContext, BuildError};

/// Address space, of which runtimes reserve much more than they use.
const MEMORY: Size = Size::from_bytes(16 << 30);
const FILES: u64 = 1024;
/// What one program may leave to the others: a store takes some thousand a second.
const EVENTS_PER_SECOND: u64 = 1000;
/// Less is not enough to start anything.
const LEAST_MEMORY: u64 = 16 << 20;

/// A process sensor's parameters.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    entry_point: String,
    parameters: Value,
    /// What the program finds under `secrets`, by name.
    secrets: BTreeMap<String, SecretRef>,
    limits: Limits,
    rate: u32,
}

impl ProcessConfig {
    /// Reads parameters that fit their schema.
    pub(crate) fn read(parameters: &Map) -> Result<Self, BuildError> {
        let entry_point = text(parameters, "entry_point")?.to_owned();
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if entry_point.is_empty() || !Path::new(&entry_point).components().all(inside) {
            let message = format!("`entry_point: {entry_point}` leads out of the pack");
            let error = BuildError::at("entry_point", message);
            return Err(error.with_hint("name a file of the pack's folder `sensors`"));
        }
        let secrets = secrets(parameters)?;
        let given = parameters.get("parameters").cloned();
        let number = |path: &str| find(parameters, path).and_then(Value::as_u64);
        let limits = Limits {
            memory: Some(memory(parameters)?.unwrap_or(MEMORY.bytes())),
            cpu: cpu(parameters)?,
            files: Some(number("limits.files").unwrap_or(FILES)),
        };
        let rate = number("limits.events_per_second").unwrap_or(EVENTS_PER_SECOND);
        let rate = u32::try_from(rate).unwrap_or(u32::MAX);
        let parameters = given.unwrap_or_else(|| Value::Object(Map::new()));
        Ok(Self { entry_point, parameters, secrets, limits, rate })
    }

    pub(crate) fn build(self, context: &BuildContext) -> Result<Process, BuildError> {
        let Some(pack) = &context.pack else {
            return Err(BuildError::at("", "only a pack's own sensor can be a program"));
        };
        if let Err(why) = &pack.exec {
            return Err(BuildError::at("entry_point", why.clone()));
        }
        let resolve = |(name, reference): (&String, &SecretRef)| {
            let value = secret::resolve(reference, &format!("secrets.{name}"), context)?;
            Ok((name.clone(), value))
        };
        let secrets: BTreeMap<String, Secret> =
            self.secrets.iter().map(resolve).collect::<Result<_, BuildError>>()?;
        let program: PathBuf = context.folder.join("sensors").join(&self.entry_point);
        Ok(Process {
            program: std::path::absolute(&program).unwrap_or(program),
            parameters: self.parameters,
            redactor: redactor(&secrets),
            secrets,
            limits: self.limits,
            rate: self.rate,
            programs: pack.programs.clone(),
            pack: pack.name.clone(),
            types: pack.types.clone(),
            log: pack.log.clone(),
            random: context.random,
        })
    }
}

fn secrets(parameters: &Map) -> Result<BTreeMap<String, SecretRef>, BuildError> {
    let given = parameters.get("secrets").and_then(Value::as_object).into_iter().flatten();
    let read = |(name, value): (&String, &Value)| {
        Ok((name.clone(), secret::read(&format!("secrets.{name}"), value)?))
    };
    given.map(read).collect()
}

/// Finds the values in what the program prints.
fn redactor(secrets: &BTreeMap<String, Secret>) -> Arc<Redactor> {
    let labels: Vec<String> = secrets.keys().map(|name| format!("[secret {name}]")).collect();
    let values = secrets.values().map(Secret::expose);
    Arc::new(Redactor::new(values.zip(labels.iter().map(String::as_str))))
}

fn memory(parameters: &Map) -> Result<Option<u64>, BuildError> {
    let Some(value) = find(parameters, "limits.memory") else { return Ok(None) };
    let size = value.as_str().and_then(|text| text.parse::<Size>().ok()).map(Size::bytes);
    if let Some(size) = size.filter(|size| *size >= LEAST_MEMORY) {
        return Ok(Some(size));
    }
    let message = format!("`limits.memory: {value}` is not a size from 16MiB");
    Err(BuildError::at("limits.memory", message).with_hint("write it as 512MiB"))
}

/// Whole seconds of processor time: what the kernel counts.
fn cpu(parameters: &Map) -> Result<Option<u64>, BuildError> {
    let Some(value) = find(parameters, "limits.cpu") else { return Ok(None) };
    let time = value.as_str().and_then(|text| text.parse::<Duration>().ok());
    let seconds = time.map(|time| time.to_std().as_secs()).filter(|seconds| *seconds > 0);
    if seconds.is_some() {
        return Ok(seconds);
    }
    let message = format!("`limits.cpu: {value}` is not a time from 1s");
    Err(BuildError::at("limits.cpu", message).with_hint("write it as 10m"))
}
