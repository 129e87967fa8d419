//! How things stand, asked when somebody looks.

use model::{ExecutionState, Timestamp};
use store::RuleCount;

use super::{Book, Metrics, table};
use crate::ask::AskError;
use crate::engine::Engine;
use crate::fair::Permits;

/// Rules that have lines of their own: more would make of each look a burden for who keeps it.
const MAX_RULES: usize = 1_000;

impl Engine {
    /// What is counted and measured.
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    /// Every metric in Prometheus' text format.
    pub async fn metrics_text(&self) -> Result<String, AskError> {
        // Made anew each time, so that what is gone (a sensor, a pack) is gone here too.
        let book = Book::new();
        self.stand(&book);
        self.stored(&book).await?;
        self.rules_did(&book).await?;
        self.sensors_stand(&book);
        let packs = self.pack_views();
        for state in ["active", "stale", "rejected"] {
            let count = packs.iter().filter(|pack| pack.state == state).count();
            book.gauge(table::PACKS, &[("state", state)]).set(count as f64);
        }
        Ok(format!("{}{}", self.core.metrics.text(), book.text()))
    }

    fn stand(&self, book: &Book) {
        let (active, queued) = self.driver.load();
        book.gauge(table::ACTIVE, &[]).set(active as f64);
        book.gauge(table::QUEUED, &[]).set(queued as f64);
        let places = |kind: &str, permits: &Permits| {
            let (running, waiting) = permits.load();
            book.gauge(table::STEPS_RUNNING, &[("kind", kind)]).set(running as f64);
            book.gauge(table::STEPS_WAITING, &[("kind", kind)]).set(waiting as f64);
        };
        places("action", &self.core.steps);
        places("program", &self.core.programs);
        book.gauge(table::STUCK, &[]).set(self.core.stuck.all().len() as f64);
        book.gauge(table::READY, &[]).set(f64::from(u8::from(self.problem().is_none())));
        book.gauge(table::START_TIME, &[]).set(seconds(self.core.metrics.begun));
        book.gauge(table::BUILD, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
    }

    async fn stored(&self, book: &Book) -> Result<(), AskError> {
        let store = &self.core.store;
        let (counts, figures) = (store.counts().await?, store.figures().await?);
        let count = |state| counts.get(&state).copied().unwrap_or_default() as f64;
        for state in ExecutionState::ALL {
            book.gauge(table::EXECUTIONS, &[("state", state.as_str())]).set(count(state));
        }
        book.gauge(table::ATTENTION, &[]).set(count(ExecutionState::NeedsAttention));
        let age = figures
            .oldest_queued
            .map_or(0.0, |at| self.core.now().duration_since(at).as_secs_f64().max(0.0));
        book.gauge(table::OLDEST_QUEUED, &[]).set(age);
        book.gauge(table::STORE_BYTES, &[]).set(figures.bytes as f64);
        book.counter(table::STORE_FACTS, &[]).absolute(store.head().await?.0);
        Ok(())
    }

    /// What the active rules did; a rule that is gone has no line.
    async fn rules_did(&self, book: &Book) -> Result<(), AskError> {
        let counts = self.core.store.rule_counts().await?;
        let generation = self.core.generation.load_full();
        let rules = generation.packs.values().flat_map(|pack| pack.rules.values());
        let mut other = RuleCount::default();
        let mut told = 0;
        for rule in rules.map(|rule| &rule.reference) {
            let count = counts.get(rule).copied().unwrap_or_default();
            told += 1;
            if told <= MAX_RULES {
                book.rule(&rule.to_string(), count);
            } else {
                other.matched += count.matched;
                other.failed += count.failed;
            }
        }
        if told > MAX_RULES {
            book.rule("other", other);
        }
        Ok(())
    }

    fn sensors_stand(&self, book: &Book) {
        for (subscription, status) in self.sensing.list() {
            let address = subscription.address();
            let sensor = ("sensor", address.as_str());
            for state in ["running", "waiting", "failing"] {
                let value = f64::from(u8::from(status.state.name() == state));
                book.gauge(table::SENSOR_STATE, &[sensor, ("state", state)]).set(value);
            }
            book.counter(table::SENSOR_EVENTS, &[sensor]).absolute(status.events);
            book.counter(table::SENSOR_LEFT_OUT, &[sensor]).absolute(status.left_out);
            book.counter(table::SENSOR_RESTARTS, &[sensor]).absolute(status.restarts);
            if let Some((at, late)) = status.newest {
                book.gauge(table::SENSOR_LAST, &[sensor]).set(seconds(at));
                book.gauge(table::SENSOR_LAG, &[sensor]).set(late.to_std().as_secs_f64());
            }
        }
    }
}

impl Book {
    fn rule(&self, rule: &str, count: RuleCount) {
        self.counter(table::RULE_MATCHES, &[("rule", rule)]).absolute(count.matched);
        self.counter(table::RULE_ERRORS, &[("rule", rule)]).absolute(count.failed);
    }
}

/// Unix time in seconds.
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1_000.0
}
