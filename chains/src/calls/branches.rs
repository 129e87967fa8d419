//! `parallel([…])` and `parallel_map(list, |x| …, options)`.
//!
//! Every branch that may be under way is evaluated in each evaluation: the latch is cleared
//! between branches, what they wait for is gathered, and the latch is set again at the end if any
//! of them waits; or they are evaluated once more, if the evaluation gets its answers while it waits.

use std::rc::Rc;

use model::{ErrorKind, StepError, StepPath, Value};
use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, Map, NativeCallContext};

use super::record::unrecorded;
use super::{invalid, map, said_kind};
use crate::copy::isolated;
use crate::host::{Host, Stop};
use crate::options::parse_max;
use crate::raise::{Answer, is_limit, raise, uncaught};
use crate::unseen;

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("parallel", move |context: NativeCallContext<'_>, branches: Array| {
        parallel(&own, &context, &branches)
    });
    let own = host.clone();
    engine.register_fn(
        "parallel_map",
        move |context: NativeCallContext<'_>, items: Array, function: FnPtr| {
            parallel_map(&own, &context, items, &function, &Map::new().into())
        },
    );
    let own = host.clone();
    engine.register_fn(
        "parallel_map",
        move |context: NativeCallContext<'_>, items: Array, function: FnPtr, options: Dynamic| {
            parallel_map(&own, &context, items, &function, &options)
        },
    );
}

/// A closure and what it is called with.
struct Branch<'a> {
    function: &'a FnPtr,
    argument: Option<Dynamic>,
}

fn parallel(host: &Host, context: &NativeCallContext<'_>, branches: &Array) -> Answer {
    let function = |branch: &Dynamic| {
        branch.clone().try_cast_result::<FnPtr>().map_err(|other| {
            let found = said_kind(other.type_name()).to_owned();
            invalid(format!(
                "`parallel` needs a list of closures such as `|| run(…)`, found {found}"
            ))
        })
    };
    let functions = branches.iter().map(function).collect::<Answer<Vec<_>>>()?;
    let branches = functions.iter().map(|function| Branch { function, argument: None });
    gather(host, context, "parallel", &branches.collect::<Vec<_>>(), usize::MAX)
}

fn parallel_map(
    host: &Host,
    context: &NativeCallContext<'_>,
    items: Array,
    function: &FnPtr,
    options: &Dynamic,
) -> Answer {
    let options = map("parallel_map", "the options", options)?;
    let max = parse_max(&options).map_err(|error| invalid(error.to_string()))?;
    let branches = items.into_iter().map(|item| Branch { function, argument: Some(item) });
    gather(host, context, "parallel_map", &branches.collect::<Vec<_>>(), max)
}

/// How one branch stands.
enum Stands {
    Done(Dynamic),
    Failed(StepError),
    Waiting,
}

/// The results of all branches, at most `max` of which are under way at once.
fn gather(
    host: &Host,
    context: &NativeCallContext<'_>,
    function: &str,
    branches: &[Branch<'_>],
    max: usize,
) -> Answer {
    let path = unrecorded(host, function)?;
    let mark = host.mark()?;
    loop {
        let Gathered { results, errors, waiting } = evaluate(host, context, &path, branches, max)?;
        if waiting {
            host.wait()?;
            host.rewind(&mark)?;
            continue;
        }
        if let Some((_, first)) = errors.first() {
            return Err(raise(&failed(first, &errors)));
        }
        unseen::made(host, context, unseen::first(host, &results))?;
        return Ok(results.into());
    }
}

/// What came of the branches so far.
#[derive(Default)]
struct Gathered {
    results: Array,
    errors: Vec<(usize, StepError)>,
    waiting: bool,
}

fn evaluate(
    host: &Host,
    context: &NativeCallContext<'_>,
    path: &StepPath,
    branches: &[Branch<'_>],
    max: usize,
) -> Answer<Gathered> {
    let (mut gathered, mut waiting) = (Gathered::default(), 0);
    for (index, branch) in branches.iter().enumerate() {
        if waiting == max {
            break;
        }
        let prefix = path.join(u32::try_from(index).unwrap_or(u32::MAX));
        match host.below(prefix, || evaluate_one(host, context, branch))?? {
            Stands::Done(value) => gathered.results.push(value),
            Stands::Failed(error) => gathered.errors.push((index, error)),
            Stands::Waiting => waiting += 1,
        }
    }
    gathered.waiting = waiting > 0;
    Ok(gathered)
}

fn evaluate_one(
    host: &Host,
    context: &NativeCallContext<'_>,
    branch: &Branch<'_>,
) -> Answer<Stands> {
    let result = isolated(branch.function).and_then(|function| match branch.argument.clone() {
        Some(argument) => function.call_raw(context, None, [argument]),
        None => function.call_raw(context, None, []),
    });
    match (host.take_stop(), result) {
        (Some(Stop::Waiting), _) => Ok(Stands::Waiting),
        (Some(stop), _) => Err(host.stop(stop)),
        (None, Ok(value)) => Ok(Stands::Done(value)),
        (None, Err(error)) if unseen::is_about(host, &error) => {
            unseen::blamed(host);
            Ok(Stands::Waiting)
        }
        (None, Err(error)) => own_error(host, error).map(Stands::Failed),
    }
}

/// A branch's error, unless it must end the whole program.
fn own_error(host: &Host, error: Box<EvalAltResult>) -> Answer<StepError> {
    let limit = is_limit(&error);
    let file = host.with(|pass| pass.file.clone())?;
    let error = uncaught(error, &file);
    if limit { Err(host.stop(Stop::Limit(error))) } else { Ok(error) }
}

/// The error of the lowest branch, with all of them under its details.
fn failed(first: &StepError, errors: &[(usize, StepError)]) -> StepError {
    let one = |(branch, error): &(usize, StepError)| {
        serde_json::json!({
            "branch": branch, "message": error.message, "kind": error.kind,
            "action": error.action, "attempts": error.attempts,
        })
    };
    let all: Vec<Value> = errors.iter().map(one).collect();
    let details = serde_json::json!({ "details": first.details, "errors": all });
    let kind = if first.kind.is_catchable() { first.kind } else { ErrorKind::Failed };
    StepError { kind, ..first.clone() }.with_details(details)
}
