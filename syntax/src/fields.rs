//! Decoding a map: known fields, required fields, typed values; every misfit is collected.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use model::diagnostic::suggest;
use model::{Diagnostic, Duration, Map, Value};

use crate::node::{Entry, Kind, Node};

/// The fields of a map, and everything found wrong with them.
///
/// Getters answer `None` both for what is absent and for what does not fit; [`Fields::finish`]
/// tells the two apart, so a file's errors come together.
#[derive(Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    problems: RefCell<Vec<Diagnostic>>,
}

/// One field of a map, perhaps absent.
#[derive(Debug, Clone, Copy)]
pub struct Field<'f, 'n> {
    fields: &'f Fields<'n>,
    node: Option<&'n Node>,
    name: &'f str,
}

impl<'n> Fields<'n> {
    /// The fields of `node`, of which `known` may stand there. `later` are those that other
    /// versions know and this one does not: named apart, since no spelling would help.
    pub fn new(node: &'n Node, known: &[&str], later: &[&str]) -> Self {
        let fields = Self { node, problems: RefCell::default() };
        match node.as_map() {
            Some(entries) => entries.iter().for_each(|entry| fields.check(entry, known, later)),
            None => fields.report(not_a_map(node, known)),
        }
        fields
    }

    fn check(&self, entry: &Entry, known: &[&str], later: &[&str]) {
        let name = entry.key.name();
        if known.contains(&name) {
            return;
        }
        let finding = if later.contains(&name) {
            let message = format!("`{name}` is not supported by this version of Tripline");
            entry.key.error(message).with_hint("remove it")
        } else {
            let hint = match suggest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            entry.key.error(format!("unknown field `{name}`")).with_hint(hint)
        };
        self.report(finding);
    }

    /// The map itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// A field that may be absent.
    pub fn optional<'f>(&'f self, name: &'f str) -> Field<'f, 'n> {
        Field { fields: self, node: self.node.get(name), name }
    }

    /// A field that must be there.
    pub fn required<'f>(&'f self, name: &'f str) -> Field<'f, 'n> {
        let field = self.optional(name);
        // What is not a map at all is reported once, not once a field.
        if field.node.is_none() && self.node.as_map().is_some() {
            let finding = self.node.error(format!("missing field `{name}`"));
            self.report(finding.with_hint(format!("add `{name}:` to the map that begins here")));
        }
        field
    }

    /// Adds a finding of the caller's.
    pub fn report(&self, finding: Diagnostic) {
        self.problems.borrow_mut().push(finding);
    }

    /// The value of a part that was decoded by itself; its findings join the others.
    pub fn part<T>(&self, decoded: Result<T, Vec<Diagnostic>>) -> Option<T> {
        decoded.map_err(|problems| self.problems.borrow_mut().extend(problems)).ok()
    }

    /// The decoded value if nothing was found wrong, else all findings in the order of the file.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        let mut problems = self.problems.into_inner();
        let clean = !problems.iter().any(Diagnostic::is_error);
        match value {
            Some(value) if clean => Ok(value),
            _ => {
                if clean {
                    problems.push(self.node.error("a field is missing"));
                }
                problems.sort_by(|a, b| a.at.cmp(&b.at));
                Err(problems)
            }
        }
    }
}

fn not_a_map(node: &Node, known: &[&str]) -> Diagnostic {
    let hint = format!("known here: {}", known.join(", "));
    node.error(format!("expected a map, found {}", node.describe())).with_hint(hint)
}

