//! Environments: what a file gives packs and connections, how it is refused, and how it changes
//! under a running engine.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use engine::environment::Environment;
use expect_test::{Expect, expect};
use model::ExecutionState;
use serde_json::json;
use support::{House, ended, eventually, result, run};

fn check_refused(text: &str, expected: &Expect) {
    let findings = Environment::parse("environments/dev.yaml", text).unwrap_err();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&told.join("\n"));
}

#[test]
fn a_cluster_is_reached_by_a_kubeconfig_or_by_a_server_and_a_token() {
    check_refused(
        "connections:\n  a: { type: kubernetes, server: 'http://x/', credentials: { env: A }, packs: [] }\n\
         \x20 b: { type: kubernetes, server: 'https://x/', context: y, packs: [] }\n\
         \x20 c: { type: kubernetes, credentials: { env: A }, ca: hunter2hunter2, burst: 0, packs: [] }\n",
        &expect![[r#"
            error: `server`: a token is sent over https alone
              at environments/dev.yaml:2:34
              hint: write it as https://host:6443
            error: `server` is asked with a token, and there is none
              at environments/dev.yaml:3:34
              hint: add `credentials: { env: NAME }`, or leave `server` out to get in as Tripline itself does
            error: `context` is one of a kubeconfig, and here is a `server`
              at environments/dev.yaml:3:57
              hint: remove one of the two
            error: `ca` is for a `server`: a kubeconfig brings its own
              at environments/dev.yaml:4:55
              hint: add `server: https://…`, or remove `ca`
            error: `burst`: 0 is out of range: expected at least 1, at most 100000
              at environments/dev.yaml:4:78"#]],
    );
}

#[test]
fn an_environment_that_cannot_be_used_is_refused_with_every_place() {
    check_refused(
        "conections: {}\npacks:\n  web: { confg: {} }\n  Web: {}\n",
        &expect![[r#"
            error: unknown field `conections`
              at environments/dev.yaml:1:1
              hint: did you mean `connections`?
            error: unknown field `confg`
              at environments/dev.yaml:3:10
              hint: did you mean `config`?
            error: `Web` is not a name: expected a-z, then a-z, 0-9 or _
              at environments/dev.yaml:4:3"#]],
    );
    check_refused(
        "connections:\n  cloud: { type: aws, region: eu-west-1, packs: [web] }\n\
         \x20 host: { type: gti, packs: [] }\n  api: { type: http, packs: web, auth: bearer }\n\
         \x20 mail: { base_url: 'https://x/', packs: [web] }\n",
        &expect![[r#"
            error: connections of type `aws` are not supported by this version of Tripline
              at environments/dev.yaml:2:18
              hint: known here: git, http, kubernetes
            error: there is no connection type `gti`
              at environments/dev.yaml:3:17
              hint: did you mean `git`?
            error: missing field `base_url`
              at environments/dev.yaml:4:8
              hint: add `base_url:` to the map that begins here
            error: `packs`: expected a list, found a string
              at environments/dev.yaml:4:29
              hint: write it as a list: [web]
            error: missing field `type`
              at environments/dev.yaml:5:9
              hint: add `type:` to the map that begins here"#]],
    );
    check_refused(
        "connections:\n  a: { type: http, base_url: 'ftp://x/', url: x, packs: [] }\n\
         \x20 b: { type: http, base_url: 'https://me:hunter2hunter2@x/', packs: [] }\n\
         \x20 c: { type: git, url: 'http://x/', requests_per_second: 0, packs: [] }\n\
         \x20 d: { type: http, base_url: 'https://x/', credentials: { env: A, file: b }, packs: [] }\n\
         \x20 e: { type: http, base_url: 'https://x/', credentials: { env: A }, auth: digest, packs: [] }\n",
        &expect![[r#"
            error: `base_url`: the scheme is `ftp`: expected http or https
              at environments/dev.yaml:2:30
            error: unknown field `url`
              at environments/dev.yaml:2:42
              hint: known here: type, description, credentials, requests_per_second, packs, base_url, auth
            error: `base_url`: the URL holds a user: put it into `credentials` instead
              at environments/dev.yaml:3:30
            error: `url`: the scheme `http` is not allowed for repositories: expected https or ssh
              at environments/dev.yaml:4:24
            error: `requests_per_second`: expected a number from 0.001 to 10000
              at environments/dev.yaml:4:58
              hint: write it as 5, or 0.5 for one in two seconds
            error: `credentials`: expected a reference to a secret, found a map
              at environments/dev.yaml:5:57
              hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`
            error: `auth`: unknown value
              at environments/dev.yaml:6:75
              hint: write `bearer`, `basic`, or `{ header: X-Api-Key }`"#]],
    );
    check_refused(
        "packs: { web: { permissions: { connections: [x], exec: maybe } } }\n",
        &expect![[r#"
            error: connections are granted where they are declared
              at environments/dev.yaml:1:32
              hint: name the pack in `packs` of the connection instead"#]],
    );
}

#[test]
fn what_is_no_reference_to_a_secret_is_not_shown() {
    let text = "connections:\n  a: { type: http, base_url: 'https://x/', credentials: 5551234567, packs: [] }\n";
    let findings = Environment::parse("dev.yaml", text).unwrap_err();
    let told = findings[0].to_string();
    assert!(told.contains("dev.yaml:2:") && !told.contains("5551234567"), "{told}");
}

const PACK: &str = "name: p\nversion: 1.0.0\nconfig_schema:\n  region: { type: string, required: true }\n  \
                    size: { type: integer, default: 3 }\npermissions: { actions: ['*'], exec: true }\n";

/// A house whose pack `p` has settings; `environment` is its environment's text.
fn house(environment: &str) -> House {
    let house = House::new();
    house.write("pack.yaml", PACK);
    house.chain("where_am_i", "", "sleep(\"1ms\"); config");
    house.environment(environment);
    house
}

fn pack(engine: &engine::Engine) -> engine::view::PackView {
    engine.pack_views().remove(0)
}

fn told(view: &engine::view::PackView, house: &House) -> String {
    let folder = house.folder.path().display().to_string();
    let findings: Vec<&str> = view.findings.iter().map(|finding| finding.text.as_str()).collect();
    findings.join("\n").replace(&folder, "DIR")
}

#[tokio::test]
async fn a_pack_gets_its_configuration_and_a_change_of_the_file_is_loaded_like_a_pack() {
    let house = house("packs: { p: { config: { region: north } } }\n");
    let engine = house.start_in_environment().await;
    let id = run(&engine, "p.where_am_i", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!({ "region": "north", "size": 3 }));
    house.environment("packs: { p: { config: { region: south, size: 5 } } }\n");
    let before = pack(&engine).hash;
    eventually("the change", || async { pack(&engine).hash != before }).await;
    let id = run(&engine, "p.where_am_i", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!({ "region": "south", "size": 5 }));
}

#[tokio::test]
async fn an_execution_keeps_the_configuration_that_it_began_with() {
    let house = house("packs: { p: { config: { region: north } } }\n");
    house.gate();
    house.chain("slow", "", "let before = config.region; run(\"p.wait\"); [before, config.region]");
    let engine = house.start_in_environment().await;
    let id = run(&engine, "p.slow", json!({})).await;
    house.reached().await;
    let before = pack(&engine).hash;
    house.environment("packs: { p: { config: { region: south } } }\n");
    eventually("the change", || async { pack(&engine).hash != before }).await;
    house.open();
    assert_eq!(result(&ended(&engine, &id).await), &json!(["north", "north"]));
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_content_also_over_a_restart() {
    let house = house("packs: { p: { config: { region: north } } }\n");
    let engine = house.start_in_environment().await;
    house.environment("packs: [\n");
    let stale = || async { engine.environment().stale };
    eventually("the refusal", stale).await;
    assert!(engine.environment().findings[0].at.file.ends_with("dev.yaml"));
    let id = run(&engine, "p.where_am_i", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await)["region"], "north");
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    let engine = house.start_in_environment().await;
    assert!(engine.environment().stale);
    let id = run(&engine, "p.where_am_i", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await)["region"], "north");
}

#[tokio::test]
async fn an_engine_does_not_start_on_an_environment_that_never_was_good() {
    let house = house("packs: [\n");
    let settings =
        engine::Settings { environment: Some(house.path("dev.yaml")), ..house.settings() };
    let started = engine::Engine::start(settings, house.store.clone(), house.clock.clone()).await;
    let Err(error) = started else { panic!("it started") };
    assert!(error.to_string().contains("dev.yaml:"), "{error}");
}

#[tokio::test]
async fn a_setting_without_a_value_refuses_the_pack_and_says_where_to_set_it() {
    let house = house("packs: {}\n");
    let engine = house.start_in_environment().await;
    let view = pack(&engine);
    assert_eq!(view.state, "rejected");
    expect![[r#"
        error: the pack's setting `region` has no value
          at DIR/packs/p/pack.yaml:4:3
          4 |   region: { type: string, required: true }
                ^
          hint: set it in DIR/dev.yaml: `packs: { p: { config: { region: … } } }`"#]]
    .assert_eq(&told(&view, &house));
}

#[tokio::test]
async fn a_setting_that_does_not_fit_is_told_at_its_place_and_the_last_good_one_stays() {
    let house = house("packs: { p: { config: { region: north } } }\n");
    let engine = house.start_in_environment().await;
    house.environment("packs:\n  p:\n    config:\n      region: 7\n      sizes: 3\n");
    eventually("the refusal", || async { pack(&engine).state == "stale" }).await;
    expect![[r#"
        error: unknown setting `sizes`
          at DIR/dev.yaml:5:7
          hint: did you mean `size`?
        error: `region`: expected type "string", found 7
          at DIR/dev.yaml:4:7
          hint: quote it"#]]
    .assert_eq(&told(&pack(&engine), &house));
    let id = run(&engine, "p.where_am_i", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(
        (view.row.state, &result(&view)["region"]),
        (ExecutionState::Succeeded, &json!("north"))
    );
}

#[tokio::test]
async fn a_pack_that_asks_for_more_than_its_environment_grants_is_refused() {
    let house = house(
        "connections:\n  api: { type: http, base_url: 'https://api.example.com/', packs: [other] }\n\
         packs:\n  p:\n    config: { region: north }\n    permissions: { actions: [core.*], hosts: ['*.example.com'], exec: false }\n",
    );
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\nconfig_schema: { region: { type: string } }\npermissions:\n  \
         actions: [core.echo, http.request]\n  connections: [api, apy]\n  \
         hosts: [a.example.com, '*.b.example.com', example.org]\n  exec: true\n",
    );
    let engine = house.start_in_environment().await;
    let view = pack(&engine);
    assert_eq!(view.state, "rejected");
    expect![[r#"
        error: the pack asks for the connection `api`, which DIR/dev.yaml does not grant it
          at DIR/packs/p/pack.yaml:6:17
          6 |   connections: [api, apy]
                              ^
          hint: add `p` to its `packs` at DIR/dev.yaml:2
        error: the pack asks for the connection `apy`, and there is none in DIR/dev.yaml
          at DIR/packs/p/pack.yaml:6:22
          6 |   connections: [api, apy]
                                   ^
          hint: did you mean `api`?
        error: the pack asks for `http.request`, which its environment does not grant
          at DIR/packs/p/pack.yaml:5:24
          5 |   actions: [core.echo, http.request]
                                     ^
          hint: add it to `packs.p.permissions.actions` (DIR/dev.yaml:4), or take it out of the pack
        error: the pack asks for `example.org`, which its environment does not grant
          at DIR/packs/p/pack.yaml:7:45
          7 |   hosts: [a.example.com, '*.b.example.com', example.org]
                                                          ^
          hint: add it to `packs.p.permissions.hosts` (DIR/dev.yaml:4), or take it out of the pack
        error: the pack asks for `exec: true`, which its environment does not grant
          at DIR/packs/p/pack.yaml:8:3
          8 |   exec: true
                ^
          hint: add it to `packs.p.permissions.exec` (DIR/dev.yaml:4), or take it out of the pack"#]].assert_eq(&told(&view, &house));
}

#[test]
fn every_public_host_is_no_address_of_this_machine_or_of_a_private_network() {
    let granted = |hosts: &str, asked: &str| {
        let house = house(&format!("packs: {{ p: {{ permissions: {{ hosts: [{hosts}] }} }} }}\n"));
        let permissions = format!("{{ actions: [http.request], hosts: [{asked}] }}");
        let text = format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n");
        house.write("pack.yaml", &text);
        let (environment, _) = Environment::read(Path::new(&house.path("dev.yaml"))).unwrap();
        let found = engine::check_packs_in(&[house.path("packs")], Some(&environment));
        !found.iter().any(|finding| finding.message.contains("does not grant"))
    };
    for (hosts, asked, expected) in [
        ("'*'", "'*'", true),
        ("'*'", "'127.0.0.1:*'", false),
        ("'*'", "169.254.169.254", false),
        ("'*'", "localhost", false),
        ("'*'", "10.0.0.7", false),
        ("'*'", "db.internal.example.com", true),
        ("'*:443'", "db.internal.example.com", false),
        ("api.example.com", "'api.example.com:443'", true),
        ("'api.example.com:443'", "api.example.com", false),
        ("'*.example.com'", "'*.eu.example.com'", true),
        ("'127.0.0.1:*'", "'127.0.0.1:8080'", true),
    ] {
        assert_eq!(granted(hosts, asked), expected, "{asked} of {hosts}");
    }
}

#[test]
fn a_host_that_is_none_is_an_error_with_its_place_in_the_environment() {
    let house = house("packs: { p: { permissions: { hosts: [a.b, 'https://c.d/'] } } }\n");
    let errors = Environment::read(Path::new(&house.path("dev.yaml"))).unwrap_err();
    let at = &errors[0].at;
    assert_eq!((errors.len(), at.line, at.column), (1, 1, 43), "{errors:?}");
    assert!(errors[0].message.contains("`https://c.d/` is no host"), "{errors:?}");
}

#[test]
fn packs_are_checked_against_an_environment_without_a_server() {
    let house = house("packs: { p: { config: { region: [] } }, q: {} }\n");
    let packs = [house.path("packs")];
    let alone = engine::check_packs(&packs);
    assert_eq!(alone, [], "a pack by itself needs no values");
    let (environment, _) = Environment::read(Path::new(&house.path("dev.yaml"))).unwrap();
    let findings = engine::check_packs_in(&packs, Some(&environment));
    let folder = house.folder.path().display().to_string();
    let told: Vec<String> =
        findings.iter().map(|f| f.to_string().replace(&folder, "DIR")).collect();
    expect![[r#"
        error: `region`: expected type "string", found []
          at DIR/dev.yaml:1:25
        warning: there is no pack `q` here
          at DIR/dev.yaml:1:41
          hint: did you mean `p`?"#]]
    .assert_eq(&told.join("\n"));
}
