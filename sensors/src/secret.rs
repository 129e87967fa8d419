//! References to secrets, and what they stand for.

use std::fmt;
use std::path::PathBuf;

use model::Value;
use model::value::kind_of;

use crate::{BuildContext, BuildError};

/// What is shorter can be guessed, and cannot be kept out of logs without hiding ordinary words.
const MIN_BYTES: usize = 8;

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretRef {
    Env(String),
    File(PathBuf),
    /// A path in the secret store.
    Stored(String),
}

/// What is said where something else stands.
const FORMS: &str = "write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`";

/// A secret's value; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretRef {
    /// Reads `{ env: NAME }`, `{ file: PATH }`, `{ secret: PATH }` or just the last one's path,
    /// which stands at `path`.
    pub(crate) fn read(path: &str, value: &Value) -> Result<Self, BuildError> {
        let wrong = || Self::misfit(path, value);
        let map = match value {
            Value::String(text) if !text.is_empty() => return Ok(Self::Stored(text.to_owned())),
            Value::Object(map) if map.len() == 1 => map,
            _ => return Err(wrong()),
        };
        let (name, text) = map.iter().next().ok_or_else(wrong)?;
        match (name.as_str(), text.as_str()) {
            ("env", Some(text)) if !text.is_empty() => Ok(Self::Env(text.to_owned())),
            ("file", Some(text)) if !text.is_empty() => Ok(Self::File(text.into())),
            ("secret", Some(text)) if !text.is_empty() => Ok(Self::Stored(text.to_owned())),
            _ => Err(wrong()),
        }
    }

    /// What is no reference may be the secret itself.
    pub(crate) fn misfit(path: &str, value: &Value) -> BuildError {
        let found = kind_of(value);
        BuildError::at(path, format!("expected a reference to a secret, found {found}"))
            .with_hint(FORMS)
            .private()
    }

    /// The value, without the line break at a file's end.
    pub(crate) fn resolve(&self, path: &str, context: &BuildContext) -> Result<Secret, BuildError> {
        let value = match self {
            Self::Env(name) => (context.variable)(name).ok_or_else(|| {
                BuildError::at(path, format!("the environment variable {name} is not set"))
                    .with_hint("set it where the server is started")
            })?,
            Self::File(file) => {
                let file = context.folder.join(file);
                std::fs::read_to_string(&file).map_err(|error| {
                    BuildError::at(path, format!("{} cannot be read: {error}", file.display()))
                })?
            }
            Self::Stored(secret) => {
                (context.secret)(secret).map_err(|error| BuildError::at(path, error))?
            }
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.len() < MIN_BYTES {
            let (length, shown) = (value.len(), self.to_string());
            let message =
                format!("the secret in {shown} has {length} characters, fewer than {MIN_BYTES}");
            return Err(BuildError::at(path, message));
        }
        Ok(Secret(value.to_owned()))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Stored(path) => write!(f, "the secret store at {path}"),
        }
    }
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
        let shown = match SecretRef::read("at", &value).and_then(|r| r.resolve("at", &context)) {
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
        check(json!({ "env": "UNSET" }), expect!["the environment variable UNSET is not set"]);
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

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret("visible".to_owned())), "Secret(…)");
    }
}
