//! `tripline step run`: inside of a container, runs a program as the server runs its own: parameters
//! on stdin, result on stdout, an exit code that promises.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use model::{Map, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command as Program};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  tripline step run                      the program of the step's pack, which the server sends
  tripline step run -- /app/migrate -v   a program of the image

Files that the program leaves in the folder $TRIPLINE_ARTIFACTS are handed in too: its result names
them under `artifacts`.

It is for containers of actions with `runner: kubernetes_job`: the server sets TRIPLINE_API and
TRIPLINE_STEP_TOKEN there.

Exit codes: those of the program; 137 where its result could not be told, so that nobody takes
its work for undone.";

/// Bytes on stdout, as of a program on the server.
const MAX_STDOUT: u64 = 4 << 20;
/// By this exit code the cluster says that a program was killed: its outcome is unknown.
const UNTOLD: u8 = 137;
/// Between two tries to reach the server, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Longest time of one request.
const ANSWER: Duration = Duration::from_secs(60);

/// What a step's program does where it runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run a program for its step: parameters on stdin, result on stdout
    #[command(after_help = EXAMPLES)]
    Run(Run),
}

/// What is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A program of the image with its arguments [default: the one of the step's pack]
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        let Self::Run(run) = self;
        run.run().await
    }
}

impl Run {
    async fn run(self) -> Outcome {
        let desk = Desk::of_environment()?;
        let parameters = desk.ask(Method::GET, "parameters", Sent::Nothing).await?;
        let failed = |error| Failure::file("a temporary folder", &error);
        let folder = tempfile::tempdir().map_err(failed)?;
        let artifacts = folder.path().join("artifacts");
        std::fs::create_dir(&artifacts).map_err(failed)?;
        let program = self.program(&desk, folder.path()).await?;
        let mut child = start(&program, &artifacts)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program may end without reading them.
            tokio::spawn(async move { stdin.write_all(&parameters).await });
        }
        let (status, printed) = ended(&mut child).await?;
        if let Some(signal) = status.signal() {
            return Ok(Exit::Program(128 + u8::try_from(signal).unwrap_or(9)));
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(UNTOLD);
        if code != 0 {
            return Ok(Exit::Program(code));
        }
        let Some(printed) = printed else {
            eprintln!("tripline: the program printed more than 4 MiB on stdout");
            return Ok(Exit::Program(UNTOLD));
        };
        match hand_in(&desk, model::json::printed(&printed), &artifacts).await {
            Ok(()) => Ok(Exit::Done),
            Err(failure) => {
                failure.tell();
                Ok(Exit::Program(UNTOLD))
            }
        }
    }

    /// What is run; a program of the pack is put into `folder`.
    async fn program(&self, desk: &Desk, folder: &Path) -> Result<Vec<OsString>, Failure> {
        if !self.program.is_empty() {
            return Ok(self.program.clone());
        }
        let bytes = desk.ask(Method::GET, "program", Sent::Nothing).await?;
        let path = folder.join("program");
        let failed = |error| Failure::file(path.display(), &error);
        std::fs::write(&path, bytes).map_err(failed)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).map_err(failed)?;
        Ok(vec![path.into()])
    }
}

/// Hands the files in, and then the result, which names them.
async fn hand_in(desk: &Desk, mut result: Value, artifacts: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    below(artifacts, "", &mut files).map_err(|error| Failure::file("the artifacts", &error))?;
    let mut taken = Map::new();
    for (name, file) in files {
        let what = format!("artifacts/{}", crate::client::segment(&name));
        let answer = desk.ask(Method::PUT, &what, Sent::File(&file)).await?;
        taken.insert(name, serde_json::from_slice(&answer).unwrap_or_default());
    }
    if let (Some(result), false) = (result.as_object_mut(), taken.is_empty()) {
        result.entry("artifacts").or_insert(Value::Object(taken));
    }
    desk.ask(Method::PUT, "result", Sent::Json(&result)).await?;
    Ok(())
}

/// The files in a folder and those below it, by their names there.
fn below(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()? {
            kind if kind.is_dir() => below(&entry.path(), &format!("{name}/"), files)?,
            kind if kind.is_file() => files.push((name, entry.path())),
            _ => {}
        }
    }
    files.sort();
    Ok(())
}

