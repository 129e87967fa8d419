//! `undo(|error| …)` and `on_exit(|outcome| …)`: registers what runs later.

#![expect(deprecated, reason = "rhai marks stored contexts as volatile; the version is pinned")]

use std::rc::Rc;

use model::{ErrorKind, Record};
use rhai::{Engine, FnPtr, NativeCallContext};

use super::record::recorded;
use crate::copy::isolated;
use crate::handlers::{Registration, When};
use crate::host::Host;
use crate::raise::{Answer, wrong};

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
    let function = isolated(function)?;
    recorded(host, &path, record)?;
    let seen = context.store_data();
    host.with(|pass| pass.registrations.push(Registration { path, when, function, seen }))
}
