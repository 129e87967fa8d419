//! What client commands print against a running server, word for word. What differs from run to
//! run (ids, times, hashes, ports) is replaced by something of the same length.
//! `UPDATE_EXPECT=1 cargo test -p tripline-cli --test server_output` rewrites the transcripts.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fmt::Write;
use std::io::Read;
use std::process::Stdio;

use expect_test::expect_file;
use serde_json::json;
use support::World;

/// A pack with one of everything.
fn shop() -> World {
    let world = World::new();
    let pack = |name: &str, text: &str| world.write(&format!("packs/shop/{name}"), text);
    pack(
        "pack.yaml",
        "name: shop\nversion: 1.0.0\ndescription: A shop\n\
         permissions: { exec: true, actions: [core.*], secrets: ['env:SHOP_HOOK'] }\n",
    );
    pack("triggers/ordered.yaml", "payload: { item: { type: string, required: true } }\n");
    pack(
        "sensors/hook.yaml",
        "type: webhook\nparameters:\n  secrets: [{ env: SHOP_HOOK }]\n  \
         signature: { header: X-Signature, encoding: hex, prefix: '', signed: '{body}' }\n",
    );
    pack(
        "rules/ship.yaml",
        "description: Ships what was ordered\ntrigger: { type: shop.ordered }\n\
         criteria: { trigger.item: { ne: nothing } }\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.item}' } }\n",
    );
    pack(
        "rules/count.yaml",
        "trigger: { type: shop.ordered }\nwhen: trigger.amount > 5\naction: { ref: core.noop }\n",
    );
    pack(
        "rules/tidy.yaml",
        "trigger: { type: timer.cron, parameters: { cron: '0 3 1 1 *' } }\n\
         action: { ref: core.noop }\n",
    );
    pack(
        "actions/ship.yaml",
        "description: Packs and ships\nentry_point: ship.rhai\n\
         parameters: { item: { type: string, required: true } }\n",
    );
    pack(
        "actions/ship.rhai",
        "log(\"shipping \" + params.item);\nlet box = run(\"shop.pack\", #{ item: params.item });\n\
         if params.item == \"odd\" { box.size.width }\nbox\n",
    );
    pack(
        "actions/pack.yaml",
        "description: Packs\nentry_point: pack.sh\n\
         parameters: { item: { type: string, required: true } }\n\
         result: { box: { type: integer }, text: { type: string } }\n",
    );
    pack(
        "actions/pack.sh",
        "#!/bin/sh\ninput=$(cat)\necho \"packing $input\" >&2\ncase $input in\n\
         *broken*) exit 3;;\n*lost*) kill -9 $$;;\n*latin*) printf 'caf\\351'; exit 0;;\nesac\n\
         echo '{\"box\": 7}'\n",
    );
    world.write("packs/torn/pack.yaml", "name: torn\nversion: 1.0.0\n");
    world
        .write("packs/torn/rules/a.yaml", "trigger: { type: shop.ordred }\naction: { ref: a.b }\n");
    world
}

/// Commands and what they printed, as a person saw them.
struct Transcript<'a> {
    world: &'a World,
    text: String,
}

impl<'a> Transcript<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, text: String::new() }
    }

    /// Runs `line`, whose words are divided by spaces.
    fn run(&mut self, line: &str) {
        let done = self.world.run(&line.split(' ').collect::<Vec<_>>());
        writeln!(self.text, "$ tripline {line}").unwrap();
        if done.code != 0 {
            writeln!(self.text, "? {}", done.code).unwrap();
        }
        self.text.push_str(&done.stdout);
        self.text.push_str(&done.stderr);
        self.text.push('\n');
    }

    fn end(self) -> String {
        // Where the log stands depends on what else was stored meanwhile.
        let lines = self.text.lines().map(|line| match line.split_once("position: ") {
            Some((before, _)) => format!("{before}position: 1\n"),
            None => format!("{line}\n"),
        });
        steady(&lines.collect::<String>())
    }
}

