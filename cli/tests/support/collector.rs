//! A collector of spans: it takes what is sent over OTLP (HTTP, protobuf) and keeps it.
#![allow(clippy::unwrap_used, reason = "a helper of tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, post};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A span as it was received, and the service that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) service: String,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Received>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// The `traceparent` and `tracestate` of requests that steps sent here.
    asked: Arc<Mutex<Vec<[String; 2]>>>,
    silent: Arc<AtomicBool>,
}

/// A collector on a port of its own, which also answers every other request with 200.
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Kept,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let kept = Kept::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .fallback(any(answer))
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(kept.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, kept, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests are taken and never answered.
    pub(crate) fn be_silent(&self) {
        self.kept.silent.store(true, Ordering::SeqCst);
    }

    pub(crate) fn spans(&self) -> Vec<Received> {
        self.kept.spans.lock().unwrap().clone()
    }

    /// Everything that was sent here to be kept.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.bytes.lock().unwrap().clone()
    }

    /// The places in a trace that steps sent along, with what is known of the trace.
    pub(crate) fn asked_from(&self) -> Vec<[String; 2]> {
        self.kept.asked.lock().unwrap().clone()
    }
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    if kept.silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    kept.bytes.lock().unwrap().extend_from_slice(&body);
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let service = text(&resource.attributes, "service.name").unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let spans = spans.map(|span| Received { span, service: service.clone() });
        kept.spans.lock().unwrap().extend(spans);
    }
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}

async fn answer(State(kept): State<Kept>, headers: HeaderMap) -> &'static str {
    let sent = ["traceparent", "tracestate"].map(|name| {
        let sent = headers.get(name).and_then(|sent| sent.to_str().ok());
        sent.unwrap_or_default().to_owned()
    });
    kept.asked.lock().unwrap().push(sent);
    "{}"
}

impl Received {
    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
