//! Spans on their way to the collector: OTLP over HTTP, some at a time.

use std::time::Duration;

use metrics::Counter;
use model::Name;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::{BadCollector, Collector};

/// Most spans of one request: some 300 KiB.
const BATCH: usize = 512;
/// How long spans wait for others to go with.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take; its spans are given up then, and the queue moves on.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn exporter(
    collector: &Collector,
    installation: &Name,
) -> Result<SpanExporter, BadCollector> {
    let bad = |why: String| BadCollector { url: collector.url.clone(), why };
    let client = host::http::client().map_err(|error| bad(error.to_string()))?;
    let exporter = SpanExporter::builder().with_http().with_http_client(client);
    let exporter = exporter.with_endpoint(&collector.url).with_timeout(TIMEOUT).build();
    let mut exporter = exporter.map_err(|error| bad(error.to_string()))?;
    let resource = Resource::builder().with_service_name(collector.service.clone());
    let resource = resource.with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", installation.to_string()),
    ]);
    exporter.set_resource(&resource.build());
    Ok(exporter)
}

/// Sends spans as they come, and when `closing` those that are there.
pub(super) async fn send(
    exporter: SpanExporter,
    url: String,
    mut spans: Receiver<SpanData>,
    [sent, failed]: [Counter; 2],
    closing: CancellationToken,
) {
    let mut refused = false;
    loop {
        let batch = gather(&mut spans, &closing).await;
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let error = match tokio::time::timeout(TIMEOUT, exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {TIMEOUT:?}")),
        };
        if error.is_none() { &sent } else { &failed }.increment(count);
        // Told when it begins and when it is over: a collector may be down for days.
        match (&error, refused) {
            (Some(error), false) => {
                tracing::warn!(url, error, "spans are not taken, and lost");
            }
            (None, true) => tracing::info!(url, "spans are taken again"),
            _ => {}
        }
        refused = error.is_some();
    }
}

/// The next spans to send; none once all are sent and it is closing.
async fn gather(spans: &mut Receiver<SpanData>, closing: &CancellationToken) -> Vec<SpanData> {
    let mut batch = Vec::new();
    let first = tokio::select! {
        biased;
        count = spans.recv_many(&mut batch, BATCH) => count,
        () = closing.cancelled() => 0,
    };
    if first == 0 {
        return batch;
    }
    let more = async {
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            if spans.recv_many(&mut batch, room).await == 0 {
                return;
            }
        }
    };
    tokio::select! {
        () = more => {}
        () = tokio::time::sleep(GATHER) => {}
        () = closing.cancelled() => {}
    }
    batch
}
