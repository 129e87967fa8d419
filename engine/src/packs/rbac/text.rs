//! The manifests as YAML for people: with who needs each rule, and what is not known.

use serde_json::Value;

use super::{Manifest, Manifests};

impl Manifests {
    /// As `kubectl apply -f` takes it.
    pub fn yaml(&self, packs: &str) -> String {
        let told = match (self.all.is_empty(), self.notes.is_empty()) {
            (true, true) => ": nothing",
            (true, false) => ": nothing that the files tell",
            (false, _) => "",
        };
        let head = format!("# Needed in the cluster by {packs}{told}.\n");
        let notes = self.notes.iter().map(|note| {
            let places = note.places.iter().map(|place| format!("#   {place}\n"));
            format!("# NOTE {}:\n{}", note.text, places.collect::<String>())
        });
        let notes: String = notes.collect();
        let documents: Vec<String> = self.all.iter().map(document).collect();
        format!("{head}{notes}{}", documents.join("---\n"))
    }
}

fn document(manifest: &Manifest) -> String {
    let fields = manifest.object.as_object().into_iter().flatten();
    let fields: String = fields.map(|(name, value)| format!("{name}: {}\n", flow(value))).collect();
    let rules = manifest.rules.iter();
    let rules: String =
        rules.map(|rule| format!("  # {}\n  - {}\n", rule.by, flow(&rule.rule))).collect();
    if rules.is_empty() { fields } else { format!("{fields}rules:\n{rules}") }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries =
                map.iter().map(|(key, value)| format!("{}: {}", key_of(key), flow(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        // JSON is YAML.
        other => other.to_string(),
    }
}

fn key_of(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { Value::from(key).to_string() }
}

/// Whether a text means itself without quotes, in any version of YAML.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let word = text.to_ascii_lowercase();
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./_".contains(&b))
        && !WORDS.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stand_on_one_line_and_mean_the_same() {
        let value = json!({ "a": ["x", "true", "", "1", "b/c"], "d": { "tripline.dev/e": "f: g" }, "h": 1 });
        let text = flow(&value);
        assert_eq!(
            text,
            r#"{ a: [x, "true", "", "1", b/c], d: { tripline.dev/e: "f: g" }, h: 1 }"#
        );
    }
}
