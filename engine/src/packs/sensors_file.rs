//! `sensors/*.yaml`: a named sensor.

use host::git::Git;
use model::Diagnostic;
use model::diagnostic::suggest;
use syntax::{Fields, Node};

use super::SensorSpec;

pub(super) fn parse(node: &Node, git: &Git) -> Result<SensorSpec, Vec<Diagnostic>> {
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
            for error in sensors::check(kind, &parameters, git) {
                let mut finding = place.error_at(&error.path, error.message);
                finding.line = finding.line.filter(|_| !error.private);
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

fn unknown_type(kind: &str, at: &Node, known: &[&str]) -> Diagnostic {
    const LATER: [&str; 4] = ["process", "kubernetes", "github", "nats"];
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
