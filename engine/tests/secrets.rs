//! Named secrets and the keys that open them.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actions::Performing;
use actions::desk::{Bearer, Seat};
use engine::secrets::{KeySource, Plain, SecretError};
use engine::{Engine, StartError};
use model::{Actor, ExecutionId, IdempotencyKey, StepPath};
use serde_json::json;
use support::{House, run};
use tokio_util::sync::CancellationToken;

/// Nearly a key: its check sum is wrong.
const DAMAGED: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEY";

async fn start(house: &House, keys: &[KeySource]) -> Result<Engine, StartError> {
    let mut settings = house.settings();
    settings.secrets.keys = keys.to_vec();
    settings.advertise = Some("http://127.0.0.1:1".to_owned());
    Engine::start(settings, house.store.clone(), house.clock.clone()).await
}

async fn refused(house: &House, keys: &[KeySource]) -> String {
    match start(house, keys).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

async fn set(engine: &Engine, path: &str, value: &str) -> Result<u64, SecretError> {
    engine.set_secret(Actor::token("test"), path, Plain::new(value)).await
}

fn key_file(house: &House, name: &str) -> KeySource {
    let file = house.path(name);
    let made = age::x25519::Identity::generate();
    let text = age::secrecy::ExposeSecret::expose_secret(&made.to_string()).to_owned();
    std::fs::write(&file, format!("# a comment\n{text}\n")).unwrap();
    KeySource::File(file)
}

fn key_of(engine: &Engine, path: &str) -> String {
    engine.secrets().into_iter().find(|row| row.path == path).unwrap().key
}

#[tokio::test]
async fn a_secret_has_versions_and_is_gone_once_it_is_deleted() {
    let house = House::new();
    let engine = house.start().await;
    assert_eq!(set(&engine, "databases/admin", "first value").await.unwrap(), 1);
    assert_eq!(set(&engine, "databases/admin", "second value").await.unwrap(), 2);
    assert_eq!(engine.secret_value("databases/admin").unwrap().expose(), "second value");
    engine.delete_secret(Actor::token("test"), "databases/admin").await.unwrap();
    let missing = engine.secret_value("databases/admin").unwrap_err().to_string();
    assert!(missing.contains("tripline secret set databases/admin"), "{missing}");
    let again = engine.delete_secret(Actor::token("test"), "databases/admin").await;
    assert!(matches!(again, Err(SecretError::Missing(_))));
    assert_eq!(house.store.sealed_under("", "", 9).await.unwrap(), [], "nothing of it is left");
    // A version that was, is not again.
    assert_eq!(set(&engine, "databases/admin", "third value").await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_stored_is_encrypted_and_survives_a_restart() {
    let house = House::new();
    let engine = house.start().await;
    set(&engine, "databases/admin", "in plain sight").await.unwrap();
    engine.shutdown(Duration::from_secs(5)).await;
    let (_, sealed) = house.store.sealed_under("", "", 1).await.unwrap().remove(0);
    assert!(!String::from_utf8_lossy(&sealed.ciphertext).contains("plain"));
    let engine = house.start().await;
    assert_eq!(engine.secret_value("databases/admin").unwrap().expose(), "in plain sight");
    assert_eq!(format!("{:?}", engine.secret_value("databases/admin").unwrap()), "Plain(…)");
}

#[tokio::test]
async fn what_is_no_secret_or_no_path_is_refused() {
    let house = House::new();
    let engine = house.start().await;
    for (path, value, told) in [
        ("a/b", "1234567", "the secret has 7 characters, fewer than 8"),
        ("a/b", "äöüäöüä", "the secret has 7 characters, fewer than 8"),
        ("a/b", "", "the secret has 0 characters"),
        ("a/b", &"x".repeat(70_000), "more than 65536"),
        ("", "long enough", "is not a secret's path"),
        ("/a", "long enough", "is not a secret's path"),
        ("a/../b", "long enough", "is not a secret's path"),
        ("a b", "long enough", "is not a secret's path"),
        ("a@1", "long enough", "is not a secret's path"),
    ] {
        let error = set(&engine, path, value).await.unwrap_err().to_string();
        assert!(error.contains(told), "{path}: {error}");
    }
    assert_eq!(engine.secrets(), []);
}

#[tokio::test]
async fn without_a_configured_key_one_is_made_beside_the_state_for_its_owner_alone() {
    let house = House::new();
    let engine = house.start().await;
    let file = house.path("state.key");
    assert!(!file.exists(), "no secret, no key");
    set(&engine, "a", "long enough").await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    engine.shutdown(Duration::from_secs(5)).await;
    std::fs::rename(&file, house.path("elsewhere")).unwrap();
    let told = refused(&house, &[]).await;
    assert!(told.contains("1 encrypted secrets can only be opened with the key age1"), "{told}");
    assert!(told.contains("secrets.keys"), "{told}");
    let elsewhere = [KeySource::File(house.path("elsewhere"))];
    let engine = start(&house, &elsewhere).await.unwrap();
    assert_eq!(engine.secret_value("a").unwrap().expose(), "long enough");
}

#[tokio::test]
async fn rekey_lets_an_old_key_go_and_not_before() {
    let house = House::new();
    let (old, new) = (key_file(&house, "old"), key_file(&house, "new"));
    let engine = start(&house, std::slice::from_ref(&old)).await.unwrap();
    for n in 0..250 {
        set(&engine, &format!("many/{n}"), &format!("value number {n}")).await.unwrap();
    }
    let before = key_of(&engine, "many/1");
    engine.shutdown(Duration::from_secs(5)).await;
    let told = refused(&house, std::slice::from_ref(&new)).await;
    assert!(told.contains("250 encrypted secrets") && told.contains(&before), "{told}");

    let engine = start(&house, &[new.clone(), old.clone()]).await.unwrap();
    set(&engine, "many/1", "a new value").await.unwrap();
    assert_eq!(engine.rekey(&Actor::token("test")).await.unwrap(), 250);
    assert_eq!(engine.rekey(&Actor::token("test")).await.unwrap(), 0);
    assert_ne!(key_of(&engine, "many/2"), before);
    engine.shutdown(Duration::from_secs(5)).await;

    let engine = start(&house, &[new]).await.unwrap();
    assert_eq!(engine.secret_value("many/1").unwrap().expose(), "a new value");
    assert_eq!(engine.secret_value("many/249").unwrap().expose(), "value number 249");
}

/// The place at the desk of the one step of `id`.
async fn attended(house: &House, engine: &Engine, id: &ExecutionId) -> Seat {
    let path = StepPath::top(1);
    let step = Performing {
        parameters: json!({}),
        key: IdempotencyKey::new(id, &path),
        attempt: 1,
        run: 1,
        resumed: false,
        timeout: None,
        pack: None,
        hosts: Vec::new(),
        log: house.path("state/logs").join(id.as_str()).join(path.to_string()),
        redactor: Arc::default(),
        trace: None,
        cancel: CancellationToken::new(),
        stopping: CancellationToken::new(),
    };
    engine.desk().attend(&step, None).await.unwrap()
}

#[tokio::test]
async fn what_a_program_handed_in_outlives_the_key_that_it_was_sealed_with() {
    let house = House::new();
    house.chain("sleeps", "", r#"sleep("1h")"#);
    let (old, new) = (key_file(&house, "old"), key_file(&house, "new"));
    let engine = start(&house, std::slice::from_ref(&old)).await.unwrap();
    let id = run(&engine, "p.sleeps", json!({})).await;
    let seat = attended(&house, &engine, &id).await;
    let Bearer::Open(step) = engine.desk().bearer(&seat.token()) else { panic!("it is open") };
    step.hand_in(json!({ "rows": 3 })).await.unwrap();
    let handed_in = Ok(Some(json!({ "rows": 3 })));
    engine.shutdown(Duration::from_secs(5)).await;
    let told = refused(&house, std::slice::from_ref(&new)).await;
    assert!(told.contains("1 encrypted secrets can only be opened with the key age1"), "{told}");

    let engine = start(&house, &[new.clone(), old]).await.unwrap();
    assert_eq!(engine.rekey(&Actor::token("test")).await.unwrap(), 1);
    assert_eq!(engine.rekey(&Actor::token("test")).await.unwrap(), 0);
    assert_eq!(attended(&house, &engine, &id).await.answer(), handed_in);
    engine.shutdown(Duration::from_secs(5)).await;

    let engine = start(&house, std::slice::from_ref(&new)).await.unwrap();
    assert_eq!(attended(&house, &engine, &id).await.answer(), handed_in);
    let file = house.path("state/logs").join(id.as_str()).join("1/answer-1.sealed");
    std::fs::write(&file, "{").unwrap();
    let told = attended(&house, &engine, &id).await.answer().unwrap_err();
    assert!(told.contains("answer-1.sealed: "), "{told}");
    assert_eq!(engine.rekey(&Actor::token("test")).await.unwrap(), 0, "it needs no key");
}

#[tokio::test]
async fn a_key_comes_from_a_file_a_variable_or_a_command() {
    let house = House::new();
    let KeySource::File(file) = key_file(&house, "key") else { unreachable!() };
    let print = KeySource::Command(vec!["cat".to_owned(), file.display().to_string()]);
    let engine = start(&house, &[print]).await.unwrap();
    set(&engine, "a", "long enough").await.unwrap();
    engine.shutdown(Duration::from_secs(5)).await;
    let engine = start(&house, &[KeySource::File(file)]).await.unwrap();
    assert_eq!(engine.secret_value("a").unwrap().expose(), "long enough");
}

#[tokio::test]
async fn what_holds_no_key_is_told_without_showing_it() {
    let house = House::new();
    let command =
        |words: &[&str]| KeySource::Command(words.iter().map(ToString::to_string).collect());
    let file = |name: &str, text: &str| {
        std::fs::write(house.path(name), text).unwrap();
        KeySource::File(house.path(name))
    };
    for (source, told) in [
        (KeySource::File(house.path("none")), "cannot be read: No such file"),
        (file("empty", "# nothing\n\n"), "holds no key"),
        (file("damaged", &format!("# one\n{DAMAGED}\n")), "line 2 of the file"),
        (file("password", "hunter2hunter2"), "is no age identity"),
        (KeySource::Env("TRIPLINE_TEST_NO_SUCH_KEY".to_owned()), "is not set"),
        (command(&["false"]), "the command `false` failed: exit status: 1"),
        (command(&["/no/such/program"]), "cannot be run"),
        (command(&[]), "names no program"),
    ] {
        let error = refused(&house, &[source]).await;
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("GFPYYSJZ"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_was_moved_to_another_name_is_not_taken_for_it() {
    use model::{BatchId, Fact, Stream, Timestamp};
    use store::{Batch, Sealing, Write};
    let house = House::new();
    let engine = house.start().await;
    set(&engine, "cheap", "known to many").await.unwrap();
    set(&engine, "dear", "known to few").await.unwrap();
    engine.shutdown(Duration::from_secs(5)).await;
    let records = house.store.sealed_under("", "", 9).await.unwrap();
    let moved = Sealing::Put(records[0].0.clone(), records[1].1.clone());
    let write = Write::new(
        Stream::Sensor("x".to_owned()),
        None,
        [Fact::CursorMoved { cursor: 1.into(), behind: false }],
    );
    let batch = Batch {
        id: BatchId::new("move"),
        actor: Actor::engine(),
        at: Timestamp::UNIX_EPOCH,
        writes: vec![write],
    };
    house.store.append_sealing(batch, vec![moved]).await.unwrap();
    let engine = house.start().await;
    let told = engine.secret_value("cheap").unwrap_err().to_string();
    assert!(told.contains("belongs to another record"), "{told}");
    assert!(Path::new(&house.path("state.key")).exists());
}
