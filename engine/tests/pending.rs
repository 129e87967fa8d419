//! What is under way or waited for when the engine is killed goes on by what is stored, whatever
//! became of the files meanwhile.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use model::{Duration, ExecutionId, ExecutionState, Timestamp};
use serde_json::json;
use support::{House, die_after, ended, eventually, live, result, run, until};

use ExecutionState::{NeedsAttention, Succeeded, Waiting};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// A house on whose clock nothing passes by itself, at 2027-01-15T08:00:00Z.
fn house() -> House {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    House { clock: host::Clock::simulated(start), ..House::new() }
}

fn ledger(house: &House) -> Vec<String> {
    let told = std::fs::read_to_string(house.path("ledger")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

/// A program that notes each attempt in the ledger, then runs `then`.
fn noting(house: &House, effect: &str, then: &str) {
    let path = house.path("ledger").display().to_string();
    house.program("work", effect, &format!("echo $TRIPLINE_ATTEMPT >>{path}; {then}"));
}

/// Runs `p.one` until it waits, and kills the engine.
fn killed_while_it_waits(house: &House) -> ExecutionId {
    die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        until(&engine, &id, &[Waiting]).await;
        (engine, id)
    })
}

/// Starts the engine, which finds nothing to do yet: that is due half an hour later.
async fn started_too_early(house: &House, id: &ExecutionId) -> Engine {
    let engine = house.start().await;
    let before = ledger(house);
    house.advance(Duration::from_secs(29 * 60));
    assert_eq!(engine.execution(id).await.unwrap().row.state, Waiting);
    assert_eq!(engine.health().await.unwrap().active, 0, "it is not looked at before its time");
    assert_eq!(ledger(house), before);
    house.advance(Duration::from_secs(60));
    engine
}

#[test]
fn a_retry_that_is_due_later_is_made_at_its_time_after_a_kill() {
    let house = house();
    let busy = house.path("busy").display().to_string();
    std::fs::write(house.path("busy"), "").unwrap();
    noting(&house, "unsafe", &format!("[ -e {busy} ] && exit 75; echo 7"));
    let options = r#"#{ retry: #{ attempts: 2, delay: "1h", max_delay: "1h" } }"#;
    house.chain("one", "", &format!(r#"run("p.work", #{{}}, {options})"#));
    let id = killed_while_it_waits(&house);
    std::fs::remove_file(house.path("busy")).unwrap();
    house.advance(HALF_AN_HOUR);
    live(async {
        let engine = started_too_early(&house, &id).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(7));
    });
    assert_eq!(ledger(&house), ["1", "2"]);
}

#[test]
fn a_poll_asks_again_at_its_time_after_a_kill() {
    let house = house();
    let path = house.path("ledger").display().to_string();
    noting(&house, "read", &format!("echo \"{{\\\"n\\\": $(wc -l <{path})}}\""));
    house.chain("one", "", r#"poll("p.work", #{}, |r| r.n >= 2, #{ every: "1h" }).n"#);
    let id = killed_while_it_waits(&house);
    house.advance(HALF_AN_HOUR);
    live(async {
        let engine = started_too_early(&house, &id).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(2));
    });
    assert_eq!(ledger(&house).len(), 2);
}

#[test]
fn a_chain_sleeps_until_its_time_and_no_longer_whatever_happens_to_the_engine() {
    let house = house();
    house.chain(
        "one",
        "",
        r#"
        sleep_until("2020-01-01T00:00:00Z");
        sleep_until("2027-01-15T09:00:00Z");
        now()
    "#,
    );
    let id = killed_while_it_waits(&house);
    house.advance(HALF_AN_HOUR);
    live(async {
        let engine = started_too_early(&house, &id).await;
        let view = ended(&engine, &id).await;
        assert_eq!(result(&view), &json!("2027-01-15T09:00:00Z"));
    });
}

#[test]
fn the_effect_class_that_was_stored_decides_after_a_kill_whatever_the_file_says_now() {
    for (before, now, end) in
        [("unsafe", "idempotent", NeedsAttention), ("idempotent", "unsafe", Succeeded)]
    {
        let house = house();
        let gate = house.path("gate").display().to_string();
        noting(&house, before, &format!("until [ -e {gate} ]; do sleep 0.02; done"));
        house.chain("one", "", r#"run("p.work"); "done""#);
        let id = die_after(async {
            let engine = house.start().await;
            let id = run(&engine, "p.one", json!({})).await;
            eventually("the program", || async { ledger(&house).len() == 1 }).await;
            (engine, id)
        });
        std::fs::write(house.path("gate"), "").unwrap();
        noting(&house, now, "exit 0");
        live(async {
            let engine = house.start().await;
            until(&engine, &id, &[end]).await;
        });
        assert_eq!(ledger(&house).len(), if end == Succeeded { 2 } else { 1 });
    }
}

/// Writes the pack `q` with an idempotent program `q.work` that waits for the file `gate`, notes
/// this version in the ledger, and returns it.
fn other_pack(house: &House, version: u32) {
    use std::os::unix::fs::PermissionsExt;
    let (ledger, begun, gate) = (house.path("ledger"), house.path("begun"), house.path("gate"));
    let (ledger, begun, gate) = (ledger.display(), begun.display(), gate.display());
    let manifest =
        format!("name: q\nversion: {version}.0.0\npermissions: {{ actions: ['*'], exec: true }}\n");
    house.write("../q/pack.yaml", &manifest);
    house.write("../q/actions/work.yaml", "entry_point: work.sh\neffect: idempotent\n");
    let text = format!(
        "#!/bin/sh\ntouch {begun}; until [ -e {gate} ]; do sleep 0.02; done; echo v{version} >>{ledger}; echo {version}\n"
    );
    house.write("../q/actions/work.sh", &text);
    let path = house.path("packs/q/actions/work.sh");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn another_packs_action_is_the_one_that_is_active_when_the_step_is_intended() {
    let house = house();
    std::fs::write(house.path("gate"), "").unwrap();
    other_pack(&house, 1);
    house.chain("one", "", r#"let a = run("q.work"); sleep("1h"); [a, run("q.work")]"#);
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    until(&engine, &id, &[Waiting]).await;
    other_pack(&house, 2);
    eventually("the new version", || async {
        // What watches files rests for a moment between two looks.
        house.advance(Duration::from_millis(20));
        let packs = engine.pack_views();
        packs.iter().any(|pack| pack.version.as_deref() == Some("2.0.0"))
    })
    .await;
    house.advance(Duration::from_secs(60 * 60));
    assert_eq!(result(&ended(&engine, &id).await), &json!([1, 2]));
}

#[test]
fn a_step_that_was_cut_off_runs_the_content_that_its_intent_names() {
    let house = house();
    other_pack(&house, 1);
    house.chain("one", "", r#"[run("q.work"), run("q.work")]"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        eventually("the program", || async { house.path("begun").exists() }).await;
        (engine, id)
    });
    std::fs::write(house.path("gate"), "").unwrap();
    other_pack(&house, 2);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!([1, 2]));
    });
    assert_eq!(ledger(&house), ["v1", "v2"]);
}

