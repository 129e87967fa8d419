//! What somebody has done that changes nothing which is kept, and is noted all the same: the audit
//! tells of it.

use model::{Actor, BatchId, Fact, Stream};
use store::{Batch, Write};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::random;

impl Engine {
    /// Notes what `actor` does, of the whole installation; before it is done, so that nothing is
    /// done of which there is no note.
    pub async fn note(&self, actor: Actor, fact: Fact) -> Result<(), AskError> {
        let batch = Batch {
            id: BatchId::new(format!("note/{}", random::name())),
            actor,
            at: self.core.now(),
            writes: vec![Write::new(Stream::Installation, None, [fact])],
        };
        let core = self.core.clone();
        self.core.impatient(async move { core.append(batch).await }).await?;
        Ok(())
    }
}
