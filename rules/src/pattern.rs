//! What criteria compare with: values, regular expressions, ages.

use model::value::kind_of;
use model::{Duration, Timestamp, Value};
use regex::{Regex, RegexBuilder};

use crate::compare::fold;
use crate::criteria::Criterion;
use crate::operator::Operator;
use crate::operator::Operator::{
    All, Any, EndsWith, Exists, Ge, Gt, In, Le, Lt, MatchRegex, MatchWildcard, Matches, Nexists,
    Nin, StartsWith, TimediffGt, TimediffLt,
};

/// Largest compiled regex: a rule's pattern is a few hundred characters at most.
const MAX_REGEX_BYTES: usize = 1024 * 1024;

/// What an operator compares with, ready to be compared.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// A value, its case taken away where the operator ignores it.
    Value(Value),
    Regex(Box<Regex>),
    /// Seconds.
    Age(f64),
    /// Whether something must be there.
    Present(bool),
    /// What an item must fit.
    Items(Vec<Criterion>),
}

/// A pattern that an operator cannot compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadPattern {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Pattern {
    /// Reads the pattern of any operator but `any` and `all`.
    pub(crate) fn new(
        operator: Operator,
        ignores_case: bool,
        written: &Value,
    ) -> Result<Self, BadPattern> {
        let name = operator.name();
        if written.is_null() && !matches!(operator, Operator::Eq | Operator::Ne) {
            return Err(bad(
                format!("`{name}` has no pattern"),
                Some("null goes with eq and ne only"),
            ));
        }
        let misfit = |wanted: &str| {
            bad(format!("`{name}`: expected {wanted}, found {}", kind_of(written)), None)
        };
        match operator {
            Exists | Nexists => match written {
                Value::Bool(flag) => Ok(Self::Present(*flag == (operator == Exists))),
                _ => Err(misfit("true or false")),
            },
            Matches | MatchRegex | MatchWildcard => {
                let text = written.as_str().ok_or_else(|| misfit("a string"))?;
                compile(operator, ignores_case, text).map(|regex| Self::Regex(Box::new(regex)))
            }
            TimediffLt | TimediffGt => age(written)
                .map(Self::Age)
                .ok_or_else(|| misfit("seconds or a duration such as 10m")),
            In | Nin if !(written.is_array() || written.is_string()) => {
                Err(misfit("a list, or a string to be part of"))
            }
            Lt | Le | Gt | Ge if !(written.is_number() || written.is_string()) => {
                Err(misfit("a number or a string"))
            }
            StartsWith | EndsWith if !written.is_string() => Err(misfit("a string")),
            Any | All => Err(misfit("criteria of an item")),
            _ if ignores_case => Ok(Self::Value(fold(written).into_owned())),
            _ => Ok(Self::Value(written.clone())),
        }
    }
}

fn bad(message: String, hint: Option<&str>) -> BadPattern {
    BadPattern { message, hint: hint.map(ToOwned::to_owned) }
}

fn age(written: &Value) -> Option<f64> {
    match written {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse::<Duration>().ok().map(|age| age.to_std().as_secs_f64()),
        _ => None,
    }
}

fn compile(operator: Operator, ignores_case: bool, pattern: &str) -> Result<Regex, BadPattern> {
    let source = match operator {
        MatchWildcard => wildcard(pattern),
        // The pattern alone, so that an error shows what was written.
        _ => pattern.to_owned(),
    };
    let build = |source: &str| {
        RegexBuilder::new(source)
            .case_insensitive(ignores_case)
            .dot_matches_new_line(operator != Matches)
            .size_limit(MAX_REGEX_BYTES)
            .build()
    };
    let regex = build(&source).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let hint =
            "see docs.rs/regex for the syntax; there is no look-around and no back-reference";
        bad(format!("`{pattern}` is not a regular expression: {reason}"), Some(hint))
    })?;
    match operator {
        MatchRegex => {
            build(&format!(r"\A(?:{source})")).map_err(|error| bad(error.to_string(), None))
        }
        _ => Ok(regex),
    }
}

/// The regex of a wildcard pattern over a whole text.
fn wildcard(pattern: &str) -> String {
    let mut regex = r"\A".to_owned();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, set(rest)) {
            ('*', _) => regex += ".*",
            ('?', _) => regex += ".",
            ('[', Some((inside, tail))) => {
                let (not, inside) = match inside.strip_prefix('!') {
                    Some(inside) => ("^", inside),
                    None => ("", inside),
                };
                // A `-` keeps its meaning: `[a-z]`.
                let escaped = regex::escape(inside).replace("\\-", "-");
                regex.extend(["[", not, escaped.as_str(), "]"]);
                rest = tail;
            }
            _ => regex += &regex::escape(c.encode_utf8(&mut [0; 4])),
        }
    }
    regex + r"\z"
}

/// The inside of `[…]`, whose first character may be `]`, and what follows it.
fn set(rest: &str) -> Option<(&str, &str)> {
    let skip = rest.strip_prefix('!').map_or(0, |_| 1);
    let first = rest[skip..].chars().next()?.len_utf8();
    let end = rest[skip + first..].find(']')? + skip + first;
    Some((&rest[..end], &rest[end + 1..]))
}

/// A time as RFC 3339 writes it; without a zone it is UTC, without an hour midnight.
pub(crate) fn read_time(text: &str) -> Option<Timestamp> {
    let local = || text.parse::<jiff::civil::DateTime>().ok();
    text.parse().ok().or_else(|| Some(local()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()))
}
