//! `cargo xtask demo`: the main job, shown and checked, on real input.
//!
//! A real git repository, real HTTP, a real store, a real API server where there is one, and a real
//! kill -9. Every sentence that claims
//! something is printed after it was checked; the first claim that does not hold ends the demo.

mod app;
mod cluster;
mod hook;
mod server;
mod tell;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use app::Repository;
use cluster::Source;
use server::{Server, text};
use tell::{Teller, eventually};

/// What the demo's git host and the server share.
const SECRET: &str = "demo-webhook-secret";
/// What the application asks for before it tells of its health.
const APP_KEY: &str = "demo-application-key";

/// Runs the demonstration, or with `demo-app` the application that it releases.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let tell = Teller::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let folder = std::env::temp_dir().join(format!("tripline-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let cluster = Source::find(kubeconfig(arguments)?, &folder)?;
    let mut stage = Stage::set(root, &folder, cluster, &tell)?;
    let shown = stage.play(&tell);
    match &shown {
        Ok(()) => tell.done("Everything claimed above was checked."),
        Err(error) => {
            tell.failed(&format!("{error:#}"));
            tell.note(&format!("the server's log: {}", stage.server.log.display()));
        }
    }
    if shown.is_ok() && tell.is_terminal() && tell.ask("Leave the server running to look around?") {
        stage.leave(&tell);
    } else {
        stage.end();
    }
    let kept = stage.kept;
    // The cluster is taken down by what its folder says.
    drop(stage);
    if shown.is_ok() && !kept {
        std::fs::remove_dir_all(&folder).ok();
    }
    Ok(if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The application itself: a tiny HTTP server, started by the release it belongs to.
pub(crate) fn run_app(arguments: &[String]) -> Result<ExitCode> {
    app::serve(arguments)?;
    Ok(ExitCode::SUCCESS)
}

/// What `--kubeconfig FILE` names.
fn kubeconfig(arguments: &[String]) -> Result<Option<PathBuf>> {
    match arguments {
        [] => Ok(None),
        [flag, file] if flag == "--kubeconfig" => Ok(Some(file.into())),
        _ => bail!("expected `cargo xtask demo` or `cargo xtask demo --kubeconfig FILE`"),
    }
}

struct Stage {
    root: PathBuf,
    folder: PathBuf,
    cluster: Source,
    server: Server,
    repository: Repository,
    releases: PathBuf,
    kept: bool,
}

impl Stage {
    fn set(root: &Path, folder: &Path, cluster: Source, tell: &Teller) -> Result<Self> {
        tell.title(
            "Tripline: a git push, a webhook, a timer and a cluster, and a kill -9 in between",
        );
        let repository = Repository::make(&folder.join("app"))?;
        tell.did("made a local git repository for the application");
        let pack = server::copy_pack(&root.join("packs/demo"), &folder.join("packs/demo"))?;
        tell.did(&format!("copied the pack `demo`: {}", pack.display()));
        let environment = server::write_environment(folder, &repository)?;
        tell.did(&format!(
            "wrote an environment with a connection to the repository and the pack's settings: {}",
            environment.display()
        ));
        let server = Server::start(root, folder)?;
        tell.did(&format!("started `tripline serve` on a fresh state folder: {}", server.url()?));
        for (path, value) in [("demo/webhook", SECRET), ("demo/app", APP_KEY)] {
            server.keep_secret(path, value)?;
            tell.did(&format!("`tripline secret set {path}`: stored, encrypted"));
        }
        let releases = folder.join("state/exports").join(server::RELEASES);
        let (root, folder) = (root.to_owned(), folder.to_owned());
        Ok(Self { root, folder, cluster, server, repository, releases, kept: false })
    }

    fn play(&mut self, tell: &Teller) -> Result<()> {
        self.show_the_environment(tell)?;
        let first = self.release_over_a_kill(tell)?;
        self.undo_a_broken_release(tell)?;
        self.explain_an_unwanted_push(tell)?;
        self.take_webhooks(tell)?;
        self.watch_the_timer(tell)?;
        self.show_no_secret(tell, &first)?;
        let Self { root, folder, server, cluster, .. } = self;
        cluster::show(tell, root, folder, server, cluster)?;
        self.show(tell, &first)
    }

    /// The pack's settings come from the environment, and every value says where it comes from.
    fn show_the_environment(&self, tell: &Teller) -> Result<()> {
        let config = self.server.config();
        let shown = self.server.json(&["config", "show", "--config", &config.to_string_lossy()])?;
        let setting = items(&shown).iter().find(|row| row["key"] == "packs.demo.config.releases");
        let setting = setting.context("`config show` does not know the pack's setting")?;
        ensure!(setting["value"] == server::RELEASES, "the setting is {}", setting["value"]);
        let from = text(&setting["from"]);
        ensure!(from.contains("environments/demo.yaml:5"), "the setting is from {from}");
        tell.saw(&format!("`config show`: packs.demo.config.releases is of {from}"));
        Ok(())
    }

    /// A push becomes a release, although the server is killed in the middle of it.
    fn release_over_a_kill(&mut self, tell: &Teller) -> Result<String> {
        tell.title("A push to main becomes a release, over a kill -9");
        let commit = self.repository.commit("v1", true)?;
        tell.did(&format!("pushed {} to main", &commit[..12]));
        let execution = self.execution_of("demo.release", 0)?;
        tell.saw(&format!(
            "the git sensor saw it, the rule demo.release_main picked it: {execution}"
        ));
        eventually("the check program runs", || self.step_runs(&execution, "demo.check"))?;
        self.server.kill()?;
        tell.did("killed the server with -9 while the pack's check program was running");
        self.server.again()?;
        tell.did("started it again on the same state folder");
        self.ends(&execution, "succeeded")?;
        let current = self.current()?;
        ensure!(current == commit, "`current` is {current}, not {commit}");
        ensure!(self.answer()? == "v1", "the release does not answer as v1");
        tell.saw("the chain went on: exported, checked, started, healthy, switched; `current` answers v1");
        self.nothing_twice()?;
        tell.saw("every program finished once for each key: nothing was done twice");
        Ok(execution)
    }

    /// A release that is never healthy is undone; the one before it stays.
    fn undo_a_broken_release(&self, tell: &Teller) -> Result<()> {
        tell.title("A broken release is undone");
        let before = self.current()?;
        let commit = self.repository.commit("v2", false)?;
        tell.did(&format!("pushed {}, whose health check never says yes", &commit[..12]));
        let execution = self.execution_of("demo.release", 1)?;
        self.ends(&execution, "failed")?;
        let pid = self.releases.join(&commit).join("pid");
        ensure!(!pid.exists(), "the broken release was not stopped");
        ensure!(self.current()? == before && self.answer()? == "v1", "the old release is gone");
        tell.saw(
            "the chain failed at the health check, its undo stopped the release, v1 still answers",
        );
        Ok(())
    }

    fn explain_an_unwanted_push(&self, tell: &Teller) -> Result<()> {
        tell.title("A push that no rule wants is explained");
        self.repository.branch("wip")?;
        tell.did("pushed a branch `wip`");
        let event = eventually_some("the event of the push", || {
            let events = self.server.json(&["event", "list"])?;
            let of_wip = |event: &&Value| event["envelope"]["subject"] == "refs/heads/wip";
            Ok(items(&events).iter().find(of_wip).map(|event| text(&event["key"])))
        })?;
        let why = self.server.tripline(&["rule", "explain", &event, "demo.release_main"])?;
        ensure!(
            why.contains("refs/heads/wip"),
            "the explanation does not name what was found: {why}"
        );
        tell.shell(&format!("tripline rule explain {event} demo.release_main"), &why);
        Ok(())
    }

    fn take_webhooks(&self, tell: &Teller) -> Result<()> {
        tell.title("A signed webhook triggers a rule, a tampered one is refused");
        let url = eventually_some("the webhook listener", || self.server.webhooks())?;
        let body = r#"{"action":"published","release":{"tag_name":"v1.0"}}"#;
        let status = hook::post(&url, SECRET, body, body, "delivery-1")?;
        ensure!(status == 202, "the signed request was answered {status}, not 202");
        tell.saw("signed with HMAC-SHA256: 202, stored before it was answered");
        let execution = self.execution_of("demo.announce", 0)?;
        self.ends(&execution, "succeeded")?;
        tell.saw(&format!("the rule demo.announce ran: {execution}"));
        let status = hook::post(&url, SECRET, body, body, "delivery-1")?;
        ensure!(status == 200, "the redelivered request was answered {status}, not 200");
        let count = self.executions("demo.announce")?.len();
        ensure!(count == 1, "the redelivery ran the rule again");
        tell.saw("redelivered: 200, and nothing ran again");
        let tampered = body.replace("v1.0", "v6.6");
        let status = hook::post(&url, SECRET, body, &tampered, "delivery-2")?;
        ensure!(status == 401, "the tampered request was answered {status}, not 401");
        tell.saw("tampered with: 401, refused");
        Ok(())
    }

    fn watch_the_timer(&self, tell: &Teller) -> Result<()> {
        tell.title("A timer fires a third rule");
        eventually("a heartbeat", || {
            let beats = self.executions("demo.heartbeat")?;
            Ok(beats.iter().any(|beat| beat["state"] == "succeeded"))
        })?;
        tell.saw(&format!("{} heartbeats so far", self.executions("demo.heartbeat")?.len()));
        Ok(())
    }

    /// The application's key went to a program and into a request's header, and is nowhere to be
    /// found.
    fn show_no_secret(&self, tell: &Teller, execution: &str) -> Result<()> {
        tell.title("Secrets were used, and are shown nowhere");
        let exported = self.server.tripline(&["execution", "export", execution])?;
        let told = self.server.tripline(&["execution", "get", execution])? + &exported;
        ensure!(told.contains("tlsec_"), "no token stands in the execution: {told}");
        let mut searched = 0;
        for file in self.server.files()? {
            let bytes = std::fs::read(&file)?;
            ensure!(!shows_a_secret(&bytes), "a secret stands in {}", file.display());
            searched += 1;
        }
        ensure!(!shows_a_secret(told.as_bytes()), "a secret stands in {told}");
        tell.saw(&format!(
            "the release used secret(\"demo/app\"): a token stands in its journal, and neither of the \
             secrets in any of the {searched} files of the state folder and the log"
        ));
        Ok(())
    }

    fn show(&self, tell: &Teller, execution: &str) -> Result<()> {
        tell.title("What the server tells of it");
        tell.shell("tripline execution list", &self.server.tripline(&["execution", "list"])?);
        let timeline = self.server.tripline(&["execution", "get", execution])?;
        tell.shell(&format!("tripline execution get {execution}"), &timeline);
        Ok(())
    }

    /// The execution number `n` of `action`, oldest first, once it is there.
    fn execution_of(&self, action: &str, n: usize) -> Result<String> {
        eventually_some(&format!("an execution of {action}"), || {
            let mut all = self.executions(action)?;
            all.sort_by_key(|row| text(&row["requested_at"]));
            Ok(all.get(n).map(|row| text(&row["id"])))
        })
    }

    fn executions(&self, action: &str) -> Result<Vec<Value>> {
        let listed = self.server.json(&["execution", "list", "--action", action])?;
        Ok(items(&listed).to_vec())
    }

    fn step_runs(&self, execution: &str, action: &str) -> Result<bool> {
        let view = self.server.json(&["execution", "get", execution])?;
        let steps = view["steps"].as_array().cloned().unwrap_or_default();
        Ok(steps.iter().any(|step| step["action"] == action && step["state"] == "running"))
    }

    fn ends(&self, execution: &str, state: &str) -> Result<()> {
        let ended = eventually_some(&format!("the end of {execution}"), || {
            let view = self.server.json(&["execution", "get", execution])?;
            let state = text(&view["state"]);
            let over = ["succeeded", "failed", "cancelled", "timed_out", "needs_attention"];
            Ok(over.contains(&state.as_str()).then_some((state, view)))
        })?;
        ensure!(ended.0 == state, "{execution} ended as {}: {}", ended.0, ended.1["message"]);
        Ok(())
    }

    /// The commit that `current` leads to.
    fn current(&self) -> Result<String> {
        let target =
            std::fs::read_link(self.releases.join("current")).context("no `current` release")?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// What the current release answers.
    fn answer(&self) -> Result<String> {
        let port = std::fs::read_to_string(self.releases.join("current/port"))?;
        hook::get(&format!("127.0.0.1:{}", port.trim()), "/")
    }

    fn nothing_twice(&self) -> Result<()> {
        let ledger = std::fs::read_to_string(self.releases.join("ledger"))?;
        let mut lines: Vec<&str> = ledger.lines().collect();
        lines.sort_unstable();
        let count = lines.len();
        lines.dedup();
        ensure!(
            count == 3 && lines.len() == 3,
            "the programs' ledger is not check, start, switch:\n{ledger}"
        );
        Ok(())
    }

    /// Ends the server, and the releases it started.
    fn end(&mut self) {
        self.server.stop();
        let Ok(entries) = std::fs::read_dir(&self.releases) else { return };
        for pid in entries
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("pid")).ok())
        {
            std::process::Command::new("kill").arg(pid.trim()).status().ok();
        }
    }

    fn leave(&mut self, tell: &Teller) {
        self.kept = true;
        tell.note(&format!(
            "the server goes on as process {}; end it with `kill {}`",
            self.server.pid(),
            self.server.pid()
        ));
        tell.note("try next:");
        for command in
            ["execution list", "rule list", "sensor list", "timer list", "key list", "pack list"]
        {
            tell.note(&format!("  {} {command}", self.server.command_line()));
        }
        tell.note(&format!(
            "  cd {} && git commit --allow-empty -m again",
            self.repository.folder.display()
        ));
        self.server.forget();
    }
}

fn shows_a_secret(bytes: &[u8]) -> bool {
    [SECRET, APP_KEY]
        .iter()
        .any(|secret| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()))
}

fn items(listed: &Value) -> &[Value] {
    listed.as_array().or_else(|| listed["items"].as_array()).map_or(&[], Vec::as_slice)
}

/// What `look` finds, once it finds something.
fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut found = None;
    eventually(what, || {
        found = look()?;
        Ok(found.is_some())
    })?;
    found.with_context(|| format!("{what}: not seen"))
}

/// How long the demo waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);
