//! How much a running program holds.
//!
//! rhai bounds each value, not their sum: a list of closures may hold thousands of large strings.
//! So what the variables of the running function reach is measured again and again. A value that
//! is reached twice counts twice.

use model::{ErrorKind, StepError};
use rhai::{Dynamic, FnPtr, Scope};

use crate::limits::{HELD_BYTES, HELD_DEPTH, HELD_VALUES};

/// An error if the variables of `scope` hold more than a chain may.
pub(crate) fn excess(scope: &Scope<'_>) -> Option<StepError> {
    let mut left = Left { bytes: HELD_BYTES, values: HELD_VALUES };
    let mut values = scope.iter_raw().map(|(_, _, value)| value);
    let excess = values.find_map(|value| left.take(value, HELD_DEPTH).err())?;
    let mib = HELD_BYTES / (1024 * 1024);
    let message = match excess {
        Excess::Size => {
            format!("the chain's variables hold more than {mib} MiB, or too many values")
        }
        Excess::Depth => {
            format!("the chain's variables hold values nested deeper than {HELD_DEPTH} levels")
        }
    };
    Some(StepError::new(ErrorKind::Limit, message))
}

enum Excess {
    Size,
    Depth,
}

struct Left {
    bytes: usize,
    values: usize,
}

impl Left {
    /// Takes `value` from what is left.
    fn take(&mut self, value: &Dynamic, depth: usize) -> Result<(), Excess> {
        if value.is_locked() {
            // What is being changed right now is measured from elsewhere.
            return Ok(());
        }
        let below = depth.checked_sub(1).ok_or(Excess::Depth)?;
        self.spend(size_of::<Dynamic>())?;
        if let Ok(text) = value.as_immutable_string_ref() {
            return self.spend(text.len());
        }
        if let Ok(items) = value.as_array_ref() {
            return items.iter().try_for_each(|item| self.take(item, below));
        }
        if let Ok(map) = value.as_map_ref() {
            return map.iter().try_for_each(|(key, item)| {
                self.spend(key.len())?;
                self.take(item, below)
            });
        }
        match value.read_lock::<FnPtr>() {
            Some(function) => function.curry().iter().try_for_each(|item| self.take(item, below)),
            None => Ok(()),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Excess> {
        self.values = self.values.checked_sub(1).ok_or(Excess::Size)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Excess::Size)?;
        Ok(())
    }
}
