//! The lab's programs are built once, whoever else builds them at the same time.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab::until;

/// In place of Go: writes down what it builds, and builds nothing before it may.
const GO: &str = r#"#!/bin/sh
while [ "$1" != -o ]; do shift; done
case "$3" in .) echo "$PWD" ;; *) echo "$3" ;; esac >> "$LAB_TEST/built"
until [ -e "$LAB_TEST/go" ]; do sleep 0.05; done
touch "$2"
"#;

fn lab(folder: &Path, path: &str) -> Child {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_tripline-lab"));
    lab.env("TRIPLINE_LAB", folder.join("cache")).env("LAB_TEST", folder).env("PATH", path);
    lab.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether this process waits for a lock on a file.
fn waits(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let pid = pid.to_string();
    locks.lines().any(|lock| lock.contains("->") && lock.split_whitespace().any(|w| w == pid))
}

#[tokio::test]
async fn two_who_build_at_once_build_each_program_once() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("bin/go");
    fs::create_dir(go.parent().unwrap()).unwrap();
    fs::write(&go, GO).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", go.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let built = || fs::read_to_string(folder.path().join("built")).unwrap_or_default();

    let first = lab(folder.path(), &path);
    until("the first builds", async || (!built().is_empty()).then_some(())).await.unwrap();
    let second = lab(folder.path(), &path);
    let waiting = async || waits(second.id()).then_some(());
    until("the second waits for the first", waiting).await.unwrap();
    fs::write(folder.path().join("go"), "").unwrap();
    for lab in [first, second] {
        let done = lab.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let packages: Vec<String> = built().lines().map(str::to_owned).collect();
    let mut once = packages.clone();
    once.sort();
    once.dedup();
    assert_eq!(packages.len(), once.len(), "{packages:?}");
    assert!(once.iter().any(|package| package.ends_with("kube-apiserver")), "{packages:?}");
}

#[test]
fn without_go_it_is_said_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let done = lab(folder.path(), "").wait_with_output().unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("Go is not installed"), "{said}");
    assert!(said.contains("make test LAB=0"), "{said}");
}
