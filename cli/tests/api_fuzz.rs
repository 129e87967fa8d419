//! The API against a client that reads its description and sends everything that it allows, and
//! much that it does not.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::process::Command;

use support::World;

/// Requests for each operation: enough to meet each field's odd values, within a minute.
const EXAMPLES: &str = "25";

/// What fits the description may still name what is not there or not fit its schema, never be
/// called malformed. Whom a wrong token lets in is the subject of
/// `server/tests/tokens.rs`: here many of them are soon answered 429.
const CHECKS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"#;

#[test]
#[ignore = "needs SCHEMATHESIS, the path of that program: `make test` installs and names it"]
fn the_api_keeps_to_its_description_whatever_it_is_sent() {
    let program = std::env::var("SCHEMATHESIS").expect("SCHEMATHESIS names the program");
    let world = World::new();
    world.write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
    world.write("schemathesis.toml", CHECKS);
    let server = world.serve();
    let tested = Command::new(program)
        .current_dir(world.folder())
        .args(["run", &format!("{}/openapi.json", server.api())])
        .args(["--header", &format!("Authorization: Bearer {}", server.token())])
        // A live stream has no end; what a step's own token opens, `server/tests/step.rs` asks.
        .args(["--exclude-path-regex", "^/api/v1/(stream$|step/)"])
        .args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--exclude-checks", "ignored_auth"])
        .args(["--no-color", "--request-timeout", "20"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{told}\n{}", String::from_utf8_lossy(&tested.stderr));
    assert!(!told.contains("Authentication failed"), "{told}");
}
