//! Looking for values in whatever form they may be.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Values that must not be found, and where they were.
pub(crate) struct Search {
    forms: Vec<(String, Vec<String>)>,
    hits: Vec<String>,
    roads: usize,
}

impl Search {
    pub(crate) fn new(values: &[String]) -> Self {
        let forms = values.iter().map(|value| (value.clone(), forms(value))).collect();
        Self { forms, hits: Vec::new(), roads: 0 }
    }

    /// Looks at what came over a road. It must hold `witness`, which shows that something did.
    #[track_caller]
    pub(crate) fn road(&mut self, name: &str, told: impl AsRef<[u8]>, witness: &str) {
        let text = String::from_utf8_lossy(told.as_ref());
        let start: String = text.chars().take(2_000).collect();
        assert!(text.contains(witness), "no `{witness}` went over the road `{name}`:\n{start}");
        self.roads += 1;
        self.look(name, &text);
    }

    /// Looks at every file in a folder, of which there must be so many at least.
    pub(crate) fn folder(&mut self, folder: &Path, least: usize) {
        let files = self.files(folder);
        assert!(files >= least, "{files} files in {}", folder.display());
        self.roads += 1;
    }

    fn files(&mut self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files += self.files(&path);
            } else if let Ok(bytes) = fs::read(&path) {
                files += 1;
                self.look(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
        files
    }

    fn look(&mut self, place: &str, text: &str) {
        for (value, forms) in &self.forms {
            for form in forms {
                if let Some(at) = text.find(form) {
                    let around: String = text[at..].chars().take(160).collect();
                    self.hits.push(format!("{place}: {value} as {form}: {around}"));
                }
            }
        }
    }

    /// Panics if any value was found; how many roads were looked at.
    #[track_caller]
    pub(crate) fn found_nothing(self) -> usize {
        let hits = &self.hits;
        assert!(hits.is_empty(), "{} hits, such as {:#?}", hits.len(), &hits[..hits.len().min(8)]);
        self.roads
    }
}

/// What would give a value away, in any file or answer.
fn forms(value: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let json = Value::from(value).to_string();
    let escaped = json[1..json.len() - 1].to_owned();
    let encoded = model::token::percent_encode(value);
    let mut forms = vec![
        encoded.replace("%20", "+"),
        encoded,
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for plain in [value, &escaped] {
        for offset in 0..3 {
            for alphabet in [STANDARD, URL_SAFE] {
                let shifted = alphabet.encode([&b"zz"[..offset], plain.as_bytes()].concat());
                forms.push(shifted[4..shifted.len() - 4].to_owned());
            }
        }
    }
    let twice = Value::from(escaped.as_str()).to_string();
    forms.extend([value.to_owned(), twice[1..twice.len() - 1].to_owned(), escaped]);
    forms.sort();
    forms.dedup();
    forms
}

#[test]
fn a_value_is_found_in_each_form_and_a_silent_road_is_told() {
    let value = "canary \"1\" /+?&=ü1".to_owned();
    let all = forms(&value);
    for form in &all {
        let mut search = Search::new(std::slice::from_ref(&value));
        search.road("a road", format!("something {form} something"), "something");
        assert!(std::panic::catch_unwind(|| search.found_nothing()).is_err(), "{form}");
    }
    let mut search = Search::new(&[value]);
    search.road("a road", "nothing but words", "words");
    assert_eq!(search.found_nothing(), 1);
    let silent = || Search::new(&[]).road("a road", "", "words");
    assert!(std::panic::catch_unwind(silent).is_err());
}