/// `text` with what differs from run to run replaced.
fn steady(text: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let of_a_word = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let mut steady = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(of_a_word) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !of_a_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        steady.push_str(before);
        steady.push_str(&replaced(word, &mut known));
        rest = after;
    }
    steady + rest
}

fn replaced(word: &str, known: &mut Vec<String>) -> String {
    let (bare, end) = match word.strip_suffix([':', '.']) {
        Some(bare) => (bare, &word[bare.len()..]),
        None => (word, ""),
    };
    let hex = bare.bytes().all(|b| b.is_ascii_hexdigit());
    // Of time, as in `12ms`, `1.2s` and `1m3s`.
    let length = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b".mh".contains(&b))
    };
    let new = if bare.len() == 29 && (bare.starts_with("ex_") || bare.starts_with("ev_")) {
        let n = known.iter().position(|id| id == bare).unwrap_or_else(|| {
            known.push(bare.to_owned());
            known.len() - 1
        });
        format!(
            "{}{}",
            &bare[..3],
            char::from(b'a' + u8::try_from(n).unwrap()).to_string().repeat(26)
        )
    } else if bare.len() == 26 && bare.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')) {
        "0".repeat(26)
    } else if bare.starts_with("tripline:") {
        "tripline:main".to_owned()
    } else if bare.len() >= 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T' {
        "2026-01-02T03:04:05Z".to_owned()
    } else if hex && [12, 16, 26, 64].contains(&bare.len()) {
        "0".repeat(bare.len())
    } else if bare.strip_suffix('s').is_some_and(length) {
        "1ms".to_owned()
    } else if bare.starts_with("127.0.0.1:") {
        "127.0.0.1:7410".to_owned()
    } else {
        bare.to_owned()
    };
    new + end
}

#[test]
fn every_noun_is_listed_and_shown() {
    let world = shop().with_variable("SHOP_HOOK", "a secret of a shop");
    let _server = world.serve();
    let mut told = Transcript::new(&world);
    for noun in
        ["rule", "trigger", "action", "sensor", "timer", "pack", "event", "execution", "key"]
    {
        // The engine tells of itself when it gets to it.
        let only = if noun == "event" { " --type shop.ordered" } else { "" };
        told.run(&format!("{noun} list{only}"));
    }
    for one in [
        "rule get shop.ship",
        "trigger get shop.ordered",
        "action get shop.ship",
        "action get shop.ship -o json",
        "sensor get shop.hook",
        "sensor get shop/hook -o json",
        "pack get shop",
        "pack get torn",
        "pack list -o json",
        "rule list -o yaml",
    ] {
        told.run(one);
    }
    expect_file!["transcripts/nouns.txt"].assert_eq(&told.end());
}

#[test]
fn what_is_not_there_is_wrong_use_and_says_what_may_have_been_meant() {
    let world = shop();
    let _server = world.serve();
    let mut told = Transcript::new(&world);
    for line in [
        "rule get shop.shp",
        "rule enable shop.shp",
        "trigger get shop.orderd",
        "action get core.ech",
        "sensor get shop.hok",
        "sensor restart shop.hok",
        "pack get shp",
        "key get shop/nothing",
        "key delete shop/nothing",
        "key set shop 1",
        "event get ev_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "event emit shop.orderd",
        "event emit shop.ordered",
        "event emit shop.ordered --id ",
        "execution get ex_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "execution cancel ex_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "execution watch ex_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "run core.ech",
        "run shop.ship",
        "run shop.ship item",
        "rule list --server garbage",
        "rule list --token wrong",
        "timer list --count many",
        "execution list --since yesterday",
        "execution list --limit 0",
    ] {
        told.run(line);
    }
    expect_file!["transcripts/slips.txt"].assert_eq(&told.end());
}

