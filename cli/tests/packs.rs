//! What is done with packs without a server: made, tested, documented; and the shipped ones.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use serde_json::Value;
use tempfile::TempDir;

/// What a command printed, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: i32,
}

/// Runs `tripline` in a folder.
fn tripline(folder: &Path, args: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Said {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

impl Said {
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The folder of the repository.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_tests_of_the_packs_in_this_repository_pass_and_reach_all_of_them() {
    let packs = ["packs/demo", "packs/deploy", "examples/cluster/packs/reload"];
    let args = [&["pack", "test"][..], &packs, &["--min-coverage", "100"]].concat();
    tripline(repository(), &args).ended(0);
    let example = repository().join("examples/cluster");
    let args = ["check", "packs", "--environment", "environments/cluster.yaml"];
    tripline(&example, &args).ended(0);
}

#[test]
fn what_no_test_can_reach_and_where_no_report_can_go_is_refused() {
    for refused in [["--min-coverage", "101"], ["--lcov", "-"], ["--junit", "-"]] {
        let args = [&["pack", "test", "packs/demo"][..], &refused].concat();
        tripline(repository(), &args).ended(2);
    }
}

#[test]
fn a_new_pack_checks_clean_passes_its_tests_and_reaches_all_of_itself() {
    let folder = TempDir::new().unwrap();
    let made = tripline(folder.path(), &["pack", "new", "web", "--dir", "packs"]).ended(0);
    assert!(made.stdout.contains("tripline pack test packs/web"), "{}", made.stdout);
    let checked = tripline(folder.path(), &["check", "packs"]).ended(0);
    assert_eq!(checked.stdout, "0 errors, 0 warnings\n");
    let tested = tripline(folder.path(), &["pack", "test", "packs", "--coverage"]).ended(0);
    assert!(tested.stdout.contains("3 passed, 0 failed"), "{}", tested.stdout);
    assert!(tested.stdout.contains("100 %    8   web in all"), "{}", tested.stdout);
    let again = tripline(folder.path(), &["pack", "new", "web", "--dir", "packs"]).ended(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let reserved = tripline(folder.path(), &["pack", "new", "git"]).ended(2);
    assert!(reserved.stderr.contains("prefix of what is built in"), "{}", reserved.stderr);
}

#[test]
fn reports_for_programs_and_build_servers_say_what_failed_and_where() {
    let folder = TempDir::new().unwrap();
    tripline(folder.path(), &["pack", "new", "web"]).ended(0);
    let tests = "- name: a <wrong> \"one\"\n  action: { ref: core.noop }\n  expect: { steps: [core.echo] }\n";
    write(folder.path(), "web/tests/wrong.yaml", tests);
    let args = ["pack", "test", "web", "--filter", "wrong", "--junit", "report.xml", "-o", "json"];
    let said = tripline(folder.path(), &args).ended(1).json();
    assert_eq!((said["passed"].as_u64(), said["failed"].as_u64()), (Some(0), Some(1)));
    let misfit = &said["packs"][0]["tests"][0]["misfits"][0];
    assert_eq!(
        (misfit["file"].as_str(), misfit["line"].as_u64()),
        (Some("web/tests/wrong.yaml"), Some(3))
    );
    let report = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    let mut plain = String::new();
    for part in report.split_inclusive("time=\"") {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        plain += if plain.ends_with("time=\"") { rest } else { part };
    }
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="web/tests/wrong.yaml" tests="1" failures="1" errors="0" time="">
            <testcase classname="web" name="a &lt;wrong&gt; &quot;one&quot;" file="web/tests/wrong.yaml" line="1" time="">
              <failure message="other steps">web/tests/wrong.yaml:3:13: other steps
        - core.echo
        + core.noop {}
        </failure>
            </testcase>
          </testsuite>
        </testsuites>
    "#]]
    .assert_eq(&plain);
    tripline(folder.path(), &["pack", "test", "web", "--lcov", "lcov.info"]).ended(1);
    let lcov = fs::read_to_string(folder.path().join("lcov.info")).unwrap();
    assert!(lcov.contains("SF:web/actions/greet.rhai\nDA:2,1\n"), "{lcov}");
}

#[test]
fn programs_of_tests_run_where_the_command_allows_it_and_leave_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let pack = folder.path().join("shop");
    write(&pack, "pack.yaml", "name: shop\nversion: 1.0.0\npermissions: { exec: true }\n");
    write(&pack, "actions/add.yaml", "entry_point: add.sh\neffect: read\nparameters: { n: {} }\n");
    write(&pack, "actions/add.sh", "#!/bin/sh\necho ran >&2\necho '{\"n\": 3}'\n");
    let program = pack.join("actions/add.sh");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    write(
        &pack,
        "tests/add.yaml",
        "- name: it adds\n  action: { ref: shop.add, parameters: { n: 2 } }\n  \
         mocks: { shop.add: { real: true } }\n  expect: { result: { n: 3 } }\n",
    );
    let refused = tripline(folder.path(), &["pack", "test", "shop"]).ended(1);
    assert!(refused.stdout.contains("that takes `--run-programs`"), "{}", refused.stdout);
    tripline(folder.path(), &["pack", "test", "shop", "--run-programs"]).ended(0);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(left, [pack]);
}

#[test]
fn there_being_nothing_to_test_is_wrong_use() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "web/pack.yaml", "name: web\nversion: 1.0.0\n");
    for (args, told) in [
        (vec!["pack", "test", "web"], "there are no tests here"),
        (vec!["pack", "test", "."], "there are no tests here"),
        (vec!["pack", "test", "gone"], "No such file"),
        (vec!["pack", "test", "web/pack.yaml"], "is no file of a pack's tests"),
    ] {
        let said = tripline(folder.path(), &args).ended(2);
        assert!(said.stderr.contains(told), "{args:?}: {}", said.stderr);
    }
    tripline(folder.path(), &["pack", "new", "shop"]).ended(0);
    let said = tripline(folder.path(), &["pack", "test", "shop", "--filter", "moon"]).ended(2);
    assert!(said.stderr.contains("none of 3 tests"), "{}", said.stderr);
    let listed = tripline(folder.path(), &["pack", "test", "shop", "--list"]).ended(0);
    assert!(
        listed.stdout.starts_with("shop/tests/greet.yaml:1  whoever arrives"),
        "{}",
        listed.stdout
    );
}

#[test]
fn an_unmet_requirement_is_told_with_what_is_there() {
    let folder = TempDir::new().unwrap();
    let uses = "name: web\nversion: 1.0.0\nrequires: { packs: { base: '>=2' } }\npermissions: { actions: [base.go] }\n";
    write(folder.path(), "packs/web/pack.yaml", uses);
    write(folder.path(), "packs/web/actions/go.yaml", "entry_point: go.rhai\n");
    write(folder.path(), "packs/web/actions/go.rhai", "run(\"base.go\")\n");
    let test = "- name: it\n  action: { ref: web.go }\n  expect: { steps: [base.go: { steps: [core.noop] }] }\n";
    write(folder.path(), "packs/web/tests/go.yaml", test);
    let missing = tripline(folder.path(), &["check", "packs/web"]).ended(1);
    assert!(
        missing.stdout.contains("the pack needs `base`, which is not here"),
        "{}",
        missing.stdout
    );
    write(folder.path(), "packs/base/actions/go.yaml", "entry_point: go.rhai\n");
    write(folder.path(), "packs/base/actions/go.rhai", "run(\"core.noop\")\n");
    write(
        folder.path(),
        "packs/base/pack.yaml",
        "name: base\nversion: 1.9.0\npermissions: { actions: [core.*] }\n",
    );
    let old = tripline(folder.path(), &["check", "packs"]).ended(1);
    assert!(old.stdout.contains("the pack needs `base` >=2, this is 1.9.0"), "{}", old.stdout);
    // One that is beside it need not be named.
    write(
        folder.path(),
        "packs/base/pack.yaml",
        "name: base\nversion: 2.1.0\npermissions: { actions: [core.*] }\n",
    );
    tripline(folder.path(), &["check", "packs/web"]).ended(0);
    tripline(folder.path(), &["pack", "test", "packs/web"]).ended(0);
}

#[test]
fn a_page_about_a_pack_is_made_of_its_files_and_checked() {
    let folder = TempDir::new().unwrap();
    tripline(folder.path(), &["pack", "new", "web"]).ended(0);
    tripline(folder.path(), &["pack", "docs", "web", "--file", "web.md"]).ended(0);
    tripline(folder.path(), &["pack", "docs", "web", "--file", "web.md", "--check"]).ended(0);
    let page = fs::read_to_string(folder.path().join("web.md")).unwrap();
    expect![[r#"
        # Pack `web`

        What this pack is for, in a sentence

        Version 0.1.0.

        ## Configuration

        | name | type | | what |
        |---|---|---|---|
        | `greeting` | string | default `Hello` | How people are greeted |

        ## Permissions

        - actions: `datastore.*`
        - runs programs on the server

        ## Triggers

        ### `web.arrived`

        Somebody arrived

        | name | type | | what |
        |---|---|---|---|
        | `name` | string | required |  |

        ## Rules

        ### `greet_arrivals`

        Whoever arrives is greeted

        - when `web.arrived` happens
        - and `trigger.name` matches `\S`
        - then `web.greet` runs with `name`, `greeting`

        ## Actions

        ### `web.greet`

        Greets somebody and counts the greetings

        A chain.

        Parameters:

        | name | type | | what |
        |---|---|---|---|
        | `greeting` | string | default `Hello` |  |
        | `name` | string | required | Who is greeted |

        Result:

        | name | type | | what |
        |---|---|---|---|
        | `count` | integer |  |  |
        | `text` | string |  |  |

        ### `web.say`

        Says a text; replace it by a program of yours

        A program, effect `idempotent`, an attempt at most 30s.

        Parameters:

        | name | type | | what |
        |---|---|---|---|
        | `text` | string | required |  |

        Result:

        | name | type | | what |
        |---|---|---|---|
        | `text` | string |  |  |
    "#]]
    .assert_eq(&page);
    write(folder.path(), "web.md", "old");
    let old =
        tripline(folder.path(), &["pack", "docs", "web", "--file", "web.md", "--check"]).ended(1);
    assert!(old.stdout.contains("is not the page of web"), "{}", old.stdout);
}

#[test]
fn check_without_a_path_checks_what_a_server_would_load() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let nothing = tripline(folder.path(), &["check"]).ended(2).stderr;
    assert!(nothing.contains("there is no folder of packs packs"), "{nothing}");
    assert!(nothing.contains("tripline check PATH"), "{nothing}");
    write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
    let whole = tripline(folder.path(), &["check"]).ended(0).stdout;
    assert_eq!(whole, "0 errors, 0 warnings\n");
    write("tripline.yaml", "packs: [ours, builtin:deploy]\nenvironment: dev.yaml\n");
    write("ours/shop/pack.yaml", "name: shop\nversion: 1.0.0\n");
    write(
        "ours/shop/rules/broken.yaml",
        "trigger: { type: git.psh }\naction: { ref: core.noop }\n",
    );
    write("dev.yaml", "packs: { web: {} }\n");
    let broken = tripline(folder.path(), &["check"]).ended(1).stdout;
    for told in ["there is no trigger type `git.psh`", "at ours/shop/rules/broken.yaml:1:18"] {
        assert!(broken.contains(told), "{broken}");
    }
    assert!(broken.contains("there is no pack `web` here"), "of the environment: {broken}");
    let elsewhere = TempDir::new().unwrap();
    let config = folder.path().join("tripline.yaml");
    let named = tripline(elsewhere.path(), &["check", "--config", config.to_str().unwrap()]);
    assert!(named.ended(1).stdout.contains("git.psh"));
    let shipped = tripline(elsewhere.path(), &["check", "builtin:deploy"]).ended(0);
    assert_eq!(shipped.stdout, "0 errors, 0 warnings\n");
    let unknown = tripline(elsewhere.path(), &["check", "builtin:deplyo"]).ended(1).stdout;
    assert!(unknown.contains("no such pack ships with Tripline"), "{unknown}");
}
