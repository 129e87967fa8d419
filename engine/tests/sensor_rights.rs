//! What a sensor may do is what its pack may do now, in its environment.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Engine, Settings};
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
    let fresh = house.path("dev.yaml.new");
    std::fs::write(&fresh, format!("packs: {{ p: {{ permissions: {permissions} }} }}\n")).unwrap();
    std::fs::rename(fresh, house.path("dev.yaml")).unwrap();
}

async fn start(house: &House) -> Engine {
    let settings = Settings { environment: Some(house.path("dev.yaml")), ..house.settings() };
    Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
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
    let engine = start(&house).await;
    let view = engine.pack_views().await.remove(0);
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
    let engine = start(&house).await;
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
    let engine = start(&house).await;
    eventually("the program to run", || async { pid.exists() }).await;
    let process = format!("/proc/{}", std::fs::read_to_string(&pid).unwrap().trim());
    assert!(std::path::Path::new(&process).exists());
    grant(&house, "{ exec: false }");
    says(&engine, "may not run programs").await;
    eventually("the program to end", || async { !std::path::Path::new(&process).exists() }).await;
}
