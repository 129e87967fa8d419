//! The parameters a rule gives its action: literals and templates.

use expr::condition::{Frame, Interpreter};
use expr::template::{Piece, Template};
use model::{Diagnostic, Foreseen, Location, Map, Schema, Value};
use syntax::{Entry, Kind, Node};

use crate::evaluator::{Failure, checking, refuse};

/// Named values, some known when the rule is loaded, some only with an event.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<(String, Tree)>,
    /// As written; `None` where the rule names none.
    written: Option<Node>,
}

#[derive(Debug)]
enum Tree {
    /// No template anywhere inside.
    Literal(Value),
    Text(Template, Node),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Parameters {
    pub(crate) fn none() -> Self {
        Self { entries: Vec::new(), written: None }
    }

    pub(crate) fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let Some(entries) = node.as_map() else {
            let message = format!("parameters are a map, not {}", node.describe());
            return Err(vec![node.error(message).with_hint("write them as `name: value`")]);
        };
        let mut problems = Vec::new();
        let entries = checking(|interpreter| map(entries, interpreter, &mut problems));
        let parsed = Self { entries, written: Some(node.clone()) };
        if problems.is_empty() { Ok(parsed) } else { Err(problems) }
    }

    /// The names of all parameters, as written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The parameters whose values are known without an event.
    pub fn literals(&self) -> Map {
        let literal = |(name, tree): &(String, Tree)| match tree {
            Tree::Literal(value) => Some((name.clone(), value.clone())),
            _ => None,
        };
        self.entries.iter().filter_map(literal).collect()
    }

    /// Whether the value of `name` is known without an event.
    pub fn is_literal(&self, name: &str) -> bool {
        self.entries.iter().any(|(own, tree)| own == name && matches!(tree, Tree::Literal(_)))
    }

    /// How the text of `name` begins, where a template follows.
    pub fn beginning(&self, name: &str) -> Option<&str> {
        let (_, tree) = self.entries.iter().find(|(own, _)| own == name)?;
        match tree {
            Tree::Text(_, node) => node.as_str()?.split("${").next(),
            _ => None,
        }
    }

    /// Everything that is known of them without an event.
    pub fn foreseen(&self) -> Foreseen {
        let entries = self.entries.iter();
        Foreseen::Map(entries.map(|(name, tree)| (name.clone(), tree.foreseen())).collect())
    }

    /// Where the dotted `path` into the parameters stands; `None` where none are written.
    pub fn location_of(&self, path: &str) -> Option<Location> {
        self.written.as_ref().map(|node| node.location_of(path))
    }

    /// Everything that does not fit the action's `schema`, as far as it is known without an
    /// event; `missing_at` is where a missing parameter is told if none are written.
    pub(crate) fn check(
        &self,
        schema: &Schema,
        missing_at: &dyn Fn(String) -> Diagnostic,
    ) -> Vec<Diagnostic> {
        // A template's value is not known, but that it is given is: its name alone is judged.
        let mut known = self.literals();
        let later: Vec<&str> = self.names().filter(|name| !self.is_literal(name)).collect();
        known.extend(later.iter().map(|name| ((*name).to_owned(), Value::Null)));
        let is_later = |path: &str| later.contains(&path.split('.').next().unwrap_or_default());
        let violations = schema.violations(&Value::Object(known)).into_iter().filter(|violation| {
            !is_later(&violation.path) || !schema.properties().contains_key(&violation.path)
        });
        let tell = |violation: model::Violation| {
            let finding = match &self.written {
                Some(node) => node.error_at(&violation.path, violation.message),
                None => missing_at(violation.message),
            };
            match violation.hint {
                Some(hint) => finding.with_hint(hint),
                None => finding,
            }
        };
        violations.map(tell).collect()
    }

    /// The values over those of `frame`.
    pub(crate) fn render(
        &self,
        interpreter: &Interpreter,
        frame: &mut Frame<'_>,
    ) -> Result<Map, Failure> {
        let mut rendered = Map::new();
        for (name, tree) in &self.entries {
            rendered.insert(name.clone(), tree.render(name, interpreter, frame)?);
        }
        Ok(rendered)
    }
}

impl Tree {
    /// `name` is the parameter this belongs to, for errors.
    fn render(
        &self,
        name: &str,
        interpreter: &Interpreter,
        frame: &mut Frame<'_>,
    ) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Text(template, node) => template
                .render(interpreter, frame)
                .map_err(|failed| Failure::new(&format!("parameter `{name}`"), node, failed))?,
            Self::List(items) => {
                let items = items.iter().map(|item| item.render(name, interpreter, frame));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), value.render(name, interpreter, frame)?)));
                Value::Object(entries.collect::<Result<_, Failure>>()?)
            }
        })
    }

    fn foreseen(&self) -> Foreseen {
        match self {
            Self::Literal(value) => value.clone().into(),
            Self::Text(Template::Mixed(pieces), _) => {
                let known = |piece: &Piece| match piece {
                    Piece::Text(text) => Some(text.clone()),
                    Piece::Value(_) => None,
                };
                Foreseen::Text(pieces.iter().map(known).collect())
            }
            Self::Text(..) => Foreseen::Computed,
            Self::List(items) => Foreseen::List(items.iter().map(Self::foreseen).collect()),
            Self::Map(entries) => {
                let entries = entries.iter();
                Foreseen::Map(entries.map(|(key, tree)| (key.clone(), tree.foreseen())).collect())
            }
        }
    }

    fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Text(..) | Self::List(_) | Self::Map(_) => None,
        }
    }
}

fn map(
    entries: &[Entry],
    interpreter: &Interpreter,
    problems: &mut Vec<Diagnostic>,
) -> Vec<(String, Tree)> {
    let entry =
        |entry: &Entry| (entry.key.name().to_owned(), tree(&entry.value, interpreter, problems));
    entries.iter().map(entry).collect()
}

fn tree(node: &Node, interpreter: &Interpreter, problems: &mut Vec<Diagnostic>) -> Tree {
    match node.kind() {
        Kind::String(text) => match Template::parse(text, interpreter) {
            Ok(Template::Literal(text)) => Tree::Literal(Value::String(text)),
            Ok(template) => Tree::Text(template, node.clone()),
            Err(error) => {
                problems.push(refuse(node, error));
                Tree::Literal(Value::Null)
            }
        },
        Kind::List(items) => {
            let items: Vec<Tree> =
                items.iter().map(|item| tree(item, interpreter, problems)).collect();
            match items.iter().map(|item| item.literal().cloned()).collect() {
                Some(values) => Tree::Literal(Value::Array(values)),
                None => Tree::List(items),
            }
        }
        Kind::Map(entries) => {
            let entries = map(entries, interpreter, problems);
            let literal =
                |(key, value): &(String, Tree)| Some((key.clone(), value.literal()?.clone()));
            match entries.iter().map(literal).collect() {
                Some(values) => Tree::Literal(Value::Object(values)),
                None => Tree::Map(entries),
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => Tree::Literal(node.to_value()),
    }
}
