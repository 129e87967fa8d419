//! `requires:` of a pack: which Tripline and which other packs it needs.

use std::fmt;
use std::str::FromStr;

use model::{Diagnostic, Location, PackName};
use syntax::{Fields, Node};

/// Another pack that a pack needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Required {
    /// The pack.
    pub pack: PackName,
    /// Which of its versions.
    pub versions: Versions,
    /// Where it says so.
    pub at: Location,
}

/// Versions that fit: `>=1.2`, `>=1.2, <2`, `=1.0.3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    written: String,
    bounds: Vec<(Bound, Vec<u32>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    MoreThan,
    AtMost,
    LessThan,
    Exactly,
}

/// The longer ones first, so that `>=` is not read as `>`.
const BOUNDS: [(&str, Bound); 5] = [
    (">=", Bound::AtLeast),
    ("<=", Bound::AtMost),
    (">", Bound::MoreThan),
    ("<", Bound::LessThan),
    ("=", Bound::Exactly),
];

impl FromStr for Versions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bounds: Option<Vec<_>> = text.split(',').map(|part| bound(part.trim())).collect();
        match bounds {
            Some(bounds) => Ok(Self { written: text.to_owned(), bounds }),
            None => Err(format!("`{text}` is not a version requirement")),
        }
    }
}

fn bound(text: &str) -> Option<(Bound, Vec<u32>)> {
    let (bound, rest) =
        BOUNDS.iter().find_map(|(sign, bound)| Some((*bound, text.strip_prefix(sign)?)))?;
    Some((bound, numbers(rest.trim())?))
}

/// The numbers of a version; what follows `-` or `+` (`1.0.0-rc.1`) is not compared.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let plain = version.split(['-', '+']).next()?;
    let mut numbers: Vec<u32> =
        plain.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

impl Versions {
    /// Whether `version` is one of them; one that is not made of numbers never is.
    pub fn fit(&self, version: &str) -> bool {
        let Some(version) = numbers(version) else { return false };
        self.bounds.iter().all(|(bound, than)| match bound {
            Bound::AtLeast => version >= *than,
            Bound::MoreThan => version > *than,
            Bound::AtMost => version <= *than,
            Bound::LessThan => version < *than,
            Bound::Exactly => version == *than,
        })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

const HINT: &str = "write it as \">=0.1\" or \">=1.2, <2\"";

/// What a pack requires, once this version of Tripline is known to be enough.
pub(super) fn parse(node: &Node) -> Result<Vec<Required>, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["tripline", "packs"], &[]);
    let own = env!("CARGO_PKG_VERSION");
    if let Some((versions, at)) = versions(&fields, node.get("tripline"))
        && !versions.fit(own)
    {
        let message = format!("the pack needs Tripline {versions}, this is {own}");
        fields.report(at.error(message).with_hint("use another Tripline for this pack"));
    }
    let packs = fields.optional("packs").entries().unwrap_or_default();
    let required = packs.iter().filter_map(|entry| {
        let pack = entry.key.name().parse::<PackName>();
        let pack = pack.map_err(|error| fields.report(entry.key.error(error.to_string()))).ok();
        let (versions, _) = versions(&fields, Some(&entry.value))?;
        Some(Required { pack: pack?, versions, at: entry.key.location() })
    });
    let required = required.collect();
    fields.finish(Some(required))
}

fn versions<'n>(fields: &Fields<'_>, node: Option<&'n Node>) -> Option<(Versions, &'n Node)> {
    let node = node?;
    let Some(text) = node.as_str() else {
        let message = format!("expected a version requirement, found {}", node.describe());
        fields.report(node.error(message).with_hint(HINT));
        return None;
    };
    match text.parse() {
        Ok(versions) => Some((versions, node)),
        Err(message) => {
            fields.report(node.error(message).with_hint(HINT));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_names_the_versions_that_fit() {
        for (wanted, version, fits) in [
            (">=1.2", "1.2.0", true),
            (">=1.2", "1.10", true),
            (">=1.2", "1.1.9", false),
            (">= 1.2, < 2", "1.9.9", true),
            (">=1.2, <2", "2.0.0", false),
            ("=1.0", "1.0.0", true),
            ("=1.0", "1.0.1", false),
            (">1", "1.0.0-rc.1", false),
            ("<=3", "3.0", true),
            (">=0", "latest", false),
        ] {
            assert_eq!(
                wanted.parse::<Versions>().unwrap().fit(version),
                fits,
                "{wanted} {version}"
            );
        }
        for wanted in ["1.2", "", ">=", ">=one", "~1.2", ">=1.2,"] {
            assert!(wanted.parse::<Versions>().is_err(), "{wanted}");
        }
    }
}