fn start(words: &[OsString], artifacts: &Path) -> Result<Child, Failure> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::usage("no program"))?;
    let mut command = Program::new(program);
    command.args(arguments).env("TRIPLINE_ARTIFACTS", artifacts);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let failed = |error| {
        let failure = Failure::file(program.to_string_lossy(), &error);
        failure.with_hint("is it, or the interpreter that its first line names, in the image?")
    };
    command.spawn().map_err(failed)
}

/// Waits for the program's end and what it printed; none where that is too much. Who ends this process
/// ends the program.
async fn ended(child: &mut Child) -> Result<(ExitStatus, Option<Vec<u8>>), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, "system", error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let pid = child.id().map(u32::cast_signed).map(Pid::from_raw);
    let stdout = child.stdout.take();
    let reading = async {
        let Some(stdout) = stdout else { return Some(Vec::new()) };
        let mut printed = Vec::new();
        let read = stdout.take(MAX_STDOUT + 1).read_to_end(&mut printed).await;
        (read.is_ok() && printed.len() as u64 <= MAX_STDOUT).then_some(printed)
    };
    let told = async {
        while terminate.recv().await.is_some() {
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGTERM);
            }
        }
        std::future::pending::<Infallible>().await
    };
    let ending = async {
        // What is left in the pipe when the program has ended is read; what it started may hold on to it.
        let mut reading = std::pin::pin!(reading);
        let (mut printed, mut done) = (None, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                read = &mut reading, if !done => { printed = read; done = true; }
            }
        };
        if !done {
            let rest = tokio::time::timeout(Duration::from_secs(1), reading).await;
            printed = rest.ok().flatten();
        }
        (status, printed)
    };
    let (status, printed) = tokio::select! {
        ended = ending => ended,
        never = told => match never {},
    };
    Ok((status.map_err(failed)?, printed))
}

/// What goes with a request.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    File(&'a Path),
}

/// Where the step's program asks.
struct Desk {
    http: reqwest::Client,
    api: String,
    token: String,
}

impl Desk {
    fn of_environment() -> Result<Self, Failure> {
        let variable = |name: &str| {
            let set = std::env::var(name).ok().filter(|value| !value.is_empty());
            set.ok_or_else(|| {
                Failure::usage(format!("the variable {name} is not set")).with_hint(
                    "this command is for containers of actions with `runner: kubernetes_job`, where the server sets it",
                )
            })
        };
        let (api, token) = (variable("TRIPLINE_API")?, variable("TRIPLINE_STEP_TOKEN")?);
        let http = crate::client::http(&api)?;
        Ok(Self { http, api, token })
    }

    /// Asks until there is an answer: the server may be starting again. How long, the Job's own
    /// deadline says.
    async fn ask(&self, method: Method, what: &str, sent: Sent<'_>) -> Result<Vec<u8>, Failure> {
        let url = format!("{}/api/v1/step/{what}", self.api.trim_end_matches('/'));
        let mut pause = PAUSE.0;
        loop {
            let request = self.http.request(method.clone(), &url).bearer_auth(&self.token);
            let request = match sent {
                Sent::Nothing => request.timeout(ANSWER),
                Sent::Json(body) => request.json(body).timeout(ANSWER),
                Sent::File(path) => {
                    let open = tokio::fs::File::open(path).await;
                    request.body(open.map_err(|error| Failure::file(path.display(), &error))?)
                }
            };
            let why = match answer(request).await {
                Ok((status, body)) if status.is_success() => return Ok(body),
                Ok((status, body)) if !comes_back(status) => return Err(refused(status, &body)),
                Ok((status, _)) => format!("status {status}"),
                Err(error) => host::http::chain(&error),
            };
            eprintln!("tripline: {url} does not answer yet ({why})");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, Vec<u8>)> {
    let response = request.send().await?;
    Ok((response.status(), response.bytes().await?.to_vec()))
}

/// Whether asking again may help.
fn comes_back(status: StatusCode) -> bool {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || later.contains(&status)
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().map(ToOwned::to_owned);
    let message = detail.unwrap_or_else(|| format!("the server answered with {status}"));
    Failure::new(Exit::Refused, problem["kind"].as_str().unwrap_or("refused"), message)
}
