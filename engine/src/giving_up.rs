//! Giving up what is lost of an event, so that the rest of it goes on.

use model::{Actor, EventKey};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::pages::{Lost, try_store_pages};

impl Engine {
    /// Leaves out what cannot be read any more of that which rules asked for on a stuck event, and
    /// requests the rest; how many parts were given up, of up to 400 executions each.
    pub async fn give_up(&self, actor: &Actor, event: &EventKey) -> Result<u32, AskError> {
        let (engine, actor, event) = (self.clone(), actor.clone(), event.clone());
        self.core.impatient(async move { engine.give_up_now(&actor, &event).await }).await
    }

    async fn give_up_now(&self, actor: &Actor, event: &EventKey) -> Result<u32, AskError> {
        let (row, _) = self.event(event).await?;
        let _turn = self.core.stuck.turn.lock().await;
        if self.stuck(event).is_none() {
            let why =
                format!("the event `{}` is not stuck: nothing of it is to be given up", row.key);
            return Err(AskError::Conflict(why));
        }
        let given_up =
            try_store_pages(&self.core, &self.driver, event, Lost::GiveUp(actor)).await?;
        self.core.stuck.note(event, Ok(()));
        tracing::warn!(%event, given_up, actor = actor.as_str(), "what is lost of the event was given up");
        Ok(given_up)
    }
}
