//! What programs print and files hold does nothing to the terminal that shows it.

use crate::files::{pack, program, world};

/// Clears the screen, sets the title, rings; and a colour, which does no harm.
const SHOUT: &str = r"printf 'a\033[2J\033]0;b\007\033[31mc\033[0m\r\n\td\n'";
const SHOWN: &str = r"a\x1b[2J\x1b]0;b\x07c";

fn obeys(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

#[test]
fn what_a_program_says_is_shown_and_not_obeyed_and_json_has_it_as_it_was() {
    let world = world();
    program(&world, "shout", "read", &format!("{SHOUT} >&2\nexit 3"));
    let _server = world.serve();
    let failed = world.run(&["run", "p.shout"]).ended(1);
    assert!(failed.stderr.contains("the program exited with 3") && !obeys(&failed.stderr));
    let listed = world.json(&["execution", "list"]);
    let id = listed[0]["id"].as_str().unwrap();
    for command in
        [&["execution", "list"][..], &["execution", "get", id], &["execution", "logs", id]]
    {
        let shown = world.run(command).succeeded().stdout;
        assert!(!obeys(&shown), "{command:?}\n{shown:?}");
    }
    let log = world.run(&["execution", "logs", id]).succeeded().stdout;
    assert!(log.contains(&format!("{SHOWN}\n\td\n")), "{log}");
    let stderr = world.run(&["execution", "get", id]).succeeded().stdout;
    assert!(stderr.contains(SHOWN), "{stderr}");
    let logs = world.json(&["execution", "logs", id]);
    assert!(logs[0]["text"].as_str().unwrap().contains("\u{1b}[31mc\u{1b}[0m"), "{logs}");
}

#[test]
fn a_line_of_a_file_is_shown_and_not_obeyed() {
    let world = world();
    pack(&world, "actions/odd.yaml", "entry_point: odd.rhai\n");
    pack(&world, "actions/odd.rhai", "let a = \"\u{1b}[2J\u{202e}\"; a.b.c(\n");
    let told = world.run(&["check", "packs"]).ended(1).stdout;
    assert!(told.contains(r"\x1b[2J\u{202e}") && !obeys(&told), "{told:?}");
}
