//! One run of `git`: clean environment, bounded time and output, its whole process group ended
//! when it is over or nobody waits any more.

use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::error::brief;
use super::held::Pin;
use super::keys::key_file;
use super::remote::Transport;
use super::{Credentials, Git, GitError, Options, Remote};
use crate::guard::Proxies;

/// What survives of the environment: where programs are, proxies, certificates, the ssh agent.
const KEPT_VARIABLES: [&str; 11] = [
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

const CONFIG: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.symlinks=false",
    "core.attributesFile=/dev/null",
    "core.fsmonitor=false",
    "protocol.version=2",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    // A transfer below 1,000 bytes a second for 30 s is a broken one.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
];

const MAX_STDERR: u64 = 64 * 1024;

/// How often a growing folder is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(500);

/// A git command about to run.
pub(super) struct Run {
    name: &'static str,
    command: Command,
    timeout: model::Duration,
    max_output: u64,
    /// A folder that must not grow beyond so many bytes meanwhile.
    max_folder: Option<(PathBuf, u64)>,
    /// The key that ssh reads: there until the command has ended.
    key: Option<NamedTempFile>,
}

/// How a git command ended.
pub(super) struct Output {
    name: &'static str,
    /// The exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    /// Whether there was more output than allowed; git was ended then.
    pub(super) cut: bool,
    pub(super) stderr: String,
}

impl Run {
    /// `git name` in the bare repository `folder`.
    pub(super) fn new(git: &Git, folder: &Path, name: &'static str) -> Self {
        Self::with_settings(git, folder, name, &[])
    }

