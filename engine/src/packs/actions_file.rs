//! `actions/*.yaml`: a chain or a program, with its parameters and promises.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use actions::{Metadata, Program, ProgramSpec};
use chains::Source;
use host::process::Limits;
use model::diagnostic::suggest;
use model::{ActionRef, Diagnostic, Duration, Effect};
use syntax::{Fields, Node};

use super::limits::limits;
use super::manifest::schema;
use super::pin::{PackFile, Snapshot, stays_inside};
use super::runner::{Runner, cluster_program, runner};
use super::{ActionKind, LoadContext, OnUnknown, PackAction};

const KNOWN: [&str; 20] = [
    "description",
    "entry_point",
    "parameters",
    "result",
    "effect",
    "verify",
    "plan",
    "on_unknown",
    "timeout",
    "deadline",
    "limits",
    "runner",
    "image",
    "command",
    "namespace",
    "connection",
    "service_account",
    "resources",
    "keep",
    "name",
];
const LATER: [&str; 3] = ["waits", "notify", "enabled"];

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
    let verify = fields.optional("verify");
    let verify = verify.parsed::<ActionRef>().zip(verify.node().map(Node::location));
    let plan = fields.optional("plan");
    let plan = plan.parsed::<ActionRef>().zip(plan.node().map(Node::location));
    let timeout = fields.optional("timeout").duration();
    let deadline = fields.optional("deadline").duration();
    let limits = limits(&fields);
    let runner = runner(&fields);
    let entry = match runner {
        Runner::Job(_) => fields.optional("entry_point"),
        Runner::Local => fields.required("entry_point"),
    };
    let entry = entry.string().zip(node.get("entry_point"));
    let chain = entry.as_ref().is_some_and(|(name, _)| name.ends_with(".rhai"));
    let place = runner.place();
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
    let kind = metadata.clone().and_then(|metadata| {
        let made = match (runner, entry) {
            (Runner::Local, Some((name, at))) => kind(&name, at, metadata, limits?, around),
            (Runner::Job(job), entry) => cluster_program(job?, entry, metadata, around),
            (Runner::Local, None) => return None,
        };
        fields.part(made)
    });
    let action = kind.zip(metadata).map(|(kind, metadata)| PackAction {
        metadata: Arc::new(metadata),
        kind,
        on_unknown: on_unknown.unwrap_or_default(),
        verify,
        plan,
        deadline,
        place,
        at: node.get("entry_point").unwrap_or(node).location(),
    });
    fields.finish(action)
}

fn chain_says_nothing_of_programs(fields: &Fields<'_>) {
    for name in ["effect", "verify", "plan", "on_unknown", "timeout", "limits", "runner"] {
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

/// The findings about a chain: it knows a library by the name it imports, a user by its file.
fn in_files(wrong: Vec<Diagnostic>, around: &Surroundings<'_>) -> Vec<Diagnostic> {
    let file = |mut finding: Diagnostic| {
        if around.libs.contains_key(&finding.at.file) {
            finding.at.file = format!("{}/{}.rhai", around.shown, finding.at.file);
        }
        finding
    };
    wrong.into_iter().map(file).collect()
}

fn missing(path: &str, at: &Node, snapshot: &Snapshot) -> Diagnostic {
    let others = snapshot.files.keys().filter_map(|other| other.strip_prefix("actions/"));
    let named = path.trim_start_matches("actions/");
    let hint = match suggest(named, others) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("add {path}, or name a file that is in the folder"),
    };
    at.error(format!("there is no file {path} in the pack")).with_hint(hint)
}

/// The program's file, where it is in the pack and can be run.
pub(super) fn program<'a>(
    name: &str,
    at: &Node,
    around: &Surroundings<'a>,
) -> Result<&'a PackFile, Vec<Diagnostic>> {
    if !stays_inside(name) {
        let finding = at.error("the entry point must lie in the pack's folder `actions`");
        return Err(vec![finding.with_hint("name a file of that folder, such as `deploy.sh`")]);
    }
    let path = format!("actions/{name}");
    let file = around.snapshot.files.get(&path);
    let file = file.ok_or_else(|| vec![missing(&path, at, around.snapshot)])?;
    if !file.executable && !name.ends_with(".rhai") {
        let hint = format!("run `chmod +x {}/{path}`", around.shown);
        return Err(vec![at.error(format!("{path} is not executable")).with_hint(hint)]);
    }
    Ok(file)
}

fn kind(
    name: &str,
    at: &Node,
    metadata: Metadata,
    limits: Limits,
    around: &Surroundings<'_>,
) -> Result<ActionKind, Vec<Diagnostic>> {
    let file = program(name, at, around)?;
    if name.ends_with(".rhai") {
        let shown = format!("{}/actions/{name}", around.shown);
        let text = syntax::text(&shown, &file.bytes)?.to_owned();
        let source = Source { file: shown, text, libs: around.libs.clone() };
        let program = chains::Program::compile(source);
        return program.map(ActionKind::Chain).map_err(|wrong| in_files(wrong, around));
    }
    let spec = ProgramSpec {
        metadata,
        pack_folder: around.folder.clone(),
        entry_point: name.to_owned(),
        limits,
    };
    Ok(ActionKind::Program(Arc::new(Program::new(spec, around.context.programs.clone()))))
}
