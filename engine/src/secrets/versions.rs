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
/// For each version of a named secret an execution that holds a token for it.
pub(super) type Holders = BTreeMap<(String, u64), ExecutionId>;

impl Core {
    /// Drops the versions that nobody can need any more.
    pub(crate) async fn drop_versions(&self) -> Result<(), Trouble> {
        let mut old = self.outdated(self.now()).await?;
        // Mostly there is none, and no execution has to be asked.
        if old.is_empty() {
            return Ok(());
        }
        self.leave_held(&mut old).await?;
        for (path, versions) in old {
            let versions: Vec<u64> = versions.into_iter().collect();
            for some in versions.chunks(MAX_SEALED_CHANGES) {
                self.drop_these(&path, some).await?;
            }
        }
        Ok(())
    }

    /// Takes out what an execution that has not ended holds a token for. Whoever held one the last time
    /// is asked first: the facts of all that have not ended are read only where that one has.
    async fn leave_held(&self, old: &mut Versions) -> Result<(), Trouble> {
        let mut holders = self.vault.holders.lock().await;
        holders.retain(|(path, version), _| old.get(path).is_some_and(|it| it.contains(version)));
        for holder in holders.values().cloned().collect::<BTreeSet<_>>() {
            let row = self.store.execution(&holder).await?;
            if row.is_none_or(|row| row.state.is_end()) {
                holders.retain(|_, other| *other != holder);
            }
        }
        let is_held = |path: &String, version: u64| holders.contains_key(&(path.clone(), version));
        if old.iter().any(|(path, it)| it.iter().any(|version| !is_held(path, *version))) {
            let mut held = self.held().await?;
            held.retain(|(path, version), _| old.get(path).is_some_and(|it| it.contains(version)));
            *holders = held;
        }
        for (path, versions) in old {
            versions.retain(|version| !holders.contains_key(&(path.clone(), *version)));
        }
        Ok(())
    }

    async fn drop_these(&self, path: &str, versions: &[u64]) -> Result<(), Trouble> {
        let delete = |version: &u64| Sealing::Delete(record(path, *version));
        let batch = Batch {
            id: BatchId::new(format!("versions/{}", random::name())),
            actor: Actor::engine(),
            at: self.now(),
            writes: vec![Write::new(
                Stream::Secret(path.to_owned()),
                None,
                [Fact::SecretVersionsDropped { versions: versions.to_vec() }],
            )],
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

    /// What executions that have not ended hold tokens for, each with one of these.
    async fn held(&self) -> Result<Holders, StoreError> {
        let mut held = Holders::new();
        let mut after: Option<ExecutionId> = None;
        loop {
            let page = self.store.unfinished(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(held) };
            after = Some(last.id.clone());
            for row in page {
                let stream = Stream::Execution(row.id.clone());
                for recorded in self.store.read(&stream, Version::NONE).await?.0 {
                    let Fact::TokensGranted { tokens, .. } = recorded.fact else { continue };
                    for grant in tokens.into_values() {
                        let Grant::Named { path, version } = grant else { continue };
                        held.entry((path, version)).or_insert_with(|| row.id.clone());
                    }
                }
            }
        }
    }
}
