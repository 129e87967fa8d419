//! The values that an expression is evaluated over.

use std::collections::BTreeMap;

use model::Value;
use rhai::{Dynamic, Scope};

use crate::fault::Failed;
use crate::reads::{Reads, is_whole, part};

/// The values that names stand for. What is read whole is converted once, the rest as it is read.
#[derive(Debug)]
pub struct Frame<'v> {
    values: BTreeMap<&'static str, &'v Value>,
    pub(crate) converted: Scope<'static>,
}

impl<'v> Frame<'v> {
    /// No names yet.
    pub fn new() -> Self {
        Self { values: BTreeMap::new(), converted: Scope::new() }
    }

    /// Lets `name` stand for `value`, whatever it stood for before.
    pub fn set(&mut self, name: &'static str, value: &'v Value) {
        let _ = self.converted.remove::<Dynamic>(name);
        self.values.insert(name, value);
    }

    /// Makes everything that is read available to rhai; answers how much of it to keep.
    pub(crate) fn convert(&mut self, reads: &Reads) -> Result<usize, Failed> {
        let (whole, parts): (Vec<_>, Vec<_>) = reads.iter().partition(|(_, r)| is_whole(r));
        for (name, chains) in whole {
            self.push(name, chains)?;
        }
        let kept = self.converted.len();
        let pushed = parts.into_iter().try_for_each(|(name, chains)| self.push(name, chains));
        if pushed.is_err() {
            // A part left behind would pass for the whole.
            self.converted.rewind(kept);
        }
        pushed.map(|()| kept)
    }

    fn push(&mut self, name: &'static str, chains: &[Vec<String>]) -> Result<(), Failed> {
        if self.converted.contains(name) {
            return Ok(());
        }
        let value = self.values.get(name).copied().unwrap_or(&Value::Null);
        let chains: Vec<&[String]> = chains.iter().map(Vec::as_slice).collect();
        let part = part(value, &chains)
            .map_err(|error| Failed::whole(format!("`{name}` cannot be read: {error}")))?;
        // A constant: a method that would change it for the expressions after is refused.
        self.converted.push_constant_dynamic(name, part);
        Ok(())
    }

    /// What stands at a plain path, where every step is a map's key.
    pub(crate) fn find(&self, path: &[String]) -> Option<&'v Value> {
        let (root, steps) = path.split_first()?;
        let root = self.values.get(root.as_str()).copied()?;
        steps.iter().try_fold(root, |value, step| value.as_object()?.get(step))
    }
}

impl Default for Frame<'_> {
    fn default() -> Self {
        Self::new()
    }
}
