//! Environments: one file that gives connections and the packs' configuration their values, so
//! that the same packs run in several places.
//!
//! It is read like a pack: strictly, whole or not at all, and again when it changes. What is wrong
//! with it is told with its place and without its lines: secrets written there by mistake are found
//! by the packs' schemas, and what is wrong is found before.

mod connection;
mod fit;
mod keeper;

use std::collections::BTreeMap;
use std::path::Path;

use host::connection::ConnectionSpec;
use host::guard::{BadHost, HostPattern};
use model::diagnostic::instead;
use model::{Diagnostic, Location, Map, PackName};
use syntax::{Entry, Fields, Node};

pub(crate) use fit::check as check_pack;
pub use keeper::EnvironmentStatus;
pub(crate) use keeper::Keeper;

/// What an environment's file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    /// The file, as the user knows it; none where the server has no environment.
    pub file: Option<String>,
    /// Its connections, by name.
    pub connections: BTreeMap<String, ConnectionSpec>,
    /// What it says of packs.
    pub packs: BTreeMap<PackName, PackEnvironment>,
}

/// What an environment says of one pack.
#[derive(Debug, Clone, PartialEq)]
pub struct PackEnvironment {
    /// Where.
    pub at: Location,
    /// The pack's configuration, with its places.
    pub config: Option<Node>,
    /// What the pack is granted of what it asks for; absent: all of it.
    pub grants: Grants,
}

/// Limits to what a pack may ask for; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Patterns of actions.
    pub actions: Option<Vec<String>>,
    /// Patterns of other packs' event types.
    pub events: Option<Vec<String>>,
    /// Patterns of secrets' paths.
    pub secrets: Option<Vec<String>>,
    /// Hosts.
    pub hosts: Option<Vec<HostPattern>>,
    /// Programs on the server.
    pub exec: Option<bool>,
}

impl Environment {
    /// Reads the environment's file; its text, too.
    pub fn read(file: &Path) -> Result<(Self, String), Vec<Diagnostic>> {
        let shown = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| {
            let at = Location::file(shown.clone());
            let finding = Diagnostic::error(at, format!("the environment cannot be read: {error}"));
            vec![finding.with_hint("see `environment` in tripline.yaml")]
        })?;
        let text = syntax::text(&shown, &bytes).map_err(without_lines)?;
        Ok((Self::parse(&shown, text)?, text.to_owned()))
    }

    /// The environment in `text`; relative paths in it start from the folder of `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        Self::decode(file, text).map_err(without_lines)
    }

    fn decode(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let document = syntax::parse(file, text)?;
        let mut environment = Self { file: Some(file.to_owned()), ..Self::default() };
        if document.root().is_null() {
            return Ok(environment);
        }
        let fields = Fields::new(document.root(), &["description", "connections", "packs"], &[]);
        fields.optional("description").string();
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        for entry in fields.optional("connections").entries().unwrap_or_default() {
            if let Some(spec) = fields.part(connection::parse(entry, folder)) {
                environment.connections.insert(spec.name.clone(), spec);
            }
        }
        for entry in fields.optional("packs").entries().unwrap_or_default() {
            if let Some((name, pack)) = fields.part(pack(entry)) {
                environment.packs.insert(name, pack);
            }
        }
        fields.finish(Some(environment))
    }

    /// The configuration that it gives `pack`.
    pub fn config(&self, pack: &PackName) -> Option<Map> {
        let entries = self.packs.get(pack)?.config.as_ref()?.as_map()?;
        Some(entries.iter().map(|e| (e.key.name().to_owned(), e.value.to_value())).collect())
    }

    /// How messages call it.
    pub fn shown(&self) -> &str {
        self.file.as_deref().unwrap_or("the server's environment")
    }

    /// What it says of packs that are not there: slips, or packs of another server.
    pub fn strangers<'a>(&self, known: impl Iterator<Item = &'a PackName>) -> Vec<Diagnostic> {
        let known: Vec<&str> = known.map(PackName::as_str).collect();
        let strangers = self.packs.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let told = strangers.map(|(name, pack)| {
            let message = format!("there is no pack `{name}` here");
            let finding = Diagnostic::warning(pack.at.clone(), message);
            finding.with_hint(instead(name.as_str(), known.iter().copied()))
        });
        told.collect()
    }
}

fn without_lines(findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    findings.into_iter().map(Diagnostic::without_line).collect()
}

fn pack(entry: &Entry) -> Result<(PackName, PackEnvironment), Vec<Diagnostic>> {
    let name = entry.key.name().parse::<PackName>();
    let name = name.map_err(|error| vec![entry.key.error(error.to_string())])?;
    let fields = Fields::new(&entry.value, &["config", "permissions"], &[]);
    let config = fields.optional("config");
    config.entries();
    let grants = fields.optional("permissions").node().map(grants);
    let grants = grants.map_or(Some(Grants::default()), |grants| fields.part(grants));
    let pack = grants.map(|grants| {
        let pack =
            PackEnvironment { at: entry.key.location(), config: config.node().cloned(), grants };
        (name, pack)
    });
    fields.finish(pack)
}

fn grants(node: &Node) -> Result<Grants, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["actions", "events", "secrets", "hosts", "exec"], &[]);
    if let Some(entry) = node.entry("connections") {
        let hint = "name the pack in `packs` of the connection instead";
        let finding = entry.key.error("connections are granted where they are declared");
        return Err(vec![finding.with_hint(hint)]);
    }
    let grants = Grants {
        actions: fields.optional("actions").strings(),
        events: fields.optional("events").strings(),
        secrets: fields.optional("secrets").strings(),
        hosts: fields.optional("hosts").strings().map(|texts| hosts(node, &fields, &texts)),
        exec: fields.optional("exec").bool(),
    };
    fields.finish(Some(grants))
}

fn hosts(node: &Node, fields: &Fields<'_>, texts: &[String]) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(host) => hosts.push(host),
            Err(error) => {
                let error: BadHost = error;
                fields.report(node.error_at(&format!("hosts.{n}"), format!("`hosts`: {error}")));
            }
        }
    }
    hosts
}
