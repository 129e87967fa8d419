//! `pack.yaml`.

use host::guard::HostPattern;
use model::{Diagnostic, Location, Map, PackName, Schema, Value};
use syntax::{Fields, Node};

use super::Permissions;
use super::requires::{self, Required};
use crate::secrets::settings;

/// First parts of what is built in: no pack may have such a name.
const RESERVED: [&str; 23] = [
    "api",
    "argocd",
    "aws",
    "builtin",
    "consul",
    "core",
    "datastore",
    "engine",
    "execution",
    "git",
    "global",
    "helm",
    "http",
    "kubernetes",
    "nats",
    "notify",
    "process",
    "secrets",
    "template",
    "timer",
    "tripline",
    "vault",
    "webhook",
];

/// Whether no pack may have this name.
pub fn is_reserved(name: &PackName) -> bool {
    RESERVED.contains(&name.as_str())
}

/// What `pack.yaml` says.
pub(super) struct Manifest {
    pub(super) name: PackName,
    /// Where it says so.
    pub(super) at: Location,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) team: Option<String>,
    pub(super) requires: Vec<Required>,
    pub(super) config_schema: Schema,
    pub(super) permissions: Permissions,
}

impl Manifest {
    /// What is known of a pack whose `pack.yaml` is wrong.
    pub(super) fn unread(name: PackName, at: Location) -> Self {
        Self {
            name,
            at,
            version: String::new(),
            description: String::new(),
            team: None,
            requires: Vec::new(),
            config_schema: Schema::empty(),
            permissions: Permissions::default(),
        }
    }
}

const KNOWN: [&str; 9] = [
    "name",
    "version",
    "description",
    "team",
    "keywords",
    "author",
    "requires",
    "config_schema",
    "permissions",
];

pub(super) fn parse(node: &Node) -> Result<Manifest, Vec<Diagnostic>> {
    let fields = Fields::new(node, &KNOWN, &[]);
    let name = fields.required("name").parsed::<PackName>();
    if let (Some(name), Some(at)) = (&name, node.get("name"))
        && is_reserved(name)
    {
        let message = format!("`{name}` is the prefix of what is built in");
        fields.report(at.error(message).with_hint("choose another name for the pack"));
    }
    let version = fields.required("version").string();
    let description = fields.optional("description").string().unwrap_or_default();
    let team = fields.optional("team").string();
    fields.optional("keywords").strings();
    fields.optional("author").string();
    let requires = fields.optional("requires").node().map(requires::parse);
    let requires = requires.map_or(Some(Vec::new()), |requires| fields.part(requires));
    let config_schema = fields.part(schema(fields.optional("config_schema").node()));
    if let (Some(schema), Some(node)) = (&config_schema, node.get("config_schema")) {
        for finding in secret_defaults(schema, node) {
            fields.report(finding);
        }
    }
    let permissions = fields.optional("permissions").node().map(permissions);
    let permissions = permissions.map_or(Some(Permissions::default()), |p| fields.part(p));
    let manifest = (|| {
        Some(Manifest {
            requires: requires?,
            name: name?,
            at: node.get("name").map_or_else(|| node.location(), Node::location),
            version: version?,
            description,
            team,
            config_schema: config_schema?,
            permissions: permissions?,
        })
    })();
    fields.finish(manifest)
}

/// `name → JSON Schema` with `required` and `secret`; absent: nothing may be given.
pub(super) fn schema(node: Option<&Node>) -> Result<Schema, Vec<Diagnostic>> {
    let Some(node) = node else { return Ok(Schema::empty()) };
    let hint = "each name has a JSON Schema, such as `size: { type: integer, required: true }`";
    let Some(entries) = node.as_map() else {
        let message = format!("expected a map of names, found {}", node.describe());
        return Err(vec![node.error(message).with_hint(hint)]);
    };
    let properties: Map =
        entries.iter().map(|e| (e.key.name().to_owned(), e.value.to_value())).collect();
    Schema::compile(&properties).map_err(|error| {
        // Each by itself tells which of them it is.
        let alone = entries.iter().filter_map(|entry| {
            let name = entry.key.name();
            let one = Map::from_iter([(name.to_owned(), properties.get(name)?.clone())]);
            let error = Schema::compile(&one).err()?;
            Some(node.error_at(name, error.message).with_hint(hint))
        });
        let alone: Vec<Diagnostic> = alone.collect();
        if alone.is_empty() { vec![node.error(error.message).with_hint(hint)] } else { alone }
    })
}

/// Settings that are secret and have a default, which everybody who sees the pack could read.
fn secret_defaults(schema: &Schema, node: &Node) -> Vec<Diagnostic> {
    let mut defaults = Map::new();
    schema.fill(&mut defaults);
    let mut findings: Vec<Diagnostic> = Vec::new();
    schema.secret_places(&mut Value::Object(defaults), &mut |place, _| {
        let shown = settings::shown(place);
        let name = shown.split('.').next().unwrap_or_default();
        let message = format!("`{shown}` is secret and has a default, which everybody can read");
        let finding = node.error_at(&format!("{name}.default"), message);
        let hint = "take the default out: the environment says where the value lies";
        findings.push(finding.with_hint(hint).privately());
    });
    findings
}

fn permissions(node: &Node) -> Result<Permissions, Vec<Diagnostic>> {
    const KNOWN: [&str; 6] = ["actions", "events", "connections", "secrets", "hosts", "exec"];
    let fields = Fields::new(node, &KNOWN, &[]);
    let list = |name| fields.optional(name).strings().unwrap_or_default();
    let permissions = Permissions {
        actions: list("actions"),
        events: list("events"),
        connections: list("connections"),
        secrets: list("secrets"),
        hosts: list("hosts"),
        exec: fields.optional("exec").bool().unwrap_or(false),
    };
    for (n, host) in permissions.hosts.iter().enumerate() {
        if let Err(error) = host.parse::<HostPattern>() {
            fields.report(node.error_at(&format!("hosts.{n}"), format!("`hosts`: {error}")));
        }
    }
    for (n, entry) in permissions.secrets.iter().enumerate() {
        if !is_secret_entry(entry) {
            let message = format!("`secrets`: `{entry}` names no secret");
            let hint = "write a path of the secret store, `env:NAME` or `file:/PATH`";
            fields.report(node.error_at(&format!("secrets.{n}"), message).with_hint(hint));
        }
    }
    fields.finish(Some(permissions))
}

/// A path of the store, a variable of the server's environment, or a file outside of the pack, which
/// is absolute: what lies in the pack needs no entry.
fn is_secret_entry(entry: &str) -> bool {
    match entry.split_once(':') {
        None => !entry.is_empty(),
        Some(("env", name)) => !name.is_empty(),
        Some(("file", path)) => path.starts_with('/') && !path.split('/').any(|part| part == ".."),
        Some(_) => false,
    }
}
