//! Where programs that run elsewhere ask what they are to do, and hand in what came of it.
//!
//! ```text
//!  step under way ──open──▶ Desk ◀──token── API ◀── the program, wherever it runs
//!         └──────◀── what it handed in, sealed in a file ──┘
//! ```
//! A token says which step it is for and carries a code that only this installation can make
//! (HMAC-SHA-256), so that no token is kept anywhere: after a restart the same step takes the same
//! one. It opens nothing unless its step is under way here, and nothing at all once that is over.

mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use host::download::{Download, Place};
use host::git::Exports;
use model::{ErrorKind, IdempotencyKey, StepError, Value};
use sha2::Sha256;

use self::files::Files;
pub use self::files::{Incoming, Kept, MAX_FILE, MAX_FILES, MAX_TOGETHER, NoArtifact};
use crate::Performing;
use crate::kubernetes::short;

/// What every such token begins with.
pub const PREFIX: &str = "tripline_step_";

/// Around the number of the run, the name of the file that keeps what was handed in.
const ANSWER: &str = "answer-";
const SEALED: &str = ".sealed";

/// Closes a text, or opens what was closed, under a name.
pub type Keeping<Of, To> = Arc<dyn Fn(&str, &Of) -> Result<To, String> + Send + Sync>;

/// Encrypts and decrypts what is kept, each time under a name: one that belongs elsewhere is not
/// opened.
#[derive(Clone)]
pub struct Safe {
    /// Closes a text.
    pub seal: Keeping<str, Vec<u8>>,
    /// Opens what was closed under the same name.
    pub open: Keeping<[u8], String>,
}

/// What a desk stands on.
#[derive(Clone)]
pub struct DeskSettings {
    /// Where programs reach the API, as `advertise` says.
    pub advertise: Option<String>,
    /// What tokens are made with: secret, and the same after a restart.
    pub key: [u8; 32],
    /// Keeps what programs hand in.
    pub safe: Safe,
    /// Where files lie that programs hand in.
    pub exports: Exports,
}

/// The desk of one engine. Clones are the same desk; the default one is never attended.
#[derive(Clone, Default)]
pub struct Desk(Option<Arc<Inner>>);

struct Inner {
    settings: DeskSettings,
    /// Held by who writes what was handed in: nobody puts an older one back.
    writing: Arc<Mutex<()>>,
    open: Mutex<BTreeMap<String, Arc<OpenStep>>>,
}

/// A step that is under way, as its program sees it.
pub struct OpenStep {
    /// What it is to do; secrets are in the clear.
    pub parameters: Value,
    /// The step's key.
    pub key: IdempotencyKey,
    /// The program's file in its pack, where it is one of the pack's.
    pub program: Option<PathBuf>,
    name: String,
    file: PathBuf,
    safe: Safe,
    exports: Exports,
    files: Arc<Files>,
    answer: Mutex<Answer>,
    writing: Arc<Mutex<()>>,
    /// One is written at a time, to its end whoever waits for that.
    handing: Arc<tokio::sync::Mutex<()>>,
}

/// What a program handed in, if it did, or why what is there cannot be read.
pub type Answer = Result<Option<Value>, String>;

/// What a token is for.
pub enum Bearer {
    /// A step that is under way here.
    Open(Arc<OpenStep>),
    /// A step that is not under way here now: it may be over, or not taken up again yet.
    Closed(IdempotencyKey),
    /// None that this installation made.
    Unknown,
}

/// A step's place at the desk, as long as it is under way.
pub struct Seat {
    inner: Arc<Inner>,
    step: Arc<OpenStep>,
    api: String,
}

impl Desk {
    /// A desk that is reached as `settings` say.
    pub fn new(settings: DeskSettings) -> Self {
        Self(Some(Arc::new(Inner { settings, writing: Arc::default(), open: Mutex::default() })))
    }

    /// Where programs reach it, or why they cannot.
    pub fn address(&self) -> Result<&str, StepError> {
        let unset = || {
            let message = "no program in a cluster can reach this server: say where its API is reached from there, `advertise: https://…` in tripline.yaml";
            StepError::new(ErrorKind::Rejected, message)
        };
        self.0.as_ref().and_then(|inner| inner.settings.advertise.as_deref()).ok_or_else(unset)
    }

