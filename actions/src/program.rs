//! A pack's own programs: JSON in on stdin, JSON out on stdout, an exit code that promises.

use std::ffi::OsString;
use std::io::ErrorKind as Io;
use std::path::{Component, Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use host::process::{End, Job, Limits, MAX_STDOUT, NotStarted, Output, Programs};
use model::json::Unread;
use model::{Change, Effect, ErrorKind, Performance, Plan, StepError, Value};
use serde_json::json;

use crate::{Action, Metadata, Performing};

/// By this exit code a program says: not now, try again later.
pub(crate) const TRY_AGAIN: i32 = 75;
/// Stands in the log of a step whose result is not all that was printed.
const NOT_UTF8: &str = "[tripline: what the program printed on stdout is not UTF-8; in its result \
                        each byte that does not fit is shown as \u{FFFD}]\n";
/// Where programs are looked for when the server has no `PATH` itself.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of a pack, as its file in `actions/` declares it.
#[derive(Debug, Clone)]
pub struct ProgramSpec {
    /// What there is to know of it; its `effect` is what the file says, else unsafe.
    pub metadata: Metadata,
    /// The pinned copy of its pack.
    pub pack_folder: PathBuf,
    /// The program's path below `actions/`.
    pub entry_point: String,
    /// Bounds that the kernel keeps.
    pub limits: Limits,
}

/// A pack's program as an action.
///
/// - Exit 0 is done: its stdout as JSON is the result, other text is `{ text }`, nothing is `{}`.
///   JSON with a whole number that nobody could work with is text, and the step's log says so. Bytes that are not UTF-8 are replaced by U+FFFD, and the step's log says so.
/// - Exit 75 failed with kind `unavailable`, any other code with kind `program`: it promises that
///   there is no effect that a retry would double.
/// - A signal, or being ended, leaves the outcome unknown.
///
/// The program runs in an empty temporary folder, and its environment holds `PATH`, `LANG`,
/// `HOME` (that folder), `TRIPLINE_KEY` and `TRIPLINE_ATTEMPT`, nothing else.
pub struct Program {
    spec: ProgramSpec,
    programs: Programs,
}

impl Program {
    /// The program that `spec` declares, run by `programs`.
    pub fn new(spec: ProgramSpec, programs: Programs) -> Self {
        Self { spec, programs }
    }

    async fn run(&self, performing: &Performing) -> Result<Output, StepError> {
        let program = self.path()?;
        let folder = self.programs.folder().map_err(|error| {
            let message = format!("a temporary folder cannot be made: {error}");
            StepError::new(ErrorKind::Unavailable, message)
        })?;
        let job = Job {
            program,
            args: Vec::new(),
            folder: folder.path().to_owned(),
            environment: environment(folder.path(), performing),
            stdin: performing.parameters.to_string().into_bytes(),
            log: performing.log.join("stderr.log"),
            redactor: performing.redactor.clone(),
            limits: self.spec.limits,
            key: performing.key.to_string(),
        };
        let output = self.programs.run(&job, &performing.cancel).await;
        let output = output.map_err(|error| self.not_started(&error))?;
        if let Some(note) = misread(&output.stdout) {
            host::process::note(&job.log, &note).await;
        }
        Ok(output)
    }

    /// Where the program lies: below the pack's `actions/`, whatever its file says.
    fn path(&self) -> Result<PathBuf, StepError> {
        let entry_point = Path::new(&self.spec.entry_point);
        if entry_point.components().all(|part| matches!(part, Component::Normal(_))) {
            let path = self.spec.pack_folder.join("actions").join(entry_point);
            return Ok(std::path::absolute(&path).unwrap_or(path));
        }
        let message = format!(
            "`entry_point: {}` leads out of the pack: name a file below `actions/`",
            self.spec.entry_point
        );
        Err(StepError::new(ErrorKind::Rejected, message))
    }

    fn not_started(&self, error: &NotStarted) -> StepError {
        match error {
            NotStarted::Cancelled => StepError::new(ErrorKind::Cancelled, error.to_string()),
            NotStarted::Refused { source, .. } => {
                let message = self.refusal(source);
                StepError::new(ErrorKind::Rejected, message)
            }
            NotStarted::Engine { .. } | NotStarted::Trampoline { .. } => {
                StepError::new(ErrorKind::Unavailable, error.to_string())
            }
        }
    }

    /// What to do about a program that the kernel does not run.
    fn refusal(&self, error: &std::io::Error) -> String {
        let file = format!("actions/{}", self.spec.entry_point);
        let exists = self.path().is_ok_and(|path| path.exists());
        match error.kind() {
            Io::NotFound if exists => format!(
                "`{file}` cannot be run: the interpreter that its first line names is not installed here"
            ),
            Io::NotFound => format!("`{file}` is not in the pack: see `entry_point`"),
            Io::PermissionDenied => {
                format!("`{file}` is not executable: run `chmod +x {file}` in the pack")
            }
            _ => format!("`{file}` cannot be run: {error}"),
        }
    }
}

/// All that a program sees of the server's environment.
fn environment(folder: &Path, performing: &Performing) -> Vec<(String, OsString)> {
    let inherited = |name: &str, default: &str| std::env::var_os(name).unwrap_or(default.into());
    let variables: [(&str, OsString); 5] = [
        ("PATH", inherited("PATH", DEFAULT_PATH)),
        ("LANG", inherited("LANG", "C.UTF-8")),
        ("HOME", folder.into()),
        ("TRIPLINE_KEY", performing.key.as_str().into()),
        ("TRIPLINE_ATTEMPT", performing.attempt.to_string().into()),
    ];
    let trace = trace(performing).map(|(name, value)| (name, value.into()));
    variables.into_iter().chain(trace).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Variables that tell the place in a trace, as OpenTelemetry's libraries and tools look for them.
pub(crate) fn trace(performing: &Performing) -> impl Iterator<Item = (&'static str, String)> {
    let place = performing.trace.as_ref().map(|trace| ("TRACEPARENT", trace.parent.to_string()));
    let state = performing.trace.as_ref().and_then(|trace| trace.state.as_ref());
    place.into_iter().chain(state.map(|state| ("TRACESTATE", state.to_string())))
}

/// What the way a program ended says of its step.
fn performance(output: Output) -> Performance {
    let Output { end, stdout, flooded, stderr } = output;
    let fail =
        |kind, message: String, details: Value| StepError::new(kind, message).with_details(details);
    match end {
        End::Exited(0) if flooded => Performance::Unknown(too_large(&stderr)),
        End::Exited(0) => Performance::Done(model::json::printed(&stdout)),
        End::Exited(code) => {
            let kind = if code == TRY_AGAIN { ErrorKind::Unavailable } else { ErrorKind::Program };
            let message = format!("the program exited with {code}{}", last_line(&stderr));
            Performance::Failed(fail(kind, message, json!({ "exit_code": code, "stderr": stderr })))
        }
        End::Signalled(signal) => Performance::Unknown(fail(
            ErrorKind::Program,
            format!("the program was ended by signal {signal}"),
            json!({ "signal": signal, "stderr": stderr }),
        )),
        End::Cancelled => Performance::Unknown(fail(
            ErrorKind::Cancelled,
            "the program was ended before it was done".to_owned(),
            json!({ "stderr": stderr }),
        )),
        End::Flooded => Performance::Unknown(too_large(&stderr)),
    }
}

fn too_large(stderr: &str) -> StepError {
    let message = format!(
        "the program printed more than {} MiB on stdout: print a path or a summary instead",
        MAX_STDOUT / 1024 / 1024
    );
    StepError::new(ErrorKind::TooLarge, message).with_details(json!({ "stderr": stderr }))
}

/// The last line of stderr, which mostly says it all, as the end of a message.
pub(crate) fn last_line(stderr: &str) -> String {
    match stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim().chars().take(300).collect::<String>()),
        None => String::new(),
    }
}

