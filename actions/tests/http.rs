//! `http.request` against real servers: what an answer, or the lack of one, says.

#![allow(clippy::unwrap_used)]

#[path = "support/server.rs"]
mod server;
mod support;

use std::time::Duration;

use actions::{BuiltinContext, SharedAction};
use model::{Effect, ErrorKind, Performance, Value};
use serde_json::json;
use server::{Reply, Server, answer};
use support::{done, kind, performing, told};
use tokio::time::Instant;

fn action() -> SharedAction {
    let all = actions::builtin(&BuiltinContext::default());
    all.into_iter().find(|action| action.metadata().reference.as_str() == "http.request").unwrap()
}

/// Performs with the schema's defaults filled in, as the engine does.
async fn perform(parameters: Value) -> Performance {
    let action = action();
    let mut parameters = parameters;
    action.metadata().parameters.fill(parameters.as_object_mut().unwrap());
    assert_eq!(action.metadata().parameters.violations(&parameters), []);
    let performance = action.perform(performing(parameters)).await;
    if let Performance::Done(result) = &performance {
        assert_eq!(action.metadata().result.violations(result), []);
    }
    performance
}

async fn request(method: &str, server: &Server) -> Performance {
    perform(json!({ "method": method, "url": server.url("/") })).await
}

#[tokio::test]
async fn an_answer_is_told_as_text_and_as_json() {
    let headers = "Content-Type: application/json; charset=utf-8\nX-Many: a\nX-Many: b";
    let server = Server::answering(answer("200 OK", headers, "{\"a\":1}")).await;
    let url = server.url("/p?q=1");
    let result = done(perform(json!({ "url": url })).await);
    assert_eq!(result["status"], 200);
    assert_eq!(result["body"], "{\"a\":1}");
    assert_eq!(result["json"], json!({ "a": 1 }));
    assert_eq!(result["headers"]["x-many"], "a, b");
    assert_eq!(result["url"], url);
}

#[tokio::test]
async fn a_body_that_is_no_text_comes_as_base64() {
    let server = Server::answering(answer("200 OK", "", [0xff, 0x00])).await;
    let result = done(request("GET", &server).await);
    assert_eq!((&result["body"], &result["body_base64"]), (&Value::Null, &json!("/wA=")));
    assert_eq!(result["json"], Value::Null);
}

#[tokio::test]
async fn what_calls_itself_json_and_is_not_stays_text() {
    let server =
        Server::answering(answer("200 OK", "content-type: application/json", "{oops")).await;
    let result = done(request("GET", &server).await);
    assert_eq!((&result["body"], &result["json"]), (&json!("{oops"), &Value::Null));
    assert_eq!(result["json_error"], "key must be a string at line 1 column 2");
}

#[tokio::test]
async fn a_body_with_a_number_that_nobody_can_hold_stays_text_and_says_why() {
    for number in ["9223372036854775808", "18446744073709551616"] {
        let body = format!("{{\"id\": {number}}}");
        let headers = "content-type: application/json";
        let server = Server::answering(answer("200 OK", headers, &body)).await;
        let result = done(request("GET", &server).await);
        assert_eq!((&result["body"], &result["json"]), (&json!(body), &Value::Null));
        let why = result["json_error"].as_str().unwrap();
        assert!(why.starts_with("the whole number at line 1, column 8 does not fit"), "{why}");
    }
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let server =
        Server::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n")
            .await;
    assert_eq!(done(request("HEAD", &server).await)["body"], Value::Null);
}

#[tokio::test]
async fn the_request_carries_what_was_asked_for() {
    let server = Server::answering(answer("204 No Content", "", "")).await;
    let parameters = json!({
        "method": "POST",
        "url": server.url("/things?a=1"),
        "query": { "b": "x y" },
        "headers": { "X-Token": "t" },
        "json": { "n": 1 },
        "idempotency_header": "Idempotency-Key",
    });
    done(perform(parameters).await);
    let request = server.requests().remove(0);
    let key = performing(json!({})).key;
    for part in [
        "POST /things?a=1&b=x+y HTTP/1.1\r\n",
        "x-token: t\r\n",
        "content-type: application/json\r\n",
        &format!("idempotency-key: {key}\r\n"),
        "user-agent: tripline/",
        "\r\n\r\n{\"n\":1}",
    ] {
        assert!(request.contains(part), "{part:?} in {request}");
    }
}

