//! One client for a cluster, against a real API server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::kubernetes::{
    Access, Cluster, Failure, Naming, Patch, Request, Resource, Selected, Told, Watch,
};
use host::rate::Limiter;
use host::secret::{Lookup, SecretRef};
use lab::{ADMIN, NARROW, Part, Parts};
use model::{ErrorKind, Value};
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

fn nothing() -> Lookup {
    Arc::new(|path| Err(format!("no secret {path}")))
}

fn by_kubeconfig(lab: &lab::Cluster, token: &str) -> Cluster {
    let kubeconfig = SecretRef::File(lab.kubeconfig(token).unwrap());
    let access = Access::Kubeconfig { kubeconfig, context: None };
    Cluster::new("lab", access, Limiter::with_burst(1000.0, 1000), nothing())
}

async fn maps(cluster: &Cluster) -> Resource {
    cluster.resource("v1", "ConfigMap").await.unwrap()
}

fn map(name: &str, value: &str) -> Value {
    let metadata = json!({ "name": name, "labels": { "made-by": "test" } });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "k": value } })
}

async fn make(cluster: &Cluster, kind: &Resource, object: Value) -> Result<Value, Failure> {
    cluster.request(&Request::post(&kind.collection(Some("default")), object)).await
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

async fn told(watch: &mut Watch) -> Told {
    loop {
        match watch.next().await.unwrap().unwrap() {
            Told::Bookmark(_) => {}
            told => return told,
        }
    }
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn objects_are_made_listed_by_pages_watched_and_removed() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let cluster = by_kubeconfig(&lab, ADMIN);
    let kind = maps(&cluster).await;
    assert!(kind.namespaced && kind.can("watch"));
    for n in 0..5 {
        make(&cluster, &kind, map(&format!("m{n}"), "1")).await.unwrap();
    }
    let selected = Selected { labels: Some("made-by=test"), ..Selected::all(&kind) };
    let (mut names, mut next, mut versions) = (Vec::new(), None, BTreeSet::new());
    loop {
        let page = cluster.list(&selected, 2, next.as_deref()).await.unwrap();
        assert!(page.objects.iter().all(|object| object["kind"] == "ConfigMap"));
        names.extend(page.objects.iter().map(name));
        versions.insert(page.version);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(versions.len(), 1, "pages of one list are of one moment");
    let version = versions.pop_first().unwrap();
    let mut watch = cluster.watch(&selected, &version, LONG, LONG).await.unwrap();
    let path = kind.object(Some("default"), "m1", None);
    let patch = Request::patch(&path, Patch::Merge, json!({ "data": { "k": "2" } }));
    cluster.request(&patch).await.unwrap();
    cluster.request(&Request::delete(&path, Value::Null)).await.unwrap();
    let Told::Modified(object) = told(&mut watch).await else { panic!("modified") };
    assert_eq!(object["data"]["k"], "2");
    let Told::Deleted(object) = told(&mut watch).await else { panic!("deleted") };
    assert_eq!(name(&object), "m1");
    assert_eq!(cluster.find(&kind, Some("default"), "m1").await.unwrap(), None);
    let selected = Selected { metadata_only: true, ..selected };
    let page = cluster.list(&selected, 1, None).await.unwrap();
    assert_eq!((name(&page.objects[0]), page.objects[0].get("data")), ("m0".to_owned(), None));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn refusals_say_their_kind_and_what_to_do() {
    let mut lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let (admin, narrow) = (by_kubeconfig(&lab, ADMIN), by_kubeconfig(&lab, NARROW));
    let kind = maps(&admin).await;
    let page = narrow.list(&Selected::all(&kind), 1, None).await.unwrap_err();
    assert_eq!(page.kind, ErrorKind::Denied);
    let rule = "- { apiGroups: [\"\"], resources: [configmaps], verbs: [list, watch] }";
    assert!(page.message.contains(rule), "{page}");
    make(&admin, &kind, map("one", "1")).await.unwrap();
    let twice = make(&admin, &kind, map("one", "1")).await.unwrap_err();
    assert_eq!((twice.kind, twice.reason.as_str()), (ErrorKind::Conflict, "AlreadyExists"));
    let wrong = make(&admin, &kind, map("No Name", "1")).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Rejected);
    assert_eq!(wrong.details["causes"][0]["field"], "metadata.name");
    let absent = admin.get(&kind, Some("default"), "none").await.unwrap_err();
    assert!(absent.is_not_found() && absent.kind == ErrorKind::NotFound);
    let unknown = admin.resource("example.com/v1", "Thing").await.unwrap_err();
    assert!(unknown.message.contains("no kind `Thing` in `example.com/v1`"), "{unknown}");
    lab.part(Part::Api).unwrap().kill();
    let down = admin.get(&kind, Some("default"), "one").await.unwrap_err();
    assert_eq!(down.kind, ErrorKind::Unavailable);
    let down = by_kubeconfig(&lab, ADMIN).get(&kind, None, "one").await.unwrap_err();
    assert!(down.certain && down.message.contains("cannot be reached"), "{down:?}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn stale_credentials_are_read_again_and_never_shown() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let token = lab.folder().join("token");
    std::fs::write(&token, "no-such-token-of-anybody").unwrap();
    let kubeconfig = std::fs::read_to_string(lab.kubeconfig(ADMIN).unwrap()).unwrap();
    let (_, server) = kubeconfig.split_once("server: \"").unwrap();
    let access = Access::Server {
        server: server.split_once('"').unwrap().0.to_owned(),
        token: SecretRef::File(token.clone()),
        ca: Some(SecretRef::File(lab.folder().join("certs/apiserver.crt"))),
    };
    let cluster = Cluster::new("lab", access, Limiter::per_second(1000.0), nothing());
    let refused = cluster.resource("v1", "ConfigMap").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unauthenticated);
    let why = format!(
        "the credentials of the connection `lab` (Unauthorized): they may have expired: renew them in the file {}",
        token.display()
    );
    assert!(refused.message.ends_with(&why), "{refused}");
    assert!(!format!("{refused:?}{cluster:?}").contains("no-such-token"), "{refused:?}");
    std::fs::write(&token, ADMIN).unwrap();
    maps(&cluster).await;
    assert_eq!(cluster.default_namespace().await.unwrap(), "default");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_way_on_which_nobody_can_be_reached_is_read_again() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let right = std::fs::read_to_string(lab.kubeconfig(ADMIN).unwrap()).unwrap();
    let file = lab.folder().join("moved.kubeconfig");
    std::fs::write(&file, right.replace(&lab.url(), "https://127.0.0.1:1")).unwrap();
    let access = Access::Kubeconfig { kubeconfig: SecretRef::File(file.clone()), context: None };
    let cluster = Cluster::new("lab", access, Limiter::per_second(1000.0), nothing());
    let lost = cluster.resource("v1", "ConfigMap").await.unwrap_err();
    assert!(lost.message.contains("cannot be reached"), "{lost:?}");
    std::fs::write(&file, right).unwrap();
    maps(&cluster).await;
}

/// A kubeconfig whose program gives credentials that have to be asked for again before each request: at
/// once the first time, then once there is a file `go`.
fn by_program(lab: &lab::Cluster) -> Access {
    let folder = lab.folder().display();
    let script = format!(
        r#"#!/bin/sh
if [ -e "{folder}/first" ]; then
    touch "{folder}/again"
    for n in $(seq 600); do [ -e "{folder}/go" ] && break; sleep 0.1; done
fi
touch "{folder}/first"
echo '{{ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{
    "token": "{ADMIN}", "expirationTimestamp": "2020-01-01T00:00:00Z" }} }}'
