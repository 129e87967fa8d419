//! What a sensor may do is what its pack may do now, in its environment.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use support::{House, eventually};

const HOOK: &str =
    "type: webhook\nparameters:\n  secrets: [hooks/app]\n  signature: { header: X-S }\n";

fn house(permissions: &str) -> House {
    let house = House::new();
    let pack = format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n");
    house.write("pack.yaml", &pack);
    grant(&house, "{}");
    house
}

fn grant(house: &House, permissions: &str) {
    house.environment(&format!("packs: {{ p: {{ permissions: {permissions} }} }}\n"));
}

/// Waits until the pack's sensor says this of itself.
async fn says(engine: &Engine, part: &str) {
    eventually(part, || async {
        let sensors = engine.sensors().await.unwrap();
        let message = sensors.first().and_then(|sensor| sensor.message.clone());
        message.is_some_and(|message| message.contains(part))
    })
    .await;
}

#[tokio::test]
async fn a_sensor_whose_secret_is_not_asked_for_is_refused_when_its_pack_is_loaded() {
    let house = house("{ secrets: [other/*] }");
    house.write("sensors/hook.yaml", HOOK);
    let engine = house.start_in_environment().await;
    let view = engine.pack_views().remove(0);
    assert_eq!(view.state, "rejected");
    let told = format!("{:?}", view.findings);
    assert!(
        told.contains("the pack uses the secret `hooks/app` but does not ask for it"),
        "{told}"
    );
    assert!(told.contains("add `hooks/app` to `permissions.secrets`"), "{told}");
}

#[tokio::test]
async fn a_sensor_loses_its_secret_when_only_its_environments_grant_changes() {
    let house = house("{ secrets: [hooks/*] }");
    house.write("sensors/hook.yaml", HOOK);
    let engine = house.start_in_environment().await;
    says(&engine, "tripline secret set hooks/app").await;
    grant(&house, "{ secrets: [] }");
    says(&engine, "the environment does not grant `p`").await;
    grant(&house, "{ secrets: ['*'] }");
    says(&engine, "tripline secret set hooks/app").await;
}

#[tokio::test]
async fn a_running_program_ends_when_only_its_environment_takes_exec_back() {
    use std::os::unix::fs::PermissionsExt;
    let house = house("{ exec: true }");
    let pid = house.path("pid");
    house.write("triggers/seen.yaml", "description: Seen\npayload: {}\n");
    house.write("sensors/watch.yaml", "type: process\nparameters: { entry_point: watch.sh }\n");
    let script =
        format!("#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}\nexec sleep 600\n", pid.display());
    house.write("sensors/watch.sh", &script);
    let program = house.path("packs/p/sensors/watch.sh");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let engine = house.start_in_environment().await;
    eventually("the program to run", || async { pid.exists() }).await;
    let process = format!("/proc/{}", std::fs::read_to_string(&pid).unwrap().trim());
    assert!(std::path::Path::new(&process).exists());
    grant(&house, "{ exec: false }");
    says(&engine, "the environment does not grant `p` what it asks for, `exec: true`").await;
    eventually("the program to end", || async { !std::path::Path::new(&process).exists() }).await;
}

/// What `check` says of a pack with this sensor; nothing where it takes it.
async fn refused(permissions: &str, sensor: &str) -> String {
    let house = house(permissions);
    house.write("sensors/one.yaml", sensor);
    house.write("own/key", "0123456789abcdef\n");
    let view = house.start_in_environment().await.pack_views().remove(0);
    let texts: Vec<String> = view.findings.into_iter().map(|finding| finding.text).collect();
    assert_eq!(view.state == "rejected", !texts.is_empty(), "{texts:?}");
    texts.join("\n")
}

