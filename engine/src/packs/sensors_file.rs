//! `sensors/*.yaml`: a named sensor.

use host::git::Git;
use model::Diagnostic;
use model::diagnostic::suggest;
use syntax::{Fields, Node};

use super::SensorSpec;
use super::pin::{Snapshot, stays_inside};

pub(super) fn parse(
    node: &Node,
    git: &Git,
    shown: &str,
    snapshot: &Snapshot,
) -> Result<SensorSpec, Vec<Diagnostic>> {
    let fields =
        Fields::new(node, &["description", "type", "parameters"], &["enabled", "connection"]);
    fields.optional("description").string();
    let kind = fields.required("type").string();
    let parameters = fields.optional("parameters").map().unwrap_or_default();
    if let (Some(kind), Some(at)) = (&kind, node.get("type")) {
        let types = sensors::sensor_types();
        let known: Vec<&str> = types.iter().map(|one| one.name).collect();
        if known.contains(&kind.as_str()) {
            let place = node.get("parameters").unwrap_or(at);
            if let Some(finding) =
                place.get("entry_point").and_then(|at| program(at, shown, snapshot))
            {
                fields.report(finding);
            }
            for error in sensors::check(kind, &parameters, git) {
                let finding = place.error_at(&error.path, error.message);
                let finding = if error.private { finding.privately() } else { finding };
                fields.report(match error.hint {
                    Some(hint) => finding.with_hint(hint),
                    None => finding,
                });
            }
        } else {
            fields.report(unknown_type(kind, at, &known));
        }
    }
    let spec = kind.map(|kind| SensorSpec { kind, parameters, at: node.location() });
    fields.finish(spec)
}

/// What is wrong with the file of a sensor that is a program.
fn program(at: &Node, shown: &str, snapshot: &Snapshot) -> Option<Diagnostic> {
    // What is no text, or leads out of the folder, is told with the other parameters.
    let name = at.as_str().filter(|name| stays_inside(name))?;
    let path = format!("sensors/{name}");
    match snapshot.files.get(&path) {
        None => {
            let message = format!("there is no file {path} in the pack");
            let others = snapshot.files.keys().filter_map(|other| other.strip_prefix("sensors/"));
            let hint = match suggest(name, others) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add {path}, or name a file that is in the folder"),
            };
            Some(at.error(message).with_hint(hint))
        }
        Some(file) if !file.executable => {
            let hint = format!("run `chmod +x {shown}/{path}`");
            Some(at.error(format!("{path} is not executable")).with_hint(hint))
        }
        Some(_) => None,
    }
}

fn unknown_type(kind: &str, at: &Node, known: &[&str]) -> Diagnostic {
    const LATER: [&str; 2] = ["github", "nats"];
    if kind == "kubernetes" {
        let hint = "delete this file, and name `kubernetes.object` in a rule's trigger, with a `connection` where the cluster is another one";
        return at.error("clusters are watched without a sensor of one's own").with_hint(hint);
    }
    if LATER.contains(&kind) {
        let message =
            format!("sensors of type `{kind}` are not supported by this version of Tripline");
        return at.error(message).with_hint(format!("known here: {}", known.join(", ")));
    }
    let hint = match suggest(kind, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    at.error(format!("there is no sensor type `{kind}`")).with_hint(hint)
}
