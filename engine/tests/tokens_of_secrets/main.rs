//! Secrets in chains: tokens wherever people can look, values where actions work.
#![allow(clippy::unwrap_used)]

mod answers;
mod changes;
mod children;
mod names;
mod results;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Engine;
use engine::secrets::Plain;
use model::token::Derivation;
use model::{Actor, ExecutionId, Stream, Token, Value, Version};
use serde_json::json;
use support::{House, ended, error_kind, result, run};

const VALUE: &str = "correct-horse \"battery\"";

/// A pack with a program `p.keep`, which writes its parameters where the test can look, says them
/// on stderr and answers them; and the secret `p/admin`.
async fn house() -> (House, Engine) {
    let house = House::new();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [core.*, datastore.*, secrets.generate, secrets.store], exec: true, secrets: ['p/*'] }\n",
    );
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("tee -a {} | tee /dev/stderr", kept.display()));
    house.chain("nothing", "", "()");
    let engine = house.start().await;
    set(&engine, "p/admin", VALUE).await;
    (house, engine)
}

async fn chain(house: &House, engine: &Engine, name: &str, parameters: &str, text: &str) {
    house.chain(name, parameters, text);
    engine.reload().await.unwrap();
    let pack = engine.pack_views().remove(0);
    let wrong: Vec<_> = pack.findings.iter().filter(|f| f.severity == "error").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn set(engine: &Engine, path: &str, value: &str) {
    engine.set_secret(Actor::token("test"), path, Plain::new(value)).await.unwrap();
}

fn kept(house: &House) -> String {
    std::fs::read_to_string(house.path("kept")).unwrap_or_default()
}

/// Everything that is stored of an execution and its logs.
async fn stored(house: &House, id: &ExecutionId) -> String {
    let mut text = String::new();
    let stream = Stream::Execution(id.clone());
    for recorded in house.store.read(&stream, Version::NONE).await.unwrap().0 {
        text += &String::from_utf8(recorded.fact.encode()).unwrap();
    }
    for step in 1..6 {
        let log = house.path("state/logs").join(id.as_str()).join(format!("{step}/stderr.log"));
        text += &std::fs::read_to_string(log).unwrap_or_default();
    }
    text
}

fn token(value: &Value) -> Token {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

#[tokio::test]
async fn an_action_gets_the_value_and_everybody_else_a_token() {
    let (house, engine) = house().await;
    let text = r#"
        let made = run("secrets.generate", #{ length: 20, alphabet: "hex" });
        let got = run("p.keep", #{ a: `user:${secret("p/admin")}@host`, b: [made] });
        #{ made: made, got: got }
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    let result = result(&view).clone();
    let made = token(&result["made"]);
    assert_eq!(result["got"]["b"][0], made.as_str(), "what comes back is the token again");
    let got = result["got"]["a"].as_str().unwrap();
    let (user, host) = (got.strip_prefix("user:").unwrap(), "@host");
    token(&user.strip_suffix(host).unwrap().into());
    let kept: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(kept["a"], format!("user:{VALUE}@host"));
    let made = kept["b"][0].as_str().unwrap();
    assert!(made.len() == 20 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
    let stored = stored(&house, &id).await;
    for value in [VALUE, "correct-horse", made] {
        assert!(!stored.contains(value), "{value} in {stored}");
    }
    assert!(stored.contains("tlsec_"), "{stored}");
}

#[tokio::test]
async fn what_is_derived_of_a_token_is_worked_out_for_the_action() {
    let (house, engine) = house().await;
    let text = r#"
        let s = secret("p/admin");
        run("p.keep", #{ a: [base64("u:" + s), url_encode(s), hmac(s, "m"), base64("plain")] })
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    ended(&engine, &id).await;
    let kept: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(kept["a"][0], "dTpjb3JyZWN0LWhvcnNlICJiYXR0ZXJ5Ig==");
    assert_eq!(kept["a"][1], "correct-horse%20%22battery%22");
    assert_eq!(kept["a"][2].as_str().unwrap().len(), 64);
    assert_eq!(kept["a"][3], "cGxhaW4=");
    let stored = stored(&house, &id).await;
    for value in ["Y29ycmVjdC1ob3JzZ", "correct-horse"] {
        assert!(!stored.contains(value), "{value} in {stored}");
    }
}

#[tokio::test]
async fn a_token_of_another_execution_is_text() {
    let (house, engine) = house().await;
    chain(&house, &engine, "tell", "", r#"secret("p/admin")"#).await;
    chain(
        &house,
        &engine,
        "go",
        "a: {}",
        r#"run("p.keep", #{ a: params.a, b: base64(params.a) })"#,
    )
    .await;
    let told = run(&engine, "p.tell", json!({})).await;
    let token = result(&ended(&engine, &told).await).clone();
    let id = run(&engine, "p.go", json!({ "a": token })).await;
    ended(&engine, &id).await;
    let seen: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(seen["a"], token);
    assert!(seen["b"].as_str().unwrap().starts_with("tlder_"), "{seen}");
    let direct = run(&engine, "p.keep", json!({ "a": token })).await;
    ended(&engine, &direct).await;
    assert!(!kept(&house).contains("correct-horse"));
}

#[tokio::test]
async fn what_everybody_sees_takes_no_tokens() {
    let (house, engine) = house().await;
    house.write("triggers/told.yaml", "description: told\npayload: { a: {} }\n");
    for (name, text) in [
        ("emits", r#"emit("p.told", #{ a: "x" + secret("p/admin") })"#),
        ("derives", r#"emit("p.told", #{ a: base64(secret("p/admin")) })"#),
        ("sets", r#"run("datastore.set", #{ key: "k", value: [secret("p/admin")] })"#),
    ] {
        chain(&house, &engine, name, "", text).await;
        let id = run(&engine, &format!("p.{name}"), json!({})).await;
        assert_eq!(error_kind(&ended(&engine, &id).await), "rejected", "{name}");
    }
    chain(&house, &engine, "echo", "", r#"run("core.echo", #{ value: secret("p/admin") }).value"#)
        .await;
    let id = run(&engine, "p.echo", json!({})).await;
    token(result(&ended(&engine, &id).await));
}

#[tokio::test]
async fn secret_parameters_are_tokens_before_they_are_stored() {
    let (house, engine) = house().await;
    let parameters = "password: { type: string, secret: true }, box: { type: object, properties: { pin: { secret: true } } }";
    let text = r#"run("p.use", #{ login: params.password, box: params.box })"#;
    chain(
        &house,
        &engine,
        "literal",
        "word: { secret: true }",
        r#"run("p.keep", #{ a: params.word })"#,
    )
    .await;
    chain(
        &house,
        &engine,
        "use",
        "login: { secret: true }, box: {}",
        r#"
        run("p.keep", #{ a: params.login, b: params.box });
        sleep("1s");
        run("p.literal", #{ word: "written in the chain" })"#,
    )
    .await;
    chain(&house, &engine, "go", parameters, text).await;
    let given = json!({ "password": "typed-in-password", "box": { "pin": 1_234_567_890 } });
    let id = run(&engine, "p.go", given).await;
    let view = ended(&engine, &id).await;
    result(&view);
    let seen = kept(&house);
    for value in ["typed-in-password", "1234567890", "written in the chain"] {
        assert!(seen.contains(value), "{value} in {seen}");
        for recorded in house.store.log(store::Position(0), 10_000).await.unwrap() {
            let fact = String::from_utf8(recorded.fact.encode()).unwrap();
            assert!(!fact.contains(value), "{fact}");
        }
    }
    let short = json!({ "password": "1234567" }).as_object().cloned().unwrap();
    let refused = engine.run(Actor::token("test"), "p.go".parse().unwrap(), short, None).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("7 characters, fewer than 8"), "{told}");
}

#[tokio::test]
async fn secret_results_are_tokens_that_can_be_used() {
    let (house, engine) = house().await;
    house.program(
        "login",
        "read",
        r#"echo '{"session":"session-of-somebody","pin":"1234","also":"session-of-somebody"}'"#,
    );
    let declared = "entry_point: login.sh\neffect: read\nresult: { session: { secret: true }, pin: { secret: true }, also: {} }\n";
    house.write("actions/login.yaml", declared);
    chain(
        &house,
        &engine,
        "go",
        "",
        r#"
        let got = run("p.login");
        run("p.keep", #{ a: got.session, b: got.pin });
        got"#,
    )
    .await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    let got = result(&view);
    assert_eq!(token(&got["session"]), token(&got["also"]), "{got}");
    token(&got["pin"]);
    let kept: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(kept, json!({ "a": "session-of-somebody", "b": "1234" }));
    let stored = stored(&house, &id).await;
    assert!(!stored.contains("session-of-somebody"), "{stored}");
}

#[tokio::test]
async fn a_result_that_is_secret_and_holds_a_token_is_secret_as_a_whole() {
    let (house, engine) = house().await;
    // What it was given stands in its answer, beside what nobody knew before.
    let text = r#"read -r given; echo "{\"url\":\"https://x:$(echo "$given" | sed 's/.*"a":"\([^"]*\)".*/\1/'):never-seen-before@y\"}""#;
    house.program("login", "read", text);
    let declared = "entry_point: login.sh\neffect: read\nparameters: { a: {} }\nresult: { url: { secret: true } }\n";
    house.write("actions/login.yaml", declared);
    let text = r#"
        let got = run("p.login", #{ a: run("secrets.generate") });
        run("p.keep", #{ a: got.url });
        got"#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    token(&result(&view)["url"]);
    let kept = kept(&house);
    assert!(kept.contains("https://x:") && kept.contains(":never-seen-before@y"), "{kept}");
    assert!(!kept.contains("tlsec_"), "{kept}");
    let stored = stored(&house, &id).await;
    assert!(!stored.contains("never-seen-before"), "{stored}");
}

#[tokio::test]
async fn a_chain_stores_what_it_generated_once() {
    let (house, engine) = house().await;
    let text = r#"
        let made = run("secrets.generate");
        let one = run("secrets.store", #{ path: "p/made", value: made });
        let two = run("secrets.store", #{ path: "p/made", value: made });
        run("p.keep", #{ a: secret("p/made"), b: made });
        [one.version, two.version]
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    assert_eq!(*result(&ended(&engine, &id).await), json!([1, 1]));
    let kept: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(kept["a"], kept["b"]);
    assert_eq!(engine.secret_value("p/made").unwrap().expose(), kept["a"].as_str().unwrap());
    for (name, text, kind) in [
        (
            "short",
            r#"run("secrets.store", #{ path: "p/made", value: "short" })"#,
            "invalid_parameters",
        ),
        // Computed: `check` finds what is written out.
        (
            "outside",
            r#"run("secrets.store", #{ path: "q" + "/made", value: "long enough" })"#,
            "denied",
        ),
        ("reads", r#"secret("q" + "/other")"#, "denied"),
        ("missing", r#"secret("p/none")"#, "not_found"),
        ("alphabet", r#"run("secrets.generate", #{ alphabet: "a" })"#, "invalid_parameters"),
    ] {
        chain(&house, &engine, name, "", text).await;
        let id = run(&engine, &format!("p.{name}"), json!({})).await;
        assert_eq!(error_kind(&ended(&engine, &id).await), kind, "{name}");
    }
}

#[tokio::test]
async fn a_value_is_hidden_as_ordinary_programs_print_it() {
    let (house, engine) = house().await;
    // Lines of 76 characters, as `base64` writes them, on stderr and as an answer that is no JSON.
    house.program("wrap", "read", "base64 | tee /dev/stderr");
    let only = r#"sed 's/.*"a":"\([^"]*\)".*/\1/' | tee /dev/stderr"#;
    house.program("only", "read", only);
    let text = r#"
        let s = secret("p/admin");
        let wrapped = run("p.wrap", #{ a: "some words that stand before it, and more: " + s, b: s });
        let twice = run("p.only", #{ a: url_encode(base64("user:" + s)) });
        #{ wrapped: wrapped.text, twice: twice.text }
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    let told = result(&ended(&engine, &id).await).clone();
    assert!(told["wrapped"].as_str().unwrap().contains("tlsec_"), "{told}");
    assert!(told["twice"].as_str().unwrap().starts_with("tlder_"), "{told}");
    let stored = stored(&house, &id).await.replace("\\n", "").replace('\n', "");
    let base64 = |text: &str| Derivation::Base64(text.to_owned()).value();
    for form in [base64(&format!("user:{VALUE}")), base64("orrect-horse"), base64("rect-hors")] {
        let form = form.trim_end_matches('=');
        let url = Derivation::UrlEncode(form.to_owned()).value();
        assert!(!stored.contains(form) && !stored.contains(&url), "{form} in {stored}");
    }
}

#[tokio::test]
async fn secrets_beside_what_is_too_large_are_refused_and_not_shown() {
    let (house, engine) = house().await;
    let parameters = "password: { secret: true }, text: {}";
    chain(&house, &engine, "take", parameters, "()").await;
    let given = json!({ "password": "typed-in-password", "text": "x".repeat(300_000) });
    let action = "p.take".parse().unwrap();
    let asked = engine.run(Actor::token("test"), action, given.as_object().unwrap().clone(), None);
    let refused = asked.await.unwrap_err().to_string();
    assert!(refused.contains("bytes of JSON text, more than 262144"), "{refused}");
    assert!(!refused.contains("typed-in"), "{refused}");
}

#[tokio::test]
async fn of_a_poll_s_changing_secret_answers_the_last_one_is_kept() {
    let (house, engine) = house().await;
    let count = house.path("count");
    let next = format!(
        r#"echo x >> {0}; n=$(wc -l < {0}); printf '{{"n": %d, "password": "number-%d-is-secret"}}' $n $n"#,
        count.display()
    );
    house.program("next", "read", &next);
    house.write(
        "actions/next.yaml",
        "entry_point: next.sh\neffect: read\nresult: { n: {}, password: { type: string, secret: true } }\n",
    );
    let text = r#"
        let r = poll("p.next", #{}, |r| r.n >= 6, #{ every: "5ms" });
        run("p.keep", #{ a: r.password });
        r.password"#;
    chain(&house, &engine, "polls", "", text).await;
    let before = house.store.sealed_under("token/", "", 1_000).await.unwrap().len();
    let id = run(&engine, "p.polls", json!({})).await;
    let last = token(result(&ended(&engine, &id).await));
    assert!(kept(&house).contains("number-6-is-secret"), "{}", kept(&house));
    assert!(!stored(&house, &id).await.contains("is-secret"));
    let (facts, _) = house.store.read(&Stream::Execution(id), Version::NONE).await.unwrap();
    let journal = model::Journal::of(facts.iter().map(|recorded| &recorded.fact));
    assert_eq!(journal.tokens.keys().collect::<Vec<_>>(), [&last]);
    let records = house.store.sealed_under("token/", "", 1_000).await.unwrap();
    assert_eq!(records.len(), before + 1, "{records:?}");
}
