//! Programs of packs: what they see, and what the way they end says of their step.

mod support;

use actions::{Action, Metadata, Program, ProgramSpec};
use expect_test::{Expect, expect};
use model::Effect;
use serde_json::json;
use support::*;

async fn check(script: &str, expected: Expect) {
    let told = told(&Place::new().perform(script, json!({ "n": 1 })).await);
    expected.assert_eq(&told);
}

#[tokio::test]
async fn exit_0_is_done_and_stdout_is_the_result() {
    check("cat", expect![[r#"done {"n":1}"#]]).await;
    check("echo 42", expect!["done 42"]).await;
    check("echo not json", expect![[r#"done {"text":"not json"}"#]]).await;
    check("exit 0", expect!["done {}"]).await;
    check("echo 9223372036854775808", expect![[r#"done {"text":"9223372036854775808"}"#]]).await;
    check("printf '\\377'", expect![[r#"done {"text":"�"}"#]]).await;
}

#[tokio::test]
async fn an_exit_code_promises_that_there_was_no_lasting_effect() {
    check(
        "echo busy >&2; exit 75",
        expect!["failed unavailable: the program exited with 75: busy"],
    )
    .await;
    check("exit 3", expect!["failed program: the program exited with 3"]).await;
    check("exit 127", expect!["failed program: the program exited with 127"]).await;
    check("kill -KILL $$", expect!["unknown program: the program was ended by signal 9"]).await;
}

#[tokio::test]
async fn a_program_that_is_ended_leaves_its_outcome_unknown() {
    let place = Place::new();
    let began = place.path("began");
    place.script("slow.sh", &format!("#!/bin/sh\ntouch {}\nsleep 60\n", began.display()));
    let program = place.program("slow.sh");
    let performing = place.performing(json!({}));
    let cancel = performing.cancel.clone();
    let cancelling = async {
        eventually("the program", || began.exists().then_some(())).await;
        cancel.cancel();
    };
    let (performance, ()) = tokio::join!(program.perform(performing), cancelling);
    assert_eq!(told(&performance), "unknown cancelled: the program was ended before it was done");
    let performing = place.performing(json!({}));
    performing.cancel.cancel();
    let performance = program.perform(performing).await;
    assert_eq!(told(&performance), "failed cancelled: the program was cancelled before it began");
}

#[tokio::test]
async fn a_program_that_prints_too_much_may_have_had_its_effect() {
    let expected = "unknown too_large: the program printed more than 4 MiB on stdout: print a path or a summary instead";
    for script in ["exec yes", "head -c 4194305 /dev/zero"] {
        assert_eq!(told(&Place::new().perform(script, json!({})).await), expected, "{script}");
    }
}

#[tokio::test]
async fn a_program_is_unsafe_unless_its_file_says_otherwise() {
    let place = Place::new();
    let spec =
        |effect| ProgramSpec { metadata: Metadata { effect, ..metadata() }, ..place.spec("a.sh") };
    for (declared, effect) in [(None, Effect::Unsafe), (Some(Effect::Read), Effect::Read)] {
        assert_eq!(Program::new(spec(declared), place.programs()).effect(&json!({})), effect);
    }
}

#[tokio::test]
async fn a_program_finds_its_packs_files_beside_itself() {
    let place = Place::new();
    place.script("lib/greeting.txt", "hello");
    let performance = place.perform("cat \"$(dirname \"$0\")/lib/greeting.txt\"", json!({})).await;
    assert_eq!(done(performance), json!({ "text": "hello" }));
}

#[tokio::test]
async fn a_program_sees_this_environment_and_no_more() {
    let place = Place::new();
    let found = done(
        place
            .perform("env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD=; ls -A", json!({}))
            .await,
    );
    let mut names: Vec<&str> = found["text"].as_str().unwrap().lines().collect();
    names.sort_unstable();
    let key = performing(json!({})).key;
    let path = std::env::var("PATH").unwrap();
    let lang = std::env::var("LANG").unwrap_or("C.UTF-8".to_owned());
    let home = names.iter().find_map(|line| line.strip_prefix("HOME=")).unwrap();
    assert!(home.starts_with(place.path("state/work").to_str().unwrap()), "{home}");
    let expected = [
        format!("HOME={home}"),
        format!("LANG={lang}"),
        format!("PATH={path}"),
        "TRIPLINE_ATTEMPT=2".to_owned(),
        format!("TRIPLINE_KEY={key}"),
    ];
    assert_eq!(names, expected);
    assert!(!std::path::Path::new(home).exists(), "its folder is removed");
}

#[tokio::test]
async fn what_cannot_be_run_failed_certainly_and_says_what_to_do() {
    let place = Place::new();
    place.script("interpreter.sh", "#!/no/such/interpreter\n");
    place.script("plain.sh", "#!/bin/sh\n");
    let plain = place.path("pack/actions/plain.sh");
    std::fs::set_permissions(plain, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for (entry_point, expected) in [
        (
            "missing.sh",
            "failed rejected: `actions/missing.sh` is not in the pack: see `entry_point`",
        ),
        (
            "plain.sh",
            "failed rejected: `actions/plain.sh` is not executable: run `chmod +x actions/plain.sh` in the pack",
        ),
        (
            "interpreter.sh",
            "failed rejected: `actions/interpreter.sh` cannot be run: the interpreter that its first line names is not installed here",
        ),
        (
            "../../bin/sh",
            "failed rejected: `entry_point: ../../bin/sh` leads out of the pack: name a file below `actions/`",
        ),
    ] {
        let performance = place.program(entry_point).perform(place.performing(json!({}))).await;
        assert_eq!(told(&performance), expected);
    }
}

#[tokio::test]
async fn stderr_is_the_log_of_the_step_and_its_end_stands_in_the_error() {
    let place = Place::new();
    place.perform("echo first >&2", json!({})).await;
    let failed = place.perform("echo second >&2; exit 4", json!({})).await;
    assert_eq!(read(&place.path("log/stderr.log")), "first\nsecond\n");
    let model::Performance::Failed(error) = failed else { panic!("{failed:?}") };
    assert_eq!(error.details, json!({ "exit_code": 4, "stderr": "second" }));
}
