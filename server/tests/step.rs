//! What the program of a step that runs elsewhere may ask: its own step, as long as that is under way.
#![allow(clippy::unwrap_used)]

#[path = "../../cli/tests/support/examples.rs"]
mod examples;
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::Performing;
use actions::desk::{Bearer, MAX_FILE, MAX_FILES, Seat};
use model::{ExecutionId, IdempotencyKey, StepPath, Value};
use reqwest::Method;
use serde_json::json;
use support::{Answer, Served, send};
use tokio_util::sync::CancellationToken;

/// The step `n` of an execution, with these parameters.
fn performing(served: &Served, n: u32, parameters: Value) -> Performing {
    let execution = ExecutionId::random(&[7; 32]);
    Performing {
        parameters,
        key: IdempotencyKey::new(&execution, &StepPath::top(n)),
        attempt: 1,
        run: 1,
        resumed: false,
        timeout: None,
        pack: None,
        hosts: Vec::new(),
        log: served.folder.path().join(format!("log-{n}")),
        redactor: Arc::default(),
        trace: None,
        cancel: CancellationToken::new(),
        stopping: CancellationToken::new(),
    }
}

async fn attended(served: &Served, n: u32, program: Option<PathBuf>) -> Seat {
    let step = performing(served, n, json!({ "n": n, "password": "correct-horse" }));
    served.engine.desk().attend(&step, program).await.unwrap()
}

async fn ask(served: &Served, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/v1/step/{path}") };
    send(served.request(method, &path).bearer_auth(token).json(body)).await
}

