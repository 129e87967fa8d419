//! The secrets that a sensor's parameters refer to.

pub(crate) use host::secret::{Secret, SecretRef};

use host::secret::FORMS;
use model::Value;
use model::value::kind_of;

use crate::{BuildContext, BuildError};

/// The reference that stands at `path`.
pub(crate) fn read(path: &str, value: &Value) -> Result<SecretRef, BuildError> {
    SecretRef::read(value).ok_or_else(|| misfit(path, value))
}

/// What is no reference may be the secret itself.
pub(crate) fn misfit(path: &str, value: &Value) -> BuildError {
    let found = kind_of(value);
    BuildError::at(path, format!("expected a reference to a secret, found {found}"))
        .with_hint(FORMS)
        .private()
}

/// The value of the reference at `path`.
pub(crate) fn resolve(
    reference: &SecretRef,
    path: &str,
    context: &BuildContext,
) -> Result<Secret, BuildError> {
    permit(reference, path, context)?;
    reference
        .resolve_from(&context.folder, context.variable, |secret| (context.secret)(secret))
        .map_err(|error| BuildError::at(path, error))
}

/// Whether the reference at `path` may be used at all.
pub(crate) fn permit(
    reference: &SecretRef,
    path: &str,
    context: &BuildContext,
) -> Result<(), BuildError> {
    (context.permit)(reference).map_err(|error| BuildError::at(path, error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(value: Value, expected: Expect) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("good", "long enough\n"), ("short", "1234567\n"), ("empty", "\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut context = BuildContext::new("test", folder.path());
        context.secret = Arc::new(|path| match path {
            "hooks/app" => Ok("from the store".to_owned()),
            other => Err(format!("there is no secret `{other}`")),
        });
        context.variable = |name| (name == "SET").then(|| "from the environment".to_owned());
        let shown = match read("at", &value).and_then(|found| resolve(&found, "at", &context)) {
            Ok(secret) => secret.expose().to_owned(),
            Err(error) => error.message.replace(&folder.path().display().to_string(), "DIR"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn secrets_come_from_the_environment_a_file_or_the_secret_store() {
        check(json!({ "secret": "hooks/app" }), expect!["from the store"]);
        check(json!("hooks/app"), expect!["from the store"]);
        check(json!({ "env": "SET" }), expect!["from the environment"]);
        check(json!({ "file": "good" }), expect!["long enough"]);
    }

    #[test]
    fn a_secret_that_is_missing_or_weak_is_refused() {
        check(json!("hooks/none"), expect!["there is no secret `hooks/none`"]);
        check(
            json!({ "env": "UNSET" }),
            expect!["the environment variable UNSET is not set where the server was started"],
        );
        check(
            json!({ "file": "none" }),
            expect!["DIR/none cannot be read: No such file or directory (os error 2)"],
        );
        check(
            json!({ "file": "short" }),
            expect!["the secret in the file short has 7 characters, fewer than 8"],
        );
        check(
            json!({ "file": "empty" }),
            expect!["the secret in the file empty has 0 characters, fewer than 8"],
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        check(json!(5), expect!["expected a reference to a secret, found a whole number"]);
        check(
            json!({ "env": "A", "file": "b" }),
            expect!["expected a reference to a secret, found a map"],
        );
    }
}