/// Status → outcome for a POST, and for a GET.
#[tokio::test]
async fn a_status_says_whether_there_was_an_effect() {
    use ErrorKind::*;
    for (status, post, error) in [
        ("400", "failed", Rejected),
        ("401", "failed", Unauthenticated),
        ("403", "failed", Denied),
        ("404", "failed", NotFound),
        ("408", "failed", Timeout),
        ("409", "failed", Conflict),
        ("410", "failed", NotFound),
        ("412", "failed", Conflict),
        ("413", "failed", TooLarge),
        ("418", "failed", Rejected),
        ("429", "failed", RateLimited),
        ("500", "unknown", Unavailable),
        ("501", "failed", Rejected),
        ("502", "unknown", Unavailable),
        ("503", "failed", Unavailable),
        ("504", "unknown", Unavailable),
        ("302", "unknown", Rejected),
    ] {
        let server = Server::answering(answer(&format!("{status} Status"), "", "why")).await;
        assert_eq!(kind(&request("POST", &server).await), (post, Some(error)), "{status}");
        assert_eq!(kind(&request("GET", &server).await), ("failed", Some(error)), "{status}");
    }
}

#[tokio::test]
async fn a_refusal_tells_its_details() {
    let server =
        Server::answering(answer("429 Too Many Requests", "Retry-After: 7", "slow down")).await;
    let Performance::Failed(error) = request("POST", &server).await else { panic!() };
    assert_eq!(error.message, "the server answered 429 Too Many Requests");
    let url = server.url("/");
    assert_eq!(
        error.details,
        json!({ "status": 429, "url": url, "body": "slow down", "retry_after": 7 })
    );
}

#[tokio::test]
async fn expected_statuses_are_success_and_only_they() {
    let server = Server::answering(answer("404 Not Found", "", "")).await;
    let parameters = json!({ "url": server.url("/"), "expect": [200, "404"] });
    assert_eq!(done(perform(parameters).await)["status"], 404);
    let server = Server::answering(answer("200 OK", "", "")).await;
    let parameters = json!({ "url": server.url("/"), "method": "PUT", "expect": ["201"] });
    assert_eq!(kind(&perform(parameters).await), ("unknown", Some(ErrorKind::Rejected)));
}

