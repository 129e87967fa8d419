//! `http.request` with `download`, against real servers: a file is there whole, or as it was before.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use actions::{BuiltinContext, Performing, SharedAction};
use host::download::parts_of;
use host::git::Exports;
use host::redact::Redactor;
use model::{Effect, ErrorKind, Hash, Performance, Value};
use serde_json::json;
use server::{Reply, Server, answer};
use support::{done, kind, performing, told};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn exports(&self) -> Exports {
        Exports::new(self.0.path().join("exports"))
    }

    fn path(&self, to: &str) -> PathBuf {
        self.0.path().join("exports").join(to)
    }

    fn action(&self) -> SharedAction {
        let context = BuiltinContext { exports: self.exports(), ..Default::default() };
        let all = actions::builtin(&context);
        all.into_iter().find(|it| it.metadata().reference.as_str() == "http.request").unwrap()
    }

    fn performing(&self, mut parameters: Value) -> Performing {
        let action = self.action();
        action.metadata().parameters.fill(parameters.as_object_mut().unwrap());
        assert_eq!(action.metadata().parameters.violations(&parameters), []);
        performing(parameters)
    }

    async fn perform(&self, parameters: Value) -> Performance {
        let performance = self.action().perform(self.performing(parameters)).await;
        if let Performance::Done(result) = &performance {
            assert_eq!(self.action().metadata().result.violations(result), []);
        }
        performance
    }

    async fn download(&self, server: &Server, download: Value) -> Performance {
        self.perform(json!({ "url": server.url("/app.tar"), "download": download })).await
    }

    /// Whether nothing is left of what was on its way.
    fn is_tidy(&self) -> bool {
        fs::read_dir(parts_of(&self.exports())).map_or(true, |mut parts| parts.next().is_none())
    }
}

