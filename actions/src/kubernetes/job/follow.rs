//! What a Job's program prints, line by line as it comes: into the step's log, and kept for its
//! result.

use std::path::PathBuf;
use std::time::Duration;

use host::kubernetes::Request;
use model::Value;
use serde_json::json;

use crate::kubernetes::asked::Asked;

/// Most bytes that are kept for the result, as of a program of a pack.
const MAX_OUTPUT: usize = 4 << 20;
/// A program may be silent for as long as its Job may run.
const SILENCE: Duration = Duration::from_secs(24 * 3_600);

/// A log that is followed, over as many connections as it takes.
pub(super) struct Followed<'a> {
    asked: &'a Asked<'a>,
    file: PathBuf,
    /// Lines that were told: a new connection begins with them again.
    lines: usize,
    output: String,
    ended: bool,
}

impl<'a> Followed<'a> {
    pub(super) fn new(asked: &'a Asked<'a>) -> Self {
        let file = asked.performing.log.join("stderr.log");
        Self { asked, file, lines: 0, output: String::new(), ended: false }
    }

    /// Follows to the end of the log, or of the connection.
    pub(super) async fn follow(&mut self, pod: &Value) {
        if self.ended {
            return;
        }
        let cluster = &self.asked.cluster;
        let Ok(resource) = cluster.resource("v1", "Pod").await else { return };
        let part = |name: &str| pod["metadata"][name].as_str();
        let path =
            resource.object(part("namespace"), part("name").unwrap_or_default(), Some("log"));
        let mut request = Request::get(&path).with("follow", true);
        request.patience = SILENCE;
        let Ok(mut lines) = cluster.lines(&request).await else { return };
        let mut seen = 0;
        while let Ok(line) = lines.next().await {
            let Some(line) = line else {
                self.ended = true;
                return;
            };
            seen += 1;
            if seen > self.lines {
                self.tell(&String::from_utf8_lossy(&line)).await;
            }
        }
    }

    async fn tell(&mut self, line: &str) {
        self.lines += 1;
        if self.output.len() + line.len() < MAX_OUTPUT {
            self.output.push_str(line);
            self.output.push('\n');
        }
        let shown = self.asked.performing.redactor.text(line);
        host::process::note(&self.file, &format!("{shown}\n")).await;
    }

    /// What was printed: JSON where it is JSON.
    pub(super) fn output(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|_| json!({ "text": self.output }))
    }
}
