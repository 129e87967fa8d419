//! Facts on their way into a log.

use std::ops::Deref;
use std::sync::Arc;

use model::{Fact, Hash};

/// A fact with the bytes that are stored of it and their hash. They are made once, however often it is
/// weighed, copied or tried again: copies share them.
#[derive(Debug, Clone)]
pub struct Encoded(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    fact: Fact,
    bytes: Vec<u8>,
    hash: Hash,
}

impl From<Fact> for Encoded {
    fn from(fact: Fact) -> Self {
        let bytes = fact.encode();
        let hash = Hash::of(&bytes);
        Self(Arc::new(Parts { fact, bytes, hash }))
    }
}

impl Encoded {
    /// What is stored of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The hash of that.
    pub(crate) fn hash(&self) -> &Hash {
        &self.0.hash
    }

    /// The fact alone.
    pub fn into_fact(self) -> Fact {
        match Arc::try_unwrap(self.0) {
            Ok(parts) => parts.fact,
            Err(shared) => shared.fact.clone(),
        }
    }
}

impl Deref for Encoded {
    type Target = Fact;

    fn deref(&self) -> &Fact {
        &self.0.fact
    }
}
