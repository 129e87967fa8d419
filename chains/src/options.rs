//! The option maps of `run`, `poll` and `parallel_map`.

use model::diagnostic::suggest;
use model::value::{brief, kind_of};
use model::{Backoff, Duration, ErrorKind, Map, Value};

/// Options of `run`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepOptions {
    /// How often and when to try again; none: as the action's effect class says.
    pub retry: Option<Retry>,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// Longest time of all attempts together.
    pub deadline: Option<Duration>,
}

/// When to try again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retry {
    /// Attempts in all, at least 1; none: as the action's effect class says.
    pub attempts: Option<u32>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Only these kinds are tried again; none named: all.
    pub only: Vec<ErrorKind>,
}

/// Options of `poll`.
#[derive(Debug, Clone, PartialEq)]
pub struct PollOptions {
    /// Time between answers, and how it grows.
    pub every: Backoff,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// Longest time of the whole poll.
    pub deadline: Option<Duration>,
}

/// What is wrong with an option map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option `{path}`: {message}")]
pub(crate) struct BadOption {
    /// Dotted path into the options.
    pub(crate) path: String,
    pub(crate) message: String,
}

type Parsed<T> = Result<T, BadOption>;

const MAX_ATTEMPTS: u32 = 1_000;
const MAX_BRANCHES: u32 = 1_000;
const DEFAULT_BRANCHES: u32 = 16;

impl StepOptions {
    pub(crate) fn parse(options: &Map) -> Parsed<Self> {
        known(options, "", &["retry", "timeout", "deadline"])?;
        Ok(Self {
            retry: map(options, "retry")?.map(Retry::parse).transpose()?,
            timeout: duration(options, "", "timeout")?,
            deadline: duration(options, "", "deadline")?,
        })
    }
}

impl Retry {
    fn parse(options: &Map) -> Parsed<Self> {
        known(options, "retry.", &["attempts", "delay", "backoff", "max_delay", "only"])?;
        let default = Backoff::default();
        let delay = duration(options, "retry.", "delay")?.unwrap_or(default.delay);
        let max_delay = duration(options, "retry.", "max_delay")?;
        let backoff = Backoff {
            delay,
            factor: factor(options)?.unwrap_or(default.factor),
            max_delay: max_delay.unwrap_or(default.max_delay.max(delay)),
        };
        let attempts = whole(options, "retry.", "attempts", MAX_ATTEMPTS)?;
        Ok(Self { attempts, backoff, only: only(options)? })
    }
}

impl Default for PollOptions {
    fn default() -> Self {
        let every = Duration::from_secs(10);
        let every = Backoff { delay: every, factor: 1.0, max_delay: every };
        Self { every, timeout: None, deadline: None }
    }
}

impl PollOptions {
    pub(crate) fn parse(options: &Map) -> Parsed<Self> {
        known(options, "", &["every", "max_every", "timeout", "deadline"])?;
        let delay = duration(options, "", "every")?.unwrap_or(Self::default().every.delay);
        let every = match duration(options, "", "max_every")? {
            Some(max_delay) => Backoff { delay, factor: Backoff::default().factor, max_delay },
            None => Backoff { delay, factor: 1.0, max_delay: delay },
        };
        let timeout = duration(options, "", "timeout")?;
        Ok(Self { every, timeout, deadline: duration(options, "", "deadline")? })
    }
}

/// How many branches of a `parallel_map` may be under way at once.
pub(crate) fn parse_max(options: &Map) -> Parsed<usize> {
    known(options, "", &["max"])?;
    let max = whole(options, "", "max", MAX_BRANCHES)?.unwrap_or(DEFAULT_BRANCHES);
    Ok(max as usize)
}

fn bad<T>(prefix: &str, name: &str, message: impl Into<String>) -> Parsed<T> {
    Err(BadOption { path: format!("{prefix}{name}"), message: message.into() })
}

fn known(options: &Map, prefix: &str, names: &[&str]) -> Parsed<()> {
    let Some(unknown) = options.keys().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let hint = match suggest(unknown, names.iter().copied()) {
        Some(name) => format!("unknown; did you mean `{name}`?"),
        None => format!("unknown; there are {}", names.join(", ")),
    };
    bad(prefix, unknown, hint)
}