#[tokio::test]
async fn what_lies_outside_of_the_pack_and_the_store_is_asked_for_by_name() {
    let hook = |reference: &str| HOOK.replace("hooks/app", reference);
    for (reference, entry) in [
        ("{ env: HOME }", "env:HOME"),
        ("{ file: /etc/hostname }", "file:/etc/hostname"),
        ("{ file: ../../secrets.key }", "file:../../secrets.key"),
    ] {
        for permissions in ["{}", "{ secrets: ['*'] }", "{ secrets: ['env:OTHER', 'file:/srv/*'] }"]
        {
            let told = refused(permissions, &hook(reference)).await;
            let expected = format!("the pack uses the secret `{entry}` but does not ask for it");
            assert!(told.contains(&expected), "{permissions}: {told}");
        }
    }
    for (permissions, reference) in [
        ("{ secrets: ['env:HOME'] }", "{ env: HOME }"),
        ("{ secrets: ['env:*'] }", "{ env: HOME }"),
        ("{ secrets: ['file:/etc/*'] }", "{ file: /etc/hostname }"),
        ("{}", "{ file: own/key }"),
    ] {
        assert_eq!(refused(permissions, &hook(reference)).await, "", "{permissions} {reference}");
    }
    let climbs = hook("{ file: /etc/../srv/state.key }");
    assert!(refused("{ secrets: ['file:/etc/*'] }", &climbs).await.contains("does not ask for it"));
    let entry = refused("{ secrets: ['file:own/key', 'vault:x'] }", HOOK).await;
    assert!(entry.contains("`file:own/key` names no secret"), "{entry}");
    assert!(entry.contains("`vault:x` names no secret"), "{entry}");
}

#[tokio::test]
async fn a_sensor_loses_a_variable_when_only_its_environments_grant_changes() {
    let house = house("{ secrets: ['env:CARGO_MANIFEST_DIR'] }");
    house.write("sensors/hook.yaml", &HOOK.replace("hooks/app", "{ env: CARGO_MANIFEST_DIR }"));
    let engine = house.start_in_environment().await;
    let runs = || async { engine.sensors().await.unwrap()[0].message.is_none() };
    eventually("the sensor to run", runs).await;
    // All of the secret store is not the server's variables.
    grant(&house, "{ secrets: ['*'] }");
    says(&engine, "the environment does not grant `p`").await;
    grant(&house, "{ secrets: ['env:*'] }");
    eventually("the sensor to run again", runs).await;
}

#[tokio::test]
async fn no_file_of_the_state_folder_is_a_sensors_secret_whatever_its_pack_asks_for() {
    let house = house("{ secrets: ['file:/*'] }");
    std::fs::create_dir_all(house.path("state")).unwrap();
    std::fs::write(house.path("state/admin.token"), "0123456789abcdef").unwrap();
    std::os::unix::fs::symlink(house.path("state/admin.token"), house.path("link")).unwrap();
    for name in ["state/admin.token", "link"] {
        let reference = format!("{{ file: {} }}", house.path(name).display());
        house.write("sensors/hook.yaml", &HOOK.replace("hooks/app", &reference));
        let engine = house.start_in_environment().await;
        says(&engine, "lies in the state folder").await;
        engine.shutdown(support::PATIENCE).await;
    }
}

#[tokio::test]
async fn a_repository_of_a_packs_own_is_held_to_its_hosts() {
    let git = |url: &str, rest: &str| format!("type: git\nparameters: {{ url: '{url}'{rest} }}\n");
    let metadata = git("https://169.254.169.254/app.git", "");
    let told = refused("{ hosts: ['*'] }", &metadata).await;
    assert!(
        told.contains("`169.254.169.254` is 169.254.169.254, an address of this machine"),
        "{told}"
    );
    assert!(told.contains("gives away the credentials of the machine"), "{told}");
    assert!(!told.contains("permissions.hosts"), "{told}");
    assert_eq!(refused("{ hosts: ['169.254.169.254'] }", &metadata).await, "");
    // A name is looked up when it is asked.
    let credentials = ", credentials: { env: HOME }";
    let elsewhere = git("https://evil.example.com/app.git", credentials);
    let told = refused("{ secrets: ['env:*'] }", &elsewhere).await;
    assert!(told.contains("requests to `evil.example.com` are not allowed"), "{told}");
    let listed = "{ secrets: ['env:*'], hosts: [evil.example.com] }";
    assert_eq!(refused(listed, &elsewhere).await, "");
    let own = git("https://git.example.com/app.git", ", credentials: p/git");
    assert_eq!(refused("{ secrets: ['p/*'] }", &own).await, "", "the pack's own secret");
}

