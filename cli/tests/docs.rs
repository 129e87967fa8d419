//! The documentation is true: generated pages are current, and every example is tried as far as it
//! needs no network. `cargo xtask docs` rewrites what is generated.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/examples.rs"]
mod examples;
mod support;

use std::fs;

use examples::{Example, commands, docs, examples, words};
use serde_json::Value;
use support::World;

/// Lies around the generated part of a page.
const BEGIN: &str = "<!-- made by `cargo xtask docs`: begin -->\n\n";
const END: &str = "\n<!-- made by `cargo xtask docs`: end -->\n";

/// Whether `page` holds `made`; with UPDATE_EXPECT set it is made so.
fn check_page(page: &str, text: &str, made: &str) {
    if text == made {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(docs().join(page), made).unwrap();
        return;
    }
    panic!("docs/{page} is not what the code says: run `cargo xtask docs` and read the diff");
}

#[test]
fn generated_pages_are_what_the_code_says() {
    let world = World::new();
    let made = |part: &str| world.run(&["reference", part]).succeeded().stdout;
    let page = docs().join("reference/cli.md");
    check_page("reference/cli.md", &fs::read_to_string(page).unwrap_or_default(), &made("cli"));
    for part in ["actions", "metrics", "triggers"] {
        let page = format!("reference/{part}.md");
        let text = fs::read_to_string(docs().join(&page)).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let made = format!("{before}{BEGIN}{}{END}{after}", made(part));
        check_page(&page, &text, &made);
    }
}

/// `audit list --name` takes these.
#[test]
fn the_page_of_facts_has_every_name_and_no_other() {
    let page = fs::read_to_string(docs().join("reference/facts.md")).unwrap();
    let told = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut told: Vec<&str> = told.collect();
    let mut known = model::Fact::NAMES.to_vec();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
}

#[test]
fn examples_in_yaml_can_be_read() {
    let all = examples();
    let yaml: Vec<&Example> = all.iter().filter(|example| example.language == "yaml").collect();
    assert!(yaml.len() > 10, "{}", yaml.len());
    for example in yaml {
        if let Err(findings) = syntax::parse(&example.place(), &example.text) {
            let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{}\n{}", example.place(), told.join("\n"));
        }
    }
}

/// What says of an example in YAML that it is a file of this kind: what its first line names, else what
/// is in it.
const KINDS: [(&str, &str); 7] = [
    ("tripline.yaml", "config"),
    ("environments/", "environment"),
    ("pack.yaml", "pack"),
    ("sensors/", "sensor"),
    ("triggers/", "trigger"),
    ("rules/", "rule"),
    ("actions/", "action"),
];
/// Files of others, and what a user makes up.
const ELSEWHERE: [&str; 5] =
    ["# prometheus.yml", "groups:", "# web.yaml", "# push.yaml", "apiVersion: rbac."];

fn schemas(world: &World) -> Vec<(&'static str, Value)> {
    let schema = |kind| {
        let text = world.run(&["schema", kind]).succeeded().stdout;
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        // An example may show a part of a file.
        let whole = schema.as_object_mut().unwrap();
        for demand in ["required", "anyOf"] {
            whole.remove(demand);
        }
        schema
    };
    KINDS.map(|(_, kind)| (kind, schema(kind))).to_vec()
}

/// What is wrong with `value` as a file of any kind that it can be; nothing: it is one.
fn misfits(schemas: &[(&str, Value)], first: &str, value: &Value) -> Vec<String> {
    let named = KINDS.iter().find(|(file, _)| first.starts_with("# ") && first.contains(file));
    let has = |schema: &Value| {
        let keys = value.as_object().unwrap().keys();
        keys.into_iter().all(|key| schema["properties"].get(key).is_some())
    };
    let fits = |(kind, schema): &&(&str, Value)| match named {
        Some((_, named)) => kind == named,
        None => has(schema),
    };
    let mut wrong = vec!["no kind of file has these keys".to_owned()];
    for (kind, schema) in schemas.iter().filter(fits) {
        let validator = jsonschema::validator_for(schema).unwrap();
        let errors = validator.iter_errors(value);
        wrong = errors.map(|it| format!("{kind}: {} {it}", it.instance_path())).collect();
        if wrong.is_empty() {
            return wrong;
        }
    }
    wrong
}

#[test]
fn examples_in_yaml_are_what_their_schemas_say() {
    let world = World::new();
    let schemas = schemas(&world);
    let (mut tried, mut wrong) = (0, Vec::new());
    for example in examples().iter().filter(|example| example.language == "yaml") {
        let elsewhere = ELSEWHERE.iter().any(|begin| example.text.starts_with(begin));
        let value = syntax::parse(&example.place(), &example.text).unwrap().root().to_value();
        // Lists, and what is only in tests of packs, is tried as such.
        let of_tests =
            !value.is_object() || value.get("mocks").is_some() || value.get("steps").is_some();
        if elsewhere || of_tests {
            continue;
        }
        let first = example.text.lines().next().unwrap_or_default();
        let misfits = misfits(&schemas, first, &value).into_iter();
        wrong.extend(misfits.map(|misfit| format!("{}: {misfit}", example.place())));
        tried += 1;
    }
    assert_eq!(wrong, [""; 0]);
    assert!(tried > 20, "{tried}");
}

