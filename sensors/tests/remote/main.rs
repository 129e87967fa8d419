//! Repositories on other machines: real servers that speak https and ssh.

#![allow(clippy::unwrap_used, missing_docs)]

mod https;
mod ssh;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use host::connection::{ConnectionSpec, Connections, Target};
use host::git::{Git, GitError, NewTag, Options};
use host::secret::SecretRef;
use host::tls::Authorities;
use https::GitHttps;
use model::{Event, Timestamp, Value};
use sensors::git::PollError;
use sensors::{BuildContext, git};
use serde_json::json;
use ssh::GitSsh;
use support::Recorder;
use tempfile::TempDir;

const PASSWORD: &str = "s3cr3t-of-the-robot";

fn variable(name: &str) -> Option<String> {
    match name {
        "LOGIN" => Some(format!("robot:{PASSWORD}")),
        "WRONG" => Some(format!("robot:{}", PASSWORD.to_uppercase())),
        _ => None,
    }
}

/// A repository, and what our sensor has told of it.
struct Lab {
    folder: TempDir,
    recorder: Recorder,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap(), recorder: Recorder::default() };
        std::fs::create_dir(lab.path("app.git")).unwrap();
        lab.git(&["init", "-q", "-b", "main"]);
        lab.commit("first");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ada", "-c", "user.email=a@example.com"]).args(args);
        command.current_dir(self.path("app.git")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn trusting_authority(&self) -> Options {
        let bundle = self.path("bundle.pem");
        Authorities::read(&https::authority()).unwrap().write_bundle(&bundle).unwrap();
        Options { ca_bundle: Some(bundle), ..Options::default() }
    }

    fn context(&self, options: &Options) -> BuildContext {
        let mut context = BuildContext::new("tripline:test/app/push", self.folder.path());
        context.sensor = Some("app.push".parse().unwrap());
        context.git = Git::new(options.clone());
        context.variable = variable;
        let key = self.path("key");
        context.secret = Arc::new(move |path| match path {
            "git/key" => std::fs::read_to_string(&key).map_err(|error| error.to_string()),
            other => Err(format!("there is no secret `{other}`")),
        });
        context.connections = Connections::new(context.secret.clone());
        context
    }

    /// Looks once as a sensor with these parameters; returns what it told.
    async fn look(&self, options: &Options, parameters: &Value) -> Result<Vec<Event>, PollError> {
        let context = self.context(options);
        let sensor = git::build(parameters.as_object().unwrap(), &context).unwrap();
        let (told, cursor) = (self.recorder.events().len(), self.recorder.cursor());
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        sensor.poll_once("tripline:test/app/push", cursor, now, &self.recorder).await?;
        Ok(self.recorder.events().split_off(told))
    }

    /// The error of a look, as it is shown.
    async fn refused(&self, options: &Options, parameters: &Value) -> GitError {
        match self.look(options, parameters).await.unwrap_err() {
            PollError::Git(error) => error,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_push_to_a_private_repository_over_https_is_told_and_its_password_by_nobody() {
    let lab = Lab::new();
    let server = GitHttps::serve(lab.folder.path(), "robot", PASSWORD);
    let options = lab.trusting_authority();
    let sensor = json!({ "url": server.url("app.git"), "credentials": { "env": "LOGIN" } });
    assert_eq!(lab.look(&options, &sensor).await.unwrap(), [], "the first sight");
    let second = lab.commit("second");
    let events = lab.look(&options, &sensor).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data["after"], second);
    assert_eq!(events[0].data["commits"][0]["message"], "second");
    assert!(!format!("{events:?}").contains(PASSWORD));
    assert!(server.has_seen_in_arguments("app.git"), "git was at work");
    assert!(!server.has_seen_in_arguments(PASSWORD));
    let mirror = Command::new("grep").args(["-r", PASSWORD]).arg(lab.path("mirrors")).output();
    assert_eq!(String::from_utf8_lossy(&mirror.unwrap().stdout), "");
}

#[tokio::test]
async fn a_repository_that_is_held_to_hosts_is_reached_where_they_lead_and_nowhere_else() {
    let lab = Lab::new();
    let server = GitHttps::serve(lab.folder.path(), "robot", PASSWORD);
    let mut context = lab.context(&lab.trusting_authority());
    let url = server.url("app.git").replace("127.0.0.1", "localhost");
    let sensor = json!({ "url": url, "credentials": { "env": "LOGIN" }, "initial": "emit" });
    context.hosts = Some(vec!["localhost".parse().unwrap()]);
    let found = git::build(sensor.as_object().unwrap(), &context).unwrap();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    found.poll_once("tripline:test/app/push", None, now, &lab.recorder).await.unwrap();
    assert_eq!(lab.recorder.events()[0].data["after"], lab.git(&["rev-parse", "HEAD"]));
    // A variable goes to nobody who is not listed; what is public goes to no address of this machine.
    context.hosts = Some(vec!["git.example.com".parse().unwrap()]);
    let errors = git::build(sensor.as_object().unwrap(), &context).unwrap_err();
    assert!(errors[0].message.contains("requests to `localhost:"), "{errors:?}");
    let public = json!({ "url": url });
    let found = git::build(public.as_object().unwrap(), &context).unwrap();
    let refused = found.poll_once("tripline:test/app/push", None, now, &lab.recorder).await;
    assert!(matches!(refused, Err(PollError::Git(GitError::Blocked(_)))), "{refused:?}");
}

#[tokio::test]
async fn a_held_repository_over_ssh_is_known_by_its_hosts_name() {
    if !ssh::is_there() {
        return;
    }
    let lab = Lab::new();
    let server = GitSsh::serve(lab.folder.path());
    let known_hosts = Some(server.known_as("host_key.pub"));
    let mut context = lab.context(&Options { known_hosts, ..Options::default() });
    context.hosts = Some(vec!["127.0.0.1".parse().unwrap()]);
    let url = server.url(&lab.path("app.git"));
    let sensor = json!({ "url": url, "credentials": { "file": server.key() }, "initial": "emit" });
    let found = git::build(sensor.as_object().unwrap(), &context).unwrap();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    found.poll_once("tripline:test/app/push", None, now, &lab.recorder).await.unwrap();
    assert_eq!(lab.recorder.events().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_words_that_do_not_hold_it() {
    let lab = Lab::new();
    let server = GitHttps::serve(lab.folder.path(), "robot", PASSWORD);
    let options = lab.trusting_authority();
    for credentials in [json!({ "env": "WRONG" }), Value::Null] {
        let mut sensor = json!({ "url": server.url("app.git") });
        if !credentials.is_null() {
            sensor["credentials"] = credentials;
        }
        let error = lab.refused(&options, &sensor).await;
        assert!(matches!(error, GitError::Refused { .. }), "{error:?}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("check the sensor's `credentials`"), "{told}");
        assert!(!told.to_lowercase().contains(PASSWORD), "{told}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_on_the_server_cannot_be_reached() {
    let lab = Lab::new();
    let server = GitHttps::serve(lab.folder.path(), "robot", PASSWORD);
    let sensor = json!({ "url": server.url("other.git"), "credentials": { "env": "LOGIN" } });
    let error = lab.refused(&lab.trusting_authority(), &sensor).await;
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    let url = server.url("app.git");
    drop(server);
    let sensor = json!({ "url": url, "credentials": { "env": "LOGIN" } });
    let error = lab.refused(&lab.trusting_authority(), &sensor).await;
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_of_an_authority_that_is_not_trusted_gets_no_password() {
    let lab = Lab::new();
    let server = GitHttps::serve(lab.folder.path(), "robot", PASSWORD);
    let sensor = json!({ "url": server.url("app.git"), "credentials": { "env": "LOGIN" } });
    let error = lab.refused(&Options::default(), &sensor).await;
    assert!(matches!(error, GitError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("tls: { ca_file: FILE }"), "{error}");
}

#[tokio::test]
async fn a_push_to_a_repository_over_ssh_is_told() {
    if !ssh::is_there() {
        return;
    }
    let lab = Lab::new();
    let server = GitSsh::serve(lab.folder.path());
    let known_hosts = Some(server.known_as("host_key.pub"));
    let options = Options { known_hosts, ..Options::default() };
    let url = server.url(&lab.path("app.git"));
    let sensor = json!({ "url": url, "credentials": { "file": server.key() } });
    assert_eq!(lab.look(&options, &sensor).await.unwrap(), [], "the first sight");
    let second = lab.commit("second");
    let events = lab.look(&options, &sensor).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data["after"], second);
}

#[tokio::test]
async fn a_key_of_the_secret_store_opens_a_repository_and_lies_in_no_file_afterwards() {
    if !ssh::is_there() {
        return;
    }
    let lab = Lab::new();
    let server = GitSsh::serve(lab.folder.path());
    let known_hosts = Some(server.known_as("host_key.pub"));
    let context = lab.context(&Options { known_hosts, ..Options::default() });
    let url = server.url(&lab.path("app.git"));
    let sensor = json!({ "url": url, "credentials": "git/key", "initial": "emit" });
    let sensor = git::build(sensor.as_object().unwrap(), &context).unwrap();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let looked = sensor.poll_once("tripline:test/app/push", None, now, &lab.recorder);
    looked.await.unwrap();
    let first = lab.git(&["rev-parse", "HEAD"]);
    assert_eq!(lab.recorder.events()[0].data["after"], first);
    // What actions do with the repository of a sensor.
    let mirror = context.mirrors.get(context.sensor.as_ref().unwrap()).unwrap();
    let tag = NewTag { name: "v1".to_owned(), commit: first.clone(), message: None };
    mirror.push_tag(&tag, now).await.unwrap();
    assert_eq!(lab.git(&["rev-parse", "v1"]), first);
    // The same by a connection.
    context.connections.set([ConnectionSpec {
        name: "host".to_owned(),
        target: Target::Git { url: server.url(&lab.path("")) },
        credentials: Some(SecretRef::Stored("git/key".to_owned())),
        requests_per_second: None,
        packs: vec!["app".to_owned()],
        at: "dev.yaml:1".to_owned(),
    }]);
    let sensor = json!({ "connection": "host", "url": "app.git", "initial": "emit" });
    let sensor = git::build(sensor.as_object().unwrap(), &context).unwrap();
    let looked = sensor.poll_once("tripline:test/app/push", None, now, &lab.recorder);
    looked.await.unwrap();
    assert_eq!(lab.recorder.events().last().unwrap().data["after"], first);
    let left: Vec<_> = std::fs::read_dir(lab.path("mirrors/.keys")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let found = Command::new("grep").args(["-r", "PRIVATE KEY"]).arg(lab.path("mirrors")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

#[tokio::test]
async fn a_host_with_another_key_than_the_known_one_is_not_trusted() {
    if !ssh::is_there() {
        return;
    }
    let lab = Lab::new();
    let server = GitSsh::serve(lab.folder.path());
    server.make_key("another_key");
    let nobody = server.path("nobody");
    std::fs::write(&nobody, "").unwrap();
    for known_hosts in [server.known_as("another_key.pub"), nobody] {
        let options = Options { known_hosts: Some(known_hosts), ..Options::default() };
        let url = server.url(&lab.path("app.git"));
        let sensor = json!({ "url": url, "credentials": { "file": server.key() } });
        let error = lab.refused(&options, &sensor).await;
        assert!(matches!(error, GitError::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains("git: { known_hosts: FILE }"), "{error}");
    }
}

#[tokio::test]
async fn an_ssh_key_that_opens_nothing_is_refused() {
    if !ssh::is_there() {
        return;
    }
    let lab = Lab::new();
    let server = GitSsh::serve(lab.folder.path());
    server.make_key("strangers_key");
    let known_hosts = Some(server.known_as("host_key.pub"));
    let options = Options { known_hosts, ..Options::default() };
    let url = server.url(&lab.path("app.git"));
    let key = server.path("strangers_key");
    let error = lab.refused(&options, &json!({ "url": url, "credentials": { "file": key } })).await;
    assert!(matches!(error, GitError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("check the sensor's `credentials`"), "{error}");
}