"#
    );
    by_script(lab, &script)
}

/// A kubeconfig whose program is this script.
fn by_script(lab: &lab::Cluster, script: &str) -> Access {
    let program = lab.folder().join("credentials.sh");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let kubeconfig = std::fs::read_to_string(lab.kubeconfig(ADMIN).unwrap()).unwrap();
    let exec = format!(
        "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: \"{}\", interactiveMode: Never }}",
        program.display()
    );
    let file = lab.folder().join("program.kubeconfig");
    std::fs::write(&file, kubeconfig.replace(&format!("token: {ADMIN}"), &exec)).unwrap();
    Access::Kubeconfig { kubeconfig: SecretRef::File(file), context: None }
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs the lab"]
async fn a_program_that_is_asked_for_credentials_again_holds_up_nobody_else() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let cluster = Cluster::new("lab", by_program(&lab), Limiter::per_second(1000.0), nothing());
    let begun = Instant::now();
    let asked = cluster.resource("v1", "ConfigMap");
    // On the one thread that there is.
    let meanwhile = async {
        let again = lab.folder().join("again");
        lab::until("it is asked again", async || again.exists().then_some(())).await.unwrap();
        std::fs::write(lab.folder().join("go"), "").unwrap();
    };
    let (found, ()) = tokio::join!(asked, meanwhile);
    assert_eq!(found.unwrap().kind, "ConfigMap");
    assert!(begun.elapsed() < Duration::from_secs(30), "the program was waited for");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_certificate_that_a_program_gave_is_asked_for_again_when_it_ends() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let pem = |name: &str| {
        let text = std::fs::read_to_string(lab.folder().join("certs").join(name)).unwrap();
        serde_json::to_string(&text).unwrap()
    };
    let (asked, certificate, key) =
        (lab.folder().join("asked"), pem("apiserver.crt"), pem("apiserver.key"));
    let script = format!(
        r#"#!/bin/sh
echo again >> "{}"
cat <<'END'
{{ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{
    "clientCertificateData": {certificate}, "clientKeyData": {key},
    "expirationTimestamp": "2020-01-01T00:00:00Z" }} }}
END
"#,
        asked.display()
    );
    let access = by_script(&lab, &script);
    let cluster = Cluster::new("lab", access, Limiter::per_second(1000.0), nothing());
    // What anybody may see.
    let mut before = 0;
    for _ in 0..3 {
        cluster.request(&Request::get("/version")).await.unwrap();
        let times = std::fs::read_to_string(&asked).unwrap().lines().count();
        assert!(times > before, "{times} times");
        before = times;
    }
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_watch_of_a_frozen_server_fails_and_one_that_ends_ends() {
    let mut lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let cluster = by_kubeconfig(&lab, ADMIN);
    let kind = maps(&cluster).await;
    let selected = Selected::all(&kind);
    let version = cluster.list(&selected, 1, None).await.unwrap().version;
    let second = Duration::from_secs(1);
    let mut watch = cluster.watch(&selected, &version, second, LONG).await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    let mut watch = cluster.watch(&selected, &version, LONG, second).await.unwrap();
    lab.part(Part::Api).unwrap().freeze();
    let failure = loop {
        if let Err(failure) = watch.next().await {
            break failure;
        }
    };
    assert_eq!(failure.kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn a_kubeconfig_that_is_none_is_refused_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let access = |context: Option<&str>| Access::Kubeconfig {
        kubeconfig: SecretRef::File(file.clone()),
        context: context.map(str::to_owned),
    };
    let refused = async |access: Access| {
        let cluster = Cluster::new("x", access, Limiter::per_second(1.0), nothing());
        cluster.default_namespace().await.unwrap_err().message
    };
    let absent = refused(access(None)).await;
    assert!(absent.contains("kubeconfig cannot be read"), "{absent}");
    std::fs::write(&file, "users: [{ name: x, user: { token: hunter2hunter2 ]").unwrap();
    assert_eq!(refused(access(None)).await, "the kubeconfig: it is not the YAML of a kubeconfig");
    std::fs::write(&file, "{ apiVersion: v1, kind: Config, current-context: a }").unwrap();
    assert_eq!(refused(access(Some("b"))).await, "the kubeconfig: it has no context `b`");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn kinds_of_kubernetes_itself_are_called_as_the_api_server_calls_them() {
    let lab = lab::Cluster::start(Parts::Bare).await.unwrap();
    let cluster = by_kubeconfig(&lab, ADMIN);
    let groups = cluster.request(&Request::get("/apis")).await.unwrap();
    let mut versions = vec!["v1".to_owned()];
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            versions.push(version["groupVersion"].as_str().unwrap().to_owned());
        }
    }
    let mut compared = 0;
    for version in versions {
        let path = if version.contains('/') { "/apis" } else { "/api" };
        let described = cluster.request(&Request::get(&format!("{path}/{version}"))).await.unwrap();
        let whole = |one: &&Value| !one["name"].as_str().unwrap().contains('/');
        for one in described["resources"].as_array().unwrap().iter().filter(whole) {
            let kind = one["kind"].as_str().unwrap();
            let served = cluster.resource(&version, kind).await.unwrap().naming();
            assert_eq!(Naming::builtin(&version, kind), Some(served), "{version} {kind}");
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}
