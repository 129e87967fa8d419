//! Where `http.request` goes and where it does not: hosts, redirects, connections; against real
//! servers on loopback.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::time::Duration;

use actions::{BuiltinContext, Performing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::connection::{Auth, ConnectionSpec, Connections, Target};
use host::guard::{self, HostPattern};
use host::http::Url;
use host::secret::SecretRef;
use model::token::percent_encode;
use model::{ErrorKind, Performance, Value};
use serde_json::json;
use server::{Reply, Server, answer};
use support::{done, kind, performing, told};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Performs for the pack `web`, which may reach `hosts`.
async fn perform(hosts: &[&str], connections: &Connections, parameters: Value) -> Performance {
    perform_until(CancellationToken::new(), hosts, connections, parameters).await
}

async fn perform_until(
    cancel: CancellationToken,
    hosts: &[&str],
    connections: &Connections,
    parameters: Value,
) -> Performance {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    perform_within(hosts, cancel, connections, parameters).await
}

async fn perform_within(
    hosts: Vec<HostPattern>,
    cancel: CancellationToken,
    connections: &Connections,
    parameters: Value,
) -> Performance {
    let context = BuiltinContext { connections: connections.clone(), ..Default::default() };
    let all = actions::builtin(&context);
    let action = all.iter().find(|a| a.metadata().reference.as_str() == "http.request").unwrap();
    let mut parameters = parameters;
    action.metadata().parameters.fill(parameters.as_object_mut().unwrap());
    let pack = Some("web".parse().unwrap());
    action.perform(Performing { hosts, pack, cancel, ..performing(parameters) }).await
}

async fn get(hosts: &[&str], url: &str) -> Performance {
    perform(hosts, &Connections::default(), json!({ "url": url })).await
}

/// A server that answers every request with a redirect to `to`.
async fn redirecting(status: &'static str, to: String) -> Server {
    Server::start(move |_| Reply::Bytes(answer(status, &format!("Location: {to}"), ""))).await
}

#[tokio::test]
async fn what_is_not_listed_is_denied_before_anything_is_sent() {
    let server = Server::answering(answer("200 OK", "", "secret")).await;
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
        for hosts in [&[][..], &["*"], &["*.internal"], &["127.0.0.2:*"], &["127.0.0.1:1"]] {
            let performance = get(hosts, &format!("http://{host}:{port}/")).await;
            assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Denied)), "{host} {hosts:?}");
        }
    }
    assert_eq!(server.requests(), Vec::<String>::new());
    let performance = get(&[], "http://api.example.com:8080/x").await;
    assert_eq!(
        told(&performance),
        "failed denied: requests to `api.example.com:8080` are not allowed: \
         add `api.example.com:8080` to `permissions.hosts` in the pack.yaml of `web`"
    );
}