    /// The same with these settings over our own.
    pub(super) fn with_settings(
        git: &Git,
        folder: &Path,
        name: &'static str,
        settings: &[&str],
    ) -> Self {
        let mut command = Command::new("git");
        let kept = KEPT_VARIABLES.iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
        command
            .env_clear()
            .envs(kept)
            .env("HOME", folder)
            .env("LC_ALL", "C")
            .env("GIT_DIR", folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            // A path is a file's name, whatever characters it has.
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .env("GIT_ALLOW_PROTOCOL", "none");
        for setting in CONFIG.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.arg(name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        let timeout = git.options().query_timeout;
        Self { name, command, timeout, max_output: 16 << 20, max_folder: None, key: None }
    }

    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub(super) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads on stdin: a file, so that nothing has to be written while it is read from.
    pub(super) fn input(mut self, bytes: &[u8]) -> Result<Self, GitError> {
        let failed = |error| GitError::io("write", &std::env::temp_dir())(error);
        let mut file = tempfile::tempfile().map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(failed)?;
        self.command.stdin(file);
        Ok(self)
    }

    pub(super) fn timeout(mut self, timeout: model::Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn max_output(mut self, bytes: u64) -> Self {
        self.max_output = bytes;
        self
    }

    pub(super) fn max_folder(mut self, folder: &Path, bytes: u64) -> Self {
        self.max_folder = Some((folder.to_owned(), bytes));
        self
    }

    /// Lets the command reach `remote`, by its transport alone and with its credentials.
    pub(super) async fn reaching(
        mut self,
        mirror: &Path,
        remote: &Remote,
        options: &Options,
    ) -> Result<Self, GitError> {
        self.command.env("GIT_ALLOW_PROTOCOL", remote.transport().protocol());
        remote.may_be_used(options).map_err(GitError::Local)?;
        let pin = remote.pin(Proxies::of_environment()).await?;
        if remote.transport() == Transport::Ssh {
            if let Credentials::PrivateKey(key) = remote.credentials() {
                self.key = Some(key_file(mirror, key)?);
            }
            let key = match remote.credentials() {
                Credentials::Key(path) => Some(path.as_path()),
                _ => self.key.as_ref().map(NamedTempFile::path),
            };
            self.command.env("GIT_SSH_VARIANT", "ssh");
            let pinned = pin.as_ref().and_then(Pin::for_ssh);
            let command = ssh_command(options.known_hosts.as_deref(), key, pinned);
            self.command.env("GIT_SSH_COMMAND", command);
        }
        if let Some(bundle) = &options.ca_bundle {
            self.command.env("GIT_SSL_CAINFO", bundle);
        }
        let mut settings = Vec::new();
        if remote.is_held() {
            settings.push(("http.followRedirects".to_owned(), "false".to_owned()));
        }
        if let Some(pin) = &pin {
            let values = pin.for_curl().into_iter();
            settings.extend(values.map(|value| ("http.curloptResolve".to_owned(), value)));
        }
        if let Some((origin, user, password)) = remote.login() {
            // By environment, because arguments are for everybody to see; for this origin alone,
            // so that a redirect elsewhere gets nothing.
            let helper = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                          \"$TRIPLINE_GIT_USER\" \"$TRIPLINE_GIT_PASSWORD\"; }; f";
            self.command.env("TRIPLINE_GIT_USER", user).env("TRIPLINE_GIT_PASSWORD", password);
            settings.push((format!("credential.{origin}.helper"), helper.to_owned()));
        }
        self.command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (n, (key, value)) in settings.into_iter().enumerate() {
            self.command.env(format!("GIT_CONFIG_KEY_{n}"), key);
            self.command.env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        Ok(self)
    }

    /// Starts it with a pipe to its input, for a caller that talks with it.
    pub(super) fn start(mut self) -> Result<(Child, Group), GitError> {
        self.command.stdin(Stdio::piped()).stderr(Stdio::null());
        let child = self.command.spawn().map_err(GitError::NotStarted)?;
        let group = Group::of(&child);
        Ok((child, group))
    }

    /// Runs it to its end, whatever its exit code.
    pub(super) async fn output(mut self) -> Result<Output, GitError> {
        let mut child = self.command.spawn().map_err(GitError::NotStarted)?;
        let mut group = Group::of(&child);
        let (name, limit) = (self.name, self.timeout);
        let ended = tokio::select! {
            output = collect(name, &mut child, &group, self.max_output) => output,
            () = tokio::time::sleep(limit.to_std()) => Err(GitError::Timeout { command: name, limit }),
            error = outgrown(self.max_folder) => Err(error),
        }?;
        group.disarm();
        Ok(ended)
    }

    /// Runs it to its end and returns its output; any exit code but 0 is an error.
    pub(super) async fn stdout(self) -> Result<Vec<u8>, GitError> {
        let (name, limit) = (self.name, self.max_output);
        let output = self.output().await?;
        if output.cut {
            let what = format!("the output of `git {name}`");
            return Err(GitError::TooLarge { what, limit: format!("{limit} bytes") });
        }
        if output.code == Some(0) { Ok(output.stdout) } else { Err(output.failure()) }
    }
}

impl Output {
    pub(super) fn failure(&self) -> GitError {
        GitError::Failed { command: self.name, message: brief(&self.stderr) }
    }
}

/// The process group of a child: killed when dropped, unless the child has ended before.
pub(super) struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn kill(&self) {
        if let Some(leader) = self.0 {
            // It may have ended by itself: nothing is left to kill then.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }

    /// The leader was waited for: its number may soon be another's.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn collect(
    name: &'static str,
    child: &mut Child,
    group: &Group,
    max_output: u64,
) -> Result<Output, GitError> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let out = async {
        let read = read_up_to(stdout, max_output).await;
        if read.1 {
            group.kill();
        }
        read
    };
    let err = async {
        let Some(mut stderr) = stderr else { return Vec::new() };
        let (text, _) = read_up_to(Some(&mut stderr), MAX_STDERR).await;
        // Drained, lest git waits for a reader.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        text
    };
    let ((stdout, cut), stderr) = tokio::join!(out, err);
    let status = child.wait().await.map_err(GitError::NotStarted)?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Output { name, code: status.code(), stdout, cut, stderr })
}

/// Reads to the end or to `max` bytes, and tells whether there was more.
async fn read_up_to(reader: Option<impl AsyncRead + Unpin>, max: u64) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    if let Some(reader) = reader {
        // A read that fails ends the output; the exit code tells why.
        let _ = reader.take(max.saturating_add(1)).read_to_end(&mut bytes).await;
    }
    let cut = bytes.len() as u64 > max;
    bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    (bytes, cut)
}

/// Completes when the folder has outgrown its bound.
async fn outgrown(bound: Option<(PathBuf, u64)>) -> GitError {
    let Some((folder, max)) = bound else { return std::future::pending().await };
    loop {
        tokio::time::sleep(MEASURE_EVERY).await;
        let measured = folder.clone();
        let size = tokio::task::spawn_blocking(move || folder_size(&measured)).await;
        if size.is_ok_and(|size| size > max) {
            let what = format!("the mirror {}", folder.display());
            return GitError::TooLarge { what, limit: format!("{max} bytes") };
        }
    }
}

/// Bytes of the files below `folder`. What vanishes meanwhile counts nothing.
pub(super) fn folder_size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// `pinned`: the address to go to, and the name that the host is known by.
fn ssh_command(
    known_hosts: Option<&Path>,
    key: Option<&Path>,
    pinned: Option<(IpAddr, String)>,
) -> String {
    let mut command = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes \
                       -o ForwardAgent=no -o ClearAllForwardings=yes -o ConnectTimeout=20 \
                       -o ServerAliveInterval=15"
        .to_owned();
    if let Some(path) = known_hosts {
        // ssh takes several files, apart by spaces, unless they are quoted.
        let option = format!("UserKnownHostsFile=\"{}\"", path.display());
        command.extend([" -o GlobalKnownHostsFile=/dev/null -o ", &quoted(&option)]);
    }
    if let Some((address, alias)) = pinned {
        let options =
            format!(" -o HostName={address} -o {}", quoted(&format!("HostKeyAlias={alias}")));
        command.push_str(&options);
    }
    if let Some(path) = key {
        let path = path.display().to_string();
        command.extend([" -o IdentitiesOnly=yes -i ", &quoted(&path)]);
    }
    command
}

/// `text` as one word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_asks_nobody_and_trusts_only_known_hosts() {
        let pinned = Some(("192.0.2.7".parse().unwrap(), "[git.example.com]:2222".to_owned()));
        let command =
            ssh_command(Some(Path::new("/etc/known hosts")), Some(Path::new("/k'ey")), pinned);
        let pin = "-o HostName=192.0.2.7 -o 'HostKeyAlias=[git.example.com]:2222'";
        assert!(command.contains(pin), "{command}");
        assert!(command.contains("BatchMode=yes -o StrictHostKeyChecking=yes"));
        assert!(command.contains("'UserKnownHostsFile=\"/etc/known hosts\"'"), "{command}");
        assert!(command.ends_with(r"-i '/k'\''ey'"), "{command}");
    }

