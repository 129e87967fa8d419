//! What users hand in: files in YAML or JSON, standard input, `name=value` pairs.

use std::io::Read;
use std::path::Path;

use model::{Map, Timestamp, Value};

use crate::failure::{Exit, Failure};

/// A time, or how long ago it was.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let length: model::Duration = text.parse().map_err(|_| {
        format!("`{text}` is neither a time such as 2026-01-02T00:00:00Z nor a length such as 24h")
    })?;
    let ago = host::Clock::System.now().checked_sub(length.to_std());
    ago.map_err(|_| format!("{text} ago is before all time"))
}

/// Most bytes that are read of a file: three times what the server takes, for who sets it out in
/// lines.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// All of `from`, which is called so; more than `most` bytes are refused when they are met.
pub(crate) fn bounded(from: impl Read, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::file(name, &error))?;
    if bytes.len() as u64 > most {
        let message = format!("{name} has more than {most} bytes, which is more than is taken");
        return Err(Failure::usage(message).with_hint("is it the right file?"));
    }
    Ok(bytes)
}

/// The text of a file; `-` is standard input.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let name = shown(path);
    let bytes = if path == Path::new("-") {
        bounded(std::io::stdin().lock(), &name, MAX_BYTES)?
    } else {
        let file = std::fs::File::open(path).map_err(|error| unopened(&name, &error))?;
        bounded(file, &name, MAX_BYTES)?
    };
    let text = syntax::text(&name, &bytes).map(ToOwned::to_owned);
    text.map_err(|findings| Failure::findings(Exit::Usage, findings))
}

/// Characters that are told of what was taken for a file's name.
const SHOWN: usize = 60;

/// A file that is not there; or a value where a file's name is expected.
fn unopened(name: &str, error: &std::io::Error) -> Failure {
    let is_value = name.trim_start().starts_with(['{', '[', '"']) || name.contains([':', '\n']);
    if !is_value {
        return Failure::file(name, error);
    }
    let begin: String = name.chars().take(SHOWN).collect();
    let cut = if begin.len() < name.len() { "…" } else { "" };
    Failure::usage(format!(
        "`{begin}{cut}` is taken for the name of a file, and there is none ({error})"
    ))
    .with_hint("a value itself goes to standard input, which `-` names: echo '…' | tripline … -")
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The value in a file of YAML or JSON; `-` is standard input.
pub(crate) fn document(path: &Path) -> Result<Value, Failure> {
    value(&shown(path), &text(path)?)
}

/// JSON is read as such: it has its own rules for numbers and keys. What is refused of it is no better
/// as YAML, which tells the place.
pub(crate) fn value(name: &str, text: &str) -> Result<Value, Failure> {
    if let Ok(value) = model::json::read(text.as_bytes()) {
        return Ok(value);
    }
    match syntax::parse(name, text) {
        Ok(document) => Ok(document.root().to_value()),
        Err(findings) => Err(Failure::findings(Exit::Usage, findings)),
    }
}

/// The map in a file of YAML or JSON.
pub(crate) fn map(path: &Path) -> Result<Map, Failure> {
    match document(path)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => {
            let found = model::value::kind_of(&other);
            Err(Failure::usage(format!("{}: expected a map, found {found}", path.display())))
        }
    }
}

/// Parameters given as `name=value`. A value is read as YAML (`3`, `true`, `[a, b]`) unless
/// `schema` (name → JSON Schema) says that it is a string.
pub(crate) fn parameters(pairs: &[String], schema: &Value) -> Result<Map, Failure> {
    let mut parameters = Map::new();
    for pair in pairs {
        let Some((name, text)) = pair.split_once('=') else {
            let failure = Failure::usage(format!("`{pair}` is not a parameter"));
            return Err(failure.with_hint("write it as name=value"));
        };
        let value = match is_string(&schema[name]) {
            true => Value::from(text),
            false => value(&format!("the value of `{name}`"), text)?,
        };
        if parameters.insert(name.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("the parameter `{name}` is given twice")));
        }
    }
    Ok(parameters)
}

fn is_string(property: &Value) -> bool {
    property["type"] == "string"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_as_yaml_unless_they_are_strings() {
        let schema = json!({ "tag": { "type": "string" }, "count": { "type": "integer" } });
        let pairs = ["tag=1.0", "count=3", "on=true", "list=[a, 1]", "url=https://a.b?c=d", "no="]
            .map(ToOwned::to_owned);
        let read = parameters(&pairs, &schema).unwrap();
        let expected = json!({
            "tag": "1.0", "count": 3, "on": true, "list": ["a", 1], "url": "https://a.b?c=d",
            "no": null,
        });
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn a_file_that_is_not_utf8_is_told_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a: 1\nb: \xff\n").unwrap();
        let failure = format!("{:?}", map(file.path()).unwrap_err());
        for word in ["the file is not UTF-8 text", "line: 2, column: 4", "save it as UTF-8"] {
            assert!(failure.contains(word), "{failure}");
        }
    }

    #[test]
    fn a_value_where_a_files_name_is_expected_is_told_how_to_be_handed_in() {
        let long = format!("[{}]", "1, ".repeat(3_000));
        for value in [r#"{"ref": "refs/heads/main"}"#, "ref: main", long.as_str()] {
            let failure = format!("{:?}", document(Path::new(value)).unwrap_err());
            assert!(failure.contains("echo '…' | tripline … -"), "{failure}");
            assert!(failure.len() < 400, "{failure}");
        }
        let missing = format!("{:?}", document(Path::new("nowhere/order.json")).unwrap_err());
        assert!(!missing.contains("echo"), "{missing}");
    }

    #[test]
    fn no_more_is_read_than_is_taken() {
        let endless = std::io::repeat(b' ');
        let failure = format!("{:?}", bounded(endless, "standard input", 7).unwrap_err());
        assert!(failure.contains("standard input has more than 7 bytes"), "{failure}");
        assert_eq!(bounded(&b"1234567"[..], "it", 7).unwrap(), b"1234567");
        let failure = format!("{:?}", text(Path::new("/dev/zero")).unwrap_err());
        assert!(failure.contains("/dev/zero has more than 16777216 bytes"), "{failure}");
    }

    #[test]
    fn a_number_that_nobody_can_hold_is_refused_with_its_place_in_json_and_in_yaml() {
        let number = "18446744073709551616";
        for text in [format!("{{ \"n\":\n {number} }}"), format!("n:\n {number}")] {
            let failure = format!("{:?}", value("event.json", &text).unwrap_err());
            for word in ["does not fit into a whole number of 64 bits", "line: 2, column: 2"] {
                assert!(failure.contains(word), "{failure}");
            }
        }
        assert!(parameters(&["n=9223372036854775808".to_owned()], &Value::Null).is_err());
    }

    #[test]
    fn what_is_no_pair_or_stands_twice_is_refused() {
        for pairs in [vec!["a"], vec!["a=1", "a=2"], vec!["a=[1"]] {
            let pairs: Vec<String> = pairs.into_iter().map(ToOwned::to_owned).collect();
            assert!(parameters(&pairs, &Value::Null).is_err(), "{pairs:?}");
        }
    }
}
