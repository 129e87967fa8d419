//! Programs of packs that run in a cluster: their parameters, results and secrets go over the API, and
//! they outlive the server that started them.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::kubernetes::{self, Access, Request};
use host::rate::Limiter;
use host::secret::SecretRef;
use lab::{ADMIN, Cluster, Part, Parts};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::clusters::{in_cluster, started};
use crate::files::{PATIENCE, chain, has_lines, lines, pack, start, text, world};
use crate::support::{Server, World, eventually};

/// Where Jobs of the default namespace lie.
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const VALUE: &str = "correct-horse-battery";

/// A cluster that runs programs, and a world whose server it can reach.
pub(crate) struct Here {
    pub(crate) world: World,
    pub(crate) cluster: Cluster,
    pub(crate) runtime: Runtime,
    pub(crate) listen: String,
}

impl Here {
    pub(crate) fn new() -> Self {
        let (runtime, cluster) = started(Parts::Programs);
        let world = in_cluster(world(), &cluster, ADMIN);
        // The same after a restart: programs know no other.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        world.write("tripline.yaml", &format!("advertise: http://{free}\n"));
        let permissions = "{ actions: [kubernetes.run_job, kubernetes.list], connections: [default], secrets: ['p/*'] }";
        pack(
            &world,
            "pack.yaml",
            &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"),
        );
        Self { world, cluster, runtime, listen: free.to_string() }
    }

    pub(crate) fn serve(&self) -> Server {
        self.world.serve_with(&["--listen", &self.listen])
    }

    /// The action `p.<name>`: this script in the pack, run by `tripline step run` in the cluster, and
    /// then `after` in the same container.
    pub(crate) fn program(&self, name: &str, effect: &str, script: &str, after: &str) {
        let folder = self.world.folder().display();
        let file = format!("#!/bin/sh\nW='{folder}'\n{script}\n");
        pack(&self.world, &format!("actions/{name}.sh"), &file);
        let tripline = env!("CARGO_BIN_EXE_tripline");
        let declared = json!({
            "entry_point": format!("{name}.sh"), "effect": effect,
            "runner": "kubernetes_job", "image": "any",
            "command": ["sh", "-c", format!("W='{folder}'; {tripline} step run || exit $?; {after}")],
            "parameters": { "a": {}, "password": { "type": "string", "secret": true } },
            "result": { "rows": {}, "password": { "type": "string", "secret": true } },
        });
        pack(&self.world, &format!("actions/{name}.yaml"), &declared.to_string());
    }

    /// Asks the API server itself, which is there also while Tripline is not.
    fn kubernetes(&self, request: &Request) -> Value {
        let kubeconfig = SecretRef::File(self.cluster.kubeconfig(ADMIN).unwrap());
        let access = Access::Kubeconfig { kubeconfig, context: None };
        let nothing = Arc::new(|path: &str| Err(format!("no secret `{path}`")));
        let api = kubernetes::Cluster::new("lab", access, Limiter::per_second(100.0), nothing);
        self.runtime.block_on(api.request(request)).unwrap()
    }

    fn jobs(&self) -> Vec<Value> {
        self.kubernetes(&Request::get(JOBS))["items"].as_array().unwrap().clone()
    }

    /// Deletes every Job, and waits until they are gone.
    fn delete_jobs(&self) {
        let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
        self.kubernetes(&Request::delete(JOBS, options));
        eventually(PATIENCE, || self.jobs().is_empty().then_some(()));
    }
}

/// How often the server has asked the API server and got no answer.
fn asked_in_vain(server: &Server) -> u64 {
    let metrics = server.ask("GET", "/metrics", None).body;
    let counted = |line: &&str| {
        line.starts_with("tripline_cluster_request_seconds_count")
            && line.contains(r#"status="none""#)
    };
    let count = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    metrics.lines().filter(counted).map(count).sum()
}

/// Whether a file below `folder` holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    let found = Command::new("grep").args(["-rqaF", text]).arg(folder).status().unwrap();
    found.success()
}