#[tokio::test]
async fn without_a_connection_there_was_no_effect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = listener.local_addr().unwrap();
    drop(listener);
    let plain = Server::answering(answer("200 OK", "", "")).await;
    for url in [
        format!("http://{refusing}/"),
        "http://no-such-host.invalid/".to_owned(),
        format!("https://{}/", plain.address),
    ] {
        let performance = perform(json!({ "method": "POST", "url": url })).await;
        assert_eq!(
            kind(&performance),
            ("failed", Some(ErrorKind::Unavailable)),
            "{url}: {}",
            told(&performance)
        );
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_outcome_unknown() {
    let lost = Server::start(|_| Reply::Lost).await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
    let cut = Server::answering(half).await;
    for server in [&lost, &cut] {
        assert_eq!(kind(&request("POST", server).await), ("unknown", Some(ErrorKind::Unavailable)));
        assert_eq!(kind(&request("GET", server).await), ("failed", Some(ErrorKind::Unavailable)));
    }
    assert_eq!(lost.requests().len(), 2, "neither was sent twice");
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout() {
    let server = Server::start(|_| Reply::Silence).await;
    let since = Instant::now();
    let parameters = json!({ "method": "POST", "url": server.url("/"), "timeout": "200ms" });
    let performance = perform(parameters).await;
    assert_eq!(kind(&performance), ("unknown", Some(ErrorKind::Timeout)));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_cancelled_request_comes_back_at_once() {
    let server = Server::start(|_| Reply::Silence).await;
    let action = action();
    let performing = performing(json!({ "method": "POST", "url": server.url("/") }));
    let cancel = performing.cancel.clone();
    let cancelling = async {
        support::eventually("the request", || (!server.requests().is_empty()).then_some(())).await;
        cancel.cancel();
    };
    let (performance, ()) = tokio::join!(action.perform(performing), cancelling);
    assert_eq!(kind(&performance), ("unknown", Some(ErrorKind::Cancelled)));
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_too_large() {
    let body = vec![b'x'; 4 * 1024 * 1024 + 1];
    let server = Server::answering(answer("200 OK", "", &body[1..])).await;
    assert_eq!(done(request("GET", &server).await)["body"].as_str().unwrap().len(), body.len() - 1);
    let server = Server::answering(answer("200 OK", "", &body)).await;
    assert_eq!(kind(&request("GET", &server).await), ("failed", Some(ErrorKind::TooLarge)));
    assert_eq!(kind(&request("POST", &server).await), ("unknown", Some(ErrorKind::TooLarge)));
}

/// A server that sends every request for `/from` to `to`.
async fn redirecting(status: &'static str, to: String) -> Server {
    Server::start(move |request| {
        let redirects = request.split(' ').nth(1) == Some("/from");
        Reply::Bytes(if redirects {
            answer(status, &format!("Location: {to}"), "")
        } else {
            answer("200 OK", "", "arrived")
        })
    })
    .await
}

#[tokio::test]
async fn a_redirect_to_another_server_carries_no_credentials() {
    let target = Server::answering(answer("200 OK", "", "arrived")).await;
    let server = redirecting("302 Found", target.url("/to")).await;
    let headers =
        json!({ "Authorization": "Bearer s", "X-Api-Key": "s", "Cookie": "s", "Accept": "a/b" });
    let url = server.url("/from").replace("http://", "http://user:password@");
    let result = done(perform(json!({ "url": url, "headers": headers })).await);
    assert_eq!(result["url"], target.url("/to"));
    assert!(server.requests()[0].contains("authorization: "));
    let request = target.requests()[0].to_lowercase();
    assert!(request.contains("accept: a/b"), "{request}");
    for credential in ["authorization", "x-api-key", "cookie", "referer", "bearer"] {
        assert!(!request.contains(credential), "{credential} in {request}");
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_server_keeps_the_headers() {
    let server = redirecting("307 Temporary Redirect", "/to".to_owned()).await;
    let parameters = |method: &str| json!({ "method": method, "url": server.url("/from"), "headers": { "X-Api-Key": "s" }, "body": "b" });
    for method in ["GET", "POST"] {
        assert_eq!(done(perform(parameters(method)).await)["body"], "arrived");
        let request = server.requests().pop().unwrap();
        assert!(request.starts_with(&format!("{method} /to ")), "{request}");
        assert!(request.contains("x-api-key: s"), "{request}");
        assert!(request.ends_with("\r\n\r\nb"), "{request}");
    }
}

#[tokio::test]
async fn what_is_no_read_is_not_redirected_elsewhere_or_into_another_method() {
    let target = Server::answering(answer("200 OK", "", "")).await;
    for status in ["302 Found", "303 See Other", "307 Temporary Redirect"] {
        let server = redirecting(status, target.url("/to")).await;
        let performance = perform(
            json!({ "method": "POST", "url": server.url("/from"), "json": { "secret": 1 } }),
        )
        .await;
        assert_eq!(kind(&performance), ("unknown", Some(ErrorKind::Rejected)), "{status}");
    }
    assert_eq!(target.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn redirects_end_somewhere_and_can_be_switched_off() {
    let server = redirecting("302 Found", "/from".to_owned()).await;
    let performance = perform(json!({ "url": server.url("/from") })).await;
    assert_eq!(told(&performance), "failed rejected: the server redirected more than 5 times");
    assert_eq!(server.requests().len(), 6);
    let off = json!({ "url": server.url("/from"), "follow_redirects": false, "expect": [302] });
    assert_eq!(done(perform(off).await)["status"], 302);
    let elsewhere = redirecting("302 Found", "file:///etc/passwd".to_owned()).await;
    let performance = perform(json!({ "url": elsewhere.url("/from") })).await;
    assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Rejected)));
}

#[tokio::test]
async fn the_method_and_a_key_decide_the_effect() {
    let action = action();
    for (parameters, effect) in [
        (json!({}), Effect::Read),
        (json!({ "method": "HEAD" }), Effect::Read),
        (json!({ "method": "PUT" }), Effect::Idempotent),
        (json!({ "method": "DELETE" }), Effect::Idempotent),
        (json!({ "method": "POST" }), Effect::Unsafe),
        (json!({ "method": "PATCH" }), Effect::Unsafe),
        (json!({ "method": "POST", "idempotency_header": "Idempotency-Key" }), Effect::Idempotent),
    ] {
        assert_eq!(action.effect(&parameters), effect, "{parameters}");
    }
}

#[tokio::test]
async fn parameters_that_describe_no_request_fail_without_one() {
    for (url, wrong) in [
        ("ftp://h/", "its scheme is `ftp`: expected http or https"),
        ("mailto:ann@example.com", "its scheme is `mailto`: expected http or https"),
        ("localhost:8080/health", "its scheme is `localhost`: expected http or https"),
        ("example.com/health", "it has no scheme: expected http or https"),
        ("//example.com/", "it has no scheme: expected http or https"),
        ("", "it has no scheme: expected http or https"),
        ("https://", "it names no host: expected one"),
        ("http://?q", "it names no host: expected one"),
    ] {
        let performance = action().perform(performing(json!({ "url": url }))).await;
        let expected =
            format!("failed invalid_parameters: `url`: {wrong}, as in `https://host/path`");
        assert_eq!(told(&performance), expected, "{url}");
    }
}