#[test]
fn an_order_is_followed_from_its_event_to_its_end() {
    let world = shop();
    let _server = world.serve();
    let order = |item: &str| world.emit("shop.ordered", &json!({ "item": item })).remove(0);
    let ids = ["bike", "broken", "odd", "lost", "latin"].map(order);
    let [bike, broken, odd, lost, latin] = &ids;
    for id in &ids {
        world.reaches(id, &["succeeded", "failed", "needs_attention"]);
    }
    let event = world.execution(bike)["origin"]["rule"]["event"].as_str().unwrap().to_owned();
    let mut told = Transcript::new(&world);
    told.run("execution list");
    told.run("execution list --states failed");
    told.run("event list --type shop.ordered");
    told.run(&format!("event get {event}"));
    for id in &ids {
        told.run(&format!("execution get {id}"));
    }
    told.run(&format!("execution logs {broken}"));
    told.run(&format!("execution logs {latin}"));
    told.run(&format!("execution cancel {odd}"));
    told.run(&format!("execution resolve {bike} --retry"));
    told.run(&format!("execution resolve {lost} --fail gone"));
    world.reaches(lost, &["failed"]);
    told.run(&format!("execution watch {lost}"));
    told.run(&format!("rule explain {event}"));
    told.run(&format!("rule explain {event} --all"));
    told.run(&format!("rule explain {event} shop.ship --now"));
    told.run("rule disable shop.ship");
    told.run("rule enable shop.ship");
    told.run("rule clear shop.ship");
    expect_file!["transcripts/order.txt"].assert_eq(&told.end());
}

/// What a command prints where its stdout and stderr are a terminal.
fn on_a_terminal(world: &World, arguments: &[&str], no_color: Option<&str>) -> String {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = world.client(arguments);
    match no_color {
        Some(value) => command.env("NO_COLOR", value),
        None => command.env_remove("NO_COLOR"),
    };
    let side = || Stdio::from(terminal.slave.try_clone().unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(side()).stderr(side()).spawn().unwrap();
    drop(command);
    drop(terminal.slave);
    let mut printed = Vec::new();
    // The end of a terminal nobody writes to any more is an error of its own.
    let _ = std::fs::File::from(terminal.master).read_to_end(&mut printed);
    child.wait().unwrap();
    String::from_utf8(printed).unwrap()
}

#[test]
fn colour_is_only_on_a_terminal_and_only_where_it_is_wanted() {
    let world = shop();
    let check = ["check", "packs"];
    let coloured = |text: &str| text.contains('\u{1b}');
    let plain = on_a_terminal(&world, &check, Some("1"));
    assert!(plain.contains("there is no trigger type") && !coloured(&plain), "{plain}");
    for no_color in [None, Some("")] {
        let told = on_a_terminal(&world, &check, no_color);
        assert!(coloured(&told), "{told}");
    }
    let failed = on_a_terminal(&world, &["rule", "list"], None);
    assert!(coloured(&failed) && failed.contains("no server runs"), "{failed}");
    let mut piped = world.client(&check);
    let output = piped.env_remove("NO_COLOR").output().unwrap();
    assert!(!coloured(&String::from_utf8(output.stdout).unwrap()));
}

#[test]
fn a_completion_script_is_one_that_its_shell_can_read() {
    let world = World::new();
    for (shell, word) in [
        ("bash", "tripline__subcmd__rule__subcmd__explain"),
        ("zsh", "_tripline__subcmd__rule__subcmd__explain_commands"),
        ("fish", "__fish_tripline_using_subcommand rule"),
        ("elvish", "tripline;rule;explain"),
        ("powershell", "tripline;rule;explain"),
    ] {
        let script = world.run(&["completion", shell]).succeeded().stdout;
        assert!(script.contains(word), "{shell}\n{script}");
    }
    let script = world.run(&["completion", "bash"]).succeeded().stdout;
    world.write("completion.bash", &script);
    let mut bash = std::process::Command::new("bash");
    let read = bash.arg("-n").arg(world.path("completion.bash")).status().unwrap();
    assert!(read.success());
}
