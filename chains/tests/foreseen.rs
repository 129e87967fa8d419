//! What is known of a chain's calls before it runs.

#![allow(clippy::unwrap_used)]

use chains::{Program, Source, calls_foreseen};
use model::Foreseen;

/// A value as text: `?` for what is computed.
fn told(value: &Foreseen) -> String {
    match value {
        Foreseen::Value(value) => value.to_string(),
        Foreseen::Text(parts) => {
            parts.iter().map(|part| part.as_deref().unwrap_or("?")).collect::<String>()
        }
        Foreseen::List(items) => {
            format!("[{}]", items.iter().map(told).collect::<Vec<_>>().join(" "))
        }
        Foreseen::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}:{}", told(value))).collect();
            format!("{{{}}}", entries.join(" "))
        }
        Foreseen::Computed => "?".to_owned(),
    }
}

/// The parameters of the last call in `text`.
fn check(text: &str, expected: &str) {
    let (file, libs) = ("a.rhai".to_owned(), [].into());
    let program = Program::compile(Source { file, text: text.to_owned(), libs }).unwrap();
    let call = calls_foreseen(&program).pop().unwrap();
    assert_eq!(told(&call.parameters), expected, "{text}");
}

#[test]
fn what_is_written_out_is_known_through_variables_maps_and_texts() {
    for (text, expected) in [
        (r#"run("a.b")"#, "{}"),
        (r#"run("a.b", #{ n: 1, of: params.x })"#, "{n:1 of:?}"),
        (r#"let of = #{ kind: "Pod" }; run("a.b", of)"#, r#"{kind:"Pod"}"#),
        (
            r#"let m = #{ kind: "Pod", name: params.x }; run("a.b", #{ all: [m, 2] })"#,
            r#"{all:[{kind:"Pod" name:?} 2]}"#,
        ),
        (r#"let m = #{ kind: "Pod" }; undo(|e| run("a.b", m));"#, r#"{kind:"Pod"}"#),
        (r#"run("a.b", #{ t: `kind: ${params.x}!` })"#, "{t:kind: ?!}"),
        (r#"const K = "Pod"; run("a.b", #{ kind: K })"#, r#"{kind:"Pod"}"#),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_may_be_something_else_by_then_is_computed() {
    for (text, expected) in [
        (r#"let m = #{ kind: "Pod" }; m.kind = params.x; run("a.b", m)"#, "{kind:?}"),
        (r#"let m = #{ kind: "Pod" }; m.name = "x"; run("a.b", m)"#, r#"{kind:"Pod" name:?}"#),
        (r#"let m = #{ kind: "Pod" }; m["kind"] = "Job"; run("a.b", m)"#, "{kind:?}"),
        (r#"let m = #{ kind: "Pod" }; m[params.x] = "Job"; run("a.b", m)"#, "?"),
        (r#"let m = #{ kind: "Pod" }; m = #{}; run("a.b", m)"#, "?"),
        (r#"let m = #{ kind: "Pod" }; m.mixin(params.x); run("a.b", m)"#, "?"),
        (r#"let m = #{ kind: "Pod" }; mixin(m, params.x); run("a.b", m)"#, "?"),
        (r#"let l = []; l.push(params.x); run("a.b", #{ all: l })"#, "{all:?}"),
        (r#"let m = #{ of: #{ kind: "Pod" } }; m.of.remove("kind"); run("a.b", m)"#, "{of:?}"),
        (r#"for m in params.all { run("a.b", m); }"#, "?"),
        (r#"fn f(m) { run("a.b", m) } let m = #{}; f(params.x)"#, "?"),
        (r#"let m = #{}; if params.x { let m = #{ n: 1 }; run("a.b", m); }"#, "?"),
        (r#"run("a.b", params.all)"#, "?"),
    ] {
        check(text, expected);
    }
}
