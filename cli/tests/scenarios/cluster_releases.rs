//! A tag that is pushed becomes a release in a cluster, or is taken back; both are told where people
//! look: beside the Deployment, and in the repository.

use lab::{ADMIN, Parts};
use serde_json::{Value, json};

use crate::clusters::{in_cluster, started};
use crate::files::{PATIENCE, pack};
use crate::git_pushes::{git, looked, watched};
use crate::support::{World, eventually};

const PACK: &str = "
name: p
version: 1.0.0
permissions: { actions: [deploy.*, kubernetes.create_event, git.commit_and_push], connections: [default] }
";

const RULE: &str = "
trigger: { type: git.push, parameters: { sensor: app } }
criteria: { trigger.ref: { startswith: refs/tags/ } }
action: { ref: p.release, parameters: { tag: \"${trigger.ref.split('/')[2]}\" } }
";

const RELEASE: &str = r#"
let labels = #{ app: "web" };
labels["lab.tripline.dev/pod"] = "ready";
let web = #{
    apiVersion: "apps/v1", kind: "Deployment", metadata: #{ name: "web" },
    spec: #{
        replicas: 2,
        selector: #{ matchLabels: #{ app: "web" } },
        template: #{
            metadata: #{ labels: labels },
            spec: #{ containers: [#{ name: "main", image: "web:" + params.tag }] },
        },
    },
};
let record = #{ tag: params.tag, state: "released", why: () };
try {
    run("deploy.rolling", #{ manifest: web, timeout: "1m" });
} catch (error) {
    record.state = "rolled back";
    record.why = error.details.error.message;
}
let told = #{ api_version: "apps/v1", kind: "Deployment", name: "web" };
told.reason = if record.why == () { "Released" } else { "RolledBack" };
told.type = if record.why == () { "Normal" } else { "Warning" };
told.message = `${params.tag}: ${record.why ?? "all replicas are available"}`;
run("kubernetes.create_event", told);
run("git.commit_and_push", #{
    sensor: "app", branch: "releases",
    message: `${params.tag}: ${record.state}`,
    files: #{ "web.json": to_json(record) },
});
record
"#;

/// What the repository says of the release of `tag`, once it says something.
fn record(world: &World, tag: &str) -> Value {
    eventually(PATIENCE, || {
        let text = git(world, &["show", "releases:web.json"]);
        let record: Value = serde_json::from_str(&text).unwrap();
        (record["tag"] == tag).then_some(record)
    })
}

fn events(world: &World) -> Vec<Value> {
    let parameters = json!({ "api_version": "v1", "kind": "Event", "namespace": "default",
        "fields": "involvedObject.name=web,source=tripline" });
    world.write("list.json", &parameters.to_string());
    let listed = world.json(&["run", "kubernetes.list", "--params", "list.json"]);
    listed["items"].as_array().unwrap().clone()
}

#[test]
#[ignore = "needs the lab"]
fn a_tag_whose_rollout_gets_stuck_is_taken_back_and_both_cluster_and_repository_say_why() {
    let (_runtime, cluster) = started(Parts::Rollouts);
    let world = in_cluster(watched(), &cluster, ADMIN);
    let sensor = world.read("packs/p/sensors/app.yaml");
    pack(&world, "sensors/app.yaml", &sensor.replace("every:", "refs: [refs/tags/*], every:"));
    pack(&world, "pack.yaml", PACK);
    pack(&world, "rules/pushed.yaml", RULE);
    pack(&world, "actions/release.rhai", RELEASE);
    let declared =
        "entry_point: release.rhai\nparameters: { tag: { type: string, required: true } }\n";
    pack(&world, "actions/release.yaml", declared);
    git(&world, &["tag", "zero"]);
    world.write("repository/web.json", "{}");
    git(&world, &["checkout", "--quiet", "-b", "releases"]);
    git(&world, &["add", "web.json"]);
    git(&world, &["commit", "--quiet", "--message", "no release"]);
    git(&world, &["checkout", "--quiet", "main"]);
    let _server = world.serve_with(&["--packs", "packs", "--packs", "builtin:deploy"]);
    looked(&world, "p.app");

    git(&world, &["tag", "v1"]);
    assert_eq!(record(&world, "v1"), json!({ "tag": "v1", "state": "released", "why": null }));
    git(&world, &["tag", "v2-bad"]);
    let stuck = record(&world, "v2-bad");
    assert_eq!(stuck["state"], "rolled back");
    assert!(stuck["why"].as_str().unwrap().contains("ImagePullBackOff"), "{stuck:#}");

    let told = events(&world);
    let of = |reason: &str| told.iter().find(|event| event["reason"] == reason).cloned();
    assert_eq!(of("Released").unwrap()["message"], "v1: all replicas are available");
    let warning = of("RolledBack").unwrap();
    assert_eq!(warning["type"], "Warning");
    assert!(warning["message"].as_str().unwrap().contains("ImagePullBackOff"), "{warning:#}");
    let parameters = json!({ "api_version": "apps/v1", "kind": "Deployment", "name": "web" });
    world.write("get.json", &parameters.to_string());
    let web = world.json(&["run", "kubernetes.get", "--params", "get.json"]);
    assert_eq!(web["object"]["spec"]["template"]["spec"]["containers"][0]["image"], "web:v1");
}