#[tokio::test]
async fn a_repository_that_the_environment_keeps_from_its_pack_is_said_to_be_so() {
    let house = house("{ secrets: ['env:*'], hosts: [git.example.com] }");
    let sensor = "type: git\nparameters: { url: 'https://git.example.com/app.git', \
                  credentials: { env: CARGO_MANIFEST_DIR } }\n";
    house.write("sensors/app.yaml", sensor);
    let engine = house.start_in_environment().await;
    grant(&house, "{ hosts: [] }");
    says(&engine, "the environment does not let the pack reach it").await;
    says(&engine, "`packs.<pack>.permissions.hosts` of the environment").await;
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_asked() {
    let house = house("{}");
    let sensor = "type: git\nparameters: { url: 'https://localhost:1/app.git', every: 1s }\n";
    house.write("sensors/app.yaml", sensor);
    let engine = house.start_in_environment().await;
    says(&engine, "an address of this machine or of its metadata service").await;
    house.write("pack.yaml", "name: p\nversion: 1.0.1\npermissions: { hosts: [localhost] }\n");
    // It is asked now, and nobody answers there.
    says(&engine, "cannot be reached").await;
}

/// A repository with a commit on `main`, which may be pushed to.
fn repository(house: &House, name: &str) -> String {
    let folder = house.path(name);
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(&folder).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir_all(&folder).unwrap();
    git(&["init", "-q", "-b", "main"]);
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    git(&["rev-parse", "HEAD"])
}

const TAGS: &str = r#"let kind = "tagged"; try { run("git.tag", #{ sensor: "app", name: params.name, commit: params.commit }) } catch (e) { kind = e.kind } kind"#;

/// Runs the chain that tags.
async fn tags(engine: &Engine, name: &str, commit: &str) -> String {
    let asked = serde_json::json!({ "name": name, "commit": commit });
    let id = support::run(engine, "p.tag", asked).await;
    support::result(&support::ended(engine, &id).await).as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_is_pushed_with_what_was_taken_back() {
    let house = house("{ connections: [host], actions: [git.*] }");
    let commit = repository(&house, "repositories/app");
    let host = |packs: &str| {
        let text =
            format!("connections:\n  host: {{ type: git, url: repositories, packs: [{packs}] }}\n");
        house.environment(&text);
    };
    host("p");
    let sensor = "type: git\nparameters: { connection: host, url: app, every: 1s }\n";
    house.write("sensors/app.yaml", sensor);
    house.chain("tag", "name: {}, commit: {}", TAGS);
    let engine = house.start_in_environment().await;
    eventually("the repository to be seen", || async {
        tags(&engine, "v1", &commit).await == "tagged"
    })
    .await;
    host("other");
    eventually("the connection to be withdrawn", || async {
        tags(&engine, "v2", &commit).await == "not_found"
    })
    .await;
    host("p");
    eventually("the connection to be back", || async {
        tags(&engine, "v3", &commit).await == "tagged"
    })
    .await;
    std::fs::remove_file(house.path("packs/p/sensors/app.yaml")).unwrap();
    eventually("the sensor to go", || async { tags(&engine, "v4", &commit).await == "not_found" })
        .await;
    assert_eq!(tags(&engine, "v5", &commit).await, "not_found");
    let mut git = std::process::Command::new("git");
    let told =
        git.arg("-C").arg(house.path("repositories/app")).args(["tag", "--list"]).output().unwrap();
    assert!(!String::from_utf8(told.stdout).unwrap().contains("v5"));
}
