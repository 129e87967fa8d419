//! Where a secret is found. Its value is read when it is used, and never shown.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use model::Value;
use zeroize::Zeroizing;

use crate::redact::{Redactor, known};

/// What is shorter can be guessed, and cannot be kept out of logs without hiding ordinary words.
pub const MIN_CHARACTERS: usize = 8;

/// How to write a reference.
pub const FORMS: &str = "write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`";

/// Looks up a secret of the secret store by its path; the error says why there is none.
pub type Lookup = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// A reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A variable of the server's environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// A path in the secret store.
    Stored(String),
}

/// A secret's value; never shown, nor in the log of this process as long as it is held.
#[derive(Clone)]
pub struct Secret {
    value: Zeroizing<String>,
    /// Of what comes from the secret store the log knows already.
    _hidden: Option<Arc<Redactor>>,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.value
    }

    fn hidden(value: &str) -> Self {
        let redactor = known().hold(Redactor::new([(value, "[secret]")]));
        Self { value: value.to_owned().into(), _hidden: Some(redactor) }
    }
}

impl SecretRef {
    /// Reads `{ env: NAME }`, `{ file: PATH }`, `{ secret: PATH }`, or just the last one's path.
    pub fn read(value: &Value) -> Option<Self> {
        let (name, text) = match value {
            Value::String(text) => ("secret", text.as_str()),
            Value::Object(map) if map.len() == 1 => {
                let (name, value) = map.iter().next()?;
                (name.as_str(), value.as_str()?)
            }
            _ => return None,
        };
        match name {
            _ if text.is_empty() => None,
            "env" => Some(Self::Env(text.to_owned())),
            "file" => Some(Self::File(text.into())),
            "secret" => Some(Self::Stored(text.to_owned())),
            _ => None,
        }
    }

    /// What a pack's `permissions.secrets` calls it: `env:NAME`, `file:PATH`, or its path in the
    /// store. A file in the pack's own folder needs no entry.
    pub fn entry(&self) -> Option<String> {
        let inside = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_)));
        match self {
            Self::Env(name) => Some(format!("env:{name}")),
            Self::File(path) if inside(path) => None,
            Self::File(path) => Some(format!("file:{}", path.display())),
            Self::Stored(path) => Some(path.clone()),
        }
    }

    /// The value now, without the line break at a file's end.
    pub fn resolve(&self, lookup: &Lookup) -> Result<Secret, String> {
        self.resolve_from(Path::new(""), |name| std::env::var(name).ok(), |path| lookup(path))
    }

    /// The same, where files are found from `folder`, variables and stored secrets by these.
    pub fn resolve_from(
        &self,
        folder: &Path,
        variable: impl FnOnce(&str) -> Option<String>,
        stored: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Secret, String> {
        let value = match self {
            Self::Env(name) => variable(name)
                .ok_or_else(|| format!("{self} is not set where the server was started"))?,
            Self::File(file) => {
                let file = folder.join(file);
                std::fs::read_to_string(&file)
                    .map_err(|error| format!("{} cannot be read: {error}", file.display()))?
            }
            Self::Stored(path) => stored(path)?,
        };
        let value = value.trim_end_matches(['\r', '\n']);
        self.check("secret", value)?;
        Ok(match self {
            Self::Stored(_) => Secret { value: value.to_owned().into(), _hidden: None },
            _ => Secret::hidden(value),
        })
    }

    /// Whether `value`, the `what` that is found here, is long enough to be kept out of sight.
    pub(crate) fn check(&self, what: &str, value: &str) -> Result<(), String> {
        match value.chars().count() {
            short @ 0..MIN_CHARACTERS => Err(format!(
                "the {what} in {self} has {short} characters, fewer than {MIN_CHARACTERS}"
            )),
            _ => Ok(()),
        }
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
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::hidden("visible value")), "Secret(…)");
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let read = |value: &'static str| {
            let variable = move |_: &str| Some(value.to_owned());
            let key = SecretRef::Env("KEY".to_owned());
            key.resolve_from(Path::new(""), variable, |_| Err(String::new())).err()
        };
        let why = "the secret in the environment variable KEY has 7 characters, fewer than 8";
        assert_eq!(read("äöüäöüä").as_deref(), Some(why));
        assert_eq!(read("äöüäöüäö"), None);
    }

    #[test]
    fn the_log_does_not_show_what_a_file_or_variable_held_while_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from a file\n").unwrap();
        let read = |reference: SecretRef| {
            let variable = |_: &str| Some("from a variable".to_owned());
            reference.resolve_from(folder.path(), variable, |_| Err(String::new())).unwrap()
        };
        let held = [read(SecretRef::File("key".into())), read(SecretRef::Env("KEY".to_owned()))];
        let line = b"a line from a file and from a variable";
        assert_eq!(known().bytes(line).as_ref(), b"a line [secret] and [secret]");
        drop(held);
        assert_eq!(known().bytes(line).as_ref(), line);
    }
}
