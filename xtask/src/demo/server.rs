//! The server under demonstration: a child process that can be killed, and its command line.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::app::Repository;
use super::eventually_some;
use super::tell::eventually;

/// Where releases go, below the server's exports: the environment says so.
pub(super) const RELEASES: &str = "demo-releases";

/// `tripline serve` and the folder it works in.
pub(super) struct Server {
    program: PathBuf,
    folder: PathBuf,
    pub(super) log: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(super) fn start(root: &Path, folder: &Path) -> Result<Self> {
        let built = std::env::current_exe()?;
        let program = built.parent().context("no build folder")?.join("tripline");
        ensure!(
            program.exists(),
            "build it first, in {}: cargo build -p tripline-cli",
            root.display()
        );
        let log = folder.join("server.log");
        let config = "state: state\npacks: [packs]\nlisten: 127.0.0.1:0\n\
                      webhooks: { listen: 127.0.0.1:0 }\ngit: { allow_local: true }\n\
                      environment: environments/demo.yaml\n";
        fs::write(folder.join("tripline.yaml"), config)?;
        let mut server = Self { program, folder: folder.to_owned(), log, child: None };
        server.again()?;
        Ok(server)
    }

    /// Starts it, on the state it left.
    pub(super) fn again(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        fs::remove_file(self.folder.join("state/server.json")).ok();
        let child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(self.folder.join("tripline.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let ready =
            eventually("the server answers", || Ok(self.tripline(&["pack", "list"]).is_ok()));
        ready.with_context(|| fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// SIGKILL: no chance to tidy up.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits.
    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").arg(child.id().to_string()).status().ok();
            child.wait().ok();
        }
    }

    /// Leaves it running.
    pub(super) fn forget(&mut self) {
        self.child = None;
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub(super) fn url(&self) -> Result<String> {
        eventually_some("the server's address", || self.said("api"))
    }

    /// Where the demo's webhook sensor listens, once it does.
    pub(super) fn webhooks(&self) -> Result<Option<String>> {
        Ok(self.said("webhooks")?.map(|address| format!("{address}/webhooks/demo/hooks")))
    }

    /// One of the addresses in `server.json`, as a URL.
    fn said(&self, name: &str) -> Result<Option<String>> {
        let Ok(bytes) = fs::read(self.folder.join("state/server.json")) else { return Ok(None) };
        let said: Value = serde_json::from_slice(&bytes)?;
        let address = said[name].as_str().map(|address| match address.contains("://") {
            true => address.trim_end_matches('/').to_owned(),
            false => format!("http://{address}"),
        });
        Ok(address)
    }

    /// The server's settings file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("tripline.yaml")
    }

    /// What a command of `tripline` prints.
    pub(super) fn tripline(&self, arguments: &[&str]) -> Result<String> {
        let state = self.folder.join("state");
        self.offline(&[arguments, &["--state", &state.to_string_lossy()]].concat())
    }

    /// The same of a command that asks no server.
    pub(super) fn offline(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program).args(arguments).env("NO_COLOR", "1").output()?;
        if !output.status.success() {
            bail!("tripline {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Keeps a secret under `path`; its value goes through standard input, as a person's would.
    pub(super) fn keep_secret(&self, path: &str, value: &str) -> Result<()> {
        let mut asked = Command::new(&self.program)
            .args(["secret", "set", path, "--state"])
            .arg(self.folder.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut input = asked.stdin.take().context("no standard input")?;
        input.write_all(value.as_bytes())?;
        drop(input);
        ensure!(asked.wait()?.success(), "`tripline secret set {path}` failed");
        Ok(())
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        Ok(serde_json::from_str(&self.tripline(&arguments)?)?)
    }

    /// Every file of the state folder, and the log.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.log.clone()];
        let mut folders = vec![self.folder.join("state")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()? {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => files.push(entry.path()),
                    _ => {}
                }
            }
        }
        Ok(files)
    }

    pub(super) fn command_line(&self) -> String {
        format!("{} --state {}", self.program.display(), self.folder.join("state").display())
    }
}

/// A demo that ends early leaves no server behind.
impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The shipped pack as it is: what is of this place stands in the environment.
pub(super) fn copy_pack(from: &Path, to: &Path) -> Result<PathBuf> {
    copy_folder(from, to)?;
    Ok(to.to_owned())
}

/// The environment of the demonstration: the repository, and where releases go.
pub(super) fn write_environment(folder: &Path, repository: &Repository) -> Result<PathBuf> {
    let file = folder.join("environments/demo.yaml");
    fs::create_dir_all(file.parent().context("no parent")?)?;
    let text = format!(
        "connections:\n  app: {{ type: git, url: {}, requests_per_second: 5, packs: [demo] }}\n\
         packs:\n  demo:\n    config: {{ releases: {RELEASES} }}\n    \
         permissions: {{ hosts: [\"127.0.0.1:*\"] }}\n",
        repository.folder.display()
    );
    fs::write(&file, text)?;
    Ok(file)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A folder of texts, each changed on its way.
pub(super) fn copy_changed(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_changed(&entry.path(), &target, change)?;
        } else {
            fs::write(target, change(&fs::read_to_string(entry.path())?))?;
        }
    }
    Ok(())
}

/// A JSON text without its quotes.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