/// Mocks and steps that a page shows by themselves, each in a test of a pack whose actions are there.
#[test]
fn parts_of_packs_tests_in_examples_can_be_read() {
    let world = World::new();
    let program = "entry_point: any.sh\n";
    for (pack, actions) in [("demo", &["stop", "start", "check", "notify"][..]), ("shop", &["pay"])]
    {
        world.write(
            &format!("packs/{pack}/pack.yaml"),
            &format!("name: {pack}\nversion: 1.0.0\npermissions: {{ exec: true }}\n"),
        );
        world.write(&format!("packs/{pack}/actions/any.sh"), "#!/bin/sh\n");
        for action in actions {
            world.write(&format!("packs/{pack}/actions/{action}.yaml"), program);
        }
    }
    let mut tried = 0;
    for example in examples().iter().filter(|example| example.language == "yaml") {
        let indented = example.text.replace('\n', "\n    ");
        let part = match example.text.split(':').next() {
            Some("mocks") => format!("  {}", indented.replace("\n    ", "\n  ")),
            Some("steps") => format!("  expect:\n    {indented}"),
            _ => continue,
        };
        let test =
            format!("- name: example\n  action: {{ ref: demo.start }}\n{}\n", part.trim_end());
        world.write("packs/demo/tests/example.yaml", &test);
        let told = world.run(&["pack", "test", "packs/demo", "--packs", "packs", "--list"]).stdout;
        let wrong = told.lines().filter(|line| line.starts_with("error: "));
        let known = |line: &&str| !line.starts_with("error: there is no action `vault.");
        let wrong: Vec<&str> = wrong.filter(known).collect();
        assert_eq!(wrong, [""; 0], "{}\n{told}", example.place());
        tried += 1;
    }
    assert_eq!(tried, 2);
}

/// Commands that need no server are run where their page makes all that they read, and print what it says.
#[test]
fn commands_in_examples_that_need_no_server_print_what_is_shown() {
    for (page, files) in [
        ("docs/guide/first-pack.md", &[][..]),
        (
            "docs/guide/rules.md",
            &[
                ("description: A push", "packs/web/rules/release.yaml"),
                ("# push.yaml", "push.yaml"),
            ],
        ),
    ] {
        let world = World::new();
        world.write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
        let mut shown = 0;
        for example in examples().iter().filter(|example| example.page == page) {
            let made = files.iter().find(|(begin, _)| example.text.starts_with(begin));
            if let Some(file) = example.file().or(made.map(|(_, file)| *file)) {
                world.write(file, &example.text);
            }
            if example.language == "sh" {
                shown += offline(&world, example);
            }
        }
        assert!(shown > 0, "{page}");
    }
}

/// Runs what needs no server; how many commands that were.
fn offline(world: &World, example: &Example) -> usize {
    let mut shown = example.text.split("$ ").skip(1);
    let runs = shown.by_ref().take_while(|told| {
        ["tripline check packs\n", "tripline rule test "].iter().any(|it| told.starts_with(it))
    });
    let mut ran = 0;
    for told in runs {
        let (command, output) = told.split_once('\n').unwrap();
        let arguments = words(command.strip_prefix("tripline ").unwrap());
        let done = world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(done.stdout.trim_end(), output.trim_end(), "{}: {command}", example.place());
        ran += 1;
    }
    ran
}

/// The packs that a page makes file by file.
#[test]
fn packs_of_the_guide_have_nothing_wrong() {
    let world = World::new();
    let mut files = 0;
    // That of the README leaves its programs out.
    for example in examples().into_iter().filter(|example| example.page != "README.md") {
        if let Some(file) = example.file() {
            world.write(file, &example.text);
            files += 1;
        }
    }
    assert!(files > 5, "{files}");
    let checked = world.run(&["check", "packs"]).succeeded();
    assert_eq!(checked.stdout, "0 errors, 0 warnings\n");
}

/// What a chain calls and is given in an example is mostly declared elsewhere; everything else must
/// be right.
#[test]
fn examples_in_rhai_are_chains() {
    let world = World::new();
    world.write(
        "packs/web/pack.yaml",
        "name: web\nversion: 1.0.0\npermissions: { actions: ['*'], hosts: ['*.example.com'], secrets: ['*'], connections: [github] }\n",
    );
    let all = examples();
    let chains: Vec<&Example> =
        all.iter().filter(|e| e.language == "rhai" && e.file().is_none()).collect();
    assert!(chains.len() > 5, "{}", chains.len());
    for example in chains {
        if let Some(lib) = example.text.lines().next().and_then(|line| line.strip_prefix("// lib/"))
        {
            world.write(&format!("packs/web/lib/{lib}"), &example.text);
            continue;
        }
        world.write("packs/web/actions/example.yaml", "entry_point: example.rhai\n");
        world.write("packs/web/actions/example.rhai", &example.text);
        let told = world.run(&["check", "packs"]).stdout;
        let wrong = told.lines().filter(|line| line.starts_with("error: "));
        let elsewhere = |line: &&str| {
            line.starts_with("error: there is no action")
                || line.starts_with("error: the chain has no parameter")
        };
        let wrong: Vec<&str> = wrong.filter(|line| !elsewhere(line)).collect();
        assert_eq!(wrong, [""; 0], "{}\n{told}", example.place());
    }
}

#[test]
fn commands_in_examples_are_understood() {
    let world = World::new();
    let mut tried = 0;
    for example in examples().iter().filter(|example| example.language == "sh") {
        for command in commands(example) {
            let command = command.rsplit("$(").next().unwrap_or_default().trim_end_matches(')');
            let Some(arguments) = command.strip_prefix("tripline ") else { continue };
            let mut arguments = words(arguments);
            // An id that is cut short in print.
            for word in &mut arguments {
                *word = word.replace("ex_…", "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa");
                *word = word.replace("ev_…", "ev_aaaaaaaaaaaaaaaaaaaaaaaaaa");
                *word = word.replace("$id", "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa");
            }
            arguments.push("--help".to_owned());
            let done = world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(
                done.code,
                0,
                "{}: tripline {arguments:?}\n{}",
                example.place(),
                done.stderr
            );
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}
