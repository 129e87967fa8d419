//! Deep copies of what a closure captures.
//!
//! rhai shares captured variables. Two branches that both change one would see each other's writes
//! in the order in which their steps happened to finish, and a replay could differ from the
//! journal. So a branch and a handler get copies: through lists, maps and the captures of every
//! function found in them.

use rhai::{Array, Dynamic, FnPtr, Map};

use crate::limits::{COPIED_DEPTH, COPIED_VALUES};
use crate::raise::{Answer, wrong};

/// `function` with copies of its captures.
pub(crate) fn isolated(function: &FnPtr) -> Answer<FnPtr> {
    let mut copier = Copier { left: COPIED_VALUES };
    copier.function(function, COPIED_DEPTH)
}

struct Copier {
    left: usize,
}

impl Copier {
    fn function(&mut self, function: &FnPtr, depth: usize) -> Answer<FnPtr> {
        let mut copy = function.clone();
        // A helper that counts in a variable of its own goes on doing so: what was shared is again.
        let share = |value: &Dynamic, copy: Dynamic| {
            if value.is_shared() { copy.into_shared() } else { copy }
        };
        let captured: Answer<Vec<Dynamic>> = function
            .curry()
            .iter()
            .map(|value| Ok(share(value, self.value(value, depth)?)))
            .collect();
        copy.set_curry(captured?);
        Ok(copy)
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Answer<Dynamic> {
        if value.is_locked() {
            return Err(refused("is being changed by the method that calls it"));
        }
        let below = depth.checked_sub(1).ok_or_else(too_deep)?;
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        if let Ok(items) = value.as_array_ref() {
            let items: Answer<Array> = items.iter().map(|item| self.value(item, below)).collect();
            return Ok(Dynamic::from_array(items?));
        }
        if let Ok(map) = value.as_map_ref() {
            let entries =
                map.iter().map(|(key, value)| Ok((key.clone(), self.value(value, below)?)));
            return Ok(Dynamic::from_map(entries.collect::<Answer<Map>>()?));
        }
        if let Some(function) = value.read_lock::<FnPtr>() {
            return Ok(Dynamic::from(self.function(&function, below)?));
        }
        Ok(value.flatten_clone())
    }
}

fn refused(why: &str) -> Box<rhai::EvalAltResult> {
    let message = format!("what a closure captures is copied for it, and this {why}");
    wrong(model::ErrorKind::Rejected, message)
}

fn too_deep() -> Box<rhai::EvalAltResult> {
    refused("is nested too deep, or captures itself")
}

fn too_many() -> Box<rhai::EvalAltResult> {
    refused("holds too many values: pass on only what is needed")
}
