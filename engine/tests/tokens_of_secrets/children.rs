//! Secrets between a chain and the chains that it runs, in runs and in dry runs.

use super::*;

/// Everything that is said of a dry run of `action`.
async fn dry(engine: &Engine, action: &str) -> Value {
    let told = engine.dry_run(action.parse().unwrap(), model::Map::new(), BTreeMap::new());
    serde_json::to_value(told.await.unwrap()).unwrap()
}

#[tokio::test]
async fn children_get_the_tokens_in_their_parameters_and_give_theirs_back() {
    let (house, engine) = house().await;
    chain(
        &house,
        &engine,
        "make",
        "",
        r#"#{ made: run("secrets.generate", #{ alphabet: "digits" }) }"#,
    )
    .await;
    chain(&house, &engine, "use", "s: {}", r#"run("p.keep", #{ a: params.s })"#).await;
    let text = r#"
        let made = run("p.make").made;
        run("p.use", #{ s: "<" + made + ">" });
        run("p.keep", #{ b: made });
    "#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.go", json!({})).await;
    ended(&engine, &id).await;
    let kept: Vec<Value> = serde_json::Deserializer::from_str(&kept(&house))
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let made = kept[1]["b"].as_str().unwrap();
    assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_digit()), "{made}");
    assert_eq!(kept[0]["a"], format!("<{made}>"));
}

#[tokio::test]
async fn a_named_secret_is_not_handed_to_a_chain_whose_pack_may_not_use_it() {
    let (house, engine) = house().await;
    let write = |name: &str, text: &str| house.write_in("q", name, text);
    let permit = |secrets: &str| {
        let text = format!("{{ actions: [p.keep], exec: true, secrets: [{secrets}] }}");
        write("pack.yaml", &format!("name: q\nversion: 1.0.0\npermissions: {text}\n"));
    };
    permit("");
    write("actions/take.yaml", "entry_point: take.rhai\nparameters: { s: {}, t: {} }\n");
    write("actions/take.rhai", r#"run("p.keep", #{ a: params.s, b: params.t })"#);
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [q.take, secrets.generate], exec: true, secrets: ['p/*'] }\n",
    );
    let text = r#"run("q.take", #{ s: "s", t: run("secrets.generate") })"#;
    chain(&house, &engine, "made", "", text).await;
    let text = r#"run("q.take", #{ s: ["for " + secret("p/admin")], t: "t" })"#;
    chain(&house, &engine, "go", "", text).await;
    let id = run(&engine, "p.made", json!({})).await;
    result(&ended(&engine, &id).await);
    let seen: Value = serde_json::from_str(&kept(&house)).unwrap();
    assert_eq!(seen["b"].as_str().unwrap().len(), 32, "what was made for it is its own: {seen}");
    let id = run(&engine, "p.go", json!({})).await;
    let refused = ended(&engine, &id).await;
    assert_eq!(error_kind(&refused), "denied", "{refused:#?}");
    let told = refused.outcome.unwrap().error.unwrap().message;
    let expected = "the secret `p/admin` is not handed to `q.take`: its pack `q` may not use it (`permissions.secrets` in its pack.yaml); use it in a step of this chain instead";
    assert_eq!(told, expected);
    assert_eq!(dry(&engine, "p.go").await["error"]["message"], expected);
    assert!(!kept(&house).contains("for "), "it did not begin");
    permit("p/*");
    engine.reload().await.unwrap();
    let id = run(&engine, "p.go", json!({})).await;
    result(&ended(&engine, &id).await);
    assert!(kept(&house).contains("correct-horse"));
}

#[tokio::test]
async fn a_dry_run_gives_a_child_what_the_run_would_give_it() {
    let (house, engine) = house().await;
    let write = |name: &str, text: &str| house.write_in("q", name, text);
    let permit = |secrets: &str| {
        let text =
            format!("{{ actions: [p.look, secrets.generate], exec: true, secrets: [{secrets}] }}");
        write("pack.yaml", &format!("name: q\nversion: 1.0.0\npermissions: {text}\n"));
    };
    permit("p/*");
    write("actions/take.yaml", "entry_point: take.rhai\nparameters: { s: {}, t: {} }\n");
    write(
        "actions/take.rhai",
        r#"run("p.look", #{ a: params.s, b: params.t }); run("secrets.generate", #{ length: 40 })"#,
    );
    house.program("look", "read", &format!("tee -a {}", house.path("kept").display()));
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [q.take, secrets.generate], exec: true, secrets: ['p/*'] }\n",
    );
    let text = r#"
        let made = run("q.take", #{ s: secret("p/admin"), t: run("secrets.generate") });
        run("p.look", #{ a: made })
    "#;
    chain(&house, &engine, "go", "", text).await;
    let told = dry(&engine, "p.go").await.to_string();
    assert!(!told.contains("correct-horse"), "{told}");
    let seen = kept(&house);
    let mut seen = serde_json::Deserializer::from_str(&seen).into_iter::<Value>().flatten();
    let (child, parent) = (seen.next().unwrap(), seen.next().unwrap());
    assert!(child["a"].as_str().unwrap().contains("correct-horse"), "what its pack may use too");
    assert_eq!(child["b"].as_str().unwrap().len(), 32, "what was made for it is its own: {child}");
    assert_eq!(parent["a"].as_str().unwrap().len(), 40, "what it gives back is its caller's");
}

#[tokio::test]
async fn what_a_child_gives_back_is_used_by_no_pack_that_may_not_read_it_in_a_dry_run_either() {
    let (house, engine) = house().await;
    set(&engine, "q/key", "the-key-of-q-alone").await;
    house.write_in(
        "q",
        "pack.yaml",
        "name: q\nversion: 1.0.0\npermissions: { actions: [], secrets: ['q/*'] }\n",
    );
    house.write_in("q", "actions/give.yaml", "entry_point: give.rhai\nparameters: {}\n");
    house.write_in("q", "actions/give.rhai", r#"secret("q/key")"#);
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [q.give, secrets.store], exec: true, secrets: ['p/*'] }\n",
    );
    house.program("look", "read", &format!("tee -a {}", house.path("kept").display()));
    house.chain("take", "s: {}", r#"run("p.look", #{ a: params.s })"#);
    for (name, text) in [
        ("reads", r#"run("p.look", #{ a: run("q.give") })"#),
        ("asks", r#"poll("p.look", #{ a: "<" + run("q.give") }, |r| true)"#),
        ("hands", r#"run("p.take", #{ s: run("q.give") })"#),
        ("stores", r#"run("secrets.store", #{ path: "p/its", value: run("q.give") })"#),
    ] {
        chain(&house, &engine, name, "", text).await;
        let action = format!("p.{name}");
        let id = run(&engine, &action, json!({})).await;
        let refused = ended(&engine, &id).await;
        assert_eq!(error_kind(&refused), "denied", "{name}: {refused:#?}");
        let told = dry(&engine, &action).await;
        let expected = refused.outcome.unwrap().error.unwrap().message;
        assert_eq!(told["error"]["message"], expected, "{name}: {told:#}");
        assert_eq!(told["error"]["kind"], "denied", "{name}");
        assert_eq!(kept(&house), "", "{name}: the value is nowhere");
    }
}
