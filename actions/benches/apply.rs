//! `kubernetes.apply` and kubectl's server-side apply, side by side on one real API server:
//! `cargo bench -p tripline-actions --bench apply`, once `make lab` has built the server.
//!
//! kubectl starts as a process for each apply, as scripts use it; the action has its client at hand, as
//! a server of Tripline does. Both ask the same server, one after the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use actions::{BuiltinContext, SharedAction};
use host::connection::{ConnectionSpec, Connections, Target};
use host::secret::SecretRef;
use lab::{ADMIN, Cluster, Group, Parts};
use model::{Performance, Value};
use serde_json::json;

/// How often each is measured.
const TIMES: usize = 30;
/// Objects of a large apply.
const MANY: usize = 100;

#[tokio::main]
async fn main() {
    let cluster = match Cluster::start(Parts::Bare).await {
        Ok(cluster) => cluster,
        Err(error) => return println!("apply: left out: {error:#}"),
    };
    let kubeconfig = cluster.kubeconfig(ADMIN).unwrap();
    let apply = action(&kubeconfig);
    let build = if cfg!(debug_assertions) { ", a build without optimisation" } else { "" };
    println!("apply to a real API server, {TIMES} times each, median and slowest of 20{build}");
    for (what, count) in [("one object", 1), ("a hundred objects", MANY)] {
        let named = |who: &str, change: usize| objects(who, count, change);
        let mut own = Vec::new();
        for change in 0..TIMES {
            own.push(timed(perform(&apply, named("own", change))).await);
        }
        tell(&format!("{what}, changed: kubernetes.apply"), &mut own);
        let mut same = Vec::new();
        for _ in 0..TIMES {
            same.push(timed(perform(&apply, named("own", TIMES - 1))).await);
        }
        tell(&format!("{what}, as it was: kubernetes.apply"), &mut same);
        match Group::Kubectl.program("kubectl") {
            Err(error) => println!("  {what}: kubectl is left out: {error:#}"),
            Ok(kubectl) => {
                let file = cluster.folder().join("objects.json");
                let mut theirs = Vec::new();
                for change in 0..TIMES {
                    let list = json!({ "apiVersion": "v1", "kind": "List", "items": named("theirs", change) });
                    std::fs::write(&file, list.to_string()).unwrap();
                    let begun = Instant::now();
                    by_kubectl(&kubectl, &kubeconfig, &file);
                    theirs.push(begun.elapsed());
                }
                tell(&format!("{what}, changed: kubectl apply --server-side"), &mut theirs);
                println!("  {what}: {:.1} times as fast", median(&theirs) / median(&own));
            }
        }
    }
}

fn action(kubeconfig: &Path) -> SharedAction {
    let connections = Connections::default();
    connections.set([ConnectionSpec {
        name: "lab".to_owned(),
        target: Target::Kubernetes { server: None, ca: None, context: None, burst: Some(100_000) },
        credentials: Some(SecretRef::File(kubeconfig.to_owned())),
        // What is measured is the way, not the limit.
        requests_per_second: Some(10_000.0),
        packs: vec!["*".to_owned()],
        at: "bench".to_owned(),
    }]);
    let context = BuiltinContext { connections, ..BuiltinContext::default() };
    let all = actions::builtin(&context);
    all.into_iter().find(|one| one.metadata().reference.as_str() == "kubernetes.apply").unwrap()
}

fn objects(who: &str, count: usize, change: usize) -> Value {
    let object = |n: usize| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": format!("{who}-{count}-{n}"), "namespace": "default" },
            "data": { "change": change.to_string() } })
    };
    (0..count).map(object).collect()
}

async fn perform(apply: &SharedAction, manifest: Value) {
    let step = support::performing(json!({ "manifest": manifest, "connection": "lab" }));
    match apply.perform(step).await {
        Performance::Done(_) => {}
        other => panic!("{other:?}"),
    }
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

fn by_kubectl(kubectl: &Path, kubeconfig: &Path, file: &Path) {
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(kubeconfig).args(["apply", "--server-side", "--filename"]);
    let status = command.arg(file).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let slow = times[times.len() * 19 / 20];
    println!("  {what:<55} {:>8.1} ms {:>8.1} ms", median(times), slow.as_secs_f64() * 1e3);
}

/// In milliseconds, of times in their order.
fn median(times: &[Duration]) -> f64 {
    times[times.len() / 2].as_secs_f64() * 1e3
}
