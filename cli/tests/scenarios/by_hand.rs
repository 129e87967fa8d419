//! What people do to executions from the command line: pause, resume, repeat, export.

use serde_json::Value;

use crate::files::{
    PATIENCE, chain, executions_of, has_lines, lines, note, open_gate, open_gates, pack, program,
    start, text, world,
};
use crate::support::{SOON, World, eventually};

/// A world whose chain `p.two` makes two notes, one after the other.
fn two_notes() -> World {
    let world = world();
    note(&world);
    chain(&world, "two", r#"run("p.note"); run("p.note")"#);
    world
}

/// A world whose chain `p.pick` fails until the file `mended` is there.
fn pick() -> World {
    let world = two_notes();
    program(&world, "count", "read", r#"[ -e "$W/mended" ] || { echo "not yet" >&2; exit 1; }"#);
    chain(
        &world,
        "pick",
        r#"run("p.note"); run("p.count", #{}, #{ retry: #{ attempts: 1 } }); run("p.note")"#,
    );
    open_gates(&world);
    world
}

#[test]
fn a_paused_chain_begins_nothing_until_it_is_resumed_kill_or_no_kill() {
    let world = two_notes();
    let server = world.serve();
    let id = start(&world, "p.two");
    let said = world.run(&["execution", "pause", &id, "--reason", "a look first"]).succeeded();
    assert!(said.stdout.contains(&format!("tripline execution resume {id}")), "{said:?}");
    open_gates(&world);
    has_lines(&world, "ledger", 1);
    server.kill();
    let _server = world.serve();
    let paused = world.reaches(&id, &["paused", "succeeded"]);
    assert_eq!(paused["state"], "paused");
    assert_eq!(lines(&world, "ledger").len(), 1);
    world.run(&["execution", "resume", &id]).succeeded();
    world.reaches(&id, &["succeeded"]);
    assert_eq!(lines(&world, "ledger"), [format!("{id}/1"), format!("{id}/2")]);
}

#[test]
fn what_is_not_paused_cannot_be_resumed_and_what_ended_not_paused() {
    let world = two_notes();
    open_gates(&world);
    let _server = world.serve();
    let id = start(&world, "p.two");
    world.reaches(&id, &["succeeded"]);
    for verb in ["pause", "resume"] {
        let refused = world.run(&["execution", verb, &id]).ended(1);
        assert!(refused.stderr.contains("succeeded"), "{refused:?}");
    }
}

#[test]
fn a_failed_execution_is_repeated_whole_or_from_a_step_on() {
    let world = pick();
    let _server = world.serve();
    let failed = start(&world, "p.pick");
    world.reaches(&failed, &["failed"]);
    world.write("mended", "");
    let again = world.json(&["execution", "rerun", &failed]);
    world.reaches(&text(&again["id"]), &["succeeded"]);
    assert_eq!(lines(&world, "ledger").len(), 3, "both notes were made anew");
    let from = world.json(&["execution", "rerun", &failed, "--from", "2"]);
    assert_eq!(from["assumed"][0]["path"], "1");
    let ended = world.reaches(&text(&from["id"]), &["succeeded"]);
    assert_eq!(ended["origin"]["rerun"]["of"], failed.as_str(), "{ended:#}");
    assert_eq!(lines(&world, "ledger").len(), 4, "the first note was taken over");
}

#[test]
fn many_are_repeated_only_after_somebody_agreed() {
    let world = pick();
    let _server = world.serve();
    let failed: Vec<String> = (0..3).map(|_| start(&world, "p.pick")).collect();
    for id in &failed {
        world.reaches(id, &["failed"]);
    }
    world.write("mended", "");
    let asked = world.run(&["execution", "rerun", "--failed", "--action", "p.pick"]).ended(2);
    assert!(asked.stdout.contains(&failed[0]) && asked.stderr.contains("add --yes"), "{asked:?}");
    assert_eq!(lines(&world, "ledger").len(), 3, "nothing was repeated");
    let repeated = world.json(&["execution", "rerun", "--failed", "--action", "p.pick", "--yes"]);
    let of: Vec<&str> =
        repeated.as_array().unwrap().iter().map(|one| one["of"].as_str().unwrap()).collect();
    assert_eq!(of, failed, "oldest first");
    let repeats = world.json(&["execution", "list", "--repeats", &failed[0]]);
    assert_eq!(repeats[0]["id"], repeated[0]["id"]);
    for one in repeated.as_array().unwrap() {
        world.reaches(&text(&one["id"]), &["succeeded"]);
    }
    let none = world.run(&["execution", "rerun", "--failed", "--action", "p.two", "--yes"]);
    assert_eq!(none.succeeded().stdout, "no execution is like that\n");
}

#[test]
fn of_many_all_that_fit_are_repeated_and_none_twice() {
    let world = world();
    chain(&world, "bad", r#"fail("no")"#);
    chain(&world, "burst", r#"for n in 0..55 { emit("p.happened", #{ n: n }); }"#);
    pack(&world, "triggers/happened.yaml", "payload: { n: {} }\n");
    pack(&world, "rules/bad.yaml", "trigger: { type: p.happened }\naction: { ref: p.bad }\n");
    let _server = world.serve();
    start(&world, "p.burst");
    let failed = || {
        let listing = ["execution", "list", "--failed", "--action", "p.bad", "--limit", "999"];
        world.json(&listing).as_array().unwrap().len()
    };
    eventually(SOON, || (failed() == 55).then_some(()));
    let many = ["execution", "rerun", "--failed", "--rule", "p.bad", "--yes"];
    assert_eq!(world.json(&many).as_array().unwrap().len(), 55);
    eventually(SOON, || (failed() == 110).then_some(()));
    let again = world.run(&many).succeeded();
    assert_eq!(again.stdout, "nothing is left to repeat\n");
    for told in ["left out: 55 repeated already", "left out: 55 repetitions themselves"] {
        assert!(again.stderr.contains(told), "{again:?}");
    }
    let some = world.run(&[&many[..], &["--again", "--limit", "2"]].concat()).succeeded();
    assert_eq!(some.stdout.lines().count(), 2, "{some:?}");
    assert!(some.stderr.contains("left out: 53 beyond --limit"), "{some:?}");
}

#[test]
fn one_that_cannot_be_repeated_holds_up_no_other_and_is_told_at_the_end() {
    let world = pick();
    chain(&world, "gone", r#"fail("too bad")"#);
    let _server = world.serve();
    let (first, gone, last) =
        (start(&world, "p.pick"), start(&world, "p.gone"), start(&world, "p.pick"));
    for id in [&first, &gone, &last] {
        world.reaches(id, &["failed"]);
    }
    for file in ["gone.yaml", "gone.rhai"] {
        std::fs::remove_file(world.path("packs/p/actions").join(file)).unwrap();
    }
    eventually(SOON, || (world.run(&["action", "get", "p.gone"]).code != 0).then_some(()));
    world.write("mended", "");
    let all = ["execution", "rerun", "--failed", "--pack", "p", "--since", "1h", "--yes"];
    let repeated = world.run(&[&all[..], &["-o", "json"]].concat()).ended(1);
    assert!(repeated.stderr.contains("1 of 3 were not repeated"), "{repeated:?}");
    let told: Value = serde_json::from_str(&repeated.stdout).unwrap();
    let of: Vec<String> = (0..3).map(|n| text(&told[n]["of"])).collect();
    assert_eq!(of, [first, gone.clone(), last]);
    assert_eq!(told[1]["error"]["kind"], "not_found", "{told:#}");
    for n in [0, 2] {
        world.reaches(&text(&told[n]["id"]), &["succeeded"]);
    }
    let table = world.run(&[&all[..], &["--again"]].concat()).ended(1);
    assert!(table.stdout.contains("repeats ex_"), "{table:?}");
    assert!(table.stderr.contains(&format!("{gone} is not repeated: ")), "{table:?}");
}

#[test]
fn what_has_not_ended_is_left_out_of_many_and_named() {
    let world = pick();
    program(&world, "lost", "unsafe", r#"echo lost >>"$W/lost"; kill -9 $$"#);
    let _server = world.serve();
    let failed = start(&world, "p.pick");
    let lost = start(&world, "p.lost");
    world.reaches(&failed, &["failed"]);
    world.reaches(&lost, &["needs_attention"]);
    world.write("mended", "");
    let many = world.run(&["execution", "rerun", "--pack", "p", "--yes"]).succeeded();
    assert!(many.stdout.ends_with(&format!("repeats {failed}\n")), "{many:?}");
    assert_eq!(many.stdout.lines().count(), 1, "{many:?}");
    assert!(many.stderr.contains("left out: 1 not ended: resolve"), "{many:?}");
    assert!(many.stderr.contains(&format!("  {lost}  needs_attention\n")), "{many:?}");
    let one = world.run(&["execution", "rerun", &lost]).ended(1);
    let resolve = format!("tripline execution resolve {lost}");
    assert!(one.stderr.contains(&resolve) && one.stderr.contains("--force"), "{one:?}");
    assert_eq!(lines(&world, "lost").len(), 1, "it was not made again");
    let forced = world.json(&["execution", "rerun", &lost, "--force"]);
    world.reaches(&text(&forced["id"]), &["needs_attention"]);
    assert_eq!(lines(&world, "lost").len(), 2);
}

#[test]
fn executions_are_found_by_pack_and_by_when_they_were_asked_for() {
    let world = world();
    world.write("packs/q/pack.yaml", "name: q\nversion: 1.0.0\n");
    world.write("packs/q/actions/one.yaml", "entry_point: one.rhai\n");
    world.write("packs/q/actions/one.rhai", "1");
    chain(&world, "one", "1");
    let _server = world.serve();
    let (early, other) = (start(&world, "p.one"), start(&world, "q.one"));
    let asked = text(&world.reaches(&early, &["succeeded"])["requested_at"]);
    let other_asked = text(&world.reaches(&other, &["succeeded"])["requested_at"]);
    let [first, second]: [model::Timestamp; 2] =
        [&asked, &other_asked].map(|at| at.parse().unwrap());
    assert!(first < second, "{asked} {other_asked}");
    let found = |filters: &[&str]| -> Vec<String> {
        let rows = world.json(&[&["execution", "list"], filters].concat());
        rows.as_array().unwrap().iter().map(|row| text(&row["id"])).collect()
    };
    let both = [other.clone(), early.clone()];
    for (filters, expected) in [
        (&["--pack", "p"][..], &both[1..]),
        (&["--pack", "q"], &both[..1]),
        (&["--pack", "none"], &[]),
        (&["--since", "1h"], &both),
        (&["--since", &asked], &both),
        (&["--since", &other_asked], &both[..1]),
        (&["--since", "2999-01-01T00:00:00Z"], &[]),
        (&["--since", "1h", "--pack", "p"], &both[1..]),
    ] {
        assert_eq!(found(filters), expected, "{filters:?}");
    }
}

#[test]
fn a_chain_that_goes_on_as_a_new_run_is_followed_to_the_end_of_the_last() {
    let world = world();
    chain(
        &world,
        "rounds",
        r#"
        let round = get(params, "a", 1);
        if round == 3 { fail("the third round") }
        continue_as(#{ a: round + 1 })
        "#,
    );
    chain(
        &world,
        "counts",
        r#"if params.a == 3 { return "three" } continue_as(#{ a: params.a + 1 })"#,
    );
    let _server = world.serve();
    let done = world.run(&["run", "p.counts", "a=1"]);
    assert_eq!(done.line(), r#""three""#);
    let failed = world.run(&["run", "p.rounds"]).ended(1);
    assert!(failed.stderr.contains("the third round"), "{failed:?}");
    let first = executions_of(&world, "p.rounds").pop().unwrap();
    assert!(!failed.stderr.contains(&first), "the last run is named, not the first: {failed:?}");
    let watched = world.run(&["execution", "watch", &first]).ended(1);
    assert_eq!(watched.stdout.matches("goes on as ex_").count(), 2, "{watched:?}");
    assert!(watched.stdout.contains("the third round"), "{watched:?}");
}

#[test]
fn an_exported_run_is_a_test_that_needs_no_server() {
    let world = two_notes();
    open_gate(&world, "1");
    open_gate(&world, "2");
    let server = world.serve();
    let id = start(&world, "p.two");
    world.reaches(&id, &["succeeded"]);
    world.run(&["execution", "export", &id, "run.json"]).succeeded();
    server.kill();
    let test = ["pack", "test", "packs/p", "--from-execution", "run.json"];
    world.run(&test).succeeded();
    chain(&world, "two", r#"run("p.note"); run("core.echo", #{ value: 2 })"#);
    let differs = world.run(&test).ended(1);
    assert!(differs.stdout.contains("p.note"), "{differs:?}");
    assert_eq!(lines(&world, "ledger").len(), 2, "the test ran no program");
}

#[test]
fn keys_are_listed_from_where_a_listing_ended() {
    let world = two_notes();
    let _server = world.serve();
    for name in ["a", "b", "c", "d"] {
        world.run(&["key", "set", &format!("p/{name}"), "1"]).succeeded();
    }
    let listed = |arguments: &[&str]| -> Vec<String> {
        let rows = world.json(&[&["key", "list", "p/"], arguments].concat());
        rows.as_array().unwrap().iter().map(|row| text(&row["key"])).collect()
    };
    assert_eq!(listed(&["--limit", "2"]), ["p/a", "p/b"]);
    assert_eq!(listed(&["--after", "p/b", "--limit", "1"]), ["p/c"]);
    assert_eq!(listed(&["--after", "p/b"]), ["p/c", "p/d"]);
    assert!(listed(&["--after", "p/d"]).is_empty());
}

#[test]
fn a_chain_that_went_on_is_held_and_cancelled_where_it_is_now() {
    let world = world();
    chain(
        &world,
        "waits",
        r#"if params.a == 3 { sleep("1h"); } continue_as(#{ a: get(params, "a", 1) + 1 })"#,
    );
    let _server = world.serve();
    let first = world.run(&["run", "p.waits", "a=1", "--detach"]).line();
    let latest = eventually(SOON, || {
        let view = world.json(&["execution", "get", &first]);
        (view["latest"]["state"] == "waiting").then(|| text(&view["latest"]["id"]))
    });
    let refused = world.run(&["execution", "cancel", &first]).ended(1);
    assert!(refused.stderr.contains(&format!("it is `{latest}` now")), "{refused:?}");
    let shown = world.run(&["execution", "get", &first]).succeeded().stdout;
    assert!(shown.contains(&format!("now         {latest} (waiting)")), "{shown}");
    let held = world.run(&["execution", "pause", &first, "--latest"]).succeeded().stdout;
    assert!(held.contains(&format!("execution resume {latest}")), "{held}");
    let ended = world.run(&["execution", "cancel", &first, "--latest"]).succeeded().stdout;
    assert!(ended.starts_with(&format!("{latest} is being cancelled")), "{ended}");
    world.reaches(&latest, &["cancelled"]);
}

#[test]
fn a_child_that_needs_attention_is_found_from_what_runs_it_and_decided_about_once() {
    let world = world();
    program(&world, "lost", "unsafe", r#"echo "$TRIPLINE_KEY" >>"$W/ledger"; kill -9 $$"#);
    chain(&world, "inner", r#"run("p.lost"); run("p.lost")"#);
    chain(&world, "outer", r#"run("p.inner")"#);
    let _server = world.serve();
    let ran = world.run(&["run", "p.outer"]).ended(6);
    let child = ran.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    let id = child.split('/').next().unwrap();
    assert_ne!(child, id, "{ran:?}");
    world.run(&["execution", "watch", id]).ended(6);
    let listed = world.run(&["execution", "list", "--states", "needs_attention"]).succeeded();
    assert!(listed.stdout.contains(&child), "{listed:?}");
    let shown = world.run(&["execution", "get", id]).succeeded().stdout;
    assert!(
        shown.contains(&format!(
            "goes on once this is decided about: tripline execution get {child}"
        )),
        "{shown}"
    );
    let shown = world.run(&["execution", "get", &child]).succeeded().stdout;
    let said = shown.lines().find(|line| line.contains("--fail")).unwrap();
    let words: Vec<&str> = said.split_whitespace().skip(1).take(6).collect();
    assert_eq!(words, ["execution", "resolve", child.as_str(), "--step", "1", "--fail"]);
    // Typed twice, it is not taken for a decision about the next step.
    let decide = ["execution", "resolve", &child, "--step", "1", "--done", "--result", "{}"];
    let decided = world.run(&decide).succeeded();
    assert!(decided.stdout.starts_with("step 1 is decided"), "{decided:?}");
    let asked = || world.execution(&child)["attention"]["path"] == "2";
    eventually(PATIENCE, || asked().then_some(()));
    world.run(&decide).ended(1);
    assert!(asked());
    assert_eq!(lines(&world, "ledger").len(), 2);
}