#[tokio::test]
async fn of_many_that_swap_one_entry_at_once_nobodys_change_is_lost() {
    const COUNT: i64 = 30;
    let house = House::new();
    house.chain(
        "adds",
        "",
        r#"
        let tries = 0;
        loop {
            tries += 1;
            let entry = run("datastore.get", #{ key: "total" });
            let value = (entry.value ?? 0) + 1;
            let swap = #{ key: "total", expected: entry.value, value: value };
            if run("datastore.compare_and_set", swap).swapped { break; }
        }
        tries
    "#,
    );
    let engine = house.start().await;
    let mut all = Vec::new();
    for _ in 0..COUNT {
        all.push(run(&engine, "p.adds", json!({})).await);
    }
    let mut tries = 0;
    for id in all {
        tries += result(&ended(&engine, &id).await).as_i64().unwrap();
    }
    let total = engine.store().key("p/total", engine.now()).await.unwrap().unwrap().value;
    assert_eq!(total, json!(COUNT));
    assert!(tries >= COUNT, "{tries}");
}

#[tokio::test]
async fn a_chain_swaps_an_entry_only_if_it_is_as_expected_and_lists_its_packs_own() {
    let house = House::new();
    house.chain(
        "one",
        "",
        r#"
        let swap = |expected, value| run("datastore.compare_and_set",
            #{ key: "a", expected: expected, value: value });
        let first = swap.call((), 1);
        let refused = swap.call(2, 9);
        let second = swap.call(1, 2);
        run("datastore.set", #{ key: "b", value: true });
        run("datastore.set", #{ key: "c/d", value: true });
        #{
            swapped: [first.swapped, refused.swapped, second.swapped],
            found: refused.current,
            all: run("datastore.list").keys,
            some: run("datastore.list", #{ prefix: "c/" }).keys,
        }
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    assert_eq!(
        result(&ended(&engine, &id).await),
        &json!({
            "swapped": [true, false, true],
            "found": 1,
            "all": ["a", "b", "c/d"],
            "some": ["c/d"],
        })
    );
}
