//! The operators of criteria: their names, what they compare with, and how.

use std::fmt;

use model::Value;
use model::value::kind_of;

use crate::compare::{equal, fold, order};
use crate::criteria::{Criterion, Scene};
use crate::pattern::{BadPattern, Pattern, read_time};

/// How a value is compared.
#[expect(missing_docs, reason = "the table says what each is called and what it means")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    Eq,
    Ne,
    In,
    Nin,
    Lt,
    Le,
    Gt,
    Ge,
    Matches,
    MatchRegex,
    MatchWildcard,
    Contains,
    Ncontains,
    StartsWith,
    EndsWith,
    Exists,
    Nexists,
    TimediffLt,
    TimediffGt,
    Any,
    All,
}

use Operator::{
    All, Any, Contains, EndsWith, Exists, Ge, Gt, In, Le, Lt, MatchRegex, MatchWildcard, Matches,
    Ncontains, Ne, Nexists, Nin, StartsWith, TimediffGt, TimediffLt,
};

/// One operator's row: its name, its other names, and whether `i` before any of them makes it
/// ignore the case.
struct Row(Operator, &'static str, &'static [&'static str], bool);

/// Every operator. The other names are StackStorm's.
const TABLE: [Row; 21] = [
    Row(Operator::Eq, "eq", &["equals"], true),
    Row(Ne, "ne", &["neq", "nequals"], true),
    Row(In, "in", &["inside"], true),
    Row(Nin, "nin", &["ninside"], true),
    Row(Lt, "lt", &["lessthan"], true),
    Row(Le, "le", &[], true),
    Row(Gt, "gt", &["greaterthan"], true),
    Row(Ge, "ge", &[], true),
    // A regex, searched for anywhere.
    Row(Matches, "matches", &["regex"], true),
    // A regex from the start on, whose dot matches a line's end as well.
    Row(MatchRegex, "matchregex", &[], true),
    // `*`, `?`, `[abc]` and `[!abc]`, over the whole text.
    Row(MatchWildcard, "matchwildcard", &[], true),
    // A text's part, a list's item or a map's key.
    Row(Contains, "contains", &[], true),
    Row(Ncontains, "ncontains", &[], true),
    Row(StartsWith, "startswith", &[], true),
    Row(EndsWith, "endswith", &[], true),
    // There, and not null.
    Row(Exists, "exists", &[], false),
    Row(Nexists, "nexists", &[], false),
    // A time less (more) than that long ago.
    Row(TimediffLt, "timediff_lt", &["td_lt"], false),
    Row(TimediffGt, "timediff_gt", &["td_gt"], false),
    // At least one item (every item) of a list fits all these criteria.
    Row(Any, "any", &[], false),
    Row(All, "all", &[], false),
];

/// An operator and what it compares with.
#[derive(Debug)]
pub struct Test {
    operator: Operator,
    ignores_case: bool,
    /// As it was written.
    written: Value,
    pattern: Pattern,
}

/// What a test says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fits.
    Holds,
    /// It does not.
    Fails,
    /// There is nothing at the path.
    Absent,
    /// It is of a type that cannot be compared; the one that could is named.
    Misfit(&'static str),
}

impl Operator {
    /// The operator of this name, and whether it ignores the case.
    pub fn parse(name: &str) -> Option<(Self, bool)> {
        let find = |name: &str, ignores_case: bool| {
            let has = |Row(_, own, others, i): &&Row| {
                (*own == name || others.contains(&name)) && (*i || !ignores_case)
            };
            TABLE.iter().find(has).map(|Row(operator, ..)| (*operator, ignores_case))
        };
        find(name, false).or_else(|| find(name.strip_prefix('i')?, true))
    }

    /// Every name an operator can be written with.
    pub fn names() -> Vec<String> {
        let mut names = Vec::new();
        for Row(_, own, others, ignores_case) in &TABLE {
            for name in std::iter::once(own).chain(*others) {
                names.push((*name).to_owned());
                names.extend(ignores_case.then(|| format!("i{name}")));
            }
        }
        names
    }

    /// Its first name.
    pub fn name(self) -> &'static str {
        // Every operator has a row: the test below holds it.
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

impl Test {
    /// `operator` with a fixed pattern.
    pub fn new(operator: Operator, ignores_case: bool, written: Value) -> Result<Self, BadPattern> {
        let pattern = Pattern::new(operator, ignores_case, &written)?;
        Ok(Self { operator, ignores_case, written, pattern })
    }

    /// `any` or `all` over items that fit `criteria`.
    pub(crate) fn over_items(operator: Operator, written: Value, criteria: Vec<Criterion>) -> Self {
        Self { operator, ignores_case: false, written, pattern: Pattern::Items(criteria) }
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with, as it was written.
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Whether it ignores the case.
    pub fn ignores_case(&self) -> bool {
        self.ignores_case
    }

    /// The criteria of `any` and `all`.
    pub fn items(&self) -> Option<&[Criterion]> {
        match &self.pattern {
            Pattern::Items(criteria) => Some(criteria),
            _ => None,
        }
    }

    /// Whether this and `other`, at the same path, can never both hold.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        match (&self.pattern, &other.pattern) {
            (Pattern::Present(one), Pattern::Present(other)) => one != other,
            (Pattern::Value(_), Pattern::Value(_)) => {
                let ignores_case = self.ignores_case || other.ignores_case;
                let both = self.operator == Operator::Eq && other.operator == Operator::Eq;
                let (one, other) = (&self.written, &other.written);
                let same = match ignores_case {
                    true => equal(&fold(one), &fold(other)),
                    false => equal(one, other),
                };
                both && !same
            }
            _ => false,
        }
    }

    /// What it says of `found` at the scene's time.
    pub fn judge(&self, found: Option<&Value>, scene: &Scene<'_>) -> Verdict {
        if let Pattern::Present(wanted) = self.pattern {
            let present = found.is_some_and(|found| !found.is_null());
            return verdict(present == wanted);
        }
        let Some(found) = found else { return Verdict::Absent };
        match &self.pattern {
            Pattern::Value(pattern) if self.ignores_case => {
                compare(self.operator, &fold(found), pattern)
            }
            Pattern::Value(pattern) => compare(self.operator, found, pattern),
            Pattern::Regex(regex) => match found {
                Value::String(text) => verdict(regex.is_match(text)),
                _ => Verdict::Misfit("a string"),
            },
            Pattern::Age(seconds) => match found.as_str().and_then(read_time) {
                Some(time) => {
                    let age = scene.now.duration_since(time).as_secs_f64();
                    verdict(if self.operator == TimediffLt {
                        age < *seconds
                    } else {
                        age > *seconds
                    })
                }
                None => Verdict::Misfit("a time such as 2026-01-31T12:00:00Z"),
            },
            Pattern::Items(criteria) => match found {
                Value::Array(items) => {
                    let mut fits = items.iter().map(|item| scene.item_fits(criteria, item));
                    verdict(if self.operator == Any {
                        fits.any(|fit| fit)
                    } else {
                        fits.all(|fit| fit)
                    })
                }
                _ => Verdict::Misfit("a list"),
            },
            // Answered above.
            Pattern::Present(_) => Verdict::Fails,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = if self.ignores_case { "i" } else { "" };
        write!(f, "{i}{}", self.operator.name())
    }
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Holds } else { Verdict::Fails }
}

fn compare(operator: Operator, found: &Value, pattern: &Value) -> Verdict {
    match operator {
        Operator::Eq if equal(found, pattern) => Verdict::Holds,
        Operator::Eq => differ(found, pattern),
        Ne => verdict(!equal(found, pattern)),
        In => is_in(found, pattern),
        Nin => not(is_in(found, pattern)),
        Lt | Le | Gt | Ge => match order(found, pattern) {
            Some(order) => verdict(match operator {
                Lt => order.is_lt(),
                Le => order.is_le(),
                Gt => order.is_gt(),
                _ => order.is_ge(),
            }),
            None => Verdict::Misfit(wanted(pattern)),
        },
        Contains => contains(found, pattern),
        Ncontains => not(contains(found, pattern)),
        StartsWith => on_texts(found, pattern, |found, pattern| found.starts_with(pattern)),
        EndsWith => on_texts(found, pattern, |found, pattern| found.ends_with(pattern)),
        // These have patterns of other kinds.
        Matches | MatchRegex | MatchWildcard | Exists | Nexists | TimediffLt | TimediffGt | Any
        | All => Verdict::Fails,
    }
}

/// Two unequal values: of kinds that can never be equal, or not.
fn differ(found: &Value, pattern: &Value) -> Verdict {
    let same = std::mem::discriminant(found) == std::mem::discriminant(pattern);
    if same || found.is_null() || pattern.is_null() {
        Verdict::Fails
    } else {
        Verdict::Misfit(wanted(pattern))
    }
}

fn wanted(pattern: &Value) -> &'static str {
    if pattern.is_number() { "a number" } else { kind_of(pattern) }
}

fn not(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Holds => Verdict::Fails,
        Verdict::Fails => Verdict::Holds,
        other => other,
    }
}

