//! Where an event comes from: the first half of its identity.

use std::fmt;

use crate::{Name, SensorRef, TriggerType};

/// The source of an event, written `tripline:<installation>/…`.
///
/// The source names the installation's own sensor and subscription, never what a sender calls
/// itself, so that no sender can use up another's ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventSource {
    /// The installation's name.
    pub installation: Name,
    /// What in it emitted the event.
    pub emitter: Emitter,
}

/// What emitted an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Emitter {
    /// A named sensor of a pack: `<pack>/<sensor>`.
    Sensor(SensorRef),
    /// The subscription of a trigger that needs no named sensor: `<type>/<hash of parameters>`.
    Subscription(TriggerType, String),
    /// Somebody with an API token: `api/<token name>`.
    Api(String),
    /// A chain's `emit`: `execution`.
    Execution,
    /// The engine telling of itself: `engine`.
    Engine,
}

impl EventSource {
    /// The source that `text` names; `None` where another system made the event.
    pub fn parse(text: &str) -> Option<Self> {
        let (installation, emitter) = text.strip_prefix("tripline:")?.split_once('/')?;
        Some(Self { installation: installation.parse().ok()?, emitter: Emitter::parse(emitter)? })
    }
}

impl Emitter {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None if text == "execution" => Some(Self::Execution),
            None if text == "engine" => Some(Self::Engine),
            None => None,
            Some(("api", token)) => Some(Self::Api(token.to_owned())),
            Some((first, rest)) if first.contains('.') => {
                Some(Self::Subscription(first.parse().ok()?, rest.to_owned()))
            }
            Some((pack, sensor)) => {
                Some(Self::Sensor(SensorRef::new(pack.parse().ok()?, sensor.parse().ok()?)))
            }
        }
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tripline:{}/", self.installation)?;
        match &self.emitter {
            Emitter::Sensor(sensor) => write!(f, "{}/{}", sensor.pack, sensor.name),
            Emitter::Subscription(kind, hash) => write!(f, "{kind}/{hash}"),
            Emitter::Api(token) => write!(f, "api/{token}"),
            Emitter::Execution => f.write_str("execution"),
            Emitter::Engine => f.write_str("engine"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_as_they_are_written() {
        for text in [
            "tripline:main/app/push",
            "tripline:main/timer.interval/0a1b",
            "tripline:main/api/admin",
            "tripline:main/execution",
            "tripline:main/engine",
        ] {
            assert_eq!(EventSource::parse(text).unwrap().to_string(), text);
        }
        for text in ["https://ci.example.com", "tripline:main", "tripline:/a/b", "tripline:main/x"]
        {
            assert_eq!(EventSource::parse(text), None, "{text}");
        }
    }
}
