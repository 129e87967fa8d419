//! The built-in actions as a whole, and the small ones.

#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use actions::{BuiltinContext, Metadata, SharedAction};
use expect_test::expect;
use host::git::{Credentials, Exports, Git, Mirrors, Options};
use model::{ErrorKind, Performance, Value};
use serde_json::json;
use support::{done, kind, performing, told};

fn action(name: &str, context: &BuiltinContext) -> SharedAction {
    let all = actions::builtin(context);
    all.into_iter().find(|action| action.metadata().reference.as_str() == name).unwrap()
}

async fn perform(name: &str, parameters: Value) -> Performance {
    let action = action(name, &BuiltinContext::default());
    let mut parameters = parameters;
    action.metadata().parameters.fill(parameters.as_object_mut().unwrap());
    action.perform(performing(parameters)).await
}

fn line(action: &Metadata) -> String {
    let required: Vec<&str> = action.parameters.required().collect();
    let parameters = action.parameters.properties().keys().map(|name| {
        if required.contains(&name.as_str()) { name.clone() } else { format!("{name}?") }
    });
    let effect = action.effect.map_or("depends", model::Effect::as_str);
    let result: Vec<&str> = action.result.properties().keys().map(String::as_str).collect();
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    format!("{} ({parameters}) -> {} [{effect}]", action.reference, result.join(", "))
}

