//! An environment that is broken, or does not fit: what the log says, and of whom.

use crate::files::{PATIENCE, chain, pack, world};
use crate::support::{World, eventually};

/// The lines of the log that hold this.
fn told(world: &World, part: &str) -> Vec<String> {
    world.read("server.log").lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

#[test]
fn a_broken_file_is_one_line_of_the_log_that_blames_no_pack() {
    let world = world();
    chain(&world, "greet", "\"hello\"");
    world.write("tripline.yaml", "environment: dev.yaml\n");
    world.write("dev.yaml", "packs: { p: {} }\n");
    let _server = world.serve();
    world.write("dev.yaml", "packs: { p: { confg: {} } }\n");
    let state = || world.json(&["pack", "list"])[0]["state"].clone();
    eventually(PATIENCE, || (state() == "stale").then_some(()));
    let lines = told(&world, "confg");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("the environment's file is refused"), "{lines:?}");
    let finding = "dev.yaml:1:15: unknown field `confg` (did you mean `config`?)";
    assert!(lines[0].contains(finding), "{lines:?}");
    assert_eq!(told(&world, "the pack's files are refused"), [""; 0]);
}

#[test]
fn what_does_not_fit_a_pack_is_the_environments_doing_and_what_is_wrong_in_its_files_its_own() {
    let world = world();
    chain(&world, "greet", "\"hello\"");
    let manifest = world.read("packs/p/pack.yaml");
    let schema = "config_schema: { team: { type: string } }\n";
    pack(&world, "pack.yaml", &format!("{manifest}{schema}"));
    world.write("tripline.yaml", "environment: dev.yaml\n");
    world.write("dev.yaml", "packs: { p: { config: { team: a } } }\n");
    let _server = world.serve();
    world.write("dev.yaml", "packs: { p: { config: { team: 7 } } }\n");
    let said = |part: &str| eventually(PATIENCE, || told(&world, part).first().cloned());
    let line = said("the environment does not fit the pack");
    assert!(line.contains("dev.yaml:1:25: ") && line.contains("packs/p"), "{line}");
    world.write("dev.yaml", "packs: { p: { config: { team: a } } }\n");
    chain(&world, "greet", "let x = ;");
    let line = said("the pack's files are refused");
    assert!(line.contains("greet.rhai:1:") && !line.contains(" more: "), "{line}");
    chain(&world, "hail", "let y = ;");
    let line = said("; and 1 more: tripline check ");
    let (_, folder) = line.split_once("tripline check ").unwrap();
    let folder = folder.split(['"', ' ']).next().unwrap();
    let check = world.run(&["check", folder]).ended(1);
    assert!(
        check.stdout.contains("hail.rhai:1:") || check.stderr.contains("hail.rhai:1:"),
        "{check:?}"
    );
    let log = world.read("server.log");
    let stray: Vec<_> = log.lines().filter(|line| line.trim_start().starts_with("at ")).collect();
    assert!(stray.is_empty(), "a finding has one line: {stray:?}");
}
