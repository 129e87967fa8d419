//! Packs change while the engine runs: all of a change or nothing, and the last good one stays.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use engine::view::PackView;
use model::{Actor, ExecutionState};
use serde_json::json;
use support::{House, ended, eventually, result, run, until};

fn pack(engine: &Engine) -> PackView {
    engine.pack_views().remove(0)
}

#[tokio::test]
async fn a_broken_pack_keeps_its_last_good_content_and_says_so_until_repaired() {
    let house = House::new();
    house.chain("greet", "", r#""hello""#);
    let engine = house.start().await;
    house.chain("greet", "", r#"let x = ;"#);
    eventually("the breakage to be seen", || async { pack(&engine).state == "stale" }).await;
    let finding = pack(&engine).findings.remove(0);
    assert!(finding.at.contains("greet.rhai:1:"), "{}", finding.text);
    let id = run(&engine, "p.greet", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("hello"));
    house.chain("greet", "", r#""good morning""#);
    eventually("the repair to be seen", || async { pack(&engine).state == "active" }).await;
    let id = run(&engine, "p.greet", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("good morning"));
}

#[tokio::test]
async fn the_last_good_content_outlives_a_restart() {
    let house = House::new();
    house.chain("greet", "", r#""hello""#);
    let engine = house.start().await;
    engine.shutdown(support::PATIENCE).await;
    house.write("pack.yaml", "name: p\nversion: [broken\n");
    let settings = house.settings();
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    assert_eq!(pack(&engine).state, "stale");
    let id = run(&engine, "p.greet", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("hello"));
}

#[tokio::test]
async fn a_running_chain_stays_on_the_content_it_began_with() {
    let house = House::new();
    house.chain("slow", "", r#"sleep("1h"); "old""#);
    let engine = house.start().await;
    let id = run(&engine, "p.slow", json!({})).await;
    let before = until(&engine, &id, &[ExecutionState::Waiting]).await.row.pack;
    house.chain("slow", "", r#"run("core.noop"); "new""#);
    let old = pack(&engine).hash;
    eventually("the change to be seen", || async { pack(&engine).hash != old }).await;
    engine.cancel(Actor::token("test"), &id, None).await.unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!(
        view.row.state,
        ExecutionState::Cancelled,
        "no mismatch: it was replayed on the old text"
    );
    assert_eq!(view.row.pack, before);
}

#[tokio::test]
async fn rules_of_a_removed_file_are_gone() {
    let house = House::new();
    house.write("rules/gone.yaml", "trigger: { type: timer.interval, parameters: { every: 1h } }\naction: { ref: core.noop }\n");
    let engine = house.start().await;
    assert_eq!(engine.sensors().await.unwrap().len(), 1);
    std::fs::remove_file(house.path("packs/p/rules/gone.yaml")).unwrap();
    eventually("the rule to be gone", || async { engine.rules().await.unwrap().is_empty() }).await;
    eventually("its timer to end", || async { engine.sensors().await.unwrap().is_empty() }).await;
}

#[tokio::test]
async fn a_command_about_a_rule_wins_over_its_file_until_it_is_cleared() {
    let house = House::new();
    house.write("rules/r.yaml", "trigger: { type: timer.interval, parameters: { every: 1h } }\naction: { ref: core.noop }\n");
    let engine = house.start().await;
    let rule = "p.r".parse().unwrap();
    engine.switch_rule(Actor::token("test"), &rule, Some(false)).await.unwrap();
    assert!(!engine.rule(&rule).await.unwrap().enabled);
    assert!(engine.sensors().await.unwrap().is_empty(), "nobody listens to the timer any more");
    engine.switch_rule(Actor::token("test"), &rule, None).await.unwrap();
    assert!(engine.rule(&rule).await.unwrap().enabled);
}

#[tokio::test]
async fn a_link_out_of_the_pack_is_refused() {
    let house = House::new();
    let engine = house.start().await;
    std::os::unix::fs::symlink("/etc/hostname", house.path("packs/p/lib")).unwrap();
    eventually("the refusal", || async { pack(&engine).state == "stale" }).await;
    assert!(pack(&engine).findings[0].message.contains("leads out of the pack"));
}

#[tokio::test]
async fn packs_that_come_into_being_later_are_noticed() {
    let house = House::new();
    let mut settings = house.settings();
    settings.packs = vec![house.path("later")];
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    std::fs::rename(house.path("packs"), house.path("later")).unwrap();
    eventually("the pack", || async {
        engine.pack_views().iter().any(|pack| pack.name == "p" && pack.state == "active")
    })
    .await;
}

#[tokio::test]
async fn packs_whose_folder_is_gone_or_emptied_keep_working_until_it_is_back() {
    let house = House::new();
    house.chain("greet", "", r#""hello""#);
    let engine = house.start().await;
    let (there, away) = (house.path("packs"), house.path("away"));
    let stale = || async { pack(&engine).state == "stale" };
    let active = || async { pack(&engine).state == "active" };
    for empty in [false, true] {
        std::fs::rename(&there, &away).unwrap();
        if empty {
            std::fs::create_dir(&there).unwrap();
        }
        eventually("the loss to be seen", stale).await;
        let view = pack(&engine);
        assert!(view.findings[0].message.contains("the folder of packs"), "{:?}", view.findings[0]);
        assert_eq!(engine.pack_views().len(), 1);
        let id = run(&engine, "p.greet", json!({})).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!("hello"));
        if empty {
            std::fs::remove_dir(&there).unwrap();
        }
        std::fs::rename(&away, &there).unwrap();
        eventually("its return to be seen", active).await;
    }
    house.chain("greet", "", r#""good morning""#);
    let old = pack(&engine).hash;
    eventually("a change after that", || async { pack(&engine).hash != old }).await;
}

#[tokio::test]
async fn a_pack_that_is_removed_beside_others_is_unloaded() {
    let house = House::new();
    let other = house.path("packs/q/pack.yaml");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::write(&other, "name: q\nversion: 1.0.0\n").unwrap();
    let engine = house.start().await;
    assert_eq!(engine.pack_views().len(), 2);
    std::fs::remove_dir_all(other.parent().unwrap()).unwrap();
    eventually("it to be unloaded", || async { engine.pack_views().len() == 1 }).await;
}

#[tokio::test]
async fn a_link_to_a_folder_of_packs_is_followed_when_it_leads_elsewhere() {
    let house = House::new();
    house.chain("greet", "", r#""hello""#);
    let link = house.path("current");
    std::os::unix::fs::symlink("packs", &link).unwrap();
    let mut settings = house.settings();
    settings.packs = vec![link.clone()];
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    let old = pack(&engine).hash;
    let folders = [house.path("packs"), house.path("next")];
    assert!(std::process::Command::new("cp").arg("-r").args(folders).status().unwrap().success());
    std::fs::write(house.path("next/p/actions/greet.rhai"), r#""good evening""#).unwrap();
    std::os::unix::fs::symlink("next", house.path("fresh")).unwrap();
    std::fs::rename(house.path("fresh"), &link).unwrap();
    eventually("the change to be seen", || async { pack(&engine).hash != old }).await;
}

#[tokio::test]
async fn triggers_that_differ_in_what_is_told_share_a_subscription() {
    let house = House::new().in_cluster();
    for (rule, more) in [
        ("plain", ""),
        ("added", ", operations: [added]"),
        ("labels", ", changes: ['metadata.labels'], operations: [modified]"),
        ("apart", ", labels: app=web"),
        ("wants", ", initial: emit"),
    ] {
        let parameters = format!("{{ api_version: v1, kind: ConfigMap{more} }}");
        let trigger = format!("{{ type: kubernetes.object, parameters: {parameters} }}");
        let rule = format!("rules/{rule}.yaml");
        house.write(&rule, &format!("trigger: {trigger}\naction: {{ ref: core.noop }}\n"));
    }
    let engine = house.start_in_environment().await;
    let mut shared: Vec<Vec<String>> = Vec::new();
    for sensor in engine.sensors().await.unwrap() {
        assert!(sensor.parameters.get("operations").is_none(), "{sensor:?}");
        shared.push(sensor.rules.iter().map(ToString::to_string).collect());
    }
    shared.sort();
    assert_eq!(shared, [vec!["p.added", "p.labels", "p.plain"], vec!["p.apart"], vec!["p.wants"]]);
}

#[tokio::test]
async fn the_servers_own_cluster_is_watched_for_packs_that_ask_for_it_and_are_lent_it() {
    let house = House::new().in_cluster();
    let rule = "trigger: { type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap } }\n\
                action: { ref: core.noop }\n";
    let other = |asked: &str| {
        let permissions = format!("permissions: {{ actions: ['*'], connections: [{asked}] }}");
        house.write_in("q", "pack.yaml", &format!("name: q\nversion: 1.0.0\n{permissions}\n"));
    };
    other("");
    for pack in ["p", "q"] {
        house.write_in(pack, "rules/seen.yaml", rule);
    }
    let engine = house.start_in_environment().await;
    let watched = async || {
        let sensors = engine.sensors().await.unwrap();
        let rules = sensors.iter().map(|sensor| sensor.rules.len());
        rules.collect::<Vec<_>>()
    };
    let refused = async || engine.pack("q").unwrap().findings.remove(0).text;
    assert_eq!(watched().await, [1]);
    let told = refused().await;
    assert!(told.contains("add `default` to `permissions.connections`"), "{told}");
    other("default");
    eventually("one watch for both", || async { watched().await == [2] }).await;

    house.environment("connections: { default: { type: kubernetes, packs: [p] } }\n");
    eventually("what is not lent to be told", || async {
        engine.pack("q").unwrap().state == "stale"
    })
    .await;
    let told = refused().await;
    assert!(told.contains("add `q` to its `packs`"), "{told}");
}
