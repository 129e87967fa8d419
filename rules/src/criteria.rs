//! Criteria: what must hold at which path.

use model::diagnostic::suggest;
use model::{Diagnostic, Timestamp, Value};
use syntax::{Entry, Key, Kind, Node};

use crate::operator::{Operator, Test, Verdict};
use crate::path::{BadPath, Path, Root, View};

/// All criteria of a rule: every one of `all`, and one group of `any` where there are groups.
#[derive(Debug, Default)]
pub struct Criteria {
    /// Each must hold.
    pub all: Vec<Criterion>,
    /// One of these groups must hold as a whole; none written: nothing more must.
    pub any: Vec<Vec<Criterion>>,
}

/// What must hold at a path: every test.
#[derive(Debug)]
pub struct Criterion {
    /// Where.
    pub path: Path,
    /// What.
    pub tests: Vec<Test>,
    /// The path, where it stands.
    pub(crate) written: Key,
}

/// What criteria are judged by: an event, a configuration, a time.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'e> {
    /// The event.
    pub view: &'e View<'e>,
    /// The configuration of the rule's pack.
    pub config: &'e Value,
    /// When the event was accepted.
    pub now: Timestamp,
    item: &'e Value,
}

impl<'e> Scene<'e> {
    /// The scene of an event accepted at `now`.
    pub fn new(view: &'e View<'e>, config: &'e Value, now: Timestamp) -> Self {
        Self { view, config, now, item: &Value::Null }
    }

    /// What stands at `path`.
    pub fn find(&self, path: &Path) -> Option<&'e Value> {
        path.find(match path.root() {
            Root::Trigger => self.view.trigger(),
            Root::Event => self.view.event(),
            Root::Config => self.config,
            Root::Item => self.item,
        })
    }

    /// Whether one item of a list fits all `criteria`.
    pub(crate) fn item_fits(&self, criteria: &[Criterion], item: &Value) -> bool {
        let scene = Scene { item, ..*self };
        criteria.iter().all(|criterion| criterion.holds(&scene))
    }
}

impl Criteria {
    /// Whether they hold.
    pub fn hold(&self, scene: &Scene<'_>) -> bool {
        let all = |group: &Vec<Criterion>| group.iter().all(|criterion| criterion.holds(scene));
        all(&self.all) && (self.any.is_empty() || self.any.iter().any(all))
    }

    /// Reads the `criteria` of a rule.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut criteria = Self::default();
        for entry in entries(node, &mut problems) {
            if entry.key.name() == "any" {
                criteria.any = groups(&entry.value, &mut problems);
            } else {
                criteria.all.extend(criterion(entry, Path::parse, &mut problems));
            }
        }
        if problems.is_empty() { Ok(criteria) } else { Err(problems) }
    }
}

impl Criterion {
    fn holds(&self, scene: &Scene<'_>) -> bool {
        let found = scene.find(&self.path);
        self.tests.iter().all(|test| test.judge(found, scene) == Verdict::Holds)
    }
}

type ReadPath = fn(&str) -> Result<Path, BadPath>;

fn hinted(finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

fn entries<'n>(node: &'n Node, problems: &mut Vec<Diagnostic>) -> &'n [Entry] {
    node.as_map().unwrap_or_else(|| {
        let hint = "write them as `path: { operator: pattern }`";
        let message = format!("criteria are a map, not {}", node.describe());
        problems.push(node.error(message).with_hint(hint));
        &[]
    })
}