async fn get(served: &Served, path: &str, token: &str) -> Answer {
    ask(served, Method::GET, path, token, &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_step_opens_that_step_as_long_as_it_is_under_way() {
    let served = Served::start().await;
    let (one, two) = (attended(&served, 1, None).await, attended(&served, 2, None).await);
    let told = get(&served, "parameters", &one.token()).await;
    assert_eq!(told.json(), json!({ "n": 1, "password": "correct-horse" }));
    assert_eq!(told.headers["cache-control"], "no-store");
    assert_eq!(get(&served, "parameters", &two.token()).await.json()["n"], 2);

    let handed = ask(&served, Method::PUT, "result", &one.token(), &json!({ "rows": 3 })).await;
    assert_eq!(handed.status, 204, "{}", handed.text);
    assert_eq!((one.answer(), two.answer()), (Ok(Some(json!({ "rows": 3 }))), Ok(None)));
    let no_program = get(&served, "program", &one.token()).await;
    no_program.problem(404, "not_found");

    let token = one.token();
    drop(one);
    let over = get(&served, "parameters", &token).await.problem(401, "unauthenticated");
    assert!(over["detail"].as_str().unwrap().contains("the step is over"), "{over}");
    assert_eq!(get(&served, "parameters", &two.token()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_image_holds_curl_asks_and_hands_in_as_the_guide_shows() {
    let served = Served::start().await;
    let seat = attended(&served, 1, None).await;
    let shown = examples::examples().into_iter().find(|example| {
        example.page == "docs/guide/cluster-programs.md" && example.text.contains("curl")
    });
    let (token, api) = (seat.token(), format!("http://{}", served.running.api()));
    let folder = served.folder.path().join("program");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("report.txt"), "a report").unwrap();
    let typed = tokio::task::spawn_blocking(move || {
        let variables = [("TRIPLINE_STEP_TOKEN", &*token), ("TRIPLINE_API", &api)];
        examples::type_into_shell(&shown.unwrap().text, &folder, &variables)
    });
    let printed = typed.await.unwrap();
    let artifact = printed.strip_prefix(r#"{"n":1,"password":"correct-horse"}"#);
    let artifact: Value = serde_json::from_str(artifact.expect(&printed)).unwrap();
    let kept = std::fs::read_to_string(artifact["path"].as_str().unwrap()).unwrap();
    assert_eq!((&*kept, seat.answer()), ("a report", Ok(Some(json!({ "rows": 3 })))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_step_opens_nothing_else_and_no_other_token_opens_a_step() {
    let served = Served::start().await;
    let seat = attended(&served, 1, None).await;
    let document = served.get("/openapi.json").await.json();
    let mut others = 0;
    for (template, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = template.replace(['{', '}'], "");
            let is_step = template.starts_with("/api/v1/step/");
            let token = if is_step { served.token() } else { seat.token() };
            let refused = ask(&served, method, &path, &token, &json!({})).await;
            refused.problem(403, "denied");
            others += usize::from(!is_step);
        }
    }
    assert!(others > 30, "{others}");
    get(&served, "/metrics", &seat.token()).await.problem(403, "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_in_below_a_folder_of_the_step_and_go_with_its_execution() {
    let served = Served::start().await;
    let seat = attended(&served, 1, None).await;
    let put = async |name: &str, body: Vec<u8>| -> Answer {
        let path = format!("/api/v1/step/artifacts/{name}");
        send(served.request(Method::PUT, &path).bearer_auth(seat.token()).body(body)).await
    };
    // More than any other request may bring.
    let large = vec![7; 6 << 20];
    let taken = put("out%2Freport.bin", large.clone()).await;
    assert_eq!((taken.status, &taken.json()["size"]), (200, &json!(large.len())), "{}", taken.text);
    let path = PathBuf::from(taken.json()["path"].as_str().unwrap());
    let exports = served.folder.path().join("state/exports/steps");
    assert!(path.starts_with(&exports) && path.ends_with("out/report.bin"), "{}", path.display());
    assert_eq!(std::fs::read(&path).unwrap(), large);
    assert_eq!(put("out%2Freport.bin", b"new".to_vec()).await.status, 200);
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    for wrong in ["..%2F..%2Fx", ".hidden", "out"] {
        put(wrong, b"x".to_vec()).await.problem(400, "invalid_parameters");
    }
    let owner = performing(&served, 1, json!({})).key.root().to_owned();
    let all = host::git::Exports::new(served.folder.path().join("state/exports"));
    all.release(&owner).unwrap();
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_step_are_bounded_together_also_after_a_restart() {
    let served = Served::start().await;
    let seat = attended(&served, 1, None).await;
    let put = async |name: &str, bytes: usize| -> Answer {
        let path = format!("/api/v1/step/artifacts/{name}");
        let body = vec![7; bytes];
        send(served.request(Method::PUT, &path).bearer_auth(seat.token()).body(body)).await
    };
    let too_large = |answer: Answer, part: &str| {
        let problem = answer.problem(413, "too_large");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    };
    let first = put("in%2Ffirst", 100).await.json();
    let folder = PathBuf::from(first["path"].as_str().unwrap());
    let folder = folder.ancestors().nth(2).unwrap();
    // Files with a hole for nearly all that there may be.
    for (name, short_of) in [("a", 0), ("b", 0), ("c", 0), ("d", 1_100)] {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        file.set_len(MAX_FILE - short_of).unwrap();
    }
    let _again = attended(&served, 1, None).await;
    assert_eq!(put("more", 600).await.status, 200);
    too_large(put("most", 32 << 20).await, "more than 4096 MiB together");
    assert!(!folder.join("most").exists());
    assert_eq!(put("last", 400).await.status, 200, "what was refused does not count");
    too_large(put("d", 1).await, "more than 4096 MiB together");
    assert_eq!(put("more", 0).await.status, 200, "what it replaced does not count any more");
    assert_eq!(put("d", 1).await.status, 200);

    for n in 0..MAX_FILES - 9 {
        std::fs::write(folder.join(format!("in/{n}")), "").unwrap();
    }
    let _again = attended(&served, 1, None).await;
    assert_eq!(put("number-1000", 1).await.status, 200);
    too_large(put("number-1001", 1).await, "has handed in 1000 files already");
    assert_eq!(put("number-1000", 2).await.status, 200, "it is there already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_not_made_here_is_unknown() {
    let served = Served::start().await;
    let token = attended(&served, 1, None).await.token();
    let (name, code) = token.split_once('.').unwrap();
    let foreign = Served::start().await;
    let theirs = attended(&foreign, 1, None).await.token();
    for wrong in [theirs, format!("{name}."), format!("{name}.{}", &code[1..]), name.to_owned()] {
        let unknown = get(&served, "parameters", &wrong).await.problem(401, "unauthenticated");
        assert!(unknown["detail"].as_str().unwrap().contains("no step of this"), "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_in_is_there_after_a_restart_and_its_token_too() {
    let served = Served::start().await;
    let seat = attended(&served, 1, Some(served.folder.path().join("packs/shop/pack.yaml"))).await;
    let token = seat.token();
    let program = get(&served, "program", &token).await;
    assert!(program.text.starts_with("name: shop"), "{}", program.text);
    let secret = json!({ "password": "correct-horse-battery" });
    assert_eq!(ask(&served, Method::PUT, "result", &token, &secret).await.status, 204);
    drop(seat);
    let folder = served.stop().await;
    assert!(!holds(folder.path(), "correct-horse-battery"), "it is kept in the clear");

    let served = Served::in_folder(folder).await;
    let seat = attended(&served, 1, None).await;
    assert_eq!((seat.token(), seat.answer()), (token, Ok(Some(secret))));
    let other = Performing { run: 2, ..performing(&served, 1, json!({})) };
    let other = served.engine.desk().attend(&other, None).await.unwrap();
    assert_eq!(other.answer(), Ok(None), "another run hands in its own");
    assert!(matches!(served.engine.desk().bearer(&other.token()), Bearer::Open(_)));
}

/// Whether a file below `folder` holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => holds(&path, text),
        path => {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        }
    })
}
