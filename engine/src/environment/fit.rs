//! Whether a pack fits the environment it is to run in: its configuration, and what it asks for.

use host::connection::{ConnectionSpec, OWN_CLUSTER};
use host::secret::FORMS;
use model::diagnostic::instead;
use model::{Diagnostic, Location, Schema, Token, Value, Violation};
use syntax::Node;

use super::Environment;
use crate::packs::{Findings, Pack, fits_pattern, fits_secret};
use crate::secrets::settings::{self, Written};

/// Everything that keeps `pack` from running in `environment`.
pub(crate) fn check(pack: &Pack, environment: &Environment) -> Findings {
    let of_pack = environment.packs.get(&pack.name);
    let given = of_pack.and_then(|of_pack| of_pack.config.as_ref());
    let mut findings = misfits(&pack.config_schema, given);
    findings.extend(missing(pack, environment));
    findings.extend(connections(pack, environment));
    findings.extend(beyond_grants(pack, environment));
    findings
}

/// What of `given` does not fit; what is missing apart.
fn misfits(schema: &Schema, given: Option<&Node>) -> Findings {
    let Some(node) = given else { return Vec::new() };
    let mut value = node.to_value();
    let mut findings = plain_secrets(schema, node, &mut value);
    let present = |violation: &Violation| !absent(schema, &value, violation);
    let told = schema.violations(&value).into_iter().filter(present).map(|violation| {
        let message = violation.message.replacen("unknown parameter", "unknown setting", 1);
        let finding = node.error_at(&violation.path, message);
        // A setting that is a secret is named and not shown.
        let finding = match secret(schema, &violation.path) {
            true => Diagnostic {
                message: format!("`{}` does not fit the pack's config_schema", violation.path),
                ..finding.privately()
            },
            false => finding,
        };
        match violation.hint {
            Some(hint) => finding.with_hint(hint),
            None => finding,
        }
    });
    findings.extend(told);
    findings.into_iter().map(Diagnostic::without_line).collect()
}

/// Secrets that stand in the file themselves, where it should say where they lie. Each is named and
/// not shown; in `value` stands what fits any schema of a text.
fn plain_secrets(schema: &Schema, node: &Node, value: &mut Value) -> Findings {
    let mut findings = Findings::new();
    let stand_in = Token::random(&[0; 32]);
    settings::each(value, schema, &mut |place, value, written| {
        let shown = settings::shown(place);
        *value = Value::from(stand_in.as_str());
        let message = match written {
            Written::Reference(_) => return,
            Written::BadPath => format!(
                "`{shown}`: not the path of a secret: expected names of letters, digits and `_.-` with slashes between"
            ),
            Written::Plain => {
                format!("`{shown}` is secret: its value may not stand in the environment's file")
            }
        };
        findings.push(node.error_at(&shown, message).with_hint(FORMS).privately());
    });
    findings
}

fn absent(schema: &Schema, value: &Value, violation: &Violation) -> bool {
    let required = schema.required().any(|name| name == violation.path);
    required && value.get(&violation.path).is_none()
}

fn secret(schema: &Schema, path: &str) -> bool {
    let name = path.split('.').next().unwrap_or_default();
    schema.properties().get(name).is_some_and(|property| property["secret"] == true)
}

/// Settings that must be given and are not.
fn missing(pack: &Pack, environment: &Environment) -> Findings {
    let config = pack.config.as_object();
    let missing = pack
        .config_schema
        .required()
        .filter(|name| config.is_none_or(|config| !config.contains_key(*name)));
    let told = missing.map(|name| {
        let message = format!("the pack's setting `{name}` has no value");
        let line = format!("packs: {{ {}: {{ config: {{ {name}: … }} }} }}", pack.name);
        let hint = match &environment.file {
            Some(file) => format!("set it in {file}: `{line}`"),
            None => format!(
                "name a file with `environment:` in tripline.yaml and set it there: `{line}`"
            ),
        };
        at(pack, &format!("config_schema.{name}"), message).with_hint(hint)
    });
    told.collect()
}

