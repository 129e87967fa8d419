//! A watch that is read while what it told before is being looked up and stored, so that what came
//! meanwhile goes into one commit.

use std::sync::Arc;

use host::kubernetes::{Failure, Told, Watch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// Words that are taken together: three commits of events.
const AT_ONCE: usize = 450;
/// Bytes of words that are not stored yet, as they came. Then the API server has to wait, and if that
/// takes too long it ends the watch, which goes on from where it was.
const ROOM: usize = 32 << 20;

/// Reads a watch.
pub(super) struct Ear {
    heard: mpsc::Receiver<Heard>,
    /// The task, which ends with this.
    _reading: JoinSet<()>,
}

/// A word, or how the watch ended, and the room that it takes.
pub(super) type Heard = (Result<Option<Told>, Failure>, Option<OwnedSemaphorePermit>);

/// Words that are taken together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) words: Vec<Told>,
    /// Whether the watch ended after them, and how.
    pub(super) ended: Option<Result<(), Failure>>,
    /// To be given back once they are stored.
    pub(super) room: Vec<OwnedSemaphorePermit>,
}

impl Ear {
    pub(super) fn new(watch: Watch) -> Self {
        let (hear, heard) = mpsc::channel(AT_ONCE);
        let mut reading = JoinSet::new();
        reading.spawn(read(watch, hear));
        Self { heard, _reading: reading }
    }

    /// What comes next. Nothing is lost if the answer is not waited for.
    pub(super) async fn next(&mut self) -> Heard {
        self.heard.recv().await.unwrap_or((Ok(None), None))
    }

    /// A word with those that are here already after it.
    pub(super) fn batch(&mut self, first: Heard) -> Batch {
        let mut batch = Batch::default();
        let mut next = Some(first);
        while let Some((word, taken)) = next {
            batch.room.extend(taken);
            match word {
                Ok(Some(word)) => batch.words.push(word),
                Ok(None) => batch.ended = Some(Ok(())),
                Err(failure) => batch.ended = Some(Err(failure)),
            }
            let full = batch.ended.is_some() || batch.words.len() >= AT_ONCE;
            next = if full { None } else { self.heard.try_recv().ok() };
        }
        batch
    }
}

async fn read(mut watch: Watch, hear: mpsc::Sender<Heard>) {
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let word = watch.next().await;
        let bytes = u32::try_from(watch.size().clamp(1, ROOM)).unwrap_or(1);
        // None could be had of one that is closed, and this never is.
        let taken = room.clone().acquire_many_owned(bytes).await.ok();
        let ended = !matches!(word, Ok(Some(_)));
        if hear.send((word, taken)).await.is_err() || ended {
            return;
        }
    }
}
