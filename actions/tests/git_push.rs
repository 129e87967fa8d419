//! Commits and tags pushed to a real repository, which others push to as well.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actions::{BuiltinContext, Performing, SharedAction};
use host::connection::{ConnectionSpec, Connections, Target};
use host::git::{Credentials, Git, Mirrors, Options};
use model::{Effect, ExecutionId, IdempotencyKey, Performance, StepPath, Value};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A bare repository with a branch `main`, which a sensor `demo.app` watches.
struct Lab {
    folder: TempDir,
    mirrors: Mirrors,
    first: String,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = Self { mirrors: Mirrors::default(), first: String::new(), folder };
        lab.git(".", &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        lab.git(".", &["clone", "-q", "origin.git", "theirs"]);
        let first = lab.theirs("versions.yaml", "app: 1\n");
        let client =
            Git::new(Options { allow_local: host::git::Local::Anywhere, ..Options::default() });
        let origin = lab.path("origin.git").display().to_string();
        let remote = client.remote(&origin, Credentials::None).unwrap();
        let mirror = client.repository(lab.path("mirror"), remote);
        mirror.fetch(&["refs/heads/*".parse().unwrap()]).await.unwrap();
        lab.mirrors.register("demo.app".parse().unwrap(), mirror, Vec::new());
        Self { first, ..lab }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.path(folder)).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Somebody else pushes a file to `main`; the commit.
    fn theirs(&self, name: &str, text: &str) -> String {
        self.prepared(name, text, "main")
    }

