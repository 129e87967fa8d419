//! A chain's program: its text, its libraries, its identity.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use model::{Diagnostic, Hash};

use crate::calls;
use crate::compiled::{Compiled, Imports};
use crate::coverage::{self, Lines};
use crate::host::Host;

/// The version of the chain language. Journals of every version replay.
pub const LANGUAGE: u32 = 1;

/// What a program is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The chain's file, as its user knows it.
    pub file: String,
    /// The chain's text.
    pub text: String,
    /// What it can import: `lib/naming` → text.
    pub libs: BTreeMap<String, String>,
}

/// A chain's program that compiles. It holds text only: compiled forms stay on one thread, in an
/// [`Evaluator`](crate::Evaluator)'s cache.
#[derive(Debug, Clone)]
pub struct Program {
    source: Arc<Source>,
    hash: Hash,
}

impl Program {
    /// The program of `source`, or everything that keeps it from being one.
    pub fn compile(source: Source) -> Result<Self, Vec<Diagnostic>> {
        let imports = Imports::default();
        let mut engine = calls::engine(&Rc::new(Host::default()));
        engine.set_module_resolver(imports.clone());
        Compiled::new(&engine, &imports, &source)?;
        let parts = source.libs.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
        let own = [(source.file.as_str(), source.text.as_bytes())];
        let hash = Hash::of_parts(own.into_iter().chain(parts));
        Ok(Self { source: Arc::new(source), hash })
    }

    /// What names its content.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The lines on which its statements begin, and those of the libraries it can import.
    pub fn lines(&self) -> Lines {
        coverage::statements(self)
    }

    /// What it was made of.
    pub fn source(&self) -> &Source {
        &self.source
    }
}
