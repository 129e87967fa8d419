//! `undo(|error| …)` and `on_exit(|outcome| …)`: registers what runs later.

#![expect(deprecated, reason = "rhai marks stored contexts as volatile; the version is pinned")]

use std::rc::Rc;

use model::{ErrorKind, Record};
use rhai::{Engine, FnPtr, NativeCallContext};

use super::record::recorded;
use super::{closure_takes, invalid};
use crate::copy::isolated;
use crate::handlers::{Registration, When};
use crate::host::Host;
use crate::raise::{Answer, wrong};

/// How many arguments a handler is called with: the error, or the outcome.
const ARGUMENTS: usize = 1;

/// The most parameters looked for: a function that takes more is refused when it is called.
const MAX_PARAMETERS: usize = 64;

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("undo", move |context: NativeCallContext<'_>, function: FnPtr| {
        keep(&own, &context, &function, When::Undo)
    });
    let own = host.clone();
    engine.register_fn("on_exit", move |context: NativeCallContext<'_>, function: FnPtr| {
        keep(&own, &context, &function, When::Exit)
    });
}

fn keep(host: &Host, context: &NativeCallContext<'_>, function: &FnPtr, when: When) -> Answer<()> {
    let (name, record) = match when {
        When::Undo => ("undo", Record::Undo),
        When::Exit => ("on_exit", Record::OnExit),
    };
    let path = host.step(name)?;
    if path.is_handler() {
        let message = format!("`{name}` cannot be called in a handler: handlers have none");
        return Err(wrong(ErrorKind::Rejected, message));
    }
    // Journals of earlier versions may hold it: then it goes on as it did.
    let is_new = host.with(|pass| pass.journal.record(&path).is_none())?;
    if let Some(takes) = unfit(context, function).filter(|_| is_new) {
        let message = closure_takes(name, takes, ARGUMENTS);
        let instead = if when == When::Undo { "error" } else { "outcome" };
        return Err(invalid(format!("{message}: write `{name}(|{instead}| …)`")));
    }
    let function = isolated(function)?;
    recorded(host, &path, record)?;
    let seen = context.store_data();
    host.with(|pass| pass.registrations.push(Registration { path, when, function, seen }))
}

/// How many arguments `function` takes, if a handler cannot be called so.
fn unfit(context: &NativeCallContext<'_>, function: &FnPtr) -> Option<usize> {
    let captured = function.curry().len();
    let takes = |count: usize| {
        let mut known = context.iter_namespaces();
        known.any(|module| module.get_script_fn(function.fn_name(), captured + count).is_some())
    };
    // What is not a function of the script is none that can be looked up here.
    if takes(ARGUMENTS) { None } else { (0..MAX_PARAMETERS).find(|count| takes(*count)) }
}