/// The groups of `any`, of which one must hold.
fn groups(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Vec<Criterion>> {
    let items = node.as_list().filter(|items| !items.is_empty()).unwrap_or_else(|| {
        let message = "`any` is a list of groups, of which at least one must hold";
        let hint = "write `any:` and below it `- { trigger.x: 1 }`, one line a group";
        problems.push(node.error(message).with_hint(hint));
        &[]
    });
    items.iter().map(|group| group_of(group, Path::parse, problems)).collect()
}

fn group_of(node: &Node, path: ReadPath, problems: &mut Vec<Diagnostic>) -> Vec<Criterion> {
    let entries = entries(node, problems);
    if entries.is_empty() && node.as_map().is_some() {
        let finding = node.error("there is no criterion here, so it would always hold");
        problems.push(finding.with_hint("write one, such as `trigger.x: 1`, or remove this"));
    }
    entries.iter().filter_map(|entry| criterion(entry, path, problems)).collect()
}

fn criterion(entry: &Entry, path: ReadPath, problems: &mut Vec<Diagnostic>) -> Option<Criterion> {
    let path = path(entry.key.name()).map_err(|error| {
        problems.push(hinted(entry.key.error(error.message), error.hint));
    });
    let tests = tests(&entry.value, problems);
    problems.extend(contradiction(entry, &tests));
    Some(Criterion { path: path.ok()?, tests, written: entry.key.clone() })
}

/// Two tests at a path that can never both hold: one operator, spelled in two ways.
fn contradiction(entry: &Entry, tests: &[Test]) -> Option<Diagnostic> {
    // Where they differ in number, something else is wrong with one of them.
    let written = entry.value.as_map().filter(|written| written.len() == tests.len())?;
    let tests: Vec<(&Key, &Test)> = written.iter().map(|test| &test.key).zip(tests).collect();
    let mut pairs = (0..tests.len()).flat_map(|n| (0..n).map(move |earlier| (earlier, n)));
    let (one, other) = pairs.find(|(one, other)| tests[*one].1.excludes(tests[*other].1))?;
    let (one, other) = (tests[one].0, tests[other].0);
    let message =
        format!("`{}` and `{}` can never both hold, and both must", one.name(), other.name());
    let hint =
        "for one of several values write `{ in: [a, b] }`; for one of several groups, `any:`";
    Some(other.error(message).with_hint(hint))
}

/// The tests at a path: a scalar is short for `eq`.
fn tests(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Test> {
    let refuse = |message: &str, hint: &str| node.error(message).with_hint(hint);
    match node.kind() {
        Kind::Map(entries) if entries.is_empty() => {
            problems.push(refuse("there is no operator here", "write `{ eq: value }`"));
            Vec::new()
        }
        Kind::Map(entries) => entries.iter().filter_map(|entry| test(entry, problems)).collect(),
        Kind::List(_) => {
            let hint = "`{ in: […] }` is any of these, `{ eq: […] }` this very list";
            problems.push(refuse("a bare list says no operator", hint));
            Vec::new()
        }
        Kind::Null => {
            let hint = "`{ eq: null }` is null, `{ exists: false }` is absent";
            problems.push(refuse("there is no pattern here", hint));
            Vec::new()
        }
        Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {
            fixed(Operator::Eq, false, node, problems).into_iter().collect()
        }
    }
}

fn test(entry: &Entry, problems: &mut Vec<Diagnostic>) -> Option<Test> {
    let name = entry.key.name();
    let Some((operator, ignores_case)) = Operator::parse(name) else {
        problems.push(entry.key.error(format!("unknown operator `{name}`")).with_hint(meant(name)));
        return None;
    };
    match operator {
        Operator::Any | Operator::All => {
            let criteria = group_of(&entry.value, Path::parse_in_item, problems);
            Some(Test::over_items(operator, entry.value.to_value(), criteria))
        }
        _ => fixed(operator, ignores_case, &entry.value, problems),
    }
}

fn meant(name: &str) -> String {
    match name {
        "search" => {
            "write `any: { path: { eq: value } }` or `all: …`: criteria of the list's items"
                .to_owned()
        }
        "type" | "pattern" => "write `{ operator: pattern }`, such as `{ eq: value }`".to_owned(),
        _ => {
            let names = Operator::names();
            match suggest(name, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "eq, ne, in, nin, lt, le, gt, ge, matches, contains, exists and others; \
                         a path goes on with dots: `trigger.a.b`"
                    .to_owned(),
            }
        }
    }
}

fn fixed(
    operator: Operator,
    ignores_case: bool,
    node: &Node,
    problems: &mut Vec<Diagnostic>,
) -> Option<Test> {
    if holds_template(node) {
        let hint = "compare with other values in `when`, such as `trigger.x == config.y`";
        problems.push(node.error("a pattern is a fixed value: `${…}` is not read").with_hint(hint));
        return None;
    }
    let test = Test::new(operator, ignores_case, node.to_value());
    test.map_err(|error| problems.push(hinted(node.error(error.message), error.hint))).ok()
}

/// Whether a text in the value looks like a template.
pub(crate) fn holds_template(node: &Node) -> bool {
    match node.kind() {
        Kind::String(text) => text.contains("${"),
        Kind::List(items) => items.iter().any(holds_template),
        Kind::Map(entries) => entries.iter().any(|entry| holds_template(&entry.value)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => false,
    }
}
