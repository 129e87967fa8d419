//! What a backup leaves out, what it brings back, and whether that is what was put there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::files::{note, open_gates, start, world};
use crate::support::World;

/// The backup `it.tar` as the state folder `new`; what the restore said.
fn restored(world: &World) -> String {
    let said = world.run(&["restore", "it.tar", "--state", "new"]).succeeded();
    format!("{}{}", said.stdout, said.stderr)
}

#[test]
fn tokens_that_a_backup_brings_back_are_listed_until_they_are_revoked() {
    let world = world();
    let server = world.serve();
    for (name, flags) in [
        ("ann", &["--role", "viewer"][..]),
        ("bob", &["--role", "operator", "--pack", "web_*", "--pack", "shop"]),
        ("cleo", &["--role", "viewer"]),
    ] {
        world.run(&[&["token", "create", name], flags].concat()).succeeded();
    }
    world.run(&["token", "revoke", "cleo"]).succeeded();
    world.run(&["backup", "it.tar"]).succeeded();
    world.run(&["token", "revoke", "ann"]).succeeded();
    world.run(&["token", "create", "dan", "--role", "viewer"]).succeeded();
    server.stop();
    fs::rename(world.path("state"), world.path("lost")).unwrap();
    let said = world.run(&["restore", "it.tar"]).succeeded().stdout;
    let examined = world.run(&["doctor"]).succeeded().stdout;
    for told in [&said, &examined] {
        assert!(told.contains("ann (viewer, made 2"), "{told}");
        assert!(told.contains("bob (operator of `web_*`, `shop`, made 2"), "{told}");
        assert!(told.contains("tripline token revoke NAME"), "{told}");
        assert!(!told.contains("cleo") && !told.contains("dan"), "{told}");
    }
    let server = world.serve();
    world.run(&["token", "create", "eve", "--role", "viewer"]).succeeded();
    world.run(&["token", "revoke", "ann"]).succeeded();
    let examined = world.run(&["doctor"]).succeeded().stdout;
    assert!(examined.contains("bob (") && !examined.contains("ann ("), "{examined}");
    assert!(!examined.contains("eve"), "made since: {examined}");
    world.run(&["token", "revoke", "bob"]).succeeded();
    let examined = world.run(&["doctor"]).succeeded().stdout;
    assert!(!examined.contains("bob"), "{examined}");
    server.stop();
}

#[test]
fn what_a_backup_cannot_hold_is_told_when_it_is_made_and_when_it_is_restored() {
    let world = world();
    let server = world.serve();
    world.write("state/exports/app/plain.txt", "here");
    symlink("plain.txt", world.path("state/exports/app/link.txt")).unwrap();
    let odd = OsStr::from_bytes(b"odd-\xff.txt");
    fs::write(world.path("state/exports/app").join(odd), "odd").unwrap();
    let told = world.run(&["backup", "it.tar"]).succeeded().stderr;
    for word in [
        "warning: 2 left out of the backup",
        "exports/app/link.txt (a link)",
        "exports/app/odd-\u{fffd}.txt (its name is not UTF-8)",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(server.log().contains("2 left out of the backup"), "{}", server.log());
    assert_eq!(world.json(&["backup", "it.tar"])["manifest"]["left_out"]["count"], 2);
    let piped = String::from_utf8(world.client(&["backup", "-"]).output().unwrap().stderr).unwrap();
    assert!(piped.contains("2 left out of the backup"), "{piped}");
    let told = restored(&world);
    assert!(told.contains("2 left out of the backup") && told.contains("link.txt"), "{told}");
    assert_eq!(world.read("new/exports/app/plain.txt"), "here");
    fs::remove_dir_all(world.path("state/exports/app")).unwrap();
    let told = world.run(&["backup", "it.tar"]).succeeded().stderr;
    assert!(!told.contains("left out"), "{told}");
    server.stop();
}

#[test]
fn a_copy_of_a_pack_that_was_changed_is_found_by_doctor_and_by_a_restore() {
    let world = world();
    note(&world);
    let server = world.serve();
    open_gates(&world);
    world.reaches(&start(&world, "p.note"), &["succeeded"]);
    let copies = fs::read_dir(world.path("state/packs")).unwrap().flatten();
    let copies: Vec<PathBuf> = copies.map(|copy| copy.path()).collect();
    let [copy] = &copies[..] else { panic!("{copies:?}") };
    fs::create_dir(copy.join("__pycache__")).unwrap();
    fs::write(copy.join("__pycache__/tool.pyc"), "compiled").unwrap();
    let whole = world.run(&["doctor"]).succeeded().stdout;
    assert!(whole.contains("are whole"), "{whole}");
    fs::write(copy.join("actions/note.sh"), "#!/bin/sh\ntouch /tmp/other\n").unwrap();
    let hash = copy.file_name().unwrap().to_str().unwrap();
    let found = format!("error: the pack's content {hash} is not what was put there");
    let examined = world.run(&["doctor"]).ended(1).stdout;
    assert!(examined.contains(&found), "{examined}");
    assert!(examined.contains("the files of `p` there were changed"), "{examined}");
    world.run(&["backup", "it.tar"]).succeeded();
    let told = restored(&world);
    assert!(told.contains(&found) && told.contains("remove that folder"), "{told}");
    // As it says: the next start copies the pack there again.
    server.stop();
    fs::remove_dir_all(copy).unwrap();
    let server = world.serve();
    world.reaches(&start(&world, "p.note"), &["succeeded"]);
    world.run(&["doctor"]).succeeded();
    server.stop();
}
