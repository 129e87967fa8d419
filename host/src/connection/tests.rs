//! Who may use a connection, and where its credentials go.

use super::*;

fn spec(name: &str, target: Target) -> ConnectionSpec {
    ConnectionSpec {
        name: name.to_owned(),
        target,
        credentials: None,
        requests_per_second: None,
        packs: vec!["web".to_owned(), "team_*".to_owned()],
        at: "dev.yaml:3".to_owned(),
    }
}

fn made(spec: ConnectionSpec) -> Connection {
    Connection::new(spec, &Connections::default().lookup, &Observer::default())
}

fn host() -> Connection {
    let url = "https://git.example.com/team".to_owned();
    made(spec("host", Target::Git { url }))
}

fn api() -> Connection {
    let base_url = Url::parse("https://api.example.com/v1/").unwrap();
    made(spec("api", Target::Http { base_url, auth: Auth::Bearer }))
}

#[test]
fn credentials_of_a_git_host_go_only_to_repositories_below_its_url() {
    let host = host();
    for (url, expected) in [
        (None, "https://git.example.com/team"),
        (Some("app.git"), "https://git.example.com/team/app.git"),
        (Some("https://git.example.com/team/app.git"), "https://git.example.com/team/app.git"),
        (Some("https://git.example.com/team"), "https://git.example.com/team"),
    ] {
        assert_eq!(host.repository(url).unwrap(), expected);
    }
    for url in [
        "https://evil.example.com/app.git",
        "https://git.example.com.evil.example/team/app",
        "https://git.example.com/teams/app",
        "../other/app.git",
        "..;/other/app.git",
        "https://git.example.com/team/../other/app",
        "/etc/app",
        "ext::sh",
        "a%2f..%2fb",
    ] {
        assert!(matches!(host.repository(Some(url)), Err(NoConnection::Outside { .. })), "{url}");
    }
    assert!(matches!(api().repository(None), Err(NoConnection::Misfit { .. })));
}

#[test]
fn credentials_of_an_api_go_only_to_urls_below_its_base() {
    let api = api();
    for (url, expected) in [
        ("items/1?x=y", "https://api.example.com/v1/items/1?x=y"),
        ("/items", "https://api.example.com/v1/items"),
        ("", "https://api.example.com/v1/"),
        ("a:b", "https://api.example.com/v1/a:b"),
        ("https://api.example.com/v1/items", "https://api.example.com/v1/items"),
        ("//evil.example.com/x", "https://api.example.com/v1/evil.example.com/x"),
        ("team%2Fapp", "https://api.example.com/v1/team%2Fapp"),
        ("x?to=..%2fy", "https://api.example.com/v1/x?to=..%2fy"),
    ] {
        assert_eq!(api.request(url).unwrap().as_str(), expected, "{url}");
    }
    for url in [
        "https://evil.example.com/v1/",
        "http://api.example.com/v1/",
        "https://api.example.com:444/v1/",
        "https://user@api.example.com/v1/",
        "https://api.example.com/v2/",
        "../v2/items",
        "%2e%2e/v2",
        "..%2fv2",
        "%2e%2e%2fv2",
        "%252e%252e%252fv2",
        "..;/v2",
        "..%5cv2",
        "https://api.example.com/v1/..%2fv2",
    ] {
        assert!(matches!(api.request(url), Err(NoConnection::Outside { .. })), "{url}");
    }
}

#[test]
fn a_connection_is_for_the_packs_it_names() {
    let connections = Connections::default();
    connections.set([spec("host", Target::Git { url: "https://h/".to_owned() })]);
    for (pack, admitted) in [("web", true), ("team_a", true), ("webs", false), ("other", false)] {
        let pack: PackName = pack.parse().unwrap();
        assert_eq!(connections.of("host", Some(&pack)).is_ok(), admitted, "{pack}");
    }
    let error = connections.of("hots", None).unwrap_err().to_string();
    assert!(error.ends_with("did you mean `host`?"), "{error}");
}

#[test]
fn a_cluster_is_the_same_for_all_who_use_its_connection() {
    let connections = Connections::default();
    let target = Target::Kubernetes { server: None, ca: None, context: None, burst: None };
    let git = Target::Git { url: "https://h/".to_owned() };
    connections.set([spec("prod", target), spec("host", git)]);
    let prod = |pack: &str| connections.cluster(Some("prod"), Some(&pack.parse().unwrap()));
    assert!(Arc::ptr_eq(&prod("web").unwrap(), &prod("team_a").unwrap()));
    assert!(matches!(prod("other"), Err(NoConnection::NotGranted { .. })));
    let own = |pack: Option<&str>| {
        connections.cluster(None, pack.map(|pack| pack.parse().unwrap()).as_ref())
    };
    assert_eq!(own(None).unwrap().name(), "default");
    let unlent = own(Some("web")).unwrap_err().to_string();
    assert!(unlent.contains("default: { type: kubernetes, packs: [web] }"), "{unlent}");
    let target = Target::Kubernetes { server: None, ca: None, context: None, burst: Some(3) };
    let declared = spec("default", target);
    let host = spec("host", Target::Git { url: "https://h/".to_owned() });
    let before = own(None).unwrap();
    connections.set([declared, host]);
    assert!(own(Some("web")).is_ok() && !Arc::ptr_eq(&own(None).unwrap(), &before));
    assert!(matches!(own(Some("other")), Err(NoConnection::NotGranted { .. })));
    let misfit = connections.cluster(Some("host"), None).unwrap_err().to_string();
    assert_eq!(misfit, "the connection `host` is of type `git`, not `kubernetes`");
}

#[test]
fn what_an_environment_leaves_as_it_was_stays_the_same_connection() {
    let connections = Connections::default();
    let one = spec("host", Target::Git { url: "https://h/".to_owned() });
    connections.set([one.clone()]);
    let before = connections.get("host").unwrap();
    connections.set([one.clone()]);
    assert!(Arc::ptr_eq(&before, &connections.get("host").unwrap()));
    connections.set([ConnectionSpec { requests_per_second: Some(1.0), ..one }]);
    assert!(!Arc::ptr_eq(&before, &connections.get("host").unwrap()));
}

#[test]
fn the_password_of_a_pair_is_as_long_as_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pair");
    let why = |auth: Auth, pair: &str| {
        std::fs::write(&file, format!("{pair}\n")).unwrap();
        let base_url = Url::parse("https://api.example.com/").unwrap();
        let mut spec = spec("api", Target::Http { base_url, auth });
        spec.credentials = Some(SecretRef::File(file.clone()));
        let error = Connections::default().credentials(&made(spec)).err()?.to_string();
        Some(error.replace(&file.display().to_string(), "FILE"))
    };
    for (pair, what, characters) in [
        ("admin:pw12", "password", 4),
        ("administrator:geheimä", "password", 7),
        ("key-123:", "password", 7),
        ("key:", "secret", 4),
    ] {
        let expected = format!(
            "the credentials of the connection `api`: the {what} in the file FILE has {characters} characters, fewer than 8"
        );
        assert_eq!(why(Auth::Basic, pair), Some(expected), "{pair}");
    }
    for pair in ["a:12345678", "api-key-1:", "api-key-1", "administrator::1234567"] {
        assert_eq!(why(Auth::Basic, pair), None, "{pair}");
    }
    assert_eq!(why(Auth::Bearer, "admin:pw12"), None, "it is sent as a whole");
}
