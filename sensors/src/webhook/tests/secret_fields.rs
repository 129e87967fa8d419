//! What of a request its sensor calls secret.

use super::*;

#[test]
fn secret_fields_are_places_in_a_request() {
    let with = |fields: Value| {
        let mut parameters = github();
        parameters["secret_fields"] = fields;
        make(&parameters)
    };
    let places = [
        "body.users.password",
        r#"body["api.keys"].live"#,
        "body['a key']",
        "headers.X-Api-Key",
        "headers.x.y",
        r#"headers["X-Other"]"#,
        "query.user.code",
        "query.filter[pin]",
        "body.all",
    ];
    let webhook = with(json!(places)).unwrap();
    let mut payload = json!({
        "headers": { "x-api-key": "k", "x.y": "dots", "x-other": "o", "accept": "a" },
        "query": { "user.code": ["c", "e"], "code": "not this", "filter[pin]": "f" },
        "body": { "users": [{ "password": "p", "name": "n" }, { "password": { "deep": "d" } },
                [{ "password": "l", "name": "n" }]],
            "all": ["x", { "y": 1 }], "password": "not this",
            "api.keys": { "live": "q", "test": "not this" }, "api": { "keys": "not this" },
            "a key": "s" },
    });
    let mut found = Vec::new();
    webhook.secret_fields().secrets(&mut payload, &mut |place| found.push(place.to_string()));
    found.sort();
    assert_eq!(
        found,
        [
            r#""c""#,
            r#""d""#,
            r#""dots""#,
            r#""e""#,
            r#""f""#,
            r#""k""#,
            r#""l""#,
            r#""o""#,
            r#""p""#,
            r#""q""#,
            r#""s""#,
            r#""x""#,
            "1"
        ]
    );
    assert!(make(&github()).unwrap().secret_fields().properties().is_empty());
}

#[test]
fn what_is_no_place_in_a_request_is_refused_with_the_reason() {
    let deep = format!("body{}", ".a".repeat(100_000));
    for (bad, why) in [
        ("", "a name is missing"),
        ("body..x", "a name is missing"),
        ("body[x]", "a bracket holds no key"),
        ("body.a key", "` key` follows a complete name"),
        (&deep, "no body is nested 100000 deep"),
        ("method", "`method` is none of body, headers and query"),
        ("password", "`password` is none of body, headers and query"),
        ("headers.", "a name is missing"),
        ("headers.X Api Key", "`X Api Key` is not the name of a header"),
        (r#"headers["x"].y"#, "nothing lies within one of the headers"),
    ] {
        let mut parameters = github();
        parameters["secret_fields"] = json!(["body.password", bad]);
        let errors = make(&parameters).unwrap_err();
        assert_eq!(errors[0].path, "secret_fields.1", "{bad}");
        assert!(errors[0].message.ends_with(why), "{errors:?}");
        assert!(errors[0].hint.as_ref().unwrap().contains(r#"body["a.key with dots"]"#));
    }
}

/// A webhook with this `id` that calls this place secret.
fn secret_beside(id: Value, field: &str) -> Result<Webhook, Vec<BuildError>> {
    let mut parameters = github();
    parameters["id"] = id;
    parameters["secret_fields"] = json!([field]);
    make(&parameters)
}

#[test]
fn a_secret_header_is_not_told_as_the_events_id() {
    let header = || json!({ "header": "X-Delivery" });
    for field in ["headers", "headers.x-delivery", r#"headers["X-DELIVERY"]"#] {
        let errors = secret_beside(header(), field).unwrap_err();
        assert_eq!(errors[0].path, "secret_fields.0");
        let message = &errors[0].message;
        assert!(message.starts_with(&format!("`{field}` is stored and shown")), "{errors:?}");
        assert!(errors[0].hint.as_ref().unwrap().contains("leave `id` out"), "{errors:?}");
        secret_beside(json!({ "content": true }), field).unwrap();
    }
    for field in ["headers.x-api-key", "query.x-delivery", "body.x-delivery"] {
        secret_beside(header(), field).unwrap();
    }
}

#[test]
fn what_is_secret_in_a_body_is_not_told_by_the_events_id() {
    let with = secret_beside;
    let content = || json!({ "content": true });
    for field in ["body", "body.user.pin"] {
        let errors = with(content(), field).unwrap_err();
        assert_eq!(errors[0].path, "secret_fields.0");
        assert!(errors[0].message.contains("can be guessed"), "{errors:?}");
        assert!(errors[0].hint.as_ref().unwrap().contains("id: { header"), "{errors:?}");
        with(json!({ "header": "X-Delivery" }), field).unwrap();
    }
    with(content(), "headers.x-api-key").unwrap();
}
