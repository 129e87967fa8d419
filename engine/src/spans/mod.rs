//! Distributed traces: one for each event, with what rules made of it, executions, their steps and
//! attempts, and children.
//!
//! A span is sent once it has ended and what it tells is stored. Its ids follow from those of the
//! event, the execution and the step, so a restart breaks no trace. Sending never holds anything
//! up: what does not fit the queue is counted and dropped. Attributes hold names, ids and kinds of
//! errors, never values: these may be secret.

mod export;
mod share;
mod told;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metrics::Counter;
use model::{Name, Timestamp, TraceParent};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

pub use self::share::Share;
pub(crate) use self::told::*;

/// Spans that wait to be sent: some 4 MiB, and what a busy engine makes within a second or two.
const QUEUE: usize = 8_192;

/// Where spans are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// The URL that takes them: OTLP over HTTP with protobuf, such as
    /// `http://127.0.0.1:4318/v1/traces`.
    pub url: String,
    /// What this installation is called there: `service.name`.
    pub service: String,
    /// Of the traces that begin here, which are recorded.
    pub sample: Share,
}

/// No spans can be sent to the collector that is named.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be sent to {url}: {why}")]
pub struct BadCollector {
    url: String,
    why: String,
}

/// Takes spans that have ended; without a collector, nothing.
#[derive(Clone, Default)]
pub(crate) struct Spans(Option<Arc<Sender>>);

struct Sender {
    queue: mpsc::Sender<SpanData>,
    sample: Share,
    dropped: Counter,
    scope: InstrumentationScope,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A span that has ended.
pub(crate) struct Span {
    /// Its own place.
    pub(crate) place: TraceParent,
    /// That of the span that it is a part of.
    pub(crate) parent: Option<TraceParent>,
    /// What tracing systems know of its trace, as it came in.
    pub(crate) state: Option<model::TraceState>,
    pub(crate) kind: SpanKind,
    pub(crate) name: Cow<'static, str>,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// What went wrong: a kind of error.
    pub(crate) error: Option<&'static str>,
    pub(crate) attributes: Vec<KeyValue>,
}

impl Spans {
    /// Begins to send spans to `collector`, until they are [flushed](Self::flush).
    pub(crate) fn start(
        collector: &Collector,
        installation: &Name,
        metrics: &Metrics,
    ) -> Result<Self, BadCollector> {
        let exporter = export::exporter(collector, installation)?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let counts = [metrics.spans("sent"), metrics.spans("failed")];
        tasks.spawn(export::send(exporter, collector.url.clone(), spans, counts, closing.clone()));
        tasks.close();
        let scope =
            InstrumentationScope::builder("tripline").with_version(env!("CARGO_PKG_VERSION"));
        let (scope, dropped) = (scope.build(), metrics.spans("dropped"));
        let sample = collector.sample;
        Ok(Self(Some(Arc::new(Sender { queue, sample, dropped, scope, tasks, closing }))))
    }

    /// Whether anybody takes spans.
    pub(crate) const fn are_sent(&self) -> bool {
        self.0.is_some()
    }

    /// The place from which the thing of this name is told, if it begins a trace that is not recorded:
    /// stored with it, so that all that follows knows. Where one is recorded nothing needs to be stored.
    pub(crate) fn left_out(&self, name: &str) -> Option<TraceParent> {
        let root = TraceParent::root(name);
        let unrecorded = self.0.as_deref().is_some_and(|sender| !sender.sample.holds(root.trace));
        unrecorded.then_some(TraceParent { sampled: false, ..root })
    }

    /// Takes a span, unless whoever began its trace does not record it.
    pub(crate) fn end(&self, span: Span) {
        let Some(sender) = self.0.as_deref().filter(|_| span.place.sampled) else { return };
        if sender.queue.try_send(data(span, sender.scope.clone())).is_err() {
            sender.dropped.increment(1);
        }
    }

    /// Sends what is left, as far as that takes no longer than `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let Some(sender) = &self.0 else { return };
        sender.closing.cancel();
        if tokio::time::timeout(within, sender.tasks.wait()).await.is_err() {
            tracing::warn!("the last spans were not taken in time");
        }
    }
}

fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let Span { place, parent, state, kind, name, from, to, error, mut attributes } = span;
    attributes.extend(error.map(|kind| KeyValue::new("error.type", kind)));
    let context = SpanContext::new(
        TraceId::from_bytes(place.trace.to_be_bytes()),
        SpanId::from_bytes(place.span.to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        // What the SDK would not take is of no use to it; the standard's lists are all taken.
        state.and_then(|state| state.to_string().parse().ok()).unwrap_or(TraceState::NONE),
    );
    SpanData {
        span_context: context,
        parent_span_id: parent
            .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span.to_be_bytes())),
        parent_span_is_remote: false,
        span_kind: kind,
        name,
        start_time: SystemTime::from(from),
        end_time: SystemTime::from(to.max(from)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope,
    }
}

/// An attribute, where there is a value.
fn attribute(name: &'static str, value: Option<impl Into<Value>>) -> Option<KeyValue> {
    value.map(|value| KeyValue::new(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(n: usize) -> Span {
        let (at, place) = (Timestamp::UNIX_EPOCH, TraceParent::root(&n.to_string()));
        let (kind, name) = (SpanKind::Internal, "test".into());
        let (state, error, attributes) = (None, None, Vec::new());
        Span { place, parent: None, state, kind, name, from: at, to: at, error, attributes }
    }

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_dropped_and_counted() {
        // It is connected to and never answers.
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", deaf.local_addr().unwrap());
        let collector = Collector { url, service: "test".to_owned(), sample: Share::ALL };
        let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
        let spans = Spans::start(&collector, &"test".parse().unwrap(), &metrics).unwrap();
        // Nothing is sent before this task waits for something.
        for n in 0..QUEUE + 100 {
            spans.end(span(n));
        }
        assert!(metrics.text().contains("tripline_spans_total{outcome=\"dropped\"} 100"));
        spans.flush(Duration::from_millis(50)).await;
    }
}