/// What the step's log says where the result is not what the program meant to print.
fn misread(stdout: &[u8]) -> Option<String> {
    if std::str::from_utf8(stdout).is_err() {
        return Some(NOT_UTF8.to_owned());
    }
    match model::json::read::<Value>(stdout) {
        Err(Unread::Number(number)) => Some(format!(
            "[tripline: what the program printed on stdout is kept as text: {number}]\n"
        )),
        _ => None,
    }
}

impl Action for Program {
    fn metadata(&self) -> &Metadata {
        &self.spec.metadata
    }

    fn effect(&self, _: &Value) -> Effect {
        self.spec.metadata.effect.unwrap_or(Effect::Unsafe)
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        async move {
            let path = self.path()?;
            if !path.exists() {
                let error = std::io::Error::from(Io::NotFound);
                return Err(StepError::new(ErrorKind::Rejected, self.refusal(&error)));
            }
            let file = format!("actions/{}", self.spec.entry_point);
            let input = json!({ "stdin": planned.parameters });
            Ok(Plan::new(format!("runs the program {file}")).with(Change::to(file, input)))
        }
        .boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move {
            match self.run(&performing).await {
                Ok(output) => performance(output),
                Err(error) => Performance::Failed(error),
            }
        }
        .boxed()
    }
}
