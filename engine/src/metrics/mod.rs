//! What the engine counts and measures as it works, in the format of Prometheus.
//!
//! What happens is counted here as it happens; how things *stand* is asked when somebody looks
//! ([`scrape`]). Labels name what packs declare (rules, actions, sensors), never an id, so that
//! their number is that of the files an operator installed; so do those of connections, of which only
//! known ones are named.

mod scrape;
mod table;

use std::sync::Arc;
use std::time::Duration;

use host::kubernetes::{Observed, Observer};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use model::source::Emitter;
use model::{ActionRef, EventSource, ExecutionState, Fact, Origin, Performance, Timestamp};
use store::Batch;
use tokio_util::sync::CancellationToken;

pub use self::table::{Bounds, Kind, METRICS, Metric};

/// How often what was measured is added up, where nobody looks: until then each measurement takes
/// some bytes, at 5,000 a second some 400 KiB.
const ADD_UP: Duration = Duration::from_secs(5);

/// The counters and histograms of one engine; clones are the same.
#[derive(Clone)]
pub struct Metrics {
    book: Arc<Book>,
    commit: Histogram,
    begun: Timestamp,
}

/// Metrics with their values: one text of `/metrics`.
struct Book(PrometheusRecorder);

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

impl Book {
    /// An empty one, with the help of every metric.
    fn new() -> Self {
        let buckets = METRICS.iter().filter_map(|metric| match metric.kind {
            Kind::Histogram(bounds) => Some((metric.name, bounds.seconds())),
            Kind::Counter | Kind::Gauge => None,
        });
        let builder = buckets.fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            // Refused are empty lists alone, and there is none in the table.
            let set = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds);
            set.unwrap_or_else(|error| unreachable!("{error}"))
        });
        let book = Self(builder.build_recorder());
        for Metric { name, kind, help, .. } in METRICS {
            let name = (*name).into();
            match kind {
                Kind::Counter => book.0.describe_counter(name, None, (*help).into()),
                Kind::Gauge => book.0.describe_gauge(name, None, (*help).into()),
                Kind::Histogram(_) => book.0.describe_histogram(name, None, (*help).into()),
            }
        }
        book
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.0.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.0.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.0.register_histogram(&key(name, labels), &METADATA)
    }

    fn text(&self) -> String {
        self.0.handle().render()
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

impl Metrics {
    /// Those of an engine that was started at `begun`; nothing is counted yet.
    pub(crate) fn new(begun: Timestamp) -> Self {
        let book = Arc::new(Book::new());
        Self { commit: book.histogram(table::COMMIT, &[]), book, begun }
    }

    /// What was counted and measured as it happened.
    pub(crate) fn text(&self) -> String {
        self.book.text()
    }

    /// Facts became durable.
    pub(crate) fn committed(&self, batch: &Batch, took: Duration) {
        self.commit.record(took);
        batch.writes.iter().flat_map(|write| &write.facts).for_each(|fact| self.fact(fact));
    }

    fn fact(&self, fact: &Fact) {
        match fact {
            Fact::EventAccepted(accepted) => {
                let source = source(&accepted.event.envelope.source);
                self.book.counter(table::EVENTS, &[("source", &source)]).increment(1);
            }
            Fact::EventRepeated { .. } => self.duplicate("false"),
            Fact::DuplicateDiffers { .. } => self.duplicate("true"),
            Fact::PageGivenUp { .. } => self.book.counter(table::PAGES_GIVEN_UP, &[]).increment(1),
            Fact::ExecutionRequested(request) => {
                let origin = [("origin", origin(&request.origin))];
                self.book.counter(table::REQUESTED, &origin).increment(1);
            }
            _ => {}
        }
    }

    fn duplicate(&self, differs: &str) {
        self.book.counter(table::DUPLICATES, &[("differs", differs)]).increment(1);
    }

    /// An execution ended.
    pub(crate) fn finished(&self, action: &ActionRef, state: ExecutionState) {
        let labels = [("action", action.as_str()), ("outcome", state.as_str())];
        self.book.counter(table::FINISHED, &labels).increment(1);
    }

    /// An action was performed, on the system that a connection leads to.
    pub(crate) fn performed(
        &self,
        action: &ActionRef,
        connection: Option<&str>,
        performance: &Performance,
        took: Duration,
    ) {
        let outcome = match performance {
            Performance::Done(_) => "done",
            Performance::Failed(_) => "failed",
            Performance::Unknown(_) => "unknown",
        };
        // An empty label is none, and a metric has the same ones everywhere.
        let connection = connection.unwrap_or_default();
        let labels =
            [("action", action.as_str()), ("connection", connection), ("outcome", outcome)];
        self.book.histogram(table::STEP, &labels).record(took);
    }

    /// Counts requests to clusters.
    pub(crate) fn of_clusters(&self) -> Observer {
        let book = self.book.clone();
        Observer::new(move |observed: &Observed<'_>| {
            let status = observed.status.map_or_else(|| "none".to_owned(), |code| code.to_string());
            let labels = [
                ("connection", observed.connection),
                ("method", observed.method),
                ("status", status.as_str()),
            ];
            book.histogram(table::CLUSTER, &labels).record(observed.took);
        })
    }

    /// A webhook sensor refused a request.
    pub fn webhook_refused(&self, sensor: &str, reason: &str) {
        let labels = [("sensor", sensor), ("reason", reason)];
        self.book.counter(table::WEBHOOKS_REFUSED, &labels).increment(1);
    }

    /// A request to the API was refused.
    pub fn request_refused(&self, reason: &str) {
        self.book.counter(table::REQUESTS_REFUSED, &[("reason", reason)]).increment(1);
    }

    /// Counts spans that were `sent`, that `failed` to be, or were `dropped`.
    pub(crate) fn spans(&self, outcome: &str) -> Counter {
        self.book.counter(table::SPANS, &[("outcome", outcome)])
    }

    /// Adds up what was measured, from time to time, so that it takes no memory where nobody looks.
    pub(crate) async fn keep(&self, stopping: &CancellationToken) {
        while tokio::time::timeout(ADD_UP, stopping.cancelled()).await.is_err() {
            self.book.0.handle().run_upkeep();
        }
    }
}

/// Who emitted an event: what an operator installed, or the way it came.
fn source(text: &str) -> String {
    match EventSource::parse(text).map(|source| source.emitter) {
        Some(Emitter::Sensor(sensor)) => sensor.to_string(),
        Some(Emitter::Subscription(kind, hash)) => format!("{kind}/{hash}"),
        Some(Emitter::Api(_)) => "api".to_owned(),
        Some(Emitter::Execution) => "execution".to_owned(),
        Some(Emitter::Engine) => "engine".to_owned(),
        None => "other".to_owned(),
    }
}

const fn origin(origin: &Origin) -> &'static str {
    match origin {
        Origin::Rule { .. } => "rule",
        Origin::Manual => "manual",
        Origin::Rerun { .. } => "rerun",
        Origin::Step { .. } => "step",
    }
}