#[test]
fn every_action_declares_what_it_takes_and_returns() {
    let mut listing = String::new();
    for action in actions::declarations() {
        writeln!(listing, "{}", line(&action)).unwrap();
    }
    expect![[r#"
        core.echo (value) -> value [read]
        core.fail (effect?, kind?, message, outcome?) ->  [depends]
        core.noop () ->  [read]
        datastore.compare_and_set (expected?, key, scope?, ttl?, value) -> current, swapped [idempotent]
        datastore.delete (key, scope?) -> deleted [idempotent]
        datastore.get (default?, key, scope?) -> found, value [read]
        datastore.increment (by?, key, scope?) -> value [idempotent]
        datastore.list (limit?, prefix?, scope?) -> keys, more [read]
        datastore.set (key, scope?, ttl?, value) ->  [idempotent]
        git.commit_and_push (author?, base?, branch, files, message, sensor) -> branch, commit, existed [idempotent]
        git.export (commit, sensor, temporary?, to) -> commit, existed, path [idempotent]
        git.tag (author?, commit, message?, name, sensor) -> commit, existed, tag [idempotent]
        http.request (body?, connection?, download?, expect?, follow_redirects?, form?, headers?, idempotency_header?, json?, method?, query?, secrets?, timeout?, url) -> body, body_base64, headers, json, json_error, path, sha256, size, status, url [depends]
        kubernetes.add_finalizer (api_version, connection?, finalizer, kind, name, namespace?) -> changed, object [idempotent]
        kubernetes.annotate (annotations, api_version, connection?, kind, name, namespace?) -> changed, object [idempotent]
        kubernetes.apply (connection?, field_manager?, force?, manifest, namespace?, owner?, wait?) -> changed, objects [idempotent]
        kubernetes.create_event (action?, api_version, connection?, kind, message, name, namespace?, reason, type?) -> name [idempotent]
        kubernetes.delete (api_version, connection?, kind, name, namespace?, propagation?, resource_version?, timeout?, uid?, wait?) -> existed [idempotent]
        kubernetes.diff (connection?, field_manager?, force?, manifest, namespace?, owner?) -> changed, objects [read]
        kubernetes.get (api_version, connection?, kind, missing?, name, namespace?) -> found, object, values [read]
        kubernetes.label (api_version, connection?, kind, labels, name, namespace?) -> changed, object [idempotent]
        kubernetes.list (api_version, connection?, fields?, kind, labels?, limit?, namespace?, select?) -> items [read]
        kubernetes.logs (connection?, container?, namespace?, pod, previous?, since?, tail?) -> text, truncated [read]
        kubernetes.patch (api_version, connection?, kind, name, namespace?, patch, subresource?, type?) -> changed, object [depends]
        kubernetes.patch_status (api_version, conditions?, connection?, kind, name, namespace?, status?) -> changed, object [idempotent]
        kubernetes.remove_finalizer (api_version, connection?, finalizer, kind, name, namespace?) -> changed, object [idempotent]
        kubernetes.restart (api_version, connection?, kind, name, namespace?) -> changed, object [idempotent]
        kubernetes.run_job (args?, command?, connection?, effect?, env?, image, keep?, labels?, name?, namespace?, resources?, service_account?, timeout?) -> exit_code, job, output, pod, warning [depends]
        kubernetes.scale (api_version, connection?, kind, name, namespace?, replicas, uid?) -> changed, object [idempotent]
        kubernetes.wait (api_version, connection?, for?, kind, name, namespace?, timeout?) -> object, waited [read]
        secrets.generate (alphabet?, length?) ->  [idempotent]
        secrets.get (path) ->  [read]
        secrets.store (path, value) -> path, token, version [idempotent]
        template.render (template, values?) -> value [read]
    "#]].assert_eq(&listing);
}

#[tokio::test]
async fn echo_returns_its_value_and_noop_nothing() {
    for value in [json!(null), json!([1, { "a": "b" }])] {
        assert_eq!(
            done(perform("core.echo", json!({ "value": value })).await),
            json!({ "value": value })
        );
    }
    assert_eq!(done(perform("core.noop", json!({})).await), json!({}));
}

#[tokio::test]
async fn fail_fails_as_it_is_told_to() {
    let failed = perform("core.fail", json!({ "message": "no" })).await;
    assert_eq!(told(&failed), "failed failed: no");
    let parameters = json!({ "message": "lost", "kind": "timeout", "outcome": "unknown" });
    assert_eq!(told(&perform("core.fail", parameters).await), "unknown timeout: lost");
    let fail = action("core.fail", &BuiltinContext::default());
    assert_eq!(fail.effect(&json!({ "effect": "unsafe" })), model::Effect::Unsafe);
    assert_eq!(fail.effect(&json!({})), model::Effect::Read);
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A context whose sensor `demo.app` has fetched a repository of one commit; and that commit.
async fn exported_place(folder: &Path) -> (BuiltinContext, String) {
    let origin = folder.join("origin");
    std::fs::create_dir_all(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    std::fs::write(origin.join("file.txt"), "content").unwrap();
    git(&origin, &["add", "file.txt"]);
    git(&origin, &["commit", "-q", "-m", "first"]);
    let commit = git(&origin, &["rev-parse", "HEAD"]);
    let client =
        Git::new(Options { allow_local: host::git::Local::Anywhere, ..Options::default() });
    let remote = client.remote(origin.to_str().unwrap(), Credentials::None).unwrap();
    let mirror = client.repository(folder.join("mirror"), remote);
    mirror.fetch(&["refs/heads/*".parse().unwrap()]).await.unwrap();
    let mirrors = Mirrors::default();
    mirrors.register("demo.app".parse().unwrap(), mirror, vec!["team_*".to_owned()]);
    (
        BuiltinContext {
            mirrors,
            exports: Exports::new(folder.join("exports")),
            ..Default::default()
        },
        commit,
    )
}

#[tokio::test]
async fn an_export_is_written_once_and_found_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let (context, commit) = exported_place(folder.path()).await;
    let export = action("git.export", &context);
    let whole = folder.path().join("exports/app-2");
    for (to, path) in
        [("app-1", folder.path().join("exports/app-1")), (whole.to_str().unwrap(), whole.clone())]
    {
        for existed in [false, true] {
            let parameters = json!({ "sensor": "app", "commit": commit, "to": to });
            let mut performing = performing(parameters);
            performing.pack = Some("demo".parse().unwrap());
            let result = done(export.perform(performing).await);
            let expected = json!({ "commit": commit, "path": path.to_str(), "existed": existed });
            assert_eq!(result, expected);
            assert_eq!(std::fs::read_to_string(path.join("file.txt")).unwrap(), "content");
        }
    }
}

#[tokio::test]
async fn nothing_is_put_into_what_was_exported_or_handed_in() {
    let folder = tempfile::TempDir::new().unwrap();
    let (context, commit) = exported_place(folder.path()).await;
    let (export, request) = (action("git.export", &context), action("http.request", &context));
    let exporting =
        |to: &str| performing(json!({ "sensor": "demo.app", "commit": commit, "to": to }));
    done(export.perform(exporting("releases/app")).await);
    for (to, told_of) in [
        ("releases/app/file.txt", "`releases/app` is an export of a commit"),
        ("releases/app/deep/new", "`releases/app` is an export of a commit"),
        ("steps/x_1/1/report", "`steps` is for the files that programs of steps hand in"),
    ] {
        let url = "http://127.0.0.1:1/";
        let download = performing(json!({ "url": url, "download": { "to": to } }));
        for performance in [request.perform(download).await, export.perform(exporting(to)).await] {
            let (how, told) = (kind(&performance), told(&performance));
            assert_eq!(how, ("failed", Some(ErrorKind::InvalidParameters)), "{told}");
            assert!(told.contains(told_of), "{told}");
        }
    }
    let exported = folder.path().join("exports/releases/app");
    assert_eq!(std::fs::read_to_string(exported.join("file.txt")).unwrap(), "content");
    // Whoever removed it by hand: a file in its place is not the commit.
    std::fs::remove_dir_all(&exported).unwrap();
    std::fs::write(&exported, "something else").unwrap();
    let performance = export.perform(exporting("releases/app")).await;
    assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Conflict)), "{}", told(&performance));
}

