//! What an action's file declares today, held against what a server recorded: all there is of a
//! program to compare, whose answer is its own.

use model::exported::Asked;
use model::value::brief;
use model::{Call, Exported, Location, Schema, Value, token};

use super::Misfit;
use crate::packs::{ActionKind, PackAction};

/// Whether the action would take the recorded parameters, could have returned the recorded result and
/// has the effect class under which it ran.
pub(super) fn differs(exported: &Exported, action: &PackAction, at: &Location) -> Vec<Misfit> {
    let metadata = &action.metadata;
    let parameters = misfits(&metadata.parameters, &exported.parameters);
    let mut all = Vec::new();
    let mut tell = |message: &str, lines: Vec<String>| {
        all.extend((!lines.is_empty()).then(|| Misfit::new(at, message).with(lines)));
    };
    tell("its parameters are refused today", parameters);
    let result = exported.outcome.as_ref().and_then(|outcome| outcome.result.as_ref());
    // Who declares nothing promises nothing; and a chain's result is compared by itself.
    let declares = !metadata.result.properties().is_empty();
    if let (ActionKind::Program(_), Some(result), true) = (&action.kind, result, declares) {
        tell("its result is not as its file says today", misfits(&metadata.result, result));
    }
    let ran = exported.calls.iter().find_map(|call| match &call.asked {
        Asked::Call(Call::Run { effect, .. }) => Some(*effect),
        _ => None,
    });
    let today = action.effect();
    if let (ActionKind::Program(_), Some(ran)) = (&action.kind, ran.filter(|ran| *ran != today)) {
        tell("another effect class", vec![format!("- {ran}"), format!("+ {today}")]);
    }
    all
}

fn misfits(schema: &Schema, value: &Value) -> Vec<String> {
    // What stands for a secret fits whatever that did.
    let violations = schema.violations(value).into_iter();
    let told = violations.filter(|misfit| !token::is_within(at(value, &misfit.path)));
    told.map(|violation| format!("+ {} in {}", violation.message, brief(value, 200))).collect()
}

/// What stands at a dotted path; nothing for the whole.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let step = |value: &'a Value, part: &str| match part.parse::<usize>() {
        Ok(n) if value.is_array() => value.get(n),
        _ => value.get(part),
    };
    path.split('.').try_fold(value, step).unwrap_or(&Value::Null)
}
