//! The functions that chains call; one file per kind of call.

mod branches;
mod continuation;
mod handler;
mod poll;
mod record;
mod run;
mod secret;
mod sleep;
mod unsupported;

use std::rc::Rc;

use expr::to_value;
use model::value::{MAX_CALL_BYTES, kind_of};
use model::{ErrorKind, Map, StepPath, Value};
use rhai::{Dynamic, Engine, NativeCallContext};

use crate::advance::{Ask, Step};
use crate::host::{Host, Stop};
use crate::limits::LIMITS;
use crate::raise::{Answer, wrong};
use crate::replay::{self, Said};
use crate::unseen;

pub(crate) use secret::GET as GET_SECRET;
pub(crate) use unsupported::{WORDS as UNSUPPORTED, instead};

/// The names of all functions of this crate: a script cannot define them anew.
const FUNCTIONS: [&str; 19] = [
    "run",
    "parallel",
    "parallel_map",
    "sleep",
    "sleep_until",
    "poll",
    "undo",
    "on_exit",
    "emit",
    "now",
    "uuid",
    "log",
    "fail",
    "continue_as",
    "get",
    "secret",
    "base64",
    "url_encode",
    "hmac",
];

/// Those of them that only compute: they can be called anywhere.
const COMPUTING: [&str; 5] = ["fail", "get", "base64", "url_encode", "hmac"];

/// Variables that every chain finds, in its functions too.
pub(crate) const PROVIDED: [&str; 3] = ["params", "config", "execution"];

/// Whether scripts call this name and mean a function of chains.
pub(crate) fn is_host_function(name: &str) -> bool {
    FUNCTIONS.contains(&name) || UNSUPPORTED.contains(&name)
}

/// Whether calls of this name have a place in the journal.
pub(crate) fn is_journaled(name: &str) -> bool {
    is_host_function(name) && !COMPUTING.contains(&name)
}

/// What is wrong with a closure that takes `takes` arguments and is called with `given`.
pub(crate) fn closure_takes(function: &str, takes: usize, given: usize) -> String {
    let called = match given {
        0 => "without arguments".to_owned(),
        1 => "with 1 argument".to_owned(),
        more => format!("with {more} arguments"),
    };
    format!("`{function}` calls its closure {called}, and this one takes {takes}")
}

/// The engine of chains, whose functions act on `host`.
pub(crate) fn engine(host: &Rc<Host>) -> Engine {
    let mut engine = expr::engine(&LIMITS);
    // A closure captures what it needs; `curry` can grow one without any bound.
    engine.disable_symbol("curry");
    let progress = host.clone();
    engine.on_progress(move |_| progress.is_over().then_some(Dynamic::UNIT));
    provide(&mut engine, host);
    run::register(&mut engine, host);
    sleep::register(&mut engine, host);
    poll::register(&mut engine, host);
    record::register(&mut engine, host);
    secret::register(&mut engine, host);
    unseen::register(&mut engine, host);
    branches::register(&mut engine, host);
    continuation::register(&mut engine, host);
    handler::register(&mut engine, host);
    unsupported::register(&mut engine);
    engine
}

/// A script's `fn` sees no variables around it: `params` and its like come from here. It is also
/// where the variables that a function does have can be looked at.
#[expect(deprecated, reason = "rhai marks the callback as volatile; the version is pinned")]
fn provide(engine: &mut Engine, host: &Rc<Host>) {
    let host = host.clone();
    engine.on_var(move |name, _, context| {
        host.measure(context.scope())?;
        unseen::read(&host, name, &context)?;
        if !PROVIDED.contains(&name) || context.scope().contains(name) {
            return Ok(None);
        }
        host.with(|pass| pass.provided(name))
    });
}

/// Asks for something that is answered from outside; the value, once it is there.
fn ask(host: &Host, context: &NativeCallContext<'_>, path: &StepPath, ask: &Ask) -> Answer<Said> {
    loop {
        match look(host, path, ask)? {
            Said::Mismatch(error) => return Err(host.stop(Stop::Mismatch(error))),
            Said::Nothing if !host.may_begin(path)? => return Err(host.stop(Stop::Waiting)),
            said @ (Said::Nothing | Said::Open(None)) => {
                if let Ask::Run { parameters, .. } | Ask::Poll { parameters, .. } = ask
                    && matches!(said, Said::Nothing)
                {
                    storable(ask.function(), "the parameters", parameters)?;
                }
                wait(host, context, path, ask)?;
            }
            said if host.with(|pass| pass.unseen.contains(path))? => {
                unseen::made(host, context, Some(path.clone()))?;
                return Ok(said.unseen(path.clone()));
            }
            said => return Ok(said),
        }
    }
}

/// What the journal says. It is not held on to: while the chain waits, it is added to.
fn look(host: &Host, path: &StepPath, ask: &Ask) -> Answer<Said> {
    let journal = host.with(|pass| pass.journal.clone())?;
    host.look(path, |found| replay::said(path, ask, &found, &journal))
}

/// Waits for an answer to `ask`.
fn wait(host: &Host, context: &NativeCallContext<'_>, path: &StepPath, ask: &Ask) -> Answer<()> {
    let position = host.place(context);
    host.wait_for(Step { path: path.clone(), ask: ask.clone(), position })
}

/// The text that a function needs as its argument `name`.
fn text(function: &str, name: &str, value: &Dynamic) -> Answer<String> {
    value.clone().into_string().map_err(|found| {
        invalid(format!("`{function}` needs {name} as a string, found {}", said_kind(found)))
    })
}

/// The map that a function needs as its argument `name`; null is an empty one.
fn map(function: &str, name: &str, value: &Dynamic) -> Answer<Map> {
    match json(function, name, value)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => {
            Err(invalid(format!("`{function}` needs {name} as a map, found {}", kind_of(&other))))
        }
    }
}

/// An error if `value` is larger than what is stored of one call.
fn storable(function: &str, name: &str, value: &Value) -> Answer<()> {
    let bytes = value.to_string().len();
    if bytes <= MAX_CALL_BYTES {
        return Ok(());
    }
    let message = format!(
        "{name} of `{function}` have {bytes} bytes of JSON text, more than {MAX_CALL_BYTES}: keep large values in files and pass their paths"
    );
    Err(wrong(ErrorKind::TooLarge, message))
}

fn json(function: &str, name: &str, value: &Dynamic) -> Answer<Value> {
    to_value(value).map_err(|error| match unseen::named_in(value) {
        Some(unseen) => invalid(format!("{name} of `{function}`: {unseen}")),
        None => invalid(format!("{name} of `{function}`: {error}")),
    })
}

fn invalid(message: impl Into<String>) -> crate::raise::Raised {
    wrong(ErrorKind::InvalidParameters, message)
}

/// rhai's names of types in our words.
fn said_kind(rhai: &str) -> &str {
    match rhai {
        "()" => "null",
        "i64" => "a whole number",
        "f64" => "a number",
        "bool" => "a boolean",
        "array" => "a list",
        "map" => "a map",
        "Fn" => "a function",
        "char" => "a character",
        other => other,
    }
}
