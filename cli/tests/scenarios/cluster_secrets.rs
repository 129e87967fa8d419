//! What a Secret of a cluster holds goes through a chain as tokens, and into the cluster as values.

use std::path::Path;
use std::process::Command;

use lab::{ADMIN, Parts};

use crate::clusters::{in_cluster, started};
use crate::files::{chain, pack, world};

const VALUE: &str = "correct-horse-battery";

const MAKE: &str = r#"
let made = #{
    apiVersion: "v1", kind: "Secret", metadata: #{ name: "db" },
    stringData: #{ password: secret("p/db") },
};
run("kubernetes.apply", #{ manifest: made })
"#;

const COPY: &str = r#"
let found = run("kubernetes.get", #{ api_version: "v1", kind: "Secret", name: "db" });
let copy = #{
    apiVersion: "v1", kind: "Secret", metadata: #{ name: "copy" },
    stringData: #{ url: `mysql://app:${found.values.password}@db/orders` },
};
run("kubernetes.apply", #{ manifest: copy });
found.values.password
"#;

/// Whether a file below `folder` holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    let found = Command::new("grep").args(["-rqaF", text]).arg(folder).status().unwrap();
    found.success()
}

#[test]
#[ignore = "needs the lab"]
fn a_password_goes_from_one_secret_to_another_and_stays_in_the_cluster() {
    let (_runtime, cluster) = started(Parts::Bare);
    let world = in_cluster(world(), &cluster, ADMIN);
    let permissions =
        "permissions: { actions: [kubernetes.*], connections: [default], secrets: ['p/*'] }";
    pack(&world, "pack.yaml", &format!("name: p\nversion: 1.0.0\n{permissions}\n"));
    chain(&world, "make", MAKE);
    chain(&world, "copy", COPY);
    let server = world.serve();
    world.run_with_input(&["secret", "set", "p/db"], VALUE).succeeded();
    world.run(&["run", "p.make"]).succeeded();

    let url = format!("mysql://app:{VALUE}@db/orders");
    let plan = world.run(&["run", "p.copy", "--dry-run"]).succeeded();
    assert!(plan.stdout.contains("creates v1 Secret default/copy"), "{plan:?}");
    assert!(!holds(cluster.folder(), &url), "a dry run wrote into the cluster");

    let done = world.run(&["run", "p.copy"]).succeeded();
    assert!(holds(cluster.folder(), &url), "etcd holds what was applied");
    server.stop();
    for shown in [plan.stdout, done.stdout, world.read("server.log")] {
        assert!(!shown.contains(VALUE), "{shown}");
    }
    assert!(!holds(&world.path("state"), VALUE), "the state folder holds the password");
}
