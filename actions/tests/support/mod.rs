//! What the tests of actions share.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::{Action, Metadata, Performing, Program, ProgramSpec};
use host::process::{Launcher, Limits, Programs};
use model::{Effect, ErrorKind, ExecutionId, IdempotencyKey, Performance, Schema, StepPath, Value};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A pack folder and a state folder.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn programs(&self) -> Programs {
        Programs::new(&self.path("state"), launcher())
    }

    /// Writes `actions/<name>` and makes it executable.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path("pack/actions").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn spec(&self, entry_point: &str) -> ProgramSpec {
        ProgramSpec {
            metadata: metadata(),
            pack_folder: self.path("pack"),
            entry_point: entry_point.to_owned(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn program(&self, entry_point: &str) -> Program {
        Program::new(self.spec(entry_point), self.programs())
    }

    pub(crate) fn performing(&self, parameters: Value) -> Performing {
        Performing { log: self.path("log"), ..performing(parameters) }
    }

    /// Writes `text` as a shell script and performs it.
    pub(crate) async fn perform(&self, text: &str, parameters: Value) -> Performance {
        self.script("script.sh", &format!("#!/bin/sh\n{text}\n"));
        self.program("script.sh").perform(self.performing(parameters)).await
    }
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        reference: "demo.script".parse().unwrap(),
        description: "A script".to_owned(),
        parameters: Schema::empty(),
        result: Schema::empty(),
        effect: Some(Effect::Unsafe),
        timeout: None,
    }
}

pub(crate) fn performing(parameters: Value) -> Performing {
    Performing {
        parameters,
        key: IdempotencyKey::new(&ExecutionId::random(&[7; 32]), &StepPath::top(3)),
        attempt: 2,
        run: 1,
        resumed: false,
        timeout: None,
        pack: None,
        hosts: ["*", "127.0.0.1:*"].map(|host| host.parse().unwrap()).into(),
        log: PathBuf::from("/nonexistent"),
        redactor: Arc::default(),
        trace: None,
        cancel: CancellationToken::new(),
        stopping: CancellationToken::new(),
    }
}

/// The example that `cargo test` builds beside the tests.
pub(crate) fn launcher() -> Launcher {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/exec-program");
    assert!(program.exists(), "build it first: cargo build --example exec-program");
    Launcher { program, args: Vec::new() }
}

pub(crate) fn done(performance: Performance) -> Value {
    match performance {
        Performance::Done(value) => value,
        other => panic!("expected done, found {other:?}"),
    }
}

/// `failed KIND: MESSAGE` or `unknown KIND: MESSAGE`.
pub(crate) fn told(performance: &Performance) -> String {
    match performance {
        Performance::Done(value) => format!("done {value}"),
        Performance::Failed(error) => format!("failed {}: {}", error.kind, error.message),
        Performance::Unknown(error) => format!("unknown {}: {}", error.kind, error.message),
    }
}

pub(crate) fn kind(performance: &Performance) -> (&'static str, Option<ErrorKind>) {
    match performance {
        Performance::Done(_) => ("done", None),
        Performance::Failed(error) => ("failed", Some(error.kind)),
        Performance::Unknown(error) => ("unknown", Some(error.kind)),
    }
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until `condition` gives something.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "{what} did not happen within 20 s");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
