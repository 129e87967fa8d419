//! `actions/*.yaml`: a chain or a program, with its parameters and promises.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use actions::{Metadata, Program, ProgramSpec};
use chains::Source;
use model::{ActionRef, Diagnostic, Duration, Effect};
use syntax::{Fields, Node};

use super::manifest::schema;
use super::pin::{Snapshot, stays_inside};
use super::{ActionKind, LoadContext, OnUnknown, PackAction};

const KNOWN: [&str; 11] = [
    "description",
    "entry_point",
    "parameters",
    "result",
    "effect",
    "verify",
    "on_unknown",
    "timeout",
    "deadline",
    "runner",
    "name",
];
const LATER: [&str; 6] = ["waits", "image", "service_account", "resources", "notify", "enabled"];

/// Longest attempt of a program whose file says nothing.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(600);

/// What an action file is read against.
pub(super) struct Surroundings<'a> {
    pub(super) reference: ActionRef,
    /// The pack's folder as the user knows it.
    pub(super) shown: &'a str,
    /// The folder its programs run from.
    pub(super) folder: PathBuf,
    pub(super) snapshot: &'a Snapshot,
    pub(super) libs: &'a BTreeMap<String, String>,
    pub(super) context: &'a LoadContext,
}

pub(super) fn parse(node: &Node, around: &Surroundings<'_>) -> Result<PackAction, Vec<Diagnostic>> {
    let fields = Fields::new(node, &KNOWN, &LATER);
    let description = fields.optional("description").string().unwrap_or_default();
    let parameters = fields.part(schema(fields.optional("parameters").node()));
    let result = fields.part(schema(fields.optional("result").node()));
    let effect = fields.optional("effect").one_of(&[
        ("read", Effect::Read),
        ("idempotent", Effect::Idempotent),
        ("unsafe", Effect::Unsafe),
    ]);
    let on_unknown = fields.optional("on_unknown").one_of(&[
        ("ask", OnUnknown::Ask),
        ("retry", OnUnknown::Retry),
        ("fail", OnUnknown::Fail),
    ]);
    let verify = fields.optional("verify").parsed::<ActionRef>();
    let timeout = fields.optional("timeout").duration();
    let deadline = fields.optional("deadline").duration();
    runner(&fields);
    let entry = fields.required("entry_point").string();
    let entry = entry.zip(node.get("entry_point"));
    let chain = entry.as_ref().is_some_and(|(name, _)| name.ends_with(".rhai"));
    if chain {
        chain_says_nothing_of_programs(&fields);
    }
    let metadata = parameters.zip(result).map(|(parameters, result)| Metadata {
        reference: around.reference.clone(),
        description,
        parameters,
        result,
        effect: if chain { None } else { Some(effect.unwrap_or(Effect::Unsafe)) },
        timeout: timeout.or((!chain).then_some(PROGRAM_TIMEOUT)),
    });
    let kind = entry
        .zip(metadata.clone())
        .and_then(|((name, at), metadata)| fields.part(kind(&name, at, metadata, around)));
    let action = kind.zip(metadata).map(|(kind, metadata)| PackAction {
        metadata: Arc::new(metadata),
        kind,
        on_unknown: on_unknown.unwrap_or_default(),
        verify,
        deadline,
        at: node.location(),
    });
    fields.finish(action)
}

fn runner(fields: &Fields<'_>) {
    let Some(node) = fields.node().get("runner") else { return };
    match node.as_str() {
        Some("local") => {}
        Some("kubernetes_job") => {
            let message = "`runner: kubernetes_job` is not supported by this version of Tripline";
            fields.report(node.error(message).with_hint("use `runner: local`"));
        }
        _ => fields.report(node.error("unknown runner").with_hint("known here: local")),
    }
}

fn chain_says_nothing_of_programs(fields: &Fields<'_>) {
    for name in ["effect", "verify", "on_unknown", "timeout", "runner"] {
        if let Some(entry) = fields.node().entry(name) {
            let message = format!("`{name}` is for programs: a chain is as safe as its steps");
            let hint = match name {
                "timeout" => "use `deadline` for the time of the whole chain",
                _ => "remove it",
            };
            fields.report(entry.key.error(message).with_hint(hint));
        }
    }
}

fn kind(
    name: &str,
    at: &Node,
    metadata: Metadata,
    around: &Surroundings<'_>,
) -> Result<ActionKind, Vec<Diagnostic>> {
    if !stays_inside(name) {
        return Err(vec![at.error("the entry point must lie in the pack's folder `actions`")]);
    }
    let path = format!("actions/{name}");
    let Some(file) = around.snapshot.files.get(&path) else {
        return Err(vec![at.error(format!("there is no file {path} in the pack"))]);
    };
    if name.ends_with(".rhai") {
        let shown = format!("{}/{path}", around.shown);
        let Ok(text) = String::from_utf8(file.bytes.clone()) else {
            let at = model::Location::file(shown);
            return Err(vec![Diagnostic::error(at, "the file is not UTF-8 text")]);
        };
        let source = Source { file: shown, text, libs: around.libs.clone() };
        return Ok(ActionKind::Chain(chains::Program::compile(source)?));
    }
    if !file.executable {
        let hint = format!("run `chmod +x {}/{path}`", around.shown);
        return Err(vec![at.error(format!("{path} is not executable")).with_hint(hint)]);
    }
    let spec = ProgramSpec {
        metadata,
        pack_folder: around.folder.clone(),
        entry_point: name.to_owned(),
        limits: host::process::Limits::default(),
    };
    Ok(ActionKind::Program(Arc::new(Program::new(spec, around.context.programs.clone()))))
}
