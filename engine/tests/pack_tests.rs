//! Tests of packs: what they can say, that chains behave in them as in production, and what a
//! test that fails tells.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::Path;

use engine::packtest::{Real, Suite};
use expect_test::{Expect, expect};
use tempfile::TempDir;

const PACK: &str = "\
name: shop
version: 1.0.0
config_schema: { region: { type: string, default: eu } }
permissions: { actions: ['*'], exec: true }
";

/// A shop: an order starts a chain, which runs programs and a chain of its own.
fn shop(chain: &str, tests: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| write(folder.path(), name, text);
    write("pack.yaml", PACK);
    write(
        "triggers/ordered.yaml",
        "payload: { item: { type: string, required: true }, count: { type: integer } }\n",
    );
    write(
        "rules/ship.yaml",
        "trigger: { type: shop.ordered }\ncriteria: { trigger.item: { ne: nothing } }\n\
         when: trigger.item != \"odd\" || trigger.count > 1\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.item}' } }\n",
    );
    write(
        "actions/ship.yaml",
        "entry_point: ship.rhai\nparameters: { item: { type: string, required: true } }\n",
    );
    write("actions/ship.rhai", chain);
    for (name, effect) in [("pack", "idempotent"), ("pay", "unsafe"), ("look", "read")] {
        let parameters = "parameters: { item: {}, to: {} }\nresult: { box: { type: integer } }\n";
        let said = format!("entry_point: {name}.sh\neffect: {effect}\ntimeout: 1m\n{parameters}");
        write(&format!("actions/{name}.yaml"), &said);
        write(&format!("actions/{name}.sh"), "#!/bin/sh\nexit 9\n");
    }
    write("actions/wrap.yaml", "entry_point: wrap.rhai\nparameters: { item: {} }\n");
    write("actions/wrap.rhai", "run(\"shop.pack\", #{ item: params.item }).box + 1\n");
    write("tests/ship.yaml", tests);
    write("tests/data/order.json", r#"{ "item": "book", "count": 2 }"#);
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the tests and gives what they tell.
fn told(folder: &TempDir) -> String {
    let told = played(&Suite::load(folder.path(), &[]));
    told.replace(&format!("{}/", folder.path().display()), "")
}

fn played(suite: &Suite) -> String {
    let mut lines: Vec<String> = suite.findings.iter().map(ToString::to_string).collect();
    let run = suite.run(
        false,
        |_| true,
        |case, verdict| {
            lines.push(format!("{} {}", if verdict.passed() { "ok" } else { "FAIL" }, case.name));
            for misfit in verdict.misfits {
                lines.push(format!("  {}: {}", misfit.at, misfit.message));
                lines.extend(misfit.lines.iter().map(|line| format!("    {line}")));
            }
        },
    );
    run.unwrap();
    lines.join("\n")
}

/// One test of this chain, whose fields after the event are these.
fn one(chain: &str, fields: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("  {}\n", line.trim_end())).collect();
    let event = "  event: { type: shop.ordered, data: { item: book } }\n";
    told(&shop(chain, &format!("- name: it\n{event}{fields}")))
}

fn passes(chain: &str, fields: &str) {
    assert_eq!(one(chain, fields), "ok it");
}

#[test]
fn a_mock_answers_with_what_the_call_said() {
    passes(
        "let a = run(\"shop.pack\", #{ item: params.item });\nrun(\"shop.pay\", #{ to: a.box, item: config.region })",
        "config: { region: us }
mocks:
  shop.pack: { with: { item: book }, result: { box: '${params.item.len() + attempt}' } }
  shop.pay: { result: { box: 2 } }
expect:
  rules: [ship]
  steps: [shop.pack, shop.pay: { with: { to: 5, item: us } }]
  outcome: succeeded
  result: { box: 2 }",
    );
}

#[test]
fn a_failure_is_retried_as_in_production_without_waiting() {
    passes(
        "let before = now();
run(\"shop.pack\", #{}, #{ retry: #{ attempts: 4, delay: \"1h\", max_delay: \"4h\" } });
#{ before: before, after: now() }",
        "now: 2026-03-01T00:00:00Z
mocks:
  shop.pack: [{ fails: { kind: unavailable, message: down }, times: 3 }, { result: { box: 1 } }]
expect:
  steps: [shop.pack: { attempts: 4 }]
  result: { before: 2026-03-01T00:00:00Z, after: 2026-03-01T07:00:00Z }",
    );
    // An unsafe one is not, unless it says so.
    passes(
        "run(\"shop.pay\", #{})",
        "mocks: { shop.pay: [{ fails: { kind: unavailable, message: down }, times: 1 }, {}] }
expect:
  steps: [shop.pay: { attempts: 1 }]
  outcome: failed
  error: { kind: unavailable, message: dow, action: shop.pay }",
    );
}

#[test]
fn a_timeout_ends_an_attempt_and_leaves_an_unsafe_step_to_a_person() {
    let chain = "run(\"shop.pay\", #{}, #{ timeout: \"5s\" })";
    let fields = "mocks: { shop.pay: { takes: 6s } }
expect: { outcome: needs_attention, error: { kind: timeout } }";
    passes(chain, fields);
    passes(chain, "mocks: { shop.pay: { takes: 4s } }\nexpect: { outcome: succeeded }");
    passes(
        chain,
        "mocks: { shop.pay: { unknown: { kind: unavailable, message: lost } } }
expect: { outcome: needs_attention, error: lost }",
    );
    // A read is tried again: the third attempt comes in time.
    passes(
        "run(\"shop.look\", #{}, #{ timeout: \"5s\" })",
        "mocks: { shop.look: [{ takes: 6s, times: 2 }, { takes: 1s }] }
expect: { steps: [shop.look: { attempts: 3 }], outcome: succeeded }",
    );
}

#[test]
fn handlers_run_in_their_order_and_branches_in_any() {
    passes(
        "on_exit(|outcome| log(outcome.state));
undo(|error| run(\"shop.look\", #{ item: error.kind }));
undo(|error| run(\"shop.look\", #{ item: \"first\" }));
parallel([|| run(\"shop.pack\", #{ item: 1 }), || run(\"shop.pay\", #{ item: 2 })])",
        "mocks:
  shop.pack: {}
  shop.pay: { fails: { kind: rejected, message: no } }
  shop.look: {}
expect:
  steps:
    - unordered: [shop.pay, shop.pack: { with: { item: 1 } }]
    - shop.look: { with: { item: first } }
    - shop.look: { with: { item: rejected } }
  outcome: failed
  logs: [failed]",
    );
}

#[test]
fn weeks_of_sleep_and_polling_take_no_time() {
    passes(
        "sleep(\"7d\");
poll(\"shop.look\", #{}, |answer| answer.box == 3, #{ every: \"1h\", deadline: \"30d\" });
now()",
        "mocks: { shop.look: [{ result: { box: 0 }, times: 47 }, { result: { box: 3 } }] }
expect: { steps: [shop.look: { attempts: 48 }], result: 2026-01-09T23:00:00Z }",
    );
    let told = one(
        "poll(\"shop.look\", #{}, |answer| answer.box == 3)",
        "mocks: { shop.look: { result: { box: 0 } } }\nexpect: { outcome: succeeded }",
    );
    assert!(told.contains("the chain does not come to an end"), "{told}");
    assert!(told.contains("it stands at shop.look"), "{told}");
}

#[test]
fn a_test_ends_where_its_chain_continues_as_a_new_run() {
    passes(
        "run(\"shop.look\", #{}); sleep(\"1d\"); continue_as(params)",
        "mocks: { shop.look: { result: { box: 0 }, times: 1 } }
expect: { steps: [shop.look], outcome: succeeded }",
    );
}

#[test]
fn a_chain_runs_its_own_steps_unless_it_is_mocked() {
    let chain = "run(\"shop.wrap\", #{ item: params.item })";
    passes(
        chain,
        "mocks: { shop.pack: { result: { box: 4 } } }
expect: { steps: [shop.wrap: { steps: [shop.pack: { with: { item: book } }] }], result: 5 }",
    );
    passes(chain, "mocks: { shop.wrap: { result: 7 } }\nexpect: { steps: [shop.wrap], result: 7 }");
    passes(
        chain,
        "mocks: { shop.wrap: { fails: no box } }
expect: { outcome: failed, error: { kind: child_failed, message: no box } }",
    );
}

#[test]
fn a_chain_that_another_one_runs_is_followed_to_its_last_run() {
    let tests = "- name: it
  event: { type: shop.ordered, data: { item: book } }
  mocks: { shop.pack: [{ result: { box: 1 }, times: 1 }, { result: { box: 5 } }] }
  expect: { steps: [shop.wrap: { steps: [shop.pack, shop.pack] }], result: 5 }
";
    let folder = shop("run(\"shop.wrap\", #{ item: params.item })", tests);
    let wrap = "let n = run(\"shop.pack\", #{ item: params.item }).box;
if n < 3 { sleep(\"1d\"); continue_as(params) }
n";
    write(folder.path(), "actions/wrap.rhai", wrap);
    assert_eq!(told(&folder), "ok it");
}

#[test]
fn the_datastore_is_real_and_begins_as_the_test_says() {
    passes(
        "let n = run(\"datastore.increment\", #{ key: \"orders\" }).value;
run(\"datastore.delete\", #{ key: \"old\" });
run(\"datastore.set\", #{ key: \"last\", value: #{ item: params.item, n: n }, scope: \"global\" });",
        "keys: { orders: 41, old: x }
global_keys: { last: nobody }
expect:
  keys: { orders: 42, old: null }
  global_keys: { last: { item: book } }",
    );
}

#[test]
fn calls_of_the_datastore_fail_where_a_mock_says_so_and_are_real_otherwise() {
    passes(
        r#"
run("datastore.set", #{ key: "kept", value: 1 });
let told = "no";
try { run("datastore.set", #{ key: "lost", value: 1 }); } catch (error) { told = error.kind; }
run("datastore.set", #{ key: "lost", value: 2 });
told"#,
        "mocks: { datastore.set: { with: { key: lost }, fails: { kind: too_large }, times: 1 } }
expect:
  steps: [datastore.set, datastore.set: { attempts: 1 }, datastore.set]
  result: too_large
  keys: { kept: 1, lost: 2 }",
    );
    let told = one("1", "mocks: { datastore.get: { result: { value: 1 } } }\nexpect: {}");
    assert!(told.contains("`datastore.get` answers by itself"), "{told}");
}

#[test]
fn programs_run_for_real_where_a_test_says_so_and_they_may() {
    let chain = "let before = now();
let told = [];
try { run(\"shop.pay\", #{ item: 1 }) } catch (error) { told.push(error.details.exit_code) }
told.push(run(\"shop.pack\", #{ item: params.item }).box);
run(\"shop.look\");
if now() != before { told.push(\"late\") }
told";
    let test = "- name: it
  event: { type: shop.ordered, data: { item: book } }
  mocks:
    shop.pay: { real: true }
    shop.pack: [{ with: { item: pen }, result: { box: 1 } }, { real: true }]
    shop.look: {}
  expect: { steps: [shop.pay, shop.pack, shop.look], result: [9, 7] }
";
    let folder = shop(chain, test);
    let program =
        "#!/bin/sh\nread -r input\nsleep 0.1\ncase $input in *book*) echo '{\"box\": 7}';; esac\n";
    write(folder.path(), "actions/pack.sh", program);
    assert!(told(&folder).contains("that takes `--run-programs`"), "{}", told(&folder));
    let scratch = tempfile::tempdir().unwrap();
    let programs = Real { launcher: support::launcher(), folder: scratch.path().to_owned() };
    let suite = Suite::load_running(folder.path(), &[], Some(&programs));
    assert_eq!(played(&suite), "ok it");
    let refused = one("1", "mocks: { core.echo: { real: true } }\nexpect: {}");
    assert!(refused.contains("`core.echo` is no program of a pack"), "{refused}");
}

#[test]
fn what_a_test_cancels_is_undone_and_must_not_have_ended_before() {
    let chain = "undo(|error| run(\"shop.look\", #{ item: error.kind }));
run(\"shop.pack\", #{ item: 1 });
sleep(\"1d\");
run(\"shop.pay\", #{ item: 2 })";
    let mocks = "mocks: { shop.pack: { takes: 20s }, shop.pay: {}, shop.look: {} }";
    passes(
        chain,
        &format!(
            "{mocks}
cancel: {{ after: 1h, reason: enough }}
expect:
  steps: [shop.pack, shop.look: {{ with: {{ item: cancelled }} }}]
  outcome: cancelled"
        ),
    );
    // A step that is under way has time to settle.
    passes(
        chain,
        &format!(
            "{mocks}
cancel: 10s
expect: {{ steps: [shop.pack: {{ attempts: 1 }}, shop.look], outcome: cancelled }}"
        ),
    );
    check(
        chain,
        &format!("{mocks}\ncancel: 2d\nexpect: {{ outcome: succeeded }}"),
        expect![[r#"
            FAIL it
              tests/ship.yaml:4:11: nothing was left to cancel after 2d
                  it had ended as succeeded"#]],
    );
    let told = one("1", "cancel: 5\nexpect: {}");
    assert!(told.contains("say its unit: 5s"), "{told}");
}

#[test]
fn what_a_chain_emits_is_told_and_starts_nothing() {
    passes(
        "emit(\"shop.ordered\", #{ item: params.item + \"s\" });\nlog(\"one\");\nlog(\"two\")",
        "expect:
  steps: []
  emits: [{ type: shop.ordered, data: { item: books } }]
  logs: [one, two]",
    );
}

#[test]
fn an_action_can_be_tested_without_an_event_and_data_can_lie_in_a_file() {
    let tests = "
- name: an action
  action: { ref: shop.wrap, parameters: { item: 3 } }
  mocks: { shop.pack: { result: { box: 4 } } }
  expect: { steps: [shop.pack: { with: { item: 3 } }], result: 5 }
- name: a file
  event: { type: shop.ordered, data_file: data/order.json }
  mocks: { shop.pack: { with: { item: book } } }
  expect: { rules: [ship], steps: [shop.pack] }
- name: nothing
  event: { type: shop.ordered, data: { item: nothing } }
  expect: { rules: [] }
- name: a rule that fails
  event: { type: shop.ordered, data: { item: odd } }
  expect: { rules: [], rule_errors: { ship: count } }
";
    let folder = shop("run(\"shop.pack\", #{ item: params.item })", tests);
    assert_eq!(told(&folder), "ok an action\nok a file\nok nothing\nok a rule that fails");
}

fn check(chain: &str, fields: &str, expected: Expect) {
    expected.assert_eq(&one(chain, fields));
}

#[test]
fn a_call_without_a_mock_fails_the_test_with_the_nearest_mocks() {
    check(
        "try { run(\"shop.pack\", #{ item: params.item }) } catch { }\nrun(\"shop.pay\", #{ item: 1 })",
        "mocks:
  shop.pack:
    - { with: { item: pen } }
    - { with: { to: { street: x } } }
expect: { outcome: succeeded }",
        expect![[r#"
            FAIL it
              tests/ship.yaml:1:3: no mock answers this call of `shop.pack`
                + shop.pack {"item":"book"}
                  the mock at tests/ship.yaml:5:9 differs: item: expected "pen", found "book"
                  the mock at tests/ship.yaml:6:9 differs: to: expected {"street":"x"}, found nothing
              tests/ship.yaml:1:3: no mock answers this call of `shop.pay`
                + shop.pay {"item":1}
                  add to `mocks`: shop.pay: { result: { … } }"#]],
    );
}

#[test]
fn what_went_otherwise_is_shown_where_it_is_expected() {
    check(
        "run(\"shop.pack\", #{ item: 1 });\nrun(\"shop.look\", #{ item: 2 });\nfail(\"gone\")",
        "mocks: { shop.pack: {}, shop.look: {} }
expect:
  rules: []
  steps: [shop.pack: { with: { item: 3 } }, shop.pay]
  outcome: succeeded
  result: { box: 1 }
  emits: [shop.ordered]
  logs: [packed]
  keys: { last: 1 }",
        expect![[r#"
            FAIL it
              tests/ship.yaml:5:5: other rules select the event than expected
                - []
                + [ship]
              tests/ship.yaml:7:5: another outcome
                - succeeded
                + failed
                  gone (failed)
              tests/ship.yaml:6:5: other steps
                  shop.pack
                    item: expected 3, found 1
                - shop.pay
                + shop.look {"item":2}
              tests/ship.yaml:9:5: other events are emitted
                - shop.ordered
              tests/ship.yaml:10:5: a line is not logged
                - packed
              tests/ship.yaml:11:13: the key `last` is not there
                - 1"#]],
    );
}

#[test]
fn a_failure_that_the_test_does_not_expect_fails_it() {
    check(
        "fail(\"gone\")",
        "expect: { rules: [ship] }",
        expect![[r#"
            FAIL it
              tests/ship.yaml:3:11: it ends as failed and the test does not say so
                  gone (failed)"#]],
    );
    let tests = "- name: it\n  event: { type: shop.ordered, data: { item: odd } }\n  expect: { rules: [ship] }\n";
    expect![[r#"
        FAIL it
          tests/ship.yaml:3:13: no rule selects the event
            - [ship]
            + []
              shop.ship: error
                ✓ type shop.ordered: found shop.ordered
                ✓ trigger.item ne "nothing": found "odd"
                ! when trigger.item != "odd" || trigger.count > 1
                  when: missing property `count`: use get(…, "count", default) where it may be absent (rules/ship.yaml:3:40)
                action shop.ship
          tests/ship.yaml:3:13: the rule `ship` fails on the event
            + when: missing property `count`: use get(…, "count", default) where it may be absent (rules/ship.yaml:3:40)"#]]
    .assert_eq(&told(&shop("1", tests)));
}
