//! `run(ref, params, options)`.

use std::rc::Rc;

use model::fact::StepResult;
use model::{ActionRef, Value};
use rhai::{Dynamic, Engine, Map, NativeCallContext};

use super::{ask, invalid, map, text};
use crate::advance::Ask;
use crate::host::Host;
use crate::options::StepOptions;
use crate::raise::{Answer, raise};
use crate::replay::Said;
use crate::unseen;

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let none = || Dynamic::from_map(Map::new());
    let own = host.clone();
    engine.register_fn("run", move |context: NativeCallContext<'_>, action: Dynamic| {
        run(&own, &context, &action, &none(), &none())
    });
    let own = host.clone();
    engine.register_fn(
        "run",
        move |context: NativeCallContext<'_>, action: Dynamic, parameters: Dynamic| {
            run(&own, &context, &action, &parameters, &none())
        },
    );
    let own = host.clone();
    engine.register_fn(
        "run",
        move |context: NativeCallContext<'_>,
              action: Dynamic,
              parameters: Dynamic,
              options: Dynamic| { run(&own, &context, &action, &parameters, &options) },
    );
}

fn run(
    host: &Host,
    context: &NativeCallContext<'_>,
    action: &Dynamic,
    parameters: &Dynamic,
    options: &Dynamic,
) -> Answer {
    let path = host.step("run")?;
    let action = action_ref("run", action)?;
    let parameters = Value::Object(map("run", "the parameters", parameters)?);
    let options = StepOptions::parse(&map("run", "the options", options)?)
        .map_err(|error| invalid(error.to_string()))?;
    let said = ask(host, context, &path, &Ask::Run { action, parameters, options })?;
    result(&said)
}

/// The action that the first argument names.
pub(super) fn action_ref(function: &str, action: &Dynamic) -> Answer<ActionRef> {
    let name = text(function, "the action", action)?;
    name.parse().map_err(|error: model::name::BadName| invalid(error.to_string()))
}

/// The value of a call that is over, or its error.
pub(super) fn result(said: &Said) -> Answer {
    match said {
        Said::Result(StepResult::Done(value)) => value_of(value),
        Said::Unseen(path) => Ok(unseen::value(path)),
        Said::Result(StepResult::Failed(error)) => Err(raise(error)),
        // `ask` stops the evaluation for every other answer, a poll's apart.
        _ => Err(invalid("this call has no result")),
    }
}

/// A journaled value as the script sees it.
pub(super) fn value_of(value: &Value) -> Answer {
    expr::to_dynamic(value).map_err(|error| {
        let message = format!("the result cannot be given to the chain: {error}");
        crate::raise::wrong(model::ErrorKind::TooLarge, message)
    })
}