fn map<'a>(options: &'a Map, name: &str) -> Parsed<Option<&'a Map>> {
    match options.get(name) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => bad("", name, format!("expected a map, found {}", kind_of(other))),
    }
}

fn duration(options: &Map, prefix: &str, name: &str) -> Parsed<Option<Duration>> {
    match options.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => match text.parse::<Duration>() {
            Ok(length) => Ok(Some(length)),
            Err(error) => bad(prefix, name, error.to_string()),
        },
        Some(other) => {
            let found = brief(other, 40);
            bad(prefix, name, format!("expected a duration such as \"30s\", found {found}"))
        }
    }
}

fn whole(options: &Map, prefix: &str, name: &str, max: u32) -> Parsed<Option<u32>> {
    let Some(value) = options.get(name) else { return Ok(None) };
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    if let Some(number) = number.filter(|n| (1..=max).contains(n)) {
        return Ok(Some(number));
    }
    let found = brief(value, 40);
    bad(prefix, name, format!("expected a whole number from 1 to {max}, found {found}"))
}

fn factor(options: &Map) -> Parsed<Option<f64>> {
    let Some(value) = options.get("backoff") else { return Ok(None) };
    if let Some(factor) = value.as_f64().filter(|factor| (1.0..=100.0).contains(factor)) {
        return Ok(Some(factor));
    }
    let found = brief(value, 40);
    bad("retry.", "backoff", format!("expected a factor from 1 to 100, found {found}"))
}

fn only(options: &Map) -> Parsed<Vec<ErrorKind>> {
    match options.get("only") {
        None => Ok(Vec::new()),
        Some(Value::Array(kinds)) => kinds.iter().map(kind).collect(),
        Some(other) => {
            let found = kind_of(other);
            bad("retry.", "only", format!("expected a list of error kinds, found {found}"))
        }
    }
}

fn kind(value: &Value) -> Parsed<ErrorKind> {
    let name = value.as_str().unwrap_or_default();
    let names = || ErrorKind::ALL.iter().filter(|kind| kind.is_catchable()).map(|k| k.as_str());
    if let Some(kind) = ErrorKind::parse(name).filter(|kind| kind.is_catchable()) {
        return Ok(kind);
    }
    let hint = match suggest(name, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    bad("retry.", "only", format!("{} is not an error kind; {hint}", brief(value, 40)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(options: &Value) -> String {
        StepOptions::parse(options.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn options_read_as_the_guide_writes_them() {
        let options = json!({
            "retry": { "attempts": 5, "delay": "2s", "backoff": 3, "only": ["unavailable"] },
            "timeout": "30s", "deadline": "1h",
        });
        let parsed = StepOptions::parse(options.as_object().unwrap()).unwrap();
        let retry = parsed.retry.unwrap();
        assert_eq!((retry.attempts, retry.only), (Some(5), vec![ErrorKind::Unavailable]));
        assert_eq!(retry.backoff.delay, Duration::from_secs(2));
        assert_eq!(parsed.deadline, Some(Duration::from_secs(3_600)));
    }

    #[test]
    fn what_is_wrong_with_an_option_is_named() {
        for (options, message) in [
            (json!({ "retyr": 3 }), "option `retyr`: unknown; did you mean `retry`?"),
            (json!({ "retry": 3 }), "option `retry`: expected a map, found a whole number"),
            (
                json!({ "timeout": 30 }),
                "option `timeout`: expected a duration such as \"30s\", found 30",
            ),
            (
                json!({ "retry": { "attempts": 0 } }),
                "option `retry.attempts`: expected a whole number from 1 to 1000, found 0",
            ),
            (
                json!({ "retry": { "only": ["timeuot"] } }),
                "option `retry.only`: \"timeuot\" is not an error kind; did you mean `timeout`?",
            ),
            (
                json!({ "retry": { "backoff": 0.5 } }),
                "option `retry.backoff`: expected a factor from 1 to 100, found 0.5",
            ),
        ] {
            assert_eq!(refused(&options), message);
        }
    }
}
