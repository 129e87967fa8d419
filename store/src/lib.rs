//! The store: one log of facts, one picture of it.
//!
//! Everything that must survive is a fact appended to a log; everything that is looked up is a
//! projection of that log. This crate owns the port [`Store`] and its implementations: [`Sqlite`]
//! in a state folder, and [`Memory`] for tests. It never knows what a rule or a chain is: it moves
//! facts and keeps rows.
//!
//! Kept out of the port on purpose: hash chains, files, transactions, SQL. They belong to one
//! implementation.
//!
//! ```
//! use model::{Actor, BatchId, Fact, Stream, Timestamp, Version};
//! use store::{Appended, Batch, Memory, Position, Store, Write};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Memory::new();
//! let stream = Stream::Sensor("app/push".to_owned());
//! let batch = |id: &str| Batch {
//!     id: BatchId::new(id),
//!     actor: Actor::engine(),
//!     at: Timestamp::UNIX_EPOCH,
//!     writes: vec![Write::new(
//!         stream.clone(),
//!         Some(Version::NONE),
//!         [Fact::CursorMoved { cursor: "abc".into(), behind: false }],
//!     )],
//! };
//! let first = Appended::Committed { position: Position(1) };
//! assert_eq!(store.append(batch("one")).await.unwrap(), first);
//! // The same batch again is answered as the first time; another one finds the stream moved.
//! assert_eq!(store.append(batch("one")).await.unwrap(), first);
//! let moved = Appended::Conflict { stream: stream.clone(), actual: Version(1) };
//! assert_eq!(store.append(batch("two")).await.unwrap(), moved);
//! # });
//! ```

mod batch;
mod encoded;
pub mod memory;
pub mod port;
mod projection;
pub mod retention;
mod sealed;
pub mod sqlite;

pub use encoded::Encoded;
pub use memory::Memory;
pub use port::*;
pub use retention::{Ages, Retention};
pub use sealed::*;
pub use sqlite::Sqlite;