#[test]
#[ignore = "needs the lab"]
fn a_secret_goes_to_a_program_in_a_cluster_and_is_found_in_neither() {
    let here = Here::new();
    let script = r#"
        input=$(cat)
        echo "begun with $input" >&2
        echo "a report" >"$TRIPLINE_ARTIFACTS/report.txt"
        echo "$input" | sed 's/^{/{"rows": 3, "key": "'"${TRIPLINE_KEY##*/}"'", /'"#;
    here.program("migrate", "unsafe", script, "");
    chain(&here.world, "all", r#"run("p.migrate", #{ a: 1, password: secret("p/db") })"#);
    let server = here.serve();
    let world = &here.world;
    world.run_with_input(&["secret", "set", "p/db"], VALUE).succeeded();

    let plan = world.run(&["run", "p.all", "--dry-run"]).succeeded();
    assert!(
        plan.stdout.contains("runs the program actions/migrate.sh as batch/v1 Job"),
        "{plan:?}"
    );
    assert!(here.jobs().is_empty(), "a dry run makes no Job");

    let id = start(world, "p.all");
    let ended = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    let result = &ended["outcome"]["result"];
    assert_eq!(
        (&result["rows"], &result["a"], &result["key"]),
        (&json!(3), &json!(1), &json!("2"))
    );
    assert_ne!(result["password"], VALUE, "{ended:#}");
    let report = &result["artifacts"]["report.txt"];
    let path = world.path("").join(report["path"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(path).unwrap(), "a report\n");
    let logs = world.run(&["execution", "logs", &id]).succeeded();
    assert!(logs.stdout.contains("begun with"), "{logs:?}");
    let jobs = here.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    let name = text(&jobs[0]["metadata"]["name"]);
    let secret = Request::get(&format!("/api/v1/namespaces/default/secrets/{name}"));
    let secret = here.kubernetes(&secret);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], jobs[0]["metadata"]["uid"]);
    let token = STANDARD.decode(text(&secret["data"]["token"])).unwrap();
    let token = String::from_utf8(token).unwrap();
    let asked = crate::support::client().get(format!("{}/api/v1/step/parameters", server.api()));
    let asked = crate::support::send(asked.bearer_auth(&token));
    assert_eq!((asked.status, &asked.json()["kind"]), (401, &json!("unauthenticated")));
    assert!(asked.body.contains("the step is over"), "{}", asked.body);

    server.stop();
    for shown in [plan.stdout, logs.stdout, ended.to_string(), world.read("server.log")] {
        assert!(!shown.contains(VALUE) && !shown.contains(&token), "{shown}");
    }
    let etcd = here.cluster.folder().join("etcd");
    assert!(holds(&etcd, &name), "this is where etcd writes");
    assert!(!holds(&etcd, VALUE), "the cluster's store holds the password");
    assert!(!holds(&world.path("state"), VALUE), "the state folder holds the password");
    assert!(!holds(&world.path("state"), &token), "the state folder holds the token");
}

#[test]
#[ignore = "needs the lab"]
fn a_program_goes_on_through_kills_of_the_server_and_is_run_once() {
    let here = Here::new();
    let pay = r#"
        echo "$TRIPLINE_KEY" >>"$W/ledger"
        until [ -e "$W/paid" ]; do sleep 0.05; done
        echo '{ "rows": 1 }'"#;
    let after = r#"echo handed >>"$W/handed"; until [ -e "$W/end" ]; do sleep 0.05; done"#;
    here.program("pay", "unsafe", pay, after);
    let world = &here.world;
    let server = here.serve();
    let id = start(world, "p.pay");
    has_lines(world, "ledger", 1);
    server.kill();
    // It hands its result in as soon as there is somebody again.
    world.write("paid", "");
    let server = here.serve();
    has_lines(world, "handed", 1);
    server.kill();
    // What was handed in is kept, and the Job ends while nobody looks.
    world.write("end", "");
    let server = here.serve();
    let ended = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(ended["outcome"]["result"], json!({ "rows": 1 }), "{ended:#}");
    assert_eq!(lines(world, "ledger").len(), 1, "it ran once");

    // A Job that is gone while nobody looked: it may have run.
    std::fs::remove_file(world.path("paid")).unwrap();
    let id = start(world, "p.pay");
    has_lines(world, "ledger", 2);
    server.kill();
    here.delete_jobs();
    let _server = here.serve();
    let asked = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(asked["state"], "needs_attention", "{asked:#}");
    assert!(asked.to_string().contains("nobody knows whether its program ran"), "{asked:#}");
    world.write("paid", "");
    world.run(&["execution", "resolve", &id, "--retry"]).succeeded();
    // The pod of the Job that was deleted has 30 s to end first.
    eventually(PATIENCE, || (world.execution(&id)["state"] == "succeeded").then_some(()));
    assert_eq!(lines(world, "ledger").len(), 3, "once more, as somebody said");
}