/// Larger than any buffer on the way, and no text.
fn bytes() -> Vec<u8> {
    (0..6 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn a_body_of_any_kind_goes_into_a_file_whole() {
    let (place, bytes) = (Place::new(), bytes());
    let server = Server::answering(answer("200 OK", "X-Kind: tar", &bytes)).await;
    let sha256 = Hash::of(&bytes).to_string();
    let to = json!({ "to": "releases/app.tar", "sha256": sha256.to_uppercase() });
    let result = done(place.download(&server, to).await);
    let path = place.path("releases/app.tar");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(result["path"], path.to_str().unwrap());
    assert_eq!((&result["size"], &result["sha256"]), (&json!(bytes.len()), &json!(sha256)));
    assert_eq!((&result["status"], &result["headers"]["x-kind"]), (&json!(200), &json!("tar")));
    assert_eq!((&result["body"], &result["json"]), (&Value::Null, &Value::Null));
    assert!(place.is_tidy());
}

#[tokio::test]
async fn a_file_that_is_there_stays_until_the_new_one_is_whole() {
    let place = Place::new();
    let (old, to) = (place.path("app.tar"), json!({ "to": "app.tar", "max_size": 8 }));
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::write(&old, "old").unwrap();
    let mut open = fs::File::open(&old).unwrap();
    let long = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n123456789";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n1234";
    let wrong = json!({ "to": "app.tar", "sha256": Hash::of(b"other").to_string() });
    for (bytes, download, expected) in [
        (answer("200 OK", "", "123456789"), &to, ErrorKind::TooLarge),
        (long.into(), &to, ErrorKind::TooLarge),
        (cut.into(), &to, ErrorKind::Unavailable),
        (answer("200 OK", "", "new"), &wrong, ErrorKind::Rejected),
        (answer("404 Not Found", "", "no such"), &to, ErrorKind::NotFound),
    ] {
        let server = Server::answering(bytes).await;
        let performance = place.download(&server, download.clone()).await;
        assert_eq!(kind(&performance), ("failed", Some(expected)), "{}", told(&performance));
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert!(place.is_tidy());
    }
    let server = Server::answering(answer("200 OK", "", "new")).await;
    done(place.download(&server, to).await);
    assert_eq!(fs::read_to_string(&old).unwrap(), "new");
    let mut read = String::new();
    std::io::Read::read_to_string(&mut open, &mut read).unwrap();
    assert_eq!(read, "old", "who reads the old file goes on reading it");
}

#[tokio::test]
async fn a_value_that_comes_back_is_taken_out_of_the_file_unless_its_digest_is_fixed() {
    let place = Place::new();
    // Longer than what comes in one piece, and the value over an end of one.
    let body = format!("{}correct-horse-battery{}", "x".repeat(100_000), "y".repeat(100_000));
    let server = Server::answering(answer("200 OK", "", body.as_bytes())).await;
    let download = async |download: Value| {
        let mut performing =
            place.performing(json!({ "url": server.url("/"), "download": download }));
        performing.redactor = Arc::new(Redactor::new([("correct-horse-battery", "tlsec_x")]));
        done(place.action().perform(performing).await)
    };
    let result = download(json!({ "to": "told" })).await;
    let clean = body.replace("correct-horse-battery", "tlsec_x");
    assert_eq!(fs::read_to_string(place.path("told")).unwrap(), clean);
    assert_eq!(result["size"], clean.len());
    assert_eq!(result["sha256"], Hash::of(clean.as_bytes()).to_string());
    let sha256 = Hash::of(body.as_bytes()).to_string();
    download(json!({ "to": "fixed", "sha256": sha256 })).await;
    assert_eq!(fs::read_to_string(place.path("fixed")).unwrap(), body);
}

#[tokio::test]
async fn a_file_that_was_downloaded_for_another_pack_is_not_replaced() {
    let place = Place::new();
    let server = Server::answering(answer("200 OK", "", "new")).await;
    let file = place.path("tools/run.sh");
    let download = async |pack: Option<&str>| {
        let parameters = json!({ "url": server.url("/"), "download": { "to": "tools/run.sh" } });
        let mut performing = place.performing(parameters);
        performing.pack = pack.map(|name| name.parse().unwrap());
        place.action().perform(performing).await
    };
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "whoever put it there").unwrap();
    for pack in ["p", "p"] {
        done(download(Some(pack)).await);
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
    fs::write(&file, "of p").unwrap();
    let refused = download(Some("q")).await;
    assert_eq!(
        told(&refused),
        format!(
            "failed invalid_parameters: `download.to`: {} is a file of the pack `p`: name another file, or remove it",
            file.display()
        )
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "of p");
    done(download(None).await);
    assert_eq!(fs::read_to_string(&file).unwrap(), "new", "a person replaces any");
    done(download(Some("p")).await);
    fs::remove_file(&file).unwrap();
    done(download(Some("q")).await);
    assert_eq!(kind(&download(Some("p")).await).0, "failed", "whoever came first");
}

#[tokio::test]
async fn two_packs_that_download_to_one_place_at_once_do_not_replace_each_others_file() {
    let place = Place::new();
    let whole = async |pack: &'static str| {
        let at = host::download::Place::below(&place.exports(), "tool", Some(pack)).unwrap();
        let mut download = host::download::Download::begin(at, pack).await.unwrap();
        download.write(pack.as_bytes()).await.unwrap();
        download.whole()
    };
    let (first, second) = (whole("p").await, whole("q").await);
    first.keep().await.unwrap();
    let told = second.keep().await.unwrap_err().to_string();
    assert!(told.contains("is a file of the pack `p`"), "{told}");
    assert_eq!(fs::read_to_string(place.path("tool")).unwrap(), "p");
    assert!(place.is_tidy());
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_said_to_have_failed() {
    let place = Place::new();
    let server = Server::answering(answer("200 OK", "", "123456789")).await;
    let parameters = json!({
        "method": "POST",
        "url": server.url("/"),
        "download": { "to": "report", "max_size": "8B" },
    });
    let performance = place.perform(parameters).await;
    assert_eq!(told(&performance), "unknown too_large: the answer's body has more than 8B");
    assert!(!place.path("report").exists());
}

#[tokio::test]
async fn only_files_below_the_exports_are_written() {
    let place = Place::new();
    fs::create_dir_all(place.path("folder")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    symlink(place.0.path(), place.path("link")).unwrap();
    symlink(place.0.path().join("outside"), place.path("loose")).unwrap();
    let server = Server::answering(answer("200 OK", "", "x")).await;
    for to in [
        "",
        ".",
        "/etc/app",
        "../app",
        "a/../../app",
        "a/",
        ".owners/nobody",
        "a/.b",
        "folder",
        "file/app",
        "link/app",
        "loose",
    ] {
        let performance = place.download(&server, json!({ "to": to })).await;
        let found = kind(&performance);
        assert_eq!(found, ("failed", Some(ErrorKind::InvalidParameters)), "{to:?}");
    }
    for (parameters, reason) in [
        (json!({ "to": "a", "max_size": "much" }), "`download.max_size`"),
        (json!({ "to": "a", "sha256": "00" }), "`download.sha256`"),
    ] {
        let told = told(&place.download(&server, parameters).await);
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
    assert!(!place.0.path().join("outside").exists());
}

#[tokio::test]
async fn a_temporary_download_goes_with_its_execution_and_others_stay() {
    let place = Place::new();
    let server = Server::answering(answer("200 OK", "", "x")).await;
    for (to, temporary) in [("kept", false), ("own", true), ("both", true), ("both", false)] {
        done(place.download(&server, json!({ "to": to, "temporary": temporary })).await);
    }
    let exports = place.exports();
    for owner in exports.owners().unwrap().iter().filter(|owner| *owner != Exports::NOBODY) {
        exports.release(owner).unwrap();
    }
    let there = ["kept", "own", "both"].map(|to| place.path(to).exists());
    assert_eq!(there, [true, false, true]);
}

#[tokio::test]
async fn an_attempt_that_was_killed_is_taken_over_by_the_next() {
    let place = Place::new();
    let key = performing(json!({})).key;
    let part = parts_of(&place.exports()).join(Hash::of(key.as_str().as_bytes()).to_string());
    fs::create_dir_all(&part).unwrap();
    fs::write(part.join("body"), "what an attempt has left, longer than the whole").unwrap();
    let server = Server::answering(answer("200 OK", "", "new")).await;
    for _ in 0..2 {
        done(place.download(&server, json!({ "to": "a/b" })).await);
        assert_eq!(fs::read_to_string(place.path("a/b")).unwrap(), "new");
        assert!(place.is_tidy());
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing() {
    let place = Place::new();
    let server = Server::start(|_| Reply::Silence).await;
    let performing = place.performing(json!({
        "url": server.url("/"), "download": { "to": "a" }, "timeout": "100ms",
    }));
    let performance = place.action().perform(performing).await;
    assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Timeout)));
    assert!(place.is_tidy() && !place.path("a").exists());
}

#[tokio::test]
async fn a_plan_says_where_the_answer_would_go_and_nothing_is_sent() {
    let place = Place::new();
    let server = Server::answering(answer("200 OK", "", "x")).await;
    let url = server.url("/app.tar");
    let parameters = json!({ "url": url, "download": { "to": "app.tar" } });
    // A dry run performs what only reads: this writes a file.
    assert_eq!(place.action().effect(&parameters), Effect::Idempotent);
    let plan = place.action().plan(&place.performing(parameters)).await.unwrap();
    let path = place.path("app.tar").display().to_string();
    assert_eq!(plan.summary, format!("sends GET {url} and writes the answer to {path}"));
    let file = plan.changes.iter().find(|change| change.what == path).unwrap();
    assert_eq!(file.after, Some(json!({ "max_size": "256MiB", "replaces": false })));
    assert_eq!(server.requests(), Vec::<String>::new());
    assert!(!place.path("").exists());
}

#[tokio::test]
async fn a_redirect_to_a_host_that_is_not_allowed_writes_nothing() {
    let place = Place::new();
    let secret = Server::answering(answer("200 OK", "", "secret")).await;
    let location = format!("Location: {}", secret.url("/").replace("127.0.0.1", "localhost"));
    let server = Server::start(move |_| Reply::Bytes(answer("302 Found", &location, ""))).await;
    let performance = place.download(&server, json!({ "to": "a" })).await;
    assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Denied)));
    assert_eq!(secret.requests(), Vec::<String>::new());
    assert!(place.is_tidy() && !place.path("a").exists());
}
