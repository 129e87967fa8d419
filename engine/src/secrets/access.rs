//! Which pack may use which secret: by the `permissions` of its active content.

use model::{ErrorKind, PackName, StepError};
use serde_json::json;

use crate::core::Core;
use crate::packs::fits_pattern;

impl Core {
    /// Whether `pack` may use the secret `path`; without a pack a person asks, whose role decides.
    pub(crate) fn may_use_secret(
        &self,
        pack: Option<&PackName>,
        path: &str,
    ) -> Result<(), StepError> {
        let Some(name) = pack else { return Ok(()) };
        let generation = self.generation.load();
        let asked = generation.packs.get(name).map(|pack| &pack.permissions.secrets);
        if asked.is_some_and(|asked| asked.iter().any(|pattern| fits_pattern(pattern, path))) {
            return Ok(());
        }
        let message = format!(
            "the pack `{name}` may not use the secret `{path}`: add `secrets: [{path}]` to `permissions` in its pack.yaml"
        );
        let details = json!({ "pack": name, "permission": "secrets", "asked": path });
        Err(StepError::new(ErrorKind::Denied, message).with_details(details))
    }
}