#[tokio::test]
async fn a_temporary_export_is_held_by_its_execution_and_others_by_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    let (context, commit) = exported_place(folder.path()).await;
    let export = action("git.export", &context);
    for (to, temporary) in [("kept", false), ("own", true)] {
        let parameters =
            json!({ "sensor": "demo.app", "commit": commit, "to": to, "temporary": temporary });
        done(export.perform(performing(parameters)).await);
    }
    let exports = &context.exports;
    for owner in exports.owners().unwrap().iter().filter(|owner| *owner != Exports::NOBODY) {
        exports.release(owner).unwrap();
    }
    let there = |to: &str| folder.path().join("exports").join(to).exists();
    assert_eq!((there("kept"), there("own")), (true, false));
}

#[tokio::test]
async fn an_export_that_cannot_be_made_says_why() {
    let folder = tempfile::TempDir::new().unwrap();
    let (context, commit) = exported_place(folder.path()).await;
    let export = action("git.export", &context);
    std::fs::create_dir_all(folder.path().join("exports/taken")).unwrap();
    let elsewhere = folder.path().join("packs/evil");
    let elsewhere = elsewhere.to_str().unwrap();
    for (sensor, commit, to, error) in [
        ("demo.other", commit.as_str(), "a", ErrorKind::NotFound),
        ("app", commit.as_str(), "a", ErrorKind::InvalidParameters),
        ("demo.app", "0000000000000000000000000000000000000000", "a", ErrorKind::NotFound),
        ("demo.app", commit.as_str(), "taken", ErrorKind::Conflict),
        ("demo.app", commit.as_str(), "../a", ErrorKind::InvalidParameters),
        ("demo.app", commit.as_str(), ".owners/a", ErrorKind::InvalidParameters),
        ("demo.app", commit.as_str(), "a/.b.commit", ErrorKind::InvalidParameters),
        ("demo.app", commit.as_str(), "", ErrorKind::InvalidParameters),
        ("demo.app", commit.as_str(), elsewhere, ErrorKind::InvalidParameters),
    ] {
        let parameters = json!({ "sensor": sensor, "commit": commit, "to": to });
        let performance = export.perform(performing(parameters)).await;
        assert_eq!(
            kind(&performance),
            ("failed", Some(error)),
            "{sensor} {to}: {}",
            told(&performance)
        );
    }
}

#[tokio::test]
async fn a_repository_is_exported_by_its_own_pack_and_by_those_it_is_shared_with() {
    let folder = tempfile::TempDir::new().unwrap();
    let (context, commit) = exported_place(folder.path()).await;
    let export = action("git.export", &context);
    for (pack, admitted) in [("demo", true), ("team_a", true), ("other", false), ("demos", false)] {
        let mut asked = performing(json!({ "sensor": "demo.app", "commit": commit, "to": pack }));
        asked.pack = Some(pack.parse().unwrap());
        let planned = export.plan(&asked).await;
        assert_eq!(planned.is_ok(), admitted, "{pack}");
        let performance = export.perform(asked).await;
        if admitted {
            done(performance);
        } else {
            assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Denied)), "{pack}");
            assert!(told(&performance).contains("`shared_with`"), "{}", told(&performance));
        }
        assert_eq!(folder.path().join("exports").join(pack).exists(), admitted, "{pack}");
    }
}
