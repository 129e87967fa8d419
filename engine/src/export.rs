//! An execution as a document that stands for itself.

use std::collections::BTreeSet;

use model::exported::{ExportedPack, FORMAT};
use model::{
    ActionRef, Call, Event, ExecutionId, Exported, Fact, Hash, Journal, Origin, PackName, Stream,
    Version,
};

use crate::ask::AskError;
use crate::engine::Engine;

impl Engine {
    /// The execution with everything that it was given and answered. Values that lie in blobs stay
    /// references, as the chain saw them; secrets stay tokens.
    pub async fn export(&self, id: &ExecutionId) -> Result<Exported, AskError> {
        let stream = Stream::Execution(id.clone());
        let (recorded, _) = self.core.store.read(&stream, Version::NONE).await?;
        let facts: Vec<&Fact> = recorded.iter().map(|recorded| &recorded.fact).collect();
        let journal = Journal::of(facts.iter().copied());
        let unknown = || AskError::NotFound(format!("there is no execution `{id}`"));
        let request = journal.request.clone().ok_or_else(unknown)?;
        let pack = match request.pack {
            Some(hash) => self.core.library.pack(&self.core.folders, hash).await.ok(),
            None => None,
        };
        let config = pack.map(|pack| pack.config_with(&journal.settings));
        Ok(Exported {
            format: FORMAT.to_owned(),
            execution: id.clone(),
            config: config.unwrap_or_else(|| serde_json::json!({})),
            event: self.cause(&request.origin).await?,
            packs: self.packs_of(&journal).await,
            calls: Exported::calls(facts.iter().copied()),
            undo: journal.undo.map(|undo| undo.reason),
            outcome: journal.outcome,
            action: request.action,
            parameters: request.parameters,
            origin: request.origin,
            depth: request.depth,
            requested_at: request.at,
        })
    }

    /// The event that an execution was made for, as far as it is still there.
    async fn cause(&self, origin: &Origin) -> Result<Option<Event>, AskError> {
        let Some(key) = origin.event() else { return Ok(None) };
        match self.event(key).await {
            Ok((row, data)) => Ok(Some(Event { envelope: row.envelope, data })),
            Err(AskError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn packs_of(&self, journal: &Journal) -> Vec<ExportedPack> {
        let own = journal.request.as_ref().and_then(|r| Some((&r.action, r.pack?)));
        let used = journal.entries.values().filter_map(|entry| content(&entry.call));
        let used: BTreeSet<(&str, Hash)> =
            own.into_iter().chain(used).map(|(action, hash)| (action.pack(), hash)).collect();
        let mut packs = Vec::new();
        for (name, hash) in used {
            let Ok(name) = name.parse::<PackName>() else { continue };
            let pack = self.core.library.pack(&self.core.folders, hash).await.ok();
            packs.push(ExportedPack { name, version: pack.map(|p| p.version.clone()), hash });
        }
        packs
    }
}

/// The content that a call was resolved to, where that is a pack's.
fn content(call: &Call) -> Option<(&ActionRef, Hash)> {
    match call {
        Call::Run { action, version, .. } | Call::Poll { action, version, .. } => {
            Some((action, (*version)?))
        }
        Call::Child { action, version, .. } => Some((action, *version)),
        Call::Sleep { .. } => None,
    }
}
