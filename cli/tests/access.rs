//! Tokens and the audit on the command line.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use support::{Done, World};

/// `arguments`, by the holder of `token`.
fn by(world: &World, token: &str, arguments: &[&str]) -> Done {
    world.run(&[arguments, &["--token", token]].concat())
}

#[test]
fn a_token_does_what_its_role_allows_and_the_audit_tells() {
    let world = World::new();
    world.write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
    let _server = world.serve();
    let create =
        |name: &str, role: &str| world.run(&["token", "create", name, "--role", role]).line();
    let (viewer, operator) = (create("eve", "viewer"), create("ci", "operator"));
    let run = ["run", "core.echo", "value=hello"];
    by(&world, &operator, &run).succeeded();
    let refused = by(&world, &viewer, &run).ended(5);
    assert!(refused.stderr.contains("takes the role operator"), "{}", refused.stderr);
    by(&world, &viewer, &["rule", "list"]).succeeded();

    let listed = world.run(&["token", "list"]).succeeded().stdout;
    assert!(listed.contains("eve") && listed.contains("operator"), "{listed}");
    assert!(!listed.contains(&viewer), "{listed}");
    let audit = world.run(&["audit", "list", "--by", "ci"]).succeeded().stdout;
    assert!(audit.contains("ExecutionRequested"), "{audit}");

    world.run(&["token", "revoke", "eve"]).succeeded();
    let revoked = by(&world, &viewer, &["rule", "list"]).ended(5);
    assert!(revoked.stderr.contains("revoked"), "{}", revoked.stderr);
    let again = world.run(&["token", "revoke", "eve"]).ended(2);
    assert!(again.stderr.contains("there is no token `eve`"), "{}", again.stderr);
}

#[test]
fn a_role_that_does_not_exist_is_wrong_use() {
    let refused = World::new().run(&["token", "create", "eve", "--role", "root"]).ended(2);
    assert!(refused.stderr.contains("expected viewer, operator or admin"), "{}", refused.stderr);
}
