//! The part of the demo that takes a cluster: a real API server with its controllers, of the lab or of
//! a kubeconfig.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::server::{Server, copy_changed, text};
use super::tell::{Teller, eventually};
use super::{eventually_some, items};

/// What the example's files call their namespace.
const EXAMPLE: &str = "shop";

/// Where the cluster comes from.
pub(super) enum Source {
    /// Somebody's own.
    Kubeconfig(PathBuf),
    /// The lab's, which is being started.
    Lab(Lab),
    /// There is none, and why.
    None(String),
}

/// A cluster of the lab, in a folder of the demo.
pub(super) struct Lab {
    program: PathBuf,
    folder: PathBuf,
    starting: Option<Child>,
}

impl Source {
    /// The kubeconfig that is named, else the lab, where it is built: it starts while the rest is shown.
    pub(super) fn find(named: Option<PathBuf>, folder: &Path) -> Result<Self> {
        let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        if let Some(file) = named.or_else(|| variable.map(PathBuf::from)) {
            ensure!(file.is_file(), "{}: there is no such kubeconfig", file.display());
            return Ok(Self::Kubeconfig(fs::canonicalize(file)?));
        }
        let built = std::env::current_exe()?;
        let program = built.parent().context("no build folder")?.join("tripline-lab");
        if !program.exists() {
            return Ok(Self::None("the lab is not built".to_owned()));
        }
        let mut lab = Lab { program, folder: folder.join("cluster"), starting: None };
        lab.starting = Some(lab.command("up", &["--parts", "rollouts", "--no-build"]).spawn()?);
        Ok(Self::Lab(lab))
    }

    /// A kubeconfig of the cluster, once it takes requests; or why there is none.
    fn kubeconfig(&mut self) -> Result<Result<PathBuf, String>> {
        match self {
            Self::None(why) => Ok(Err(why.clone())),
            Self::Kubeconfig(file) => Ok(Ok(file.clone())),
            Self::Lab(lab) => lab.kubeconfig(),
        }
    }
}

impl Lab {
    fn command(&self, word: &str, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(word).args(more).arg("--dir").arg(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn kubeconfig(&mut self) -> Result<Result<PathBuf, String>> {
        if let Some(starting) = self.starting.take() {
            let ended = starting.wait_with_output()?;
            if !ended.status.success() {
                let told = String::from_utf8_lossy(&ended.stderr);
                let told = told.trim().trim_start_matches("error: ");
                // What to do is told here in other words: nothing is tested.
                let why = told.split(": run `make lab`").next().unwrap_or(told);
                return Ok(Err(why.to_owned()));
            }
        }
        let told = self.command("status", &["-o", "json"]).stdout(Stdio::piped()).output()?;
        let told: Value = serde_json::from_slice(&told.stdout)?;
        Ok(Ok(PathBuf::from(text(&told["kubeconfig"]))))
    }
}

/// The demo leaves no servers behind, however it ends.
impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut starting) = self.starting.take() {
            starting.wait().ok();
        }
        self.command("down", &[]).stderr(Stdio::null()).status().ok();
    }
}

/// The example's pack in a cluster.
pub(super) struct Cluster<'a> {
    server: &'a mut Server,
    folder: &'a Path,
    namespace: String,
}

/// Shows it, or says what was left out and how to see it.
pub(super) fn show(
    tell: &Teller,
    root: &Path,
    folder: &Path,
    server: &mut Server,
    source: &mut Source,
) -> Result<()> {
    tell.title("In a cluster: changed settings restart their Deployment, over a kill -9");
    let kubeconfig = match source.kubeconfig()? {
        Ok(kubeconfig) => kubeconfig,
        Err(why) => {
            tell.note(&format!(
                "left out: {why}. `make lab` builds real API servers for it (Go 1.25, some"
            ));
            tell.note("14 minutes, once); or name a cluster: `cargo xtask demo --kubeconfig FILE`");
            return Ok(());
        }
    };
    let whose = match source {
        Source::Lab(_) => "etcd, the API server and its controllers of the lab",
        _ => "the cluster of your kubeconfig",
    };
    let namespace = format!("tripline-demo-{}", std::process::id());
    tell.did(&format!("takes {whose}: {}, namespace {namespace}", kubeconfig.display()));
    let mut cluster = Cluster { server, folder, namespace };
    let played = cluster.play(tell, root, &kubeconfig);
    // Of a cluster that is somebody's own nothing is kept.
    let removed = match source {
        Source::Kubeconfig(_) => cluster.remove(),
        _ => Ok(()),
    };
    played.and(removed)
}

