//! Results that nobody has: a dry run only plans some steps, and most plans cannot say what
//! performing would answer.
//!
//! Such a result is a value of its own kind. A chain may leave it alone; where it uses it, the
//! evaluation stops as if the step had not been answered, so that a dry run says everything that can
//! be known and nothing that was made up.

use std::rc::Rc;

use model::StepPath;
use rhai::{Array, Dynamic, Engine, EvalAltResult, EvalContext, Map, NativeCallContext};

use crate::host::{Host, Stop};
use crate::raise::{Answer, Raised};

/// How rhai's errors call such a value: an error with these words is a use of one.
const NAME: &str = "the result of a step that is only planned";
/// Lists and maps are looked into this deep.
const DEPTH: usize = 16;

/// Stands for the result of the step at this path.
#[derive(Debug, Clone)]
struct Unseen(StepPath);

/// A result that nobody has, and where the chain needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The step whose result it is.
    pub path: StepPath,
    /// The variable that is read; none where the result is used right where it is made.
    pub variable: Option<String>,
}

/// The value that stands for the result of the step at `path`.
pub(crate) fn value(path: &StepPath) -> Dynamic {
    Dynamic::from(Unseen(path.clone()))
}

/// Uses of such a value that don't read a variable.
pub(crate) fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.register_type_with_name::<Unseen>(NAME);
    let own = host.clone();
    engine.register_indexer_get(move |unseen: &mut Unseen, _: Dynamic| -> Answer {
        Err(used(&own, &unseen.0, None))
    });
    for name in ["to_string", "to_debug"] {
        let own = host.clone();
        engine.register_fn(name, move |unseen: Unseen| -> Answer<String> {
            Err(used(&own, &unseen.0, None))
        });
    }
    for name in ["==", "!="] {
        let own = host.clone();
        engine.register_fn(name, move |unseen: Unseen, _: Dynamic| -> Answer<bool> {
            Err(used(&own, &unseen.0, None))
        });
        let own = host.clone();
        engine.register_fn(name, move |_: Dynamic, unseen: Unseen| -> Answer<bool> {
            Err(used(&own, &unseen.0, None))
        });
    }
}

/// Stops where a variable is read that holds such a value.
pub(crate) fn read(
    host: &Host,
    name: &str,
    context: &EvalContext<'_, '_, '_, '_, '_, '_>,
) -> Answer<()> {
    if !host.has_unseen() {
        return Ok(());
    }
    match context.scope().get(name).and_then(|value| within(value, DEPTH)) {
        Some(path) => Err(used(host, &path, Some(name.to_owned()))),
        None => Ok(()),
    }
}

/// Stops where the script looks on the spot at what a call returns, if that is the result of the
/// step at `path` or holds it.
pub(crate) fn made(
    host: &Host,
    context: &NativeCallContext<'_>,
    path: Option<StepPath>,
) -> Answer<()> {
    match path {
        Some(path) if host.is_looked_at(context)? => Err(used(host, &path, None)),
        _ => Ok(()),
    }
}

/// Whether an error is one about such a value, of which rhai only knows the kind.
pub(crate) fn is_about(host: &Host, error: &Raised) -> bool {
    if !host.has_unseen() {
        return false;
    }
    let told = message(error);
    // Some of rhai's errors call types what Rust calls them.
    told.contains(NAME) || told.contains(std::any::type_name::<Unseen>())
}

/// What an error says in the end; those of host functions hold a map.
fn message(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
        | EvalAltResult::ErrorInModule(_, inner, _) => message(inner),
        EvalAltResult::ErrorRuntime(value, _) => match value.read_lock::<Map>() {
            Some(map) => map.get("message").map(ToString::to_string).unwrap_or_default(),
            None => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// Notes a use that is only known by the error that it made.
pub(crate) fn blamed(host: &Host) {
    let last = host.with(|pass| pass.unseen.iter().next_back().cloned());
    if let Ok(Some(path)) = last {
        let _ = used(host, &path, None);
        host.take_stop();
    }
}

/// How an error names such a value within another.
pub(crate) fn named_in(value: &Dynamic) -> Option<&'static str> {
    within(value, DEPTH).map(|_| NAME)
}

fn used(host: &Host, path: &StepPath, variable: Option<String>) -> Raised {
    let noted = Use { path: path.clone(), variable };
    match host.with(|pass| pass.uses.push(noted)) {
        Ok(()) => host.stop(Stop::Waiting),
        Err(error) => error,
    }
}

/// The first step whose result `results` hold.
pub(crate) fn first(host: &Host, results: &[Dynamic]) -> Option<StepPath> {
    if !host.has_unseen() {
        return None;
    }
    results.iter().find_map(|value| within(value, DEPTH))
}

fn within(value: &Dynamic, depth: usize) -> Option<StepPath> {
    if let Some(Unseen(path)) = value.read_lock::<Unseen>().map(|unseen| unseen.clone()) {
        return Some(path);
    }
    if depth == 0 {
        return None;
    }
    if let Some(list) = value.read_lock::<Array>() {
        return list.iter().find_map(|item| within(item, depth - 1));
    }
    value.read_lock::<Map>()?.values().find_map(|item| within(item, depth - 1))
}

/// Notes that what a chain returns holds such a value: no reason to stop.
pub(crate) fn returned(host: &Host, value: &Dynamic) {
    if let Some(path) = within(value, DEPTH) {
        let _ = host.with(|pass| pass.uses.push(Use { path, variable: None }));
    }
}

/// `value` with a text in the place of each result that nobody has: what a chain returns.
pub(crate) fn described(value: Dynamic) -> Dynamic {
    if let Some(Unseen(path)) = value.read_lock::<Unseen>().map(|unseen| unseen.clone()) {
        return format!("(what step {path} returns)").into();
    }
    if let Some(list) = value.read_lock::<Array>().map(|list| list.clone()) {
        return list.into_iter().map(described).collect::<Array>().into();
    }
    if let Some(map) = value.read_lock::<Map>().map(|map| map.clone()) {
        return map.into_iter().map(|(name, item)| (name, described(item))).collect::<Map>().into();
    }
    value
}
