//! `continue_as(params)`: ends this run, and lets a new one of the same chain go on with an empty
//! journal.

use std::rc::Rc;

use model::{ErrorKind, Value};
use rhai::{Dynamic, Engine};

use super::record::unrecorded;
use super::{map, storable};
use crate::handlers::When;
use crate::host::{Host, Pass, Stop};
use crate::raise::{Answer, wrong};

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("continue_as", move |parameters: Dynamic| continue_as(&own, &parameters));
}

fn continue_as(host: &Host, parameters: &Dynamic) -> Answer<()> {
    unrecorded(host, "continue_as")?;
    if let Some(why) = host.with(|pass| refusal(pass))? {
        return Err(wrong(ErrorKind::Rejected, format!("`continue_as` {why}")));
    }
    let parameters = Value::Object(map("continue_as", "the parameters", parameters)?);
    storable("continue_as", "the parameters", &parameters)?;
    Err(host.stop(Stop::Continue(parameters)))
}

/// Why it cannot be called here.
fn refusal(pass: &Pass) -> Option<&'static str> {
    let undo = |registration: &crate::handlers::Registration| registration.when == When::Undo;
    if pass.is_nested() {
        return Some(
            "ends the whole chain: call it in the chain itself, not in a branch or handler",
        );
    }
    pass.registrations.iter().any(undo).then_some(
        "cannot be called once `undo` is registered: the new run would not know what to undo; keep what must be undone in a chain of its own",
    )
}
