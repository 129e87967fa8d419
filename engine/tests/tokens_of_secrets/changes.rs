//! Secrets that are set anew or deleted while executions hold their tokens.

use super::*;

#[tokio::test]
async fn a_token_stands_for_the_version_that_was_the_latest_when_it_was_made() {
    let (house, engine) = house().await;
    let text = r#"
        let s = secret("p/admin");
        run("p.keep", #{ a: s });
        run("p.wait");
        run("p.keep", #{ b: s });
        run("p.keep", #{ b: secret("p/admin") });
    "#;
    house.gate();
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    house.reached().await;
    set(&engine, "p/admin", "a later value").await;
    // Nothing but the journal says which version it was.
    engine.shutdown(Duration::from_millis(100)).await;
    let engine = house.start().await;
    house.open();
    ended(&engine, &id).await;
    let kept = kept(&house).replace(['\n', ' '], "");
    let old = r#""correct-horse\"battery\"""#;
    assert_eq!(kept, format!(r#"{{"a":{old}}}{{"b":{old}}}{{"b":"alatervalue"}}"#));
}

#[tokio::test]
async fn a_secret_that_was_deleted_fails_the_step_that_needs_it() {
    let (house, engine) = house().await;
    let text = r#"
        let s = secret("p/admin");
        run("p.wait");
        run("p.keep", #{ a: s });
    "#;
    house.gate();
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    house.reached().await;
    engine.delete_secret(Actor::token("test"), "p/admin").await.unwrap();
    house.open();
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied");
    let asked = view.steps.last().unwrap().attempts;
    assert_eq!(asked, 1, "what was taken away does not come back by asking again");
    assert_eq!(kept(&house), "");
}

#[tokio::test]
async fn a_secret_that_was_deleted_and_set_anew_is_not_used_in_its_old_value() {
    let (house, engine) = house().await;
    let text = r#"
        let s = secret("p/admin");
        run("p.keep", #{ a: s });
        run("p.wait");
        run("p.keep", #{ a: s });
    "#;
    house.gate();
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    house.reached().await;
    let before = kept(&house);
    engine.delete_secret(Actor::token("test"), "p/admin").await.unwrap();
    set(&engine, "p/admin", "another value now").await;
    house.open();
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied");
    assert_eq!(kept(&house), before);
    assert_eq!(engine.secrets()[0].version, 2, "versions go on counting");
    let text = r#"run("p.keep", #{ a: secret("p/admin") });"#;
    chain(&house, &engine, "anew", "", text).await;
    let id = run(&engine, "p.anew", json!({})).await;
    ended(&engine, &id).await;
    assert!(kept(&house).contains("another value now"));
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_still_hidden_where_it_comes_back() {
    let (house, engine) = house().await;
    let kept = house.path("kept");
    house.program("again", "read", &format!("cat {}", kept.display()));
    house.gate();
    let text = r#"
        run("p.keep", #{ a: secret("p/admin") });
        run("p.wait");
        let after = [run("p.again")];
        run("secrets.generate");
        after.push(run("p.again"));
        after
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    house.reached().await;
    engine.delete_secret(Actor::token("test"), "p/admin").await.unwrap();
    house.open();
    let after = result(&ended(&engine, &id).await).clone();
    for told in after.as_array().unwrap() {
        token(&told["a"]);
    }
    let stored = stored(&house, &id).await;
    assert!(!stored.contains("correct-horse"), "{stored}");
}

#[tokio::test]
async fn a_request_with_another_secret_is_another_request() {
    let (house, engine) = house().await;
    let schema = "password: { type: string, secret: true, required: true }";
    chain(&house, &engine, "go", schema, r#"run("p.keep", #{ a: params.password });"#).await;
    let ask = async |password: &str| {
        let parameters = json!({ "password": password }).as_object().unwrap().clone();
        let actor = Actor::token("test");
        engine.run(actor, "p.go".parse().unwrap(), parameters, Some("one")).await
    };
    let id = ask("a first password").await.unwrap();
    assert_eq!(ask("a first password").await.unwrap(), id);
    let other = ask("another password").await.unwrap_err().to_string();
    assert!(other.contains("other parameters"), "{other}");
    ended(&engine, &id).await;
    assert!(kept(&house).contains("a first password"));
}
