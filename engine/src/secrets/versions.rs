//! Versions that were followed by another one: they stay for a while, and longer where an execution
//! that has not ended holds a token for one.

use std::collections::{BTreeMap, BTreeSet};

use model::fact::Grant;
use model::{Actor, BatchId, ExecutionId, Fact, Stream, Timestamp, Version};
use store::{Batch, MAX_SEALED_CHANGES, Sealing, StoreError, Write};

use super::KEEP_VERSIONS;
use super::vault::{NAMED, PAGE, named, record};
use crate::core::{Core, Trouble};
use crate::random;

/// Versions of named secrets, by path.
type Versions = BTreeMap<String, BTreeSet<u64>>;

impl Core {
    /// Drops the versions that nobody can need any more.
    pub(crate) async fn drop_versions(&self) -> Result<(), Trouble> {
        let mut old = self.outdated(self.now()).await?;
        // Mostly there is none, and no execution has to be asked.
        if old.is_empty() {
            return Ok(());
        }
        let held = self.held().await?;
        for (path, versions) in &mut old {
            versions.retain(|version| held.get(path).is_none_or(|held| !held.contains(version)));
        }
        for (path, versions) in old {
            let versions: Vec<u64> = versions.into_iter().collect();
            for some in versions.chunks(MAX_SEALED_CHANGES) {
                self.drop_these(&path, some).await?;
            }
        }
        Ok(())
    }

    async fn drop_these(&self, path: &str, versions: &[u64]) -> Result<(), Trouble> {
        let delete = |version: &u64| Sealing::Delete(record(path, *version));
        let batch = Batch {
            id: BatchId::new(format!("versions/{}", random::name())),
            actor: Actor::engine(),
            at: self.now(),
            writes: vec![Write {
                stream: Stream::Secret(path.to_owned()),
                expected: None,
                facts: vec![Fact::SecretVersionsDropped { versions: versions.to_vec() }],
            }],
        };
        self.append_sealing(batch, versions.iter().map(delete).collect()).await?;
        Ok(())
    }

    /// Versions whose successor is older than [`KEEP_VERSIONS`].
    async fn outdated(&self, now: Timestamp) -> Result<Versions, StoreError> {
        let mut old = Versions::new();
        let mut before: Option<(String, u64)> = None;
        let mut after = String::new();
        loop {
            let page = self.store.sealed_under(NAMED, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(old) };
            after.clone_from(last);
            for (record, sealed) in page {
                let Some((path, version)) = named(&record) else { continue };
                if let Some((earlier, number)) = before.filter(|(earlier, _)| earlier == path)
                    && KEEP_VERSIONS.after(sealed.at) < now
                {
                    old.entry(earlier).or_default().insert(number);
                }
                before = Some((path.to_owned(), version));
            }
        }
    }

    /// What executions that have not ended hold tokens for.
    async fn held(&self) -> Result<Versions, StoreError> {
        let mut held = Versions::new();
        let mut after: Option<ExecutionId> = None;
        loop {
            let page = self.store.unfinished(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(held) };
            after = Some(last.id.clone());
            for row in page {
                let stream = Stream::Execution(row.id);
                for recorded in self.store.read(&stream, Version::NONE).await?.0 {
                    let Fact::TokensGranted { tokens, .. } = recorded.fact else { continue };
                    for grant in tokens.into_values() {
                        let Grant::Named { path, version } = grant else { continue };
                        held.entry(path).or_default().insert(version);
                    }
                }
            }
        }
    }
}
