//! The examples of the documentation: fenced blocks of its pages.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, each of which uses some")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A fenced block of a page.
pub(crate) struct Example {
    pub(crate) page: String,
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Example {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The file of a pack that its first or second line says it is.
    pub(crate) fn file(&self) -> Option<&str> {
        let said = self.text.lines().take(2).filter_map(|line| {
            line.strip_prefix("# ")
                .or_else(|| line.strip_prefix("// "))
                .map(|said| said.split([':', ' ', ',']).next().unwrap_or_default())
        });
        said.into_iter().find(|path| path.starts_with("packs/"))
    }
}

/// Every fenced block of the guide, the reference and the README.
pub(crate) fn examples() -> Vec<Example> {
    let mut all = blocks("README.md", &fs::read_to_string(docs().join("../README.md")).unwrap());
    for folder in ["guide", "reference"] {
        let mut pages: Vec<PathBuf> =
            fs::read_dir(docs().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        pages.sort();
        for page in pages {
            let name = format!("docs/{folder}/{}", page.file_name().unwrap().to_str().unwrap());
            all.extend(blocks(&name, &fs::read_to_string(page).unwrap()));
        }
    }
    all
}

pub(crate) fn blocks(page: &str, text: &str) -> Vec<Example> {
    let mut all: Vec<Example> = Vec::new();
    let mut open: Option<Example> = None;
    for (n, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let (page, language) = (page.to_owned(), language.to_owned());
                open = Some(Example { page, line: n + 2, language, text: String::new() });
            }
            (Some(_), Some(_)) => all.extend(open.take()),
            (Some(example), None) => example.text = format!("{}{line}\n", example.text),
            (None, None) => {}
        }
    }
    all
}

/// The commands of a shell example: after `$ ` where it shows what they print, else every line.
pub(crate) fn commands(example: &Example) -> Vec<String> {
    let shows = example.text.lines().any(|line| line.starts_with("$ "));
    let lines = example.text.lines().filter_map(|line| match shows {
        true => line.strip_prefix("$ "),
        false => Some(line),
    });
    lines
        .flat_map(|line| line.split([';', '|', '&']))
        .map(str::trim)
        .map(ToOwned::to_owned)
        .collect()
}

/// The words of a command as a shell divides them, up to a comment or a file that is its input.
pub(crate) fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#' | '<') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What the documentation's shell examples call, with the Debian packages that bring it.
const PROGRAMS: [(&str, &str); 2] = [("curl", "curl"), ("openssl", "openssl")];

/// What a shell prints that is given `text` in this folder, with these variables besides the usual ones; it
/// ends at the first command that fails, which fails the test.
#[track_caller]
pub(crate) fn type_into_shell(text: &str, folder: &Path, variables: &[(&str, &str)]) -> String {
    for (program, package) in PROGRAMS.iter().filter(|(program, _)| text.contains(program)) {
        let there = Command::new(program).arg("--help").output().is_ok();
        assert!(there, "the example needs `{program}`: install it (`apt-get install {package}`)");
    }
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", text]).current_dir(folder);
    // No proxy of the machine has a part in what is asked of it.
    shell.env("NO_PROXY", "*").envs(variables.iter().copied());
    let done = shell.output().unwrap();
    let [told, errors] = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(done.status.success(), "{text}\n{told}{errors}");
    told
}
