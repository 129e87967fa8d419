//! Secrets that stand in an environment's file by mistake: they are refused, and neither shown nor
//! copied.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::Engine;
use engine::environment::Environment;
use model::{Stream, Version};
use support::{House, eventually};

const PLAIN: &str = "hunter2hunter2";
const GOOD: &str = "packs: { p: { config: { api_key: { secret: app/key }, size: 3 } } }\n";

/// A house with a pack that has a secret setting, and one within a list.
fn house(environment: &str) -> House {
    let house = House::new();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\nconfig_schema:\n  size: { type: integer }\n  api_key: { type: string, secret: true }\n  \
         users: { type: array, items: { type: object, properties: { key: { secret: true } } } }\n",
    );
    house.environment(environment);
    house
}

/// Every file of the state folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holding(house: &House, text: &str) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files(&house.settings().state).into_iter().filter(holds).collect()
}

/// What is told of the pack, as people and rules get it.
fn told(engine: &Engine) -> String {
    let view = engine.pack_views().remove(0);
    format!("{} {:?}", view.state, view.findings)
}

#[tokio::test]
async fn a_plain_secret_is_copied_nowhere_below_the_state_folder() {
    for text in [
        format!("packs: {{ p: {{ config: {{ api_key: {PLAIN} }} }} }}\n"),
        format!("packs: {{ p: {{ config: {{ users: [{{ key: {PLAIN} }}] }} }} }}\n"),
        format!("packs: {{ p: {{ config: {{ api_kee: {PLAIN} }} }} }}\n"),
    ] {
        let house = house(&text);
        let engine = house.start_in_environment().await;
        assert!(told(&engine).starts_with("rejected"), "{text}");
        assert_eq!(holding(&house, PLAIN), Vec::<PathBuf>::new(), "{text}");
        engine.shutdown(std::time::Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_is_given_to_a_pack_that_is_not_here_is_not_copied() {
    let text = format!("{GOOD}  # {PLAIN}\n")
        .replace("packs: {", &format!("packs: {{ other: {{ config: {{ key: {PLAIN} }} }},"));
    let house = house(&text);
    let engine = house.start_in_environment().await;
    assert!(told(&engine).starts_with("active"));
    assert_eq!(holding(&house, PLAIN), Vec::<PathBuf>::new());
    house.environment("packs: [\n");
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    let engine = house.start_in_environment().await;
    assert!(engine.environment().stale, "it goes on with the copy");
    assert!(engine.environment().active.packs.contains_key(&"p".parse().unwrap()));
}

#[tokio::test]
async fn the_copy_is_the_last_good_content_and_its_owners_alone() {
    let house = house(GOOD);
    let engine = house.start_in_environment().await;
    let copies = holding(&house, "app/key");
    let copy = copies.iter().find(|path| path.extension().is_some_and(|end| end == "yaml"));
    let copy = copy.unwrap().clone();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    house.environment(&GOOD.replace("{ secret: app/key }", PLAIN));
    eventually("the refusal", || async { told(&engine).starts_with("stale") }).await;
    assert_eq!(holding(&house, PLAIN), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), GOOD);
    // An earlier version copied before it looked.
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    std::fs::copy(house.path("dev.yaml"), &copy).unwrap();
    let _engine = house.start_in_environment().await;
    assert_eq!(holding(&house, PLAIN), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn no_finding_shows_a_secret_that_stands_beside_what_is_wrong() {
    for config in [
        format!("{{ api_key: {PLAIN}, sizze: 3 }}"),
        format!("{{ size: many, api_key: {PLAIN} }}"),
        format!("{{ users: [{{ key: {PLAIN}, nme: 1 }}], size: many }}"),
    ] {
        let house = house(&format!("packs: {{ p: {{ config: {config} }} }}\n"));
        let engine = house.start_in_environment().await;
        let told = told(&engine);
        assert!(told.starts_with("rejected") && !told.contains(PLAIN), "{told}");
        let stream = Stream::Pack("p".parse().unwrap());
        let facts = house.store.read(&stream, Version::NONE).await.unwrap().0;
        let facts = format!("{facts:?}");
        assert!(facts.contains("PackRejected") && !facts.contains(PLAIN), "{facts}");
    }
}

#[test]
fn a_file_that_cannot_be_read_shows_none_of_its_lines() {
    for text in [
        format!(
            "connections: {{ a: {{ type: http, base_url: 'https://me:{PLAIN}@x/', nonsens: 1, packs: [] }} }}\n"
        ),
        format!(
            "connections: {{ a: {{ type: http, base_url: 'https://x/', credentials: [{PLAIN}], url: 1, packs: [] }} }}\n"
        ),
        format!(
            "connections: {{ a: {{ type: http, base_url: 'https://x/', credentials: {{ env: A }}, auth: {PLAIN}, packs: [] }} }}\n"
        ),
        format!("packs: {{ p: {{ config: {{ api_key: {PLAIN} }}, permisions: {{}} }} }}\n"),
        format!("packs: {{ p: {{ config: {{ api_key: '{PLAIN} }} }} }}\n"),
    ] {
        let findings = Environment::parse("dev.yaml", &text).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(!told.join("\n").contains(PLAIN), "{told:?}");
        assert!(findings.iter().all(|finding| finding.at.line == 1), "{told:?}");
    }
}

#[tokio::test]
async fn a_sensors_file_with_a_plain_secret_shows_none_of_its_lines() {
    let house = house(GOOD);
    house.write(
        "sensors/hook.yaml",
        &format!("type: webhook\nparameters: {{ secrets: [5551234567], signature: {{ header: X-S }}, body_limt: '{PLAIN}' }}\n"),
    );
    let engine = house.start_in_environment().await;
    let told = told(&engine);
    assert!(told.contains("body_limt") && !told.contains("5551234567"), "{told}");
    assert!(!told.contains(PLAIN), "{told}");
}
