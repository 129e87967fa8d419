//! Bodies that go to a file below the server's exports instead of into the result.

use std::path::PathBuf;
use std::sync::Arc;

use host::download::{Download, Place};
use host::git::Exports;
use host::redact::Redactor;
use model::{Change, ErrorKind, Hash, IdempotencyKey, PackName, Size, StepError, Value};
use reqwest::Response;
use serde::Deserialize;
use serde_json::json;

use super::exchange::Trouble;
use crate::Performing;

/// Most bytes where the step says nothing.
const DEFAULT_LIMIT: Size = Size::from_bytes(256 * 1024 * 1024);

/// What the step asks of the file.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    place: Place,
    limit: Size,
    sha256: Option<Hash>,
    key: IdempotencyKey,
    exports: Exports,
    to: PathBuf,
    temporary: bool,
    /// What is taken out of the body; none where its digest is fixed.
    redactor: Option<Arc<Redactor>>,
}

/// A file that is in its place.
#[derive(Debug)]
pub(super) struct Saved {
    path: String,
    size: u64,
    sha256: Hash,
}

#[derive(Deserialize)]
struct Parameters {
    to: String,
    max_size: Option<Value>,
    sha256: Option<String>,
    #[serde(default)]
    temporary: bool,
}

/// Its schema among the action's parameters.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "writes the body of an expected answer to a file, whole or not at all",
        "properties": {
            "to": {
                "type": "string",
                "required": true,
                "description": "the file, relative to the server's exports; one that was downloaded for the same pack is replaced",
            },
            "max_size": {
                "type": ["string", "integer"],
                "default": DEFAULT_LIMIT.to_string(),
                "description": "the largest body, in bytes or as 64MiB or 2GiB",
            },
            "sha256": { "type": "string", "description": "the digest that the body must have" },
            "temporary": {
                "type": "boolean",
                "description": "the file goes once no execution that asked for it so is kept",
            },
        },
    })
}

impl Wanted {
    /// What a step asks for, if anything, else what is wrong with it.
    pub(super) fn of(performing: &Performing, exports: &Exports) -> Result<Option<Self>, String> {
        let (parameters, key) = (&performing.parameters, &performing.key);
        let given = match &parameters["download"] {
            Value::Null => return Ok(None),
            given => Parameters::deserialize(given),
        };
        let given = given.map_err(|error| format!("`download`: {error}"))?;
        if parameters["method"] == "HEAD" {
            return Err("`download`: the answer to HEAD has no body: use GET".to_owned());
        }
        let pack = performing.pack.as_ref().map(PackName::as_str);
        let place = Place::below(exports, &given.to, pack);
        let redactor = given.sha256.is_none().then(|| performing.redactor.clone());
        let digest = |text: String| text.to_ascii_lowercase().parse::<Hash>();
        Ok(Some(Self {
            place: place.map_err(|error| format!("`download.to`: {error}"))?,
            limit: given.max_size.as_ref().map_or(Ok(DEFAULT_LIMIT), size)?,
            sha256: given
                .sha256
                .map(digest)
                .transpose()
                .map_err(|error| format!("`download.sha256`: {error}"))?,
            key: key.clone(),
            exports: exports.clone(),
            to: given.to.into(),
            temporary: given.temporary,
            redactor,
        }))
    }

    /// Where it would go.
    pub(super) fn change(&self) -> Change {
        let mut after = json!({ "max_size": self.limit.to_string() });
        if let Some(sha256) = &self.sha256 {
            after["sha256"] = sha256.to_string().into();
        }
        after["replaces"] = self.place.path().exists().into();
        Change::to(self.path(), after)
    }

    /// The file.
    pub(super) fn path(&self) -> String {
        self.place.path().to_string_lossy().into_owned()
    }

    /// Makes sure that there is room for a file, before anything is sent.
    pub(super) async fn begin(&self) -> Result<Download, Trouble> {
        let begun = match self.hold() {
            Ok(()) => Download::begin(self.place.clone(), self.key.as_str()).await,
            Err(error) => Err(error),
        };
        begun.map_err(|error| {
            let message = format!("nothing was sent: {} cannot be written: {error}", self.path());
            Trouble::Refused(StepError::new(ErrorKind::Unavailable, message))
        })
    }

    /// Notes who asks for the file, before it is there.
    fn hold(&self) -> std::io::Result<()> {
        let owner = if self.temporary { self.key.root() } else { Exports::NOBODY };
        self.exports.hold(owner, &self.to)
    }

    /// Reads the body of `response` into the file.
    pub(super) async fn save(
        &self,
        mut download: Download,
        mut response: Response,
    ) -> Result<Saved, Trouble> {
        let unwritten =
            |error| Trouble::Unwritten(format!("{} cannot be written: {error}", self.path()));
        let limit = self.limit.bytes();
        if response.content_length().is_some_and(|announced| announced > limit) {
            return Err(Trouble::TooLarge(self.limit));
        }
        let redactor = self.redactor.as_ref().filter(|redactor| !redactor.is_empty());
        let (mut clean, mut received) = (redactor.map(|redactor| redactor.stream()), 0);
        while let Some(chunk) = response.chunk().await.map_err(Trouble::lost)? {
            received += chunk.len() as u64;
            if received > limit {
                return Err(Trouble::TooLarge(self.limit));
            }
            let written = match &mut clean {
                Some(clean) => download.write(&clean.push(&chunk)).await,
                None => download.write(&chunk).await,
            };
            written.map_err(unwritten)?;
        }
        if let Some(clean) = clean {
            download.write(&clean.finish()).await.map_err(unwritten)?;
        }
        let whole = download.whole();
        let (sha256, size) = (whole.sha256, whole.size);
        if let Some(expected) = self.sha256.filter(|expected| *expected != sha256) {
            return Err(Trouble::Digest { expected, found: sha256 });
        }
        let path = whole.keep().await.map_err(unwritten)?;
        Ok(Saved { path: path.to_string_lossy().into_owned(), size, sha256 })
    }
}

impl Saved {
    /// Adds what it is to a result.
    pub(super) fn describe(&self, result: &mut Value) {
        result["path"] = self.path.as_str().into();
        result["size"] = self.size.into();
        result["sha256"] = self.sha256.to_string().into();
    }
}

fn size(value: &Value) -> Result<Size, String> {
    if let Some(bytes) = value.as_u64() {
        return Ok(Size::from_bytes(bytes));
    }
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    text.parse().map_err(|error| format!("`download.max_size`: {error}"))
}
