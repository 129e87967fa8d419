//! Records beside the log: ciphertexts, which must be replaceable and deletable for good.
//!
//! A fact can neither be changed nor taken out of the log before its time. What stands for a secret
//! (a token) is in facts; the encrypted value is in a record under a name, latest one only. Records
//! change in the same commit as the facts that tell of it. Those [of an execution](of_execution) go
//! with it, in the commit that forgets it.

use model::{ExecutionId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most records that one append may change.
pub const MAX_SEALED_CHANGES: usize = 500;
/// Most bytes of one record's ciphertext.
pub const MAX_SEALED_BYTES: usize = 512 * 1024;

/// What the names of records begin with that are forgotten with the execution `id`.
pub fn of_execution(id: &ExecutionId) -> String {
    format!("token/{id}/")
}

/// An encrypted record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Names the key that opens it; says nothing of the key itself.
    pub key: String,
    /// The encrypted bytes.
    pub ciphertext: Vec<u8>,
    /// When it was first put there: a new encryption of the same value keeps it.
    pub at: Timestamp,
}

/// A change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// The record is there from now on, whatever was there before.
    Put(String, Sealed),
    /// If there is one under this name, it is this one from now on.
    Replace(String, Sealed),
    /// There is none.
    Delete(String),
    /// There is none whose name begins so.
    DeleteAll(String),
}

impl Sealing {
    /// The bytes of the record that it puts there.
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Put(_, sealed) | Self::Replace(_, sealed) => sealed.ciphertext.len(),
            Self::Delete(_) | Self::DeleteAll(_) => 0,
        }
    }
}
