//! The parameters of timers, once they fit their schema and hold its defaults.

use model::{Duration, Map, Value};

use super::Timer;
use super::schedule::{BadCron, Jitter, Schedule};
use crate::BuildError;
use crate::fields::{optional, parsed, text};

/// What happens to times that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// Nothing.
    Skip,
    /// The newest fires late, for all of them.
    Once,
    /// Each fires late, at most so many of the newest.
    All(usize),
}

impl Misfire {
    pub(super) const fn kept(self) -> usize {
        match self {
            Self::Skip | Self::Once => 1,
            Self::All(limit) => limit,
        }
    }
}

/// Reads the parameters of `timer.cron`.
pub(crate) fn cron(parameters: &Map) -> Result<Timer, BuildError> {
    let (expression, zone) = (text(parameters, "cron")?, text(parameters, "zone")?);
    let jitter = optional(parameters, "jitter")?.unwrap_or(Duration::from_millis(0));
    let limit = parameters.get("limit").and_then(Value::as_u64).unwrap_or(1) as usize;
    let misfire = match text(parameters, "misfire")? {
        "skip" => Misfire::Skip,
        "all" => Misfire::All(limit),
        _ => Misfire::Once,
    };
    let schedule = Schedule::cron(expression, zone, Jitter(jitter)).map_err(|error| {
        let message = error.to_string();
        match error {
            BadCron::Zone(_) => BuildError::at("zone", message),
            BadCron::Never(_) => {
                BuildError::at("cron", message).with_hint("name a day that its months have")
            }
            BadCron::Malformed(..) => BuildError::at("cron", message)
                .with_hint("write it as `30 2 * * 1-5`: 02:30 on weekdays"),
        }
    })?;
    timer("timer.cron", schedule, misfire)
}

/// Reads the parameters of `timer.interval`.
pub(crate) fn interval(parameters: &Map) -> Result<Timer, BuildError> {
    let every: Duration = parsed(parameters, "every")?;
    if every < Duration::from_secs(1) {
        let message = format!("`every: {every}` is too often: at least 1s is expected");
        return Err(BuildError::at("every", message));
    }
    timer("timer.interval", Schedule::Interval(every), Misfire::Once)
}

/// Reads the parameters of `timer.at`.
pub(crate) fn at(parameters: &Map) -> Result<Timer, BuildError> {
    let written = text(parameters, "time")?;
    let time = written.parse().map_err(|_| {
        BuildError::at("time", format!("`time: {written}` is not a point in time"))
            .with_hint("write it with its offset, such as `2026-03-29T02:30:00Z`")
    })?;
    timer("timer.at", Schedule::At(time), Misfire::Once)
}

fn timer(kind: &str, schedule: Schedule, misfire: Misfire) -> Result<Timer, BuildError> {
    let kind = kind.parse().map_err(|error| BuildError::at("", format!("{error}")))?;
    Ok(Timer { kind, schedule, misfire })
}
