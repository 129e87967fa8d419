//! Nothing is deleted in the namespaces that `tripline.yaml` protects, by whomever.

use host::kubernetes::Request;
use lab::ADMIN;

use crate::clusters::{MAPS, Stage, in_cluster};
use crate::files::{chain, pack, world};
use crate::support::World;

const PACK: &str =
    "name: p\nversion: 1.0.0\npermissions: { actions: [kubernetes.*], connections: [default] }\n";
const DELETE: &str = r#"run("kubernetes.delete", #{ api_version: "v1", kind: KIND, name: NAME, namespace: NAMESPACE })"#;

fn deleting(world: &World, name: &str, kind: &str, of: (&str, &str)) {
    let text = DELETE.replace("KIND", &format!("{kind:?}"));
    let text = text.replace("NAMESPACE", &format!("{:?}", of.0));
    chain(world, name, &text.replace("NAME", &format!("{:?}", of.1)));
}

#[test]
#[ignore = "needs the lab"]
fn a_namespace_that_the_configuration_protects_keeps_all_that_is_in_it() {
    let stage = Stage::set();
    let world = in_cluster(world(), &stage.lab, ADMIN);
    world.write("tripline.yaml", "kubernetes: { protected_namespaces: [shop] }\n");
    pack(&world, "pack.yaml", PACK);
    deleting(&world, "inside", "ConfigMap", ("shop", "settings"));
    deleting(&world, "whole", "Namespace", ("", "shop"));
    deleting(&world, "records", "Namespace", ("", "records"));
    deleting(&world, "system", "ConfigMap", ("kube-system", "none"));
    let _server = world.serve();

    for action in ["p.inside", "p.whole"] {
        for more in [&[][..], &["--dry-run"]] {
            let refused = world.run(&[&["run", action], more].concat());
            assert_eq!(refused.code, 1, "{refused:?}");
            let told = format!("{}{}", refused.stdout, refused.stderr);
            assert!(told.contains("the namespace `shop` is protected"), "{told}");
        }
    }
    let kept = stage.admin(&Request::get(&format!("{MAPS}/settings")));
    assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept:#}");
    let shop = stage.admin(&Request::get("/api/v1/namespaces/shop"));
    assert_eq!(shop["status"]["phase"], "Active");

    world.run(&["run", "p.records"]).succeeded();
    let records = stage.admin(&Request::get("/api/v1/namespaces/records"));
    assert!(records["metadata"]["deletionTimestamp"].is_string(), "{records:#}");
    // Who names some names all.
    world.run(&["run", "p.system"]).succeeded();
}
