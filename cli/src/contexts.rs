//! Contexts: servers that a person works with, by name, in a file of the person's own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Diagnostic;
use model::diagnostic::unknown;
use serde_json::{Map, Value, json};
use syntax::{Fields, Node};

use crate::failure::{Exit, Failure};
use crate::input;

/// One server, and as whom it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// Its address.
    pub(crate) server: Option<String>,
    /// The token.
    pub(crate) token: Option<String>,
    /// The state folder of a server on this machine, instead of an address.
    pub(crate) state: Option<PathBuf>,
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contexts {
    /// The one that is meant if nobody says.
    pub(crate) current: Option<String>,
    /// All of them.
    pub(crate) all: BTreeMap<String, Context>,
}

/// Where the file lies: `tripline/contexts.yaml` in the person's configuration folder.
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("tripline/contexts.yaml"))
}

impl Contexts {
    /// Those in the file; none if there is no file.
    pub(crate) fn load() -> Result<Self, Failure> {
        match path() {
            Some(path) if path.exists() => Self::read(&path),
            _ => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let metadata = fs::metadata(path).map_err(|error| Failure::file(path.display(), &error))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            let message = format!("{} holds tokens and may be read by others", path.display());
            let failure = Failure::new(Exit::Usage, "file", message);
            return Err(failure.with_hint(format!("chmod 600 {}", path.display())));
        }
        let text = input::text(path)?;
        let document = syntax::parse(&path.display().to_string(), &text);
        let read = document.and_then(|document| match document.root().is_null() {
            true => Ok(Self::default()),
            false => Self::decode(document.root()),
        });
        read.map_err(|findings| Failure::findings(Exit::Usage, findings))
    }

    fn decode(root: &Node) -> Result<Self, Vec<Diagnostic>> {
        let fields = Fields::new(root, &["current", "contexts"], &[]);
        let current = fields.optional("current").string();
        let mut all = BTreeMap::new();
        for entry in fields.optional("contexts").entries().unwrap_or_default() {
            if let Some(context) = fields.part(Context::decode(&entry.value)) {
                all.insert(entry.key.name().to_owned(), context);
            }
        }
        fields.finish(Some(Self { current, all }))
    }

    /// The one with this name.
    pub(crate) fn named(&self, name: &str) -> Result<&Context, Failure> {
        let missing = || {
            let failure =
                Failure::usage(unknown("context", name, self.all.keys().map(String::as_str)));
            failure
                .with_hint("`tripline context list` shows them, `tripline context set` makes one")
        };
        self.all.get(name).ok_or_else(missing)
    }

    /// Writes the file whole or not at all, for its owner alone.
    pub(crate) fn save(&self) -> Result<PathBuf, Failure> {
        let Some(path) = path() else {
            let failure = Failure::usage("there is no folder for the file of contexts");
            return Err(failure.with_hint("set HOME or XDG_CONFIG_HOME"));
        };
        let text = serde_saphyr::to_string(&self.to_value());
        let written = text.map_err(io::Error::other).and_then(|text| write(&path, &text));
        written.map_err(|error| Failure::file(path.display(), &error))?;
        Ok(path)
    }

    fn to_value(&self) -> Value {
        let all: Map<String, Value> =
            self.all.iter().map(|(name, context)| (name.clone(), context.to_value())).collect();
        let mut value = json!({ "contexts": all });
        if let Some(current) = &self.current {
            value["current"] = json!(current);
        }
        value
    }
}

impl Context {
    fn decode(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let fields = Fields::new(node, &["server", "token", "state"], &[]);
        let context = Self {
            server: fields.optional("server").string(),
            token: fields.optional("token").string(),
            state: fields.optional("state").string().map(PathBuf::from),
        };
        fields.finish(Some(context))
    }

    fn to_value(&self) -> Value {
        let state = self.state.as_ref().map(|state| state.display().to_string());
        let fields = [("server", &self.server), ("state", &state), ("token", &self.token)];
        let set = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        set.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>().into()
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    host::file::replace(path, text.as_bytes(), 0o600)
}
