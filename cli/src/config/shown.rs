//! What the environment and the packs add to the effective settings: connections, and each pack's
//! configuration with where each value comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::environment::Environment;
use engine::packs::{Pack, packs_in};
use host::connection::{Auth, ConnectionSpec, Target};
use model::{Diagnostic, Location, Value};
use serde_json::json;

use super::Config;
use crate::failure::{Exit, Failure};

/// One line of `config show`: key, value, where it comes from.
pub(crate) type Line = (String, Value, String);

/// The connections and packs' settings that `config` leads to.
pub(crate) fn lines(config: &Config) -> Result<Vec<Line>, Failure> {
    let environment = match &config.environment {
        Some(file) => {
            let read = Environment::read(file);
            read.map_err(|findings| Failure::findings(Exit::Usage, findings))?.0
        }
        None => Environment::default(),
    };
    let mut lines: Vec<Line> = environment.connections.values().flat_map(connection).collect();
    let packs: Vec<PathBuf> =
        config.packs.iter().filter(|folder| folder.is_dir()).cloned().collect();
    for pack in packs_in(&packs, &environment) {
        lines.extend(settings(&pack, &environment));
    }
    Ok(lines)
}

fn connection(spec: &ConnectionSpec) -> Vec<Line> {
    let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
    fields.insert("type", spec.target.kind().into());
    fields.insert("packs", json!(spec.packs));
    match &spec.target {
        Target::Git { url } => {
            fields.insert("url", url.as_str().into());
        }
        Target::Http { base_url, auth } => {
            fields.insert("base_url", base_url.as_str().into());
            if spec.credentials.is_some() {
                let auth = match auth {
                    Auth::Bearer => "bearer".to_owned(),
                    Auth::Basic => "basic".to_owned(),
                    Auth::Header(name) => format!("header {name}"),
                };
                fields.insert("auth", auth.into());
            }
        }
        Target::Kubernetes { server, ca, context, burst } => {
            fields.extend(server.as_ref().map(|server| ("server", server.as_str().into())));
            fields.extend(ca.as_ref().map(|ca| ("ca", ca.to_string().into())));
            fields.extend(context.as_ref().map(|context| ("context", context.as_str().into())));
            fields.extend(burst.map(|burst| ("burst", burst.into())));
        }
    }
    // Where the secret lies, not what it is.
    fields.extend(spec.credentials.as_ref().map(|c| ("credentials", c.to_string().into())));
    fields.extend(spec.requests_per_second.map(|rate| ("requests_per_second", rate.into())));
    let line =
        |(field, value)| (format!("connections.{}.{field}", spec.name), value, spec.at.clone());
    fields.into_iter().map(line).collect()
}

fn settings(pack: &Pack, environment: &Environment) -> Vec<Line> {
    let given = environment.packs.get(&pack.name).and_then(|of_pack| of_pack.config.as_ref());
    let properties = pack.config_schema.properties();
    let config = pack.shown_config();
    let line = |name: &String| {
        let value = config.get(name).cloned().unwrap_or(Value::Null);
        let from = match given.and_then(|node| node.get(name)) {
            Some(node) => node.location(),
            None => default_of(pack, name),
        };
        (format!("packs.{}.config.{name}", pack.name), value, from.to_string())
    };
    properties.keys().map(line).collect()
}

/// Where the pack declares the setting and its default.
fn default_of(pack: &Pack, name: &str) -> Location {
    let file = &pack.at.file;
    let text = pack.texts.get(file);
    let document: Option<Result<_, Vec<Diagnostic>>> = text.map(|text| syntax::parse(file, text));
    match document {
        Some(Ok(document)) => document.root().location_of(&format!("config_schema.{name}.default")),
        _ => pack.at.clone(),
    }
}