#[tokio::test]
async fn what_is_listed_by_name_is_reached_also_on_this_machine() {
    let server = Server::answering(answer("200 OK", "", "hello")).await;
    let port = server.address.port();
    for (entry, host) in [
        (format!("127.0.0.1:{port}"), "127.0.0.1"),
        ("127.0.0.1:*".to_owned(), "2130706433"),
        ("localhost".to_owned(), "localhost"),
        (format!("localhost:{port}"), "LOCALHOST"),
    ] {
        let performance = get(&[&entry], &format!("http://{host}:{port}/")).await;
        assert_eq!(done(performance)["body"], "hello", "{entry}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_on_the_address_it_has() {
    let server = Server::answering(answer("200 OK", "", "secret")).await;
    let url = format!("http://localhost:{}/", server.address.port());
    // Any public host: the name is allowed, its address is not.
    let performance = get(&["*"], &url).await;
    let told = told(&performance);
    assert!(told.starts_with("failed denied: `localhost` is "), "{told}");
    assert!(told.contains("an address of this machine"), "{told}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn no_redirect_leads_where_a_request_may_not_go() {
    let victim = Server::answering(answer("200 OK", "", "secret")).await;
    let port = victim.address.port();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        for host in [
            "127.0.0.1",
            "localhost",
            "127.1",
            "0x7f000001",
            "0177.0.0.1",
            "2130706433",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "allowed@127.0.0.1",
        ] {
            let first = redirecting(status, format!("http://{host}:{port}/")).await;
            let entry = format!("127.0.0.1:{}", first.address.port());
            let performance = get(&[&entry, "*"], &first.url("/")).await;
            assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Denied)), "{status} {host}");
            assert_eq!(first.requests().len(), 1);
        }
    }
    for target in ["http://169.254.169.254/latest/", "//10.0.0.1/", "http://[fd00:ec2::254]/"] {
        let first = redirecting("302 Found", target.to_owned()).await;
        let entry = format!("127.0.0.1:{}", first.address.port());
        let performance = get(&[&entry, "*"], &first.url("/")).await;
        assert_eq!(kind(&performance), ("failed", Some(ErrorKind::Denied)), "{target}");
    }
    assert_eq!(victim.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_of_this_machine_that_every_public_host_grants_is_not_asked_nor_redirected_to() {
    let victim = Server::answering(answer("200 OK", "", "secret")).await;
    let name = std::process::Command::new("uname").arg("-n").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    let url = format!("http://{name}:{}/", victim.address.port());
    let first = redirecting("302 Found", url.clone()).await;
    let parsed = |entry: &str| entry.parse::<HostPattern>().unwrap();
    let own = format!("127.0.0.1:{}", first.address.port());
    let hosts = guard::granted(&[parsed(&name), parsed(&own)], &[parsed("*"), parsed(&own)]);
    for asked in [url, first.url("/")] {
        let asked = json!({ "url": asked });
        let (cancel, connections) = (CancellationToken::new(), Connections::default());
        let performance = perform_within(hosts.clone(), cancel, &connections, asked).await;
        assert_eq!(kind(&performance).0, "failed", "{}", told(&performance));
    }
    assert_eq!((first.requests().len(), victim.requests()), (1, Vec::new()));
}

#[tokio::test]
async fn a_redirect_to_a_listed_host_is_followed() {
    let target = Server::answering(answer("200 OK", "", "arrived")).await;
    let second = redirecting("302 Found", target.url("/")).await;
    let first = redirecting("302 Found", second.url("/")).await;
    let performance = get(&["127.0.0.1:*"], &first.url("/")).await;
    assert_eq!(done(performance)["body"], "arrived");
}

/// A connection `api` to `server`, for the pack `web`, with the secret in a file.
fn connection(server: &Server, auth: Auth, rate: Option<f64>) -> (Connections, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "user:correct-horse\n").unwrap();
    let connections = Connections::default();
    connections.set([ConnectionSpec {
        name: "api".to_owned(),
        target: Target::Http { base_url: Url::parse(&server.url("/v1/")).unwrap(), auth },
        credentials: Some(SecretRef::File(secret)),
        requests_per_second: rate,
        packs: vec!["web".to_owned()],
        at: "dev.yaml:2".to_owned(),
    }]);
    (connections, folder)
}

