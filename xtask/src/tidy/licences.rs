//! The licences of everything that is built, against the lists in `deny.toml`.
//!
//! `cargo deny` does the same and more; this part works where it is not installed.

use super::Finding;
use crate::repo::{Built, Repo};

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(text) = repo.text("deny.toml") else {
        return vec![Finding::error("deny.toml", "is missing")];
    };
    let lists = Lists::read(&text);
    repo.tree.iter().filter_map(|built| finding(built, &lists)).collect()
}

fn finding(built: &Built, lists: &Lists) -> Option<Finding> {
    let message = match Expression::read(&built.licence) {
        None if built.licence.is_empty() => "declares no licence".to_owned(),
        None => format!("`{}` is no licence expression", built.licence),
        Some(expression) if !expression.holds(&|name| lists.allow(&built.name, name)) => {
            format!("`{}` is not allowed by deny.toml", built.licence)
        }
        Some(_) => return None,
    };
    Some(Finding::error(&built.name, message))
}

/// What `deny.toml` allows: everybody, and single crates.
#[derive(Debug, Default)]
struct Lists {
    everybody: Vec<String>,
    exceptions: Vec<(String, Vec<String>)>,
}

impl Lists {
    /// Reads the two lists of the section `[licenses]`, as that file writes them: `allow` over
    /// several lines, each exception on a line of its own.
    fn read(text: &str) -> Self {
        let mut lists = Self::default();
        let mut section = text.lines().map(str::trim).skip_while(|line| *line != "[licenses]");
        section.next();
        let mut list = "";
        for line in section.take_while(|line| !line.starts_with('[')) {
            let line = line.split('#').next().unwrap_or_default();
            if let Some((name, _)) = line.split_once(" = [").filter(|_| !line.starts_with('{')) {
                list = name;
            }
            let mut quoted = line.split('"').skip(1).step_by(2).map(ToOwned::to_owned);
            match list {
                "allow" => lists.everybody.extend(quoted),
                "exceptions" => {
                    lists.exceptions.extend(quoted.next().map(|name| (name, quoted.collect())));
                }
                _ => {}
            }
        }
        lists
    }

    fn allow(&self, package: &str, licence: &str) -> bool {
        let licence = licence.trim_end_matches('+');
        let own = self.exceptions.iter().filter(|(name, _)| name == package);
        let mut all = self.everybody.iter().chain(own.flat_map(|(_, licences)| licences));
        all.any(|allowed| allowed == licence)
    }
}

/// An SPDX licence expression; the older `A/B` means `A OR B`.
#[derive(Debug, PartialEq)]
enum Expression {
    Licence(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Expression {
    fn read(text: &str) -> Option<Self> {
        let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let expression = any(&mut words)?;
        words.next().is_none().then_some(expression)
    }

    fn holds(&self, allowed: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Licence(name) => allowed(name),
            Self::All(parts) => parts.iter().all(|part| part.holds(allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(allowed)),
        }
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> Option<Expression> {
    let mut parts = vec![all(words)?];
    while words.next_if_eq(&"OR").is_some() {
        parts.push(all(words)?);
    }
    Some(Expression::Any(parts))
}

fn all(words: &mut Words<'_>) -> Option<Expression> {
    let mut parts = vec![one(words)?];
    while words.next_if_eq(&"AND").is_some() {
        parts.push(one(words)?);
    }
    Some(Expression::All(parts))
}

fn one(words: &mut Words<'_>) -> Option<Expression> {
    match words.next()? {
        "(" => {
            let inner = any(words)?;
            words.next_if_eq(&")").map(|_| inner)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        name if words.next_if_eq(&"WITH").is_some() => {
            Some(Expression::Licence(format!("{name} WITH {}", words.next()?)))
        }
        name => Some(Expression::Licence(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
[graph]
all-features = false

[licenses]
confidence-threshold = 0.9
allow = [
  "MIT",
  "Apache-2.0", # ours
]
exceptions = [
  { crate = "notify", allow = ["CC0-1.0"] },  # "GPL-3.0" would not do
]

[bans]
allow = ["GPL-3.0"]
"#;

    fn accepted(package: &str, licence: &str) -> bool {
        let built = Built { name: package.to_owned(), licence: licence.to_owned() };
        finding(&built, &Lists::read(DENY)).is_none()
    }

    #[test]
    fn expressions_are_weighed_against_the_lists() {
        for (package, licence, expected) in [
            ("a", "MIT", true),
            ("a", "MIT OR GPL-3.0", true),
            ("a", "MIT/GPL-3.0", true),
            ("a", "MIT AND GPL-3.0", false),
            ("a", "GPL-3.0 OR MIT AND Apache-2.0", true),
            ("a", "(GPL-3.0 OR MIT) AND GPL-3.0", false),
            ("a", "Apache-2.0 WITH LLVM-exception", false),
            ("a", "Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("a", "CC0-1.0", false),
            ("notify", "CC0-1.0", true),
            ("notify", "GPL-3.0", false),
            ("a", "", false),
            ("a", "MIT AND", false),
            ("a", "(MIT", false),
        ] {
            assert_eq!(accepted(package, licence), expected, "{package}: {licence}");
        }
    }
}