/// In a list as an item, in a text as a part of it.
fn is_in(found: &Value, pattern: &Value) -> Verdict {
    match pattern {
        Value::Array(items) => verdict(items.iter().any(|item| equal(found, item))),
        _ => on_texts(found, pattern, |found, pattern| pattern.contains(found)),
    }
}

fn contains(found: &Value, pattern: &Value) -> Verdict {
    match found {
        Value::Array(items) => verdict(items.iter().any(|item| equal(item, pattern))),
        Value::Object(map) => match pattern {
            Value::String(key) => verdict(map.contains_key(key)),
            _ => Verdict::Misfit("a list"),
        },
        Value::String(_) => on_texts(found, pattern, |found, pattern| found.contains(pattern)),
        _ => Verdict::Misfit("a string, a list or a map"),
    }
}

fn on_texts(found: &Value, pattern: &Value, test: impl Fn(&str, &str) -> bool) -> Verdict {
    match (found, pattern) {
        (Value::String(found), Value::String(pattern)) => verdict(test(found, pattern)),
        (Value::String(_), _) => Verdict::Misfit("a list"),
        _ => Verdict::Misfit("a string"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_one_row_and_is_found_by_every_name() {
        for Row(operator, own, others, ignores_case) in &TABLE {
            assert_eq!(operator.name(), *own);
            for name in std::iter::once(own).chain(*others) {
                assert_eq!(Operator::parse(name), Some((*operator, false)), "{name}");
                let expected = ignores_case.then_some((*operator, true));
                assert_eq!(Operator::parse(&format!("i{name}")), expected, "i{name}");
            }
        }
        assert_eq!(Operator::parse("search"), None);
        assert_eq!(Operator::parse(""), None);
    }

    #[test]
    fn stackstorm_names_are_read() {
        for name in [
            "matchwildcard",
            "matchregex",
            "regex",
            "iregex",
            "eq",
            "equals",
            "nequals",
            "neq",
            "ieq",
            "iequals",
            "contains",
            "icontains",
            "ncontains",
            "incontains",
            "startswith",
            "istartswith",
            "endswith",
            "iendswith",
            "lt",
            "lessthan",
            "gt",
            "greaterthan",
            "td_lt",
            "timediff_lt",
            "td_gt",
            "timediff_gt",
            "exists",
            "nexists",
            "in",
            "inside",
            "nin",
            "ninside",
        ] {
            assert!(Operator::parse(name).is_some(), "{name}");
        }
    }
}
