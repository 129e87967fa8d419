//! A collector of OpenTelemetry: the field's own, which takes spans over OTLP and prints them.

use std::fs;

use anyhow::Result;
use tempfile::TempDir;

use crate::{Group, Port, Server, until};

/// A running collector, on free ports and a folder of its own.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    spans: Port,
    _own: Port,
    _folder: TempDir,
}

/// A span as the collector prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// Its trace, in hex.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// That of the span that it is a part of; empty for the first one.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// What tracing systems know of its trace; empty where nothing came in.
    pub state: String,
}

impl Collector {
    /// Starts one, and waits until it takes spans.
    pub async fn start() -> Result<Self> {
        let (spans, own, folder) = (Port::take()?, Port::take()?, tempfile::tempdir()?);
        let file = folder.path().join("collector.yaml");
        fs::write(&file, configuration(spans.number(), own.number()))?;
        let arguments = vec![format!("--config=file:{}", file.display())];
        let ready = format!("http://127.0.0.1:{}/metrics", own.number());
        let program = Group::Collector.program("collector")?;
        let mut server = Server::new(program, arguments, ready, folder.path());
        server.start().await?;
        // Its metrics are there a moment before it takes spans.
        let begun = async || server.log().contains("Everything is ready").then_some(());
        until("the collector takes spans", begun).await?;
        Ok(Self { server, spans, _own: own, _folder: folder })
    }

    /// Where it takes spans over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.spans.number())
    }

    /// The spans that it has taken.
    pub fn spans(&self) -> Vec<Printed> {
        printed(&self.server.log())
    }
}

/// Its own metrics are there once it runs.
fn configuration(spans: u16, own: u16) -> String {
    format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '127.0.0.1:{spans}' }} }} }} }}
exporters: {{ debug: {{ verbosity: detailed }} }}
service:
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [debug] }} }}
  telemetry:
    logs: {{ sampling: {{ enabled: false }} }}
    metrics:
      readers: [{{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {own} }} }} }} }}]
"
    )
}

/// Reads `Span #0` and the lines `    Name : value` after it.
fn printed(log: &str) -> Vec<Printed> {
    let mut spans: Vec<Printed> = Vec::new();
    for line in log.lines() {
        if line.starts_with("Span #") {
            spans.push(Printed::default());
        }
        let (Some(span), Some((name, value))) = (spans.last_mut(), line.split_once(':')) else {
            continue;
        };
        let field = match name.trim() {
            "Trace ID" => &mut span.trace,
            "ID" => &mut span.id,
            "Parent ID" => &mut span.parent,
            "Name" => &mut span.name,
            "TraceState" => &mut span.state,
            _ => continue,
        };
        value.trim().clone_into(field);
    }
    spans
}