    #[tokio::test]
    async fn a_password_reaches_its_origin_alone_and_no_argument() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::new(Options::default());
        let password = Credentials::Password("me:s3cr3t-token".to_owned());
        let remote = git.remote("https://git.example.com:8443/app.git", password).unwrap();
        for (host, told) in [("git.example.com:8443", true), ("git.example.com", false)] {
            let mut run = Run::new(&git, folder.path(), "credential").args(["fill"]);
            run = run.reaching(folder.path(), &remote, git.options()).await.unwrap();
            assert!(!format!("{:?}", run.command.as_std().get_args()).contains("s3cr3t"));
            let input = folder.path().join("input");
            std::fs::write(&input, format!("protocol=https\nhost={host}\n\n")).unwrap();
            run.command.stdin(std::fs::File::open(input).unwrap());
            let output = run.output().await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.contains("username=me\npassword=s3cr3t-token"), told, "{host}: {text}");
        }
    }

    #[tokio::test]
    async fn a_private_key_lies_in_a_file_of_its_owner_alone_while_git_runs() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (git, mirror) = (Git::new(Options::default()), folder.path().join("mirror"));
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t\n-----END OPENSSH PRIVATE KEY-----";
        let remote = git.remote("git@git.example.com:app", Credentials::PrivateKey(key.to_owned()));
        let remote = remote.unwrap();
        assert!(!format!("{remote:?}").contains("s3cr3t"));
        let run = Run::new(&git, &mirror, "fetch").reaching(&mirror, &remote, git.options());
        let run = run.await.unwrap();
        let path = run.key.as_ref().unwrap().path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{key}\n"));
        for (path, mode) in [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)] {
            let found = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
        let command = format!("{:?}", run.command.as_std());
        assert!(command.contains(&*path.to_string_lossy()) && !command.contains("s3cr3t"));
        drop(run);
        assert!(!path.exists());
        std::fs::write(&path, "left by a kill").unwrap();
        super::super::drop_keys(folder.path()).unwrap();
        assert!(!path.exists());
        super::super::drop_keys(folder.path()).unwrap();
    }
}
