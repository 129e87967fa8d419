//! A world for scenarios: a folder with packs and state, the real `tripline serve` on it, and
//! client commands as users type them.
//!
//! ```ignore
//! let world = World::new();
//! world.write("packs/shop/pack.yaml", "name: shop\nversion: 1.0.0\n");
//! let server = world.serve();
//! let id = world.run(&["run", "core.echo", "value=1", "--detach"]).line();
//! server.kill();
//! let server = world.serve();
//! eventually(SOON, || (world.execution(&id)["state"] == "succeeded").then_some(()));
//! ```
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, each of which uses some")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for anything that should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Asks `what` until it has an answer; panics if it has none by the deadline.
#[track_caller]
pub(crate) fn eventually<T>(within: Duration, mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = what() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not happen within {within:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A temporary folder with `packs/`, `state/` and perhaps a `tripline.yaml`.
pub(crate) struct World {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() };
        fs::create_dir(world.path("packs")).unwrap();
        world
    }

    /// The same with an environment variable for the server.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file whole, so that a server that watches never sees a part of it. Scripts
    /// (`#!…`) are executable.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new_in(self.folder()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        file.as_file().set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        file.persist(path).unwrap();
    }

    /// Copies a pack's folder (relative to `cli/tests/`) to `packs/`.
    pub(crate) fn copy_pack(&self, from: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(from);
        let to = self.path("packs").join(from.file_name().unwrap());
        let copied = Command::new("cp").arg("-r").args([&from, &to]).status().unwrap();
        assert!(copied.success(), "{} cannot be copied", from.display());
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.current_dir(self.folder()).env("NO_COLOR", "1");
        command.env("XDG_CONFIG_HOME", self.path("config"));
        for name in ["TRIPLINE_SERVER", "TRIPLINE_TOKEN", "TRIPLINE_CONTEXT", "TRIPLINE_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Starts a server on free ports, and waits until it takes work.
    #[track_caller]
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Server {
        let mut server = self.spawn(arguments);
        eventually(SOON, || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended at once ({status}):\n{}", server.log());
            }
            (server.addresses()?["pid"] == server.child.id()).then_some(())
        });
        server
    }

    /// Starts a server and waits for nothing.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Server {
        let log = self.path("server.log");
        let stderr = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command();
        command.arg("serve").args(arguments).envs(self.environment.iter().cloned());
        for flag in ["--listen", "--webhooks-listen"] {
            if !arguments.contains(&flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        Server { child: child.unwrap(), log, state: self.path("state") }
    }

    /// A command in this world's folder, to be started.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments);
        command
    }

    /// Runs a command in this world's folder and waits for its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with_input(arguments, "")
    }

    /// The same with something on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.client(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // A command that does not read its input may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let arguments = arguments.join(" ");
        let code = output.status.code().unwrap_or(-1);
        Done { arguments, code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a listing or a `get` with `-o json`, and reads what it prints.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["-o", "json"]].concat()).succeeded();
        serde_json::from_str(&done.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn execution(&self, id: &str) -> Value {
        self.json(&["execution", "get", id])
    }

    /// Waits until an execution is in one of these states.
    #[track_caller]
    pub(crate) fn reaches(&self, id: &str, states: &[&str]) -> Value {
        eventually(SOON, || {
            let execution = self.execution(id);
            let state = execution["state"].as_str().unwrap().to_owned();
            states.contains(&state.as_str()).then_some(execution)
        })
    }

    /// Hands an event in; the ids of the executions that it caused.
    #[track_caller]
    pub(crate) fn emit(&self, kind: &str, data: &Value) -> Vec<String> {
        let arguments = ["event", "emit", kind, "--data", "-", "-o", "json"];
        let done = self.run_with_input(&arguments, &data.to_string()).succeeded();
        let emitted: Value = serde_json::from_str(&done.stdout).unwrap();
        let ids = emitted["executions"].as_array().unwrap().iter();
        ids.map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

/// A running `tripline serve`. Dropped, it is killed; its log is shown if the test failed.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    state: PathBuf,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged, over all starts in the same world.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn addresses(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.state.join("server.json")).ok()?).ok()
    }

    /// `http://host:port` of the API.
    #[track_caller]
    pub(crate) fn api(&self) -> String {
        let addresses = self.addresses().expect("the server has told its addresses");
        format!("http://{}", addresses["api"].as_str().unwrap())
    }

    /// `http://host:port` of the webhooks' listener, once it is open.
    #[track_caller]
    pub(crate) fn webhooks(&self) -> String {
        eventually(SOON, || Some(format!("http://{}", self.addresses()?["webhooks"].as_str()?)))
    }

    /// The token that opens the API.
    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.state.join("admin.token")).unwrap().trim().to_owned()
    }

    /// Asks the API with the server's token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}{path}", self.api());
        let request = client().request(method.parse().unwrap(), url).bearer_auth(self.token());
        send(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it without warning, as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order, and waits for that.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually(Duration::from_secs(60), || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("── the server's log\n{}", self.log());
        }
    }
}

/// Sends a request; the status, the headers and the body of the answer.
pub(crate) fn send(request: reqwest::RequestBuilder) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let response = request.timeout(SOON).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    })
}

/// An HTTP client without a proxy.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    arguments: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Panics unless it ended with 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.ended(0)
    }

    /// Panics unless it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}{}", self.arguments, self.stdout, self.stderr);
        self
    }

    /// Its only line, after success.
    #[track_caller]
    pub(crate) fn line(self) -> String {
        self.succeeded().stdout.trim().to_owned()
    }
}