#[tokio::test]
async fn a_connection_brings_its_address_and_credentials_and_needs_no_entry_in_hosts() {
    for (auth, header) in [
        (Auth::Bearer, "authorization: Bearer user:correct-horse"),
        (Auth::Basic, "authorization: Basic dXNlcjpjb3JyZWN0LWhvcnNl"),
        (Auth::Header("X-Api-Key".to_owned()), "x-api-key: user:correct-horse"),
    ] {
        let server = Server::answering(answer("200 OK", "", "hello")).await;
        let (connections, _folder) = connection(&server, auth, None);
        let parameters = json!({ "connection": "api", "url": "items", "query": { "a": 1 } });
        assert_eq!(done(perform(&[], &connections, parameters).await)["body"], "hello");
        let request = server.requests().remove(0);
        assert!(request.starts_with("GET /v1/items?a=1 "), "{request}");
        assert!(request.contains(header), "{request}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_server_and_out_of_results() {
    let other = Server::answering(answer("200 OK", "", "elsewhere")).await;
    let to = other.url("/");
    let server = Server::start(move |request| {
        Reply::Bytes(match request.starts_with("GET /v1/away ") {
            true => answer("302 Found", &format!("Location: {to}"), ""),
            // A server that shows what it was sent.
            false => answer("418 Teapot", "X-Echo: user:correct-horse", request),
        })
    })
    .await;
    let (connections, _folder) = connection(&server, Auth::Basic, None);
    let away = json!({ "connection": "api", "url": "away" });
    assert_eq!(
        done(perform(&["127.0.0.1:*"], &connections, away.clone()).await)["body"],
        "elsewhere"
    );
    assert!(!other.requests()[0].to_lowercase().contains("authorization"));
    // Where the connection's server leads is no part of the connection.
    let denied = perform(&[], &connections, away).await;
    assert_eq!(kind(&denied), ("failed", Some(ErrorKind::Denied)));
    for expect in [json!([418]), json!(["2xx"])] {
        let echo = json!({ "connection": "api", "url": "echo", "expect": expect });
        let shown = match perform(&[], &connections, echo).await {
            Performance::Done(value) => value.to_string(),
            Performance::Failed(error) | Performance::Unknown(error) => {
                format!("{error:?} {}", error.details)
            }
        };
        // An error passes what the log passes, where others may hold the value too.
        assert!(shown.contains("(credentials)") || shown.contains("[secret]"), "{shown}");
        for secret in ["correct-horse", "dXNlcjpjb3JyZWN0LWhvcnNl"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    // An error shows the beginning of a body, which may end within a credential.
    for length in (1_700..2_000).step_by(10) {
        let url = format!("echo?{}", "x".repeat(length));
        let shown = perform(&[], &connections, json!({ "connection": "api", "url": url })).await;
        assert!(!format!("{shown:?}").contains("dXNlcjpj"), "{shown:?}");
    }
}

#[tokio::test]
async fn credentials_stay_below_the_address_of_their_connection() {
    for (auth, name) in
        [(Auth::Bearer, "authorization"), (Auth::Header("X-Api-Key".to_owned()), "x-api-key")]
    {
        let server = Server::start(|request| {
            let to = |place: &str| answer("302 Found", &format!("Location: {place}"), "");
            Reply::Bytes(match request.split(' ').nth(1) {
                Some("/v1/within" | "/v2/back") => to("/v1/there"),
                Some("/v1/beside") => to("/v2/there"),
                Some("/v1/coded") => to("/v1/..%2fv2/there"),
                Some("/v1/cut") => to("/v1/..;/v2/there"),
                Some("/v1/back") => to("/v2/back"),
                _ => answer("200 OK", "", "arrived"),
            })
        })
        .await;
        let (connections, _folder) = connection(&server, auth, None);
        for (url, signed) in [
            ("within", true),
            ("beside", false),
            ("back", false),
            ("coded", false),
            ("cut", false),
            ("team%2Fapp", true),
        ] {
            let parameters =
                json!({ "connection": "api", "url": url, "headers": { "X-Own": "o" } });
            let performance = perform(&["127.0.0.1:*"], &connections, parameters).await;
            assert_eq!(done(performance)["body"], "arrived", "{url}");
            let request = server.requests().pop().unwrap().to_lowercase();
            assert_eq!(request.contains(name), signed, "{url}: {request}");
            assert!(request.contains("x-own: o"), "what the step says itself stays: {request}");
        }
    }
}

#[tokio::test]
async fn credentials_are_hidden_however_a_server_writes_them() {
    const SECRET: &str = "us\"er:p4ss wörd/+?";
    let mut forms = vec![
        SECRET.to_owned(),
        json!({ "inner": json!({ "got": SECRET }).to_string() }).to_string(),
        percent_encode(SECRET),
        format!("<{}>", percent_encode("p4ss wörd/+?")),
    ];
    forms.extend(["", "x", "xy"].map(|before| STANDARD.encode(format!("{before}{SECRET}."))));
    for form in forms {
        let body = form.clone();
        let server =
            Server::start(move |_| Reply::Bytes(answer("200 OK", "", body.as_str()))).await;
        let (connections, folder) = connection(&server, Auth::Basic, None);
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let echo = json!({ "connection": "api", "url": "echo" });
        let told = done(perform(&[], &connections, echo).await)["body"].to_string();
        assert!(told.contains("(credentials)"), "{form}: {told}");
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_used_says_why() {
    let server = Server::answering(answer("200 OK", "", "")).await;
    let (connections, folder) = connection(&server, Auth::Bearer, None);
    let request = |name: &str, url: &str| json!({ "connection": name, "url": url });
    for (parameters, expected) in [
        (request("apy", "x"), "failed not_found: there is no connection `apy`"),
        (
            request("api", "https://evil.test/"),
            "failed invalid_parameters: `url`: `https://evil.test/` does not lie below",
        ),
        (request("api", "../v2"), "failed invalid_parameters: `url`: `../v2` does not lie below"),
        (
            request("api", "%2e%2e%2fv2"),
            "failed invalid_parameters: `url`: `%2e%2e%2fv2` does not lie below",
        ),
        (
            json!({ "connection": "api", "url": "x", "headers": { "Host": "other.internal" } }),
            "failed invalid_parameters: the header `Host` would name another host",
        ),
        (
            json!({ "connection": "api", "url": "x", "headers": { "Authorization": "Bearer mine" } }),
            "failed invalid_parameters: the connection sets the header `authorization`",
        ),
    ] {
        let told = told(&perform(&[], &connections, parameters).await);
        assert!(told.starts_with(expected), "{told}");
    }
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    let told = told(&perform(&[], &connections, request("api", "x")).await);
    assert!(
        told.starts_with("failed unauthenticated: the credentials of the connection `api`"),
        "{told}"
    );
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn all_who_use_a_connection_share_its_rate() {
    let server = Server::answering(answer("200 OK", "", "")).await;
    let (connections, _folder) = connection(&server, Auth::Bearer, Some(20.0));
    let since = Instant::now();
    let request = || perform(&[], &connections, json!({ "connection": "api", "url": "x" }));
    let sensor = async {
        // What a sensor does before it asks.
        connections.get("api").unwrap().turn().await;
    };
    tokio::join!(request(), request(), request(), request(), sensor);
    assert!(since.elapsed() >= Duration::from_millis(200), "{:?}", since.elapsed());
}

#[tokio::test]
async fn who_waits_for_a_connections_turn_has_sent_nothing() {
    let server = Server::answering(answer("200 OK", "", "")).await;
    let (connections, _folder) = connection(&server, Auth::Bearer, Some(0.001));
    // The turns that are there at once.
    while tokio::time::timeout(Duration::ZERO, connections.get("api").unwrap().turn()).await.is_ok()
    {
    }
    let parameters =
        json!({ "connection": "api", "url": "x", "method": "POST", "timeout": "1ms", "json": 1 });
    let cancel = CancellationToken::new();
    let performing = perform_until(cancel.clone(), &[], &connections, parameters);
    let (performed, ()) = tokio::join!(performing, async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    assert_eq!(told(&performed), "failed cancelled: the request was given up before it was sent");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_plan_shows_the_request_without_the_connections_credentials_and_sends_nothing() {
    let server = Server::answering(answer("200 OK", "", "hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "very-secret-value").unwrap();
    let base_url = Url::parse(&format!("http://{}/v1/", server.address)).unwrap();
    let connections = Connections::default();
    connections.set([ConnectionSpec {
        name: "api".to_owned(),
        target: Target::Http { base_url, auth: Auth::Bearer },
        credentials: Some(SecretRef::File(file)),
        requests_per_second: None,
        packs: vec!["web".to_owned()],
        at: "dev.yaml:3".to_owned(),
    }]);
    let all = actions::builtin(&BuiltinContext { connections, ..Default::default() });
    let action = all.iter().find(|a| a.metadata().reference.as_str() == "http.request").unwrap();
    let plan = async |parameters: Value| {
        let pack = Some("web".parse().unwrap());
        let planned = Performing { hosts: Vec::new(), pack, ..performing(parameters) };
        action.plan(&planned).await
    };
    let parameters = json!({ "url": "items", "connection": "api", "method": "POST",
        "query": { "dry": true }, "json": { "name": "a" }, "headers": { "x-team": "web" } });
    let planned = plan(parameters).await.unwrap();
    let text = serde_json::to_string(&planned).unwrap();
    assert_eq!(planned.summary, format!("sends POST http://{}/v1/items?dry=true", server.address));
    assert_eq!(
        planned.changes[0].after,
        Some(json!({ "body": { "name": "a" }, "headers": { "x-team": "web",
            "content-type": "application/json", "authorization": "(credentials of the connection)" } }))
    );
    assert!(!text.contains("very-secret-value"), "{text}");
    let denied = plan(json!({ "url": "http://other.example.com/", "method": "POST" })).await;
    assert_eq!(denied.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(server.requests(), Vec::<String>::new());
}