impl Cluster<'_> {
    fn play(&mut self, tell: &Teller, root: &Path, kubeconfig: &Path) -> Result<()> {
        self.set(tell, root, kubeconfig)?;
        self.run(
            "kubernetes.patch",
            &self.of(
                "v1",
                "ConfigMap",
                "settings",
                &json!({
                    "patch": { "data": { "greeting": "good morning" } },
                }),
            ),
        )?;
        tell.did("changed the ConfigMap `settings`");
        let execution = eventually_some("the restart begins", || Ok(self.restarts()?.pop()))?;
        self.server.kill()?;
        tell.did(&format!("killed the server with -9 during {}", text(&execution["id"])));
        self.server.again()?;
        eventually("the restart is done", || {
            Ok(self.restarts()?.iter().any(|one| one["state"] == "succeeded"))
        })?;
        let web =
            self.run("kubernetes.get", &self.of("apps/v1", "Deployment", "web", &json!({})))?;
        let generation = &web["object"]["metadata"]["generation"];
        ensure!(
            *generation == 2,
            "the Deployment was changed more than once: generation {generation}"
        );
        tell.saw("the Deployment was restarted once, and its new pods are ready");
        let told = json!({ "connection": "cluster", "api_version": "v1", "kind": "Event",
            "namespace": self.namespace, "fields": "involvedObject.name=web,source=tripline" });
        let told = self.run("kubernetes.list", &told)?;
        let told = items(&told);
        ensure!(told.len() == 1, "{} events tell of it", told.len());
        tell.saw(&format!("one Event beside it says why: {}", text(&told[0]["message"])));
        Ok(())
    }

    /// The pack, its rights, its connection and something to work with.
    fn set(&self, tell: &Teller, root: &Path, kubeconfig: &Path) -> Result<()> {
        let example = root.join("examples/cluster");
        let changed = |file: &str| file.replace(EXAMPLE, &self.namespace);
        let environment = self.folder.join("environments/demo.yaml");
        let file = json!(kubeconfig);
        let connection = format!(
            "connections:\n  cluster: {{ type: kubernetes, credentials: {{ file: {file} }}, packs: [reload] }}\n"
        );
        let with = fs::read_to_string(&environment)?.replacen("connections:\n", &connection, 1);
        fs::write(&environment, with)?;
        let manifest = fs::read_to_string(example.join("manifests/shop.yaml"))?;
        let manifest = json!({ "connection": "cluster", "manifest": changed(&manifest) });
        eventually("the connection is known", || {
            Ok(self.run("kubernetes.apply", &manifest).is_ok())
        })?;
        tell.did("`tripline run kubernetes.apply`: a namespace, a ConfigMap and a Deployment of two pods");
        let wait = self.of("apps/v1", "Deployment", "web", &json!({ "timeout": "25s" }));
        self.run("kubernetes.wait", &wait)?;
        let pack = self.folder.join("reload");
        copy_changed(&example.join("packs/reload"), &pack, &changed)?;
        let rights = self.server.offline(&[
            "pack",
            "rbac",
            &pack.to_string_lossy(),
            "--connection",
            "cluster",
        ])?;
        let rules = rights.lines().filter(|line| line.starts_with("  - {")).count();
        ensure!(
            rules > 4 && rights.contains("[deployments]"),
            "these rights are too few:\n{rights}"
        );
        tell.saw(&format!(
            "`tripline pack rbac` names the {rules} rights that the pack `reload` needs there"
        ));
        fs::rename(&pack, self.folder.join("packs/reload"))?;
        tell.did("put the pack of examples/cluster beside the other one, while the server runs");
        eventually("the ConfigMaps are watched", || {
            let sensors = self.server.json(&["sensor", "list"])?;
            let watches = |row: &&Value| text(&row["id"]).starts_with("kubernetes.object");
            Ok(items(&sensors).iter().filter(watches).any(|row| row["state"] == "running"))
        })
    }

    fn of(&self, api_version: &str, kind: &str, name: &str, more: &Value) -> Value {
        let mut all = json!({ "connection": "cluster", "api_version": api_version, "kind": kind,
            "name": name, "namespace": self.namespace });
        if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        all
    }

    fn restarts(&self) -> Result<Vec<Value>> {
        let listed = self.server.json(&["execution", "list", "--action", "reload.restart"])?;
        Ok(items(&listed).to_vec())
    }

    fn run(&self, action: &str, parameters: &Value) -> Result<Value> {
        let file = self.folder.join("parameters.json");
        fs::write(&file, parameters.to_string())?;
        self.server.json(&["run", action, "--params", &file.to_string_lossy()])
    }

    fn remove(&self) -> Result<()> {
        let gone = json!({ "connection": "cluster", "api_version": "v1", "kind": "Namespace",
            "name": self.namespace });
        self.run("kubernetes.delete", &gone).map(|_| ())
    }
}