#[test]
#[ignore = "needs the lab"]
fn what_runs_is_found_again_though_the_server_begins_before_the_api_server_is_back() {
    let mut here = Here::new();
    let pay = r#"
        echo "$TRIPLINE_KEY" >>"$W/ledger"
        until [ -e "$W/paid" ]; do sleep 0.05; done
        echo '{ "rows": 1 }'"#;
    here.program("pay", "unsafe", pay, "");
    here.program("bill", "idempotent", pay, "");
    let job = json!({ "image": "any", "command": ["sh", "-c", format!("W='{}'; {pay}", here.world.folder().display())] });
    chain(
        &here.world,
        "job",
        &format!(r#"run("kubernetes.run_job", parse_json({:?})).output"#, job.to_string()),
    );
    let server = here.serve();
    let ids = ["p.pay", "p.bill", "p.job"].map(|action| start(&here.world, action));
    has_lines(&here.world, "ledger", 3);
    server.kill();
    here.cluster.part(Part::Api).unwrap().kill();

    let server = here.serve();
    eventually(PATIENCE, || {
        for id in &ids {
            assert_eq!(here.world.execution(id)["state"], "running", "nobody knows anything of it");
        }
        (asked_in_vain(&server) >= 24).then_some(())
    });
    here.runtime.block_on(here.cluster.part(Part::Api).unwrap().start()).unwrap();
    here.world.write("paid", "");
    for id in &ids {
        let ended = here.world.reaches(id, &["succeeded", "failed", "needs_attention"]);
        assert_eq!(ended["outcome"]["result"], json!({ "rows": 1 }), "{ended:#}");
    }
    assert_eq!(lines(&here.world, "ledger").len(), 3, "each ran once");
    assert_eq!(here.jobs().len(), 3);
}

#[test]
#[ignore = "needs the lab"]
fn exit_codes_promise_what_they_do_on_the_server_and_a_cancelled_job_is_deleted() {
    let here = Here::new();
    let try_again = r#"
        echo x >>"$W/tries"
        [ "$(wc -l <"$W/tries")" -ge 3 ] || { echo busy >&2; exit 75; }
        echo '{}'"#;
    here.program("busy", "idempotent", try_again, "");
    here.program("fails", "unsafe", "echo no such table >&2; exit 3", "");
    here.program("dies", "unsafe", "kill -9 $$", "");
    let wait = r#"echo x >>"$W/waits"; exec sleep 300"#;
    here.program("waits", "idempotent", wait, "");
    let world = &here.world;
    let _server = here.serve();
    world.run(&["run", "p.busy"]).succeeded();
    assert_eq!(lines(world, "tries").len(), 3, "each attempt is a run of its own");

    let failed = world.run(&["run", "p.fails"]).ended(1);
    assert!(format!("{failed:?}").contains("exited with 3: no such table"), "{failed:?}");
    let id = start(world, "p.dies");
    let asked = world.reaches(&id, &["needs_attention", "succeeded", "failed"]);
    assert!(asked.to_string().contains("ended by signal 9"), "{asked:#}");

    let id = start(world, "p.waits");
    has_lines(world, "waits", 1);
    let job = || here.jobs().into_iter().any(|job| job.to_string().contains("p-waits"));
    assert!(job());
    world.run(&["execution", "cancel", &id]).succeeded();
    // Steps may end by themselves first.
    eventually(PATIENCE, || (world.execution(&id)["state"] == "cancelled").then_some(()));
    eventually(PATIENCE, || (!job()).then_some(()));
}
