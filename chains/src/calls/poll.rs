//! `poll(ref, params, |answer| …, options)`: asks a read action again until an answer satisfies.

use std::rc::Rc;

use model::Value;
use model::fact::StepResult;
use rhai::{Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::run::{action_ref, result, value_of};
use super::{ask, invalid, map, said_kind, wait};
use crate::advance::Ask;
use crate::copy::isolated;
use crate::host::Host;
use crate::options::PollOptions;
use crate::raise::Answer;
use crate::replay::Said;

const RESTRICTION: &str =
    "cannot be called in the condition of `poll`, which only looks at an answer";

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn(
        "poll",
        move |context: NativeCallContext<'_>,
              action: Dynamic,
              parameters: Dynamic,
              until: FnPtr| {
            poll(&own, &context, &action, &parameters, &until, &Map::new().into())
        },
    );
    let own = host.clone();
    engine.register_fn(
        "poll",
        move |context: NativeCallContext<'_>,
              action: Dynamic,
              parameters: Dynamic,
              until: FnPtr,
              options: Dynamic| {
            poll(&own, &context, &action, &parameters, &until, &options)
        },
    );
}

fn poll(
    host: &Host,
    context: &NativeCallContext<'_>,
    action: &Dynamic,
    parameters: &Dynamic,
    until: &FnPtr,
    options: &Dynamic,
) -> Answer {
    let path = host.step("poll")?;
    let action = action_ref("poll", action)?;
    let parameters = Value::Object(map("poll", "the parameters", parameters)?);
    let options = PollOptions::parse(&map("poll", "the options", options)?)
        .map_err(|error| invalid(error.to_string()))?;
    let asked = Ask::Poll { action, parameters, options };
    let mark = host.mark()?;
    loop {
        match ask(host, context, &path, &asked)? {
            Said::Open(Some(answer)) => {
                let answer = value_of(&answer)?;
                if satisfies(host, context, until, answer.clone())? {
                    return Ok(answer);
                }
                wait(host, context, &path, &asked)?;
                // An answer that did not satisfy costs no more than if it had never come.
                host.rewind(&mark)?;
            }
            // The answer that settled it. The condition may have failed on it, and fails again.
            Said::Result(StepResult::Done(answer)) => {
                let answer = value_of(&answer)?;
                satisfies(host, context, until, answer.clone())?;
                return Ok(answer);
            }
            said => return result(&said),
        }
    }
}

/// Whether the answer is the one waited for. The condition is evaluated on some answers and not
/// on others, so whatever it changes must not be seen.
fn satisfies(
    host: &Host,
    context: &NativeCallContext<'_>,
    until: &FnPtr,
    answer: Dynamic,
) -> Answer<bool> {
    let until = isolated(until)?;
    let said = host.restricted(RESTRICTION, || until.call_raw(context, None, [answer]))??;
    said.as_bool().map_err(|found| {
        let found = said_kind(found);
        invalid(format!("the condition of `poll` must be true or false, found {found}"))
    })
}