    /// Whether it is attended, and nobody elsewhere can reach it.
    pub fn is_out_of_reach(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.settings.advertise.is_none())
    }

    /// Attends to a step until its seat is dropped. What its program handed in before a restart is
    /// there again.
    pub async fn attend(
        &self,
        performing: &Performing,
        program: Option<PathBuf>,
    ) -> Result<Seat, StepError> {
        let api = self.address()?.trim_end_matches('/').to_owned();
        let inner = self.0.clone().ok_or_else(|| {
            StepError::new(ErrorKind::Internal, "there is no desk where there is an address")
        })?;
        let name = format!("{}:{}", performing.run, performing.key);
        let file = performing.log.join(format!("{ANSWER}{}{SEALED}", performing.run));
        let DeskSettings { safe, exports, .. } = inner.settings.clone();
        let answer = Mutex::new(kept(&file, &name, &safe).await);
        let (parameters, key) = (performing.parameters.clone(), performing.key.clone());
        let files = Arc::new(Files::in_folder(&exports.path(Path::new(&folder(&key)))));
        let step = Arc::new(OpenStep {
            parameters,
            key,
            program,
            name,
            file,
            safe,
            exports,
            files,
            answer,
            writing: inner.writing.clone(),
            handing: Arc::default(),
        });
        inner.open().insert(step.name.clone(), step.clone());
        Ok(Seat { inner, step, api })
    }

    /// Writes what was handed in anew, as `anew` makes it of the bytes in `file`; false: it leaves them as
    /// they are, or there are none.
    pub fn keep_anew(
        &self,
        file: &Path,
        anew: impl FnOnce(Vec<u8>) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<bool, String> {
        let Some(inner) = &self.0 else { return Ok(false) };
        let _writing = alone(&inner.writing);
        let sealed = match std::fs::read(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            sealed => sealed.map_err(|error| error.to_string())?,
        };
        let Some(sealed) = anew(sealed)? else { return Ok(false) };
        keep(file, &sealed).map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// What `token` is for.
    pub fn bearer(&self, token: &str) -> Bearer {
        let Some((inner, name)) =
            self.0.as_ref().and_then(|inner| Some((inner, inner.verified(token)?)))
        else {
            return Bearer::Unknown;
        };
        let key = || Some(name.split_once(':')?.1.to_owned());
        match (inner.open().get(&name).cloned(), key()) {
            (Some(step), _) => Bearer::Open(step),
            (None, Some(key)) => Bearer::Closed(IdempotencyKey::read(key)),
            (None, None) => Bearer::Unknown,
        }
    }
}

impl Inner {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<OpenStep>>> {
        alone(&self.open)
    }

    fn code(&self, name: &str) -> Hmac<Sha256> {
        // HMAC takes keys of any length.
        let mut code = Hmac::<Sha256>::new_from_slice(&self.settings.key)
            .unwrap_or_else(|error| unreachable!("{error}"));
        code.update(name.as_bytes());
        code
    }

    fn token(&self, name: &str) -> String {
        let code = self.code(name).finalize().into_bytes();
        format!("{PREFIX}{}.{}", URL_SAFE_NO_PAD.encode(name), URL_SAFE_NO_PAD.encode(code))
    }

    /// The step that a token of ours is for.
    fn verified(&self, token: &str) -> Option<String> {
        let (name, code) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        // Compared in constant time.
        self.code(&name).verify_slice(&code).is_ok().then_some(name)
    }
}

impl OpenStep {
    /// Takes in what the program made of it. When this returns it is kept: a later one replaces it.
    pub async fn hand_in(self: Arc<Self>, answer: Value) -> Result<(), String> {
        let one = self.handing.clone().lock_owned().await;
        let taken = tokio::task::spawn_blocking(move || {
            let _one = one;
            self.take_in(answer)
        });
        taken.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn take_in(&self, answer: Value) -> Result<(), String> {
        let _writing = alone(&self.writing);
        let sealed = (self.safe.seal)(&self.name, &answer.to_string())?;
        keep(&self.file, &sealed).map_err(|error| format!("it cannot be kept: {error}"))?;
        *alone(&self.answer) = Ok(Some(answer));
        Ok(())
    }

    /// Begins to take in a file that goes with the step's execution: `name` below a folder of the
    /// step's own. A later one of the same name replaces it.
    pub async fn artifact(&self, name: &str) -> Result<Incoming, NoArtifact> {
        let to = format!("{}/{name}", folder(&self.key));
        let place = Place::of_step(&self.exports, &to)?;
        self.files.admit(Path::new(name))?;
        self.exports.hold(self.key.root(), Path::new(&to))?;
        self.exports.mark_download(Path::new(&to), None)?;
        let download = Download::begin(place, &format!("{}/{name}", self.key)).await?;
        Ok(Incoming::new(download, Path::new(name), self.files.clone()))
    }
}

/// Where the files of a step lie among the exports.
fn folder(key: &IdempotencyKey) -> String {
    format!("{}/{}/{}", Exports::STEPS, key.root(), short(key))
}

impl Seat {
    /// Opens this step, and nothing else.
    pub fn token(&self) -> String {
        self.inner.token(&self.step.name)
    }

    /// Where the API is reached.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// What the program handed in.
    pub fn answer(&self) -> Answer {
        alone(&self.step.answer).clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.inner.open();
        // A later performance of the same run may have taken its place.
        if open.get(&self.step.name).is_some_and(|step| Arc::ptr_eq(step, &self.step)) {
            open.remove(&self.step.name);
        }
    }
}

/// Keeps what was handed in, for its owner alone.
fn keep(file: &Path, sealed: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    host::file::replace(file, sealed, 0o600)
}

/// What was kept.
async fn kept(file: &Path, name: &str, safe: &Safe) -> Answer {
    let told = |why: String| format!("{}: {why}", file.display());
    let sealed = match tokio::fs::read(file).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        sealed => sealed.map_err(|error| told(error.to_string()))?,
    };
    let text = (safe.open)(name, &sealed).map_err(told)?;
    serde_json::from_str(&text).map(Some).map_err(|error| told(error.to_string()))
}

/// The name under which `file` is sealed, if it is what a program handed in; the logs of all steps lie in
/// `logs`.
pub fn name_of(logs: &Path, file: &Path) -> Option<String> {
    let run = file.file_name()?.to_str()?.strip_prefix(ANSWER)?.strip_suffix(SEALED)?;
    let key = file.parent()?.strip_prefix(logs).ok()?.to_str()?;
    Some(format!("{run}:{key}"))
}

fn alone<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