/// Connections that the pack asks for and does not get.
fn connections(pack: &Pack, environment: &Environment) -> Findings {
    let asked = pack.permissions.connections.iter().enumerate();
    let told = asked.filter(|(_, name)| !name.contains('*')).filter_map(|(n, name)| {
        let known = environment.connections.keys().map(String::as_str);
        let shown = environment.shown();
        let (message, hint) = match environment.connections.get(name) {
            None if name == OWN_CLUSTER => (
                format!("the pack asks for the server's own cluster, which {shown} does not lend"),
                format!(
                    "add it to `connections` there: `{OWN_CLUSTER}: {{ type: kubernetes, packs: [{}] }}`",
                    pack.name
                ),
            ),
            None => (
                format!("the pack asks for the connection `{name}`, and there is none in {shown}"),
                instead(name, known),
            ),
            Some(spec) if !spec.admits(&pack.name) => {
                let ConnectionSpec { at, .. } = spec;
                (
                    format!(
                        "the pack asks for the connection `{name}`, which {shown} does not grant it"
                    ),
                    format!("add `{}` to its `packs` at {at}", pack.name),
                )
            }
            Some(_) => return None,
        };
        Some(at(pack, &format!("permissions.connections.{n}"), message).with_hint(hint))
    });
    told.collect()
}

/// What the pack asks for and the environment's `permissions` leave out.
fn beyond_grants(pack: &Pack, environment: &Environment) -> Findings {
    let Some(of_pack) = environment.packs.get(&pack.name) else { return Vec::new() };
    let (asked, grants) = (&pack.permissions, &of_pack.grants);
    let lists = [
        ("actions", &asked.actions, &grants.actions),
        ("events", &asked.events, &grants.events),
        ("secrets", &asked.secrets, &grants.secrets),
    ];
    let mut beyond = Vec::new();
    for (kind, asked, granted) in lists {
        let Some(granted) = granted else { continue };
        let covered = |asked: &str| granted.iter().any(|pattern| covers(kind, pattern, asked));
        let found = asked.iter().enumerate().filter(|(_, one)| !covered(one));
        beyond.extend(found.map(|one| (kind, one)));
    }
    if let Some(granted) = &grants.hosts {
        let covered = |asked: &str| {
            asked.parse().is_ok_and(|asked| granted.iter().any(|one| one.covers(&asked)))
        };
        let found = asked.hosts.iter().enumerate().filter(|(_, one)| !covered(one));
        beyond.extend(found.map(|one| ("hosts", one)));
    }
    let told = beyond.into_iter().map(|(kind, (n, one))| {
        refused(pack, &format!("permissions.{kind}.{n}"), one, kind, &of_pack.at)
    });
    let mut findings: Findings = told.collect();
    if asked.exec && grants.exec == Some(false) {
        findings.push(refused(pack, "permissions.exec", "exec: true", "exec", &of_pack.at));
    }
    findings
}

/// Whether all that fits `asked` fits `granted`.
fn covers(kind: &str, granted: &str, asked: &str) -> bool {
    match kind {
        "secrets" => fits_secret(granted, asked),
        _ => fits_pattern(granted, asked),
    }
}

fn refused(pack: &Pack, path: &str, asked: &str, kind: &str, by: &Location) -> Diagnostic {
    let message = format!("the pack asks for `{asked}`, which its environment does not grant");
    let hint = format!(
        "add it to `packs.{}.permissions.{kind}` ({}:{}), or take it out of the pack",
        pack.name, by.file, by.line
    );
    at(pack, path, message).with_hint(hint)
}

/// An error at a dotted path into the pack's pack.yaml.
fn at(pack: &Pack, path: &str, message: String) -> Diagnostic {
    let file = &pack.at.file;
    let document = pack.texts.get(file).and_then(|text| syntax::parse(file, text).ok());
    match document {
        Some(document) => document.root().error_at(path, message),
        None => Diagnostic::error(pack.at.clone(), message),
    }
}