impl<'n> Field<'_, 'n> {
    /// The field's value, whatever it is.
    pub fn node(self) -> Option<&'n Node> {
        self.node
    }

    /// The field's value without its places.
    pub fn value(self) -> Option<Value> {
        self.node.map(Node::to_value)
    }

    fn misfit(self, node: &Node, expected: &str, hint: Option<String>) {
        let name = self.name;
        let finding =
            node.error(format!("`{name}`: expected {expected}, found {}", node.describe()));
        let empty = || "give it a value, or leave the field out".to_owned();
        self.fields.report(match hint.or_else(|| node.is_null().then(empty)) {
            Some(hint) => finding.with_hint(hint),
            None => finding,
        });
    }

    /// A text. A number or a boolean is not one unless it is quoted.
    pub fn string(self) -> Option<String> {
        let node = self.node?;
        if node.as_str().is_none() {
            let hint = match node.kind() {
                Kind::Bool(_) | Kind::Number(_) => Some("quote it".to_owned()),
                _ => None,
            };
            self.misfit(node, "a string", hint);
        }
        node.as_str().map(ToOwned::to_owned)
    }

    /// `true` or `false`.
    pub fn bool(self) -> Option<bool> {
        let node = self.node?;
        if let Kind::Bool(flag) = node.kind() {
            return Some(*flag);
        }
        let hint = node.as_str().and_then(meant_as_boolean);
        self.misfit(node, "true or false", hint);
        None
    }

    /// A whole number of at least `min` and at most `max`.
    pub fn integer(self, min: i64, max: i64) -> Option<i64> {
        let node = self.node?;
        let number = match node.kind() {
            Kind::Number(number) => number.as_i64(),
            _ => None,
        };
        match number {
            Some(n) if (min..=max).contains(&n) => Some(n),
            Some(n) => {
                let name = self.name;
                let message = format!(
                    "`{name}`: {n} is out of range: expected at least {min}, at most {max}"
                );
                self.fields.report(node.error(message));
                None
            }
            None => {
                self.misfit(node, "a whole number", None);
                None
            }
        }
    }

    /// A length of time such as `30s`.
    pub fn duration(self) -> Option<Duration> {
        let node = self.node?;
        if let Kind::Number(number) = node.kind() {
            self.misfit(node, "a duration", Some(format!("say its unit: {number}s")));
            return None;
        }
        self.parsed()
    }

    /// A text that reads as a `T`.
    pub fn parsed<T: FromStr<Err: Display>>(self) -> Option<T> {
        let text = self.string()?;
        let node = self.node?;
        let name = self.name;
        let refuse = |error| self.fields.report(node.error(format!("`{name}`: {error}")));
        text.parse().map_err(refuse).ok()
    }

    /// One of the names of `choices`.
    pub fn one_of<T: Copy>(self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let finding = self.node?.error(format!("`{}`: unknown value `{text}`", self.name));
            let hint = match suggest(&text, names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("one of {}", names.join(", ")),
            };
            self.fields.report(finding.with_hint(hint));
        }
        found
    }

    /// The items of a list.
    pub fn list(self) -> Option<&'n [Node]> {
        let node = self.node?;
        if node.as_list().is_none() {
            let hint = node.as_str().map(|text| format!("write it as a list: [{text}]"));
            self.misfit(node, "a list", hint);
        }
        node.as_list()
    }

    /// The items of a list of texts.
    pub fn strings(self) -> Option<Vec<String>> {
        let items = self.list()?;
        items.iter().map(|item| Field { node: Some(item), ..self }.string()).collect()
    }

    /// A map's pairs as written.
    pub fn entries(self) -> Option<&'n [Entry]> {
        let node = self.node?;
        if node.as_map().is_none() {
            self.misfit(node, "a map", None);
        }
        node.as_map()
    }

    /// A map without its places.
    pub fn map(self) -> Option<Map> {
        let entries = self.entries()?;
        Some(entries.iter().map(|e| (e.key.name().to_owned(), e.value.to_value())).collect())
    }
}

/// YAML 1.1 had more words for booleans; here they are texts.
fn meant_as_boolean(text: &str) -> Option<String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" => Some("write true".to_owned()),
        "no" | "n" | "off" => Some("write false".to_owned()),
        "true" | "false" => Some("write it without quotes".to_owned()),
        _ => None,
    }
}