    fn prepared(&self, name: &str, text: &str, branch: &str) -> String {
        let fetched = Command::new("git")
            .arg("-C")
            .arg(self.path("theirs"))
            .args(["pull", "-q", "--ff-only", "origin", "main"])
            .output();
        fetched.unwrap();
        std::fs::write(self.path("theirs").join(name), text).unwrap();
        self.git("theirs", &["add", "-A"]);
        self.git("theirs", &["commit", "-q", "-m", "theirs"]);
        self.git("theirs", &["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.git("theirs", &["rev-parse", "HEAD"])
    }

    fn hook(&self, text: &str) {
        let hook = self.path("origin.git/hooks/pre-receive");
        std::fs::write(&hook, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn at_origin(&self, file: &str) -> String {
        self.git("origin.git", &["show", &format!("main:{file}")])
    }

    fn action(&self, name: &str) -> SharedAction {
        let context = BuiltinContext { mirrors: self.mirrors.clone(), ..BuiltinContext::default() };
        let mut all = actions::builtin(&context).into_iter();
        all.find(|action| action.metadata().reference.as_str() == name).unwrap()
    }

    /// Performs the step number `step` of one execution.
    async fn perform(&self, name: &str, step: u32, parameters: Value) -> Result<Value, String> {
        self.perform_for(Some("demo"), name, step, parameters).await
    }

    async fn perform_for(
        &self,
        pack: Option<&str>,
        name: &str,
        step: u32,
        parameters: Value,
    ) -> Result<Value, String> {
        let action = self.action(name);
        assert_eq!(action.effect(&parameters), Effect::Idempotent);
        match action.perform(self.performing(pack, step, parameters)).await {
            Performance::Done(result) => Ok(result),
            Performance::Failed(error) => Err(format!("failed {}: {}", error.kind, error.message)),
            Performance::Unknown(error) => {
                Err(format!("unknown {}: {}", error.kind, error.message))
            }
        }
    }

    fn performing(&self, pack: Option<&str>, step: u32, parameters: Value) -> Performing {
        Performing {
            parameters,
            key: IdempotencyKey::new(&ExecutionId::random(&[7; 32]), &StepPath::top(step)),
            attempt: 1,
            run: 1,
            resumed: false,
            timeout: None,
            pack: pack.map(|pack| pack.parse().unwrap()),
            hosts: Vec::new(),
            log: self.path("log"),
            redactor: Arc::default(),
            trace: None,
            cancel: CancellationToken::new(),
            stopping: CancellationToken::new(),
        }
    }

    async fn commit(&self, step: u32, files: Value) -> Result<Value, String> {
        let parameters = json!({
            "sensor": "app", "branch": "main", "message": "Release 2", "files": files,
        });
        self.perform("git.commit_and_push", step, parameters).await
    }
}

fn kind(error: &str) -> &str {
    error.split(':').next().unwrap()
}

#[tokio::test]
async fn a_commit_is_pushed_once_however_often_its_step_is_performed() {
    let lab = Lab::new().await;
    let files = json!({ "versions.yaml": "app: 2\n", "notes/2.md": "New.\n" });
    let pushed = lab.commit(1, files.clone()).await.unwrap();
    assert_eq!(pushed["existed"], false);
    assert_eq!(lab.at_origin("versions.yaml"), "app: 2");
    assert_eq!(lab.at_origin("notes/2.md"), "New.");
    let told = lab.git("origin.git", &["log", "-1", "--format=%an <%ae> %s", "main"]);
    assert_eq!(told, "Tripline <tripline@localhost> Release 2");
    // The answer was lost; meanwhile others went on, even on the same file.
    lab.theirs("versions.yaml", "app: 3\n");
    let again = lab.commit(1, files).await.unwrap();
    assert_eq!(
        (again["commit"].clone(), again["existed"].clone()),
        (pushed["commit"].clone(), json!(true))
    );
    assert_eq!(lab.at_origin("versions.yaml"), "app: 3");
    // Another step is another commit, and a file can go.
    let removed = lab.commit(2, json!({ "notes/2.md": null })).await.unwrap();
    assert_eq!(removed["existed"], false);
    assert_eq!(lab.git("origin.git", &["ls-tree", "-r", "--name-only", "main"]), "versions.yaml");
    assert_eq!(lab.git("origin.git", &["rev-list", "--count", "main"]), "4");
}

#[tokio::test]
async fn who_is_quicker_costs_another_try_unless_they_changed_the_same_file() {
    for (file, expected) in
        [("other.yaml", Ok("app: 2")), ("versions.yaml", Err("failed conflict"))]
    {
        let lab = Lab::new().await;
        let theirs = lab.prepared(file, "theirs\n", "prepared");
        let apart = "env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES";
        lab.hook(&format!(
            "[ -e once ] || {{ touch once; {apart} git update-ref refs/heads/main {theirs}; }}"
        ));
        let outcome = lab.commit(1, json!({ "versions.yaml": "app: 2\n" })).await;
        match expected {
            Ok(text) => {
                assert_eq!(outcome.unwrap()["existed"], false);
                assert_eq!(lab.at_origin("versions.yaml"), text);
                assert_eq!(lab.at_origin(file), "theirs");
            }
            Err(expected) => {
                let error = outcome.unwrap_err();
                assert_eq!(kind(&error), expected, "{error}");
                assert!(error.contains("versions.yaml"), "{error}");
            }
        }
        assert!(lab.path("origin.git/once").exists(), "they were quicker");
    }
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_read_is_a_conflict() {
    let lab = Lab::new().await;
    lab.theirs("other.yaml", "theirs\n");
    let commit = |file: &str| {
        json!({ "sensor": "app", "branch": "main", "message": "m", "base": lab.first,
            "files": { file: "ours\n" } })
    };
    let error = lab.perform("git.commit_and_push", 1, commit("other.yaml")).await.unwrap_err();
    assert_eq!(kind(&error), "failed conflict", "{error}");
    assert!(lab.perform("git.commit_and_push", 1, commit("versions.yaml")).await.is_ok());
}

#[tokio::test]
async fn a_files_name_is_no_pattern() {
    let lab = Lab::new().await;
    lab.theirs("pi.txt", "theirs\n");
    let commit = |files: Value| json!({ "sensor": "app", "branch": "main", "message": "m", "base": lab.first, "files": files });
    let push = async |step: u32, files: Value| {
        lab.perform("git.commit_and_push", step, commit(files)).await
    };
    // As patterns, the first would find the file of theirs, and the second would leave it out.
    push(1, json!({ "p[id].txt": "ours\n" })).await.unwrap();
    assert_eq!(lab.at_origin("p[id].txt"), "ours");
    let files = json!({ "pi.txt": "ours\n", ":!pi.txt": "ours\n" });
    let error = push(2, files).await.unwrap_err();
    assert_eq!(kind(&error), "failed conflict", "{error}");
    assert_eq!(lab.at_origin("pi.txt"), "theirs");
    push(3, json!({ ":!pi.txt": "ours\n" })).await.unwrap();
    assert_eq!(lab.git("origin.git", &["show", "main::!pi.txt"]), "ours");
}

#[tokio::test]
async fn what_is_there_already_is_not_committed_and_programs_stay_executable() {
    let lab = Lab::new().await;
    let same = lab.commit(1, json!({ "versions.yaml": "app: 1\n" })).await.unwrap();
    assert_eq!(
        (same["commit"].as_str(), same["existed"].as_bool()),
        (Some(lab.first.as_str()), Some(true))
    );
    let script = lab.path("theirs/run.sh");
    std::fs::write(&script, "old\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    lab.theirs("x", "x");
    lab.commit(2, json!({ "run.sh": "new\n" })).await.unwrap();
    assert!(lab.git("origin.git", &["ls-tree", "main", "run.sh"]).starts_with("100755"));
}

#[tokio::test]
async fn what_the_server_or_the_rules_refuse_is_told_with_its_kind() {
    let lab = Lab::new().await;
    let with = |name: &str, value: Value| {
        let mut parameters = json!({ "sensor": "app", "branch": "main", "message": "m",
            "files": { "a": "b" } });
        parameters[name] = value;
        parameters
    };
    for (parameters, expected) in [
        (with("branch", json!("none")), "failed not_found"),
        (with("branch", json!("../x")), "failed invalid_parameters"),
        (with("branch", json!("-x")), "failed invalid_parameters"),
        (with("files", json!({ "../a": "b" })), "failed invalid_parameters"),
        (with("files", json!({ ".git/config": "b" })), "failed invalid_parameters"),
        (with("files", json!({ "/etc/passwd": "b" })), "failed invalid_parameters"),
        (with("files", json!({})), "failed invalid_parameters"),
        (with("author", json!({ "name": "a\nb" })), "failed invalid_parameters"),
        (with("base", json!("0123456789")), "failed not_found"),
        (with("sensor", json!("none")), "failed not_found"),
    ] {
        let error = lab.perform("git.commit_and_push", 1, parameters.clone()).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{parameters}: {error}");
    }
    let theirs = with("sensor", json!("demo.app"));
    let error = lab.perform_for(Some("other"), "git.commit_and_push", 1, theirs.clone()).await;
    assert_eq!(kind(&error.unwrap_err()), "failed denied");
    lab.hook("echo 'main is protected' >&2; exit 1");
    let error = lab.perform("git.commit_and_push", 1, theirs).await.unwrap_err();
    assert_eq!(kind(&error), "failed denied", "{error}");
    assert!(error.contains("main is protected"), "{error}");
    std::fs::rename(lab.path("origin.git"), lab.path("gone.git")).unwrap();
    let error = lab.commit(1, json!({ "a": "b" })).await.unwrap_err();
    assert_eq!(kind(&error), "unknown unavailable", "{error}");
}

#[tokio::test]
async fn a_tag_is_made_once_and_never_moved() {
    let lab = Lab::new().await;
    let second = lab.theirs("a", "a");
    for (name, message) in [("v1", None), ("v2", Some("Second\n"))] {
        let tag = |commit: &str| {
            let mut parameters = json!({ "sensor": "app", "name": name, "commit": commit });
            if let Some(message) = message {
                parameters["message"] = message.into();
            }
            parameters
        };
        for existed in [false, true] {
            let made = lab.perform("git.tag", 1, tag(&lab.first)).await.unwrap();
            assert_eq!(made, json!({ "commit": lab.first, "tag": name, "existed": existed }));
        }
        let peeled = lab.git("origin.git", &["rev-parse", &format!("{name}^{{commit}}")]);
        assert_eq!(peeled, lab.first);
        let kind_of = lab.git("origin.git", &["cat-file", "-t", name]);
        assert_eq!(kind_of, if message.is_some() { "tag" } else { "commit" });
        let error = lab.commit(9, json!({ "b": "b" })).await.map(drop);
        assert_eq!(error, Ok(()), "the mirror sees what others pushed");
        let error = lab.perform("git.tag", 2, tag(&second)).await.unwrap_err();
        assert_eq!(kind(&error), "failed conflict", "{error}");
    }
    let bad = json!({ "sensor": "app", "name": "a b", "commit": lab.first });
    let error = lab.perform("git.tag", 1, bad).await.unwrap_err();
    assert_eq!(kind(&error), "failed invalid_parameters", "{error}");
}

#[tokio::test]
async fn a_plan_shows_the_difference_and_pushes_nothing() {
    let lab = Lab::new().await;
    let now = lab.theirs("versions.yaml", "app: 1\nweb: 1\n");
    let plan = async |name: &str, parameters: Value| {
        let performing = lab.performing(Some("demo"), 1, parameters);
        lab.action(name).plan(&performing).await.map_err(|error| error.to_string())
    };
    let commit = json!({
        "sensor": "app", "branch": "main", "message": "Release 2",
        "files": { "versions.yaml": "app: 2\nweb: 1\n", "new/file": "hello\n" },
    });
    let planned = plan("git.commit_and_push", commit.clone()).await.unwrap();
    assert!(planned.summary.ends_with(&format!("on top of {now}")), "{planned:?}");
    let diff = planned.changes[0].diff.clone().unwrap();
    for line in ["--- a/versions.yaml", "-app: 1", "+app: 2", " web: 1", "+++ b/new/file", "+hello"]
    {
        assert!(diff.lines().any(|found| found == line), "{line}\n{diff}");
    }
    assert_eq!(planned.result, None);
    assert_eq!(lab.at_origin("versions.yaml"), "app: 1\nweb: 1");
    // What is there already is known to be.
    let same = json!({
        "sensor": "app", "branch": "main", "message": "Release 1",
        "files": { "versions.yaml": "app: 1\nweb: 1\n" },
    });
    let planned = plan("git.commit_and_push", same).await.unwrap();
    assert_eq!(planned.result, Some(json!({ "commit": now, "branch": "main", "existed": true })));
    // A file that somebody changed since is a conflict in the plan, too.
    let mut stale = commit;
    stale["base"] = lab.first.clone().into();
    assert!(plan("git.commit_and_push", stale).await.unwrap_err().contains("versions.yaml"));
    let tag = json!({ "sensor": "app", "name": "v1", "commit": now });
    let planned = plan("git.tag", tag.clone()).await.unwrap();
    let answer = json!({ "commit": now, "tag": "v1", "existed": false });
    assert_eq!(planned.result, Some(answer));
    assert_eq!(lab.git("origin.git", &["tag", "--list"]), "");
    lab.git("origin.git", &["tag", "v1", &lab.first]);
    assert!(plan("git.tag", tag).await.is_err());
    let export = json!({ "sensor": "app", "commit": now, "to": "out" });
    let planned = plan("git.export", export.clone()).await.unwrap();
    let found = (planned.result.unwrap(), planned.changes[0].after.clone().unwrap());
    assert_eq!((&found.0["existed"], &found.1["files"]), (&json!(false), &json!(1)));
    assert!(!lab.path("out").exists());
}

#[tokio::test]
async fn what_is_pushed_waits_for_the_turn_of_its_connection() {
    let lab = Lab::new().await;
    let connections = Connections::default();
    let url = lab.path("origin.git").display().to_string();
    connections.set([ConnectionSpec {
        name: "host".to_owned(),
        target: Target::Git { url: url.clone() },
        credentials: None,
        requests_per_second: Some(5.0),
        packs: vec!["demo".to_owned()],
        at: "dev.yaml:2".to_owned(),
    }]);
    let connection = connections.get("host").unwrap();
    let client =
        Git::new(Options { allow_local: host::git::Local::Anywhere, ..Options::default() });
    let remote = client.remote(&url, Credentials::None).unwrap();
    let mirror = client.repository(lab.path("mirror"), remote).reached_by(Some(connection.clone()));
    lab.mirrors.register("demo.app".parse().unwrap(), mirror, Vec::new());
    let begun = Instant::now();
    for n in 1..4 {
        let files = json!({ "versions.yaml": format!("app: {n}0\n") });
        lab.commit(n, files).await.unwrap();
    }
    connection.turn().await;
    // A look and a push each; the first turn is free.
    assert!(begun.elapsed() >= Duration::from_millis(6 * 200), "{:?}", begun.elapsed());
}
