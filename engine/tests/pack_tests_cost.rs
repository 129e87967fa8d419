//! What tests of packs ask of the machine. This is the only test of its program: what is counted is the
//! whole process's.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;

use engine::packtest::Suite;
use tempfile::TempDir;

const CHAIN: &str = "\
undo(|error| run(\"p.look\"));
let n = run(\"datastore.increment\", #{ key: \"orders\" }).value;
parallel([|| run(\"p.look\"), || run(\"core.echo\", #{ value: n })]);
sleep(\"7d\");
run(\"p.look\")
";

/// A pack with so many tests of one rule and one chain.
fn pack(tests: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let one = |n: usize| {
        format!(
            "- name: test {n}\n  event: {{ type: p.ordered, data: {{}} }}\n  mocks: {{ p.look: {{ takes: 1s }} }}\n  \
             expect: {{ rules: [go], steps: [datastore.increment, unordered: [p.look, core.echo], p.look] }}\n"
        )
    };
    let all: String = (0..tests).map(one).collect();
    for (name, text) in [
        ("pack.yaml", "name: p\nversion: 1.0.0\npermissions: { actions: ['*'] }\n"),
        ("triggers/ordered.yaml", "payload: {}\n"),
        ("rules/go.yaml", "trigger: { type: p.ordered }\naction: { ref: p.go }\n"),
        ("actions/go.yaml", "entry_point: go.rhai\n"),
        ("actions/go.rhai", CHAIN),
        ("actions/look.yaml", "entry_point: look.rhai\n"),
        ("actions/look.rhai", "1\n"),
        ("tests/go.yaml", all.as_str()),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Reads and writes that this process has asked the system for, sockets included.
fn asked() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap();
    let of = |name: &str| {
        let line = counters.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    of("syscr:") + of("syscw:")
}

#[test]
fn a_hundred_tests_of_a_pack_read_and_write_nothing_once_it_is_loaded() {
    let folder = pack(100);
    let suite = Suite::load(folder.path(), &[]);
    assert_eq!((suite.findings.as_slice(), suite.cases.len()), (&[][..], 100));
    let (before, mut passed) = (asked(), 0);
    let played = suite.run(false, |_| true, |_, verdict| passed += usize::from(verdict.passed()));
    played.unwrap();
    let calls = asked() - before;
    assert_eq!(passed, 100);
    // Some for reading the counters, none for each test.
    assert!(calls < 50, "{calls} reads and writes");
}
