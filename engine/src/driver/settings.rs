//! The settings of a chain's pack that are secret: read once, before the chain is evaluated for the
//! first time.

use std::sync::Arc;

use model::{Fact, StepError, Timestamp};

use super::page::Page;
use super::run::{Run, Runs, input};
use crate::core::Trouble;
use crate::secrets::Read;

impl Run {
    /// Notes what they stand for, as long as the execution lasts; or why one cannot be had.
    pub(super) async fn read_settings(
        &mut self,
        page: &mut Page,
        at: Timestamp,
    ) -> Result<Result<(), StepError>, Trouble> {
        let is_chain = matches!(self.runs, Runs::Chain(_));
        let Some(pack) = self.pinned.clone().filter(|_| is_chain) else { return Ok(Ok(())) };
        if pack.settings.is_empty() || !self.journal.settings.is_empty() {
            return Ok(Ok(()));
        }
        let Read { places, named, fresh } = match self.core.read_settings(&pack.settings) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        self.grant(page, named, at);
        self.opened().await?;
        self.grant_fresh(page, &fresh, at)?;
        self.note(page, Fact::SettingsRead { tokens: places, at });
        self.input = Arc::new(input(&self.id, &self.journal, Some(&pack)));
        Ok(Ok(()))
    }
}
