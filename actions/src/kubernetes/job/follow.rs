//! What a Job's program prints, line by line as it comes: into the step's log, and kept for its
//! result.

use std::path::PathBuf;
use std::time::Duration;

use host::kubernetes::Lines;
use model::Value;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::kubernetes::asked::Asked;
use crate::kubernetes::read::log;

/// Most bytes that are kept for the result, as of a program of a pack.
const MAX_OUTPUT: usize = 4 << 20;
/// A program may be silent for as long as its Job may run.
const SILENCE: Duration = Duration::from_secs(24 * 3_600);

/// A log that is followed, over as many connections as it takes.
pub(in crate::kubernetes) struct Followed<'a> {
    asked: &'a Asked<'a>,
    file: PathBuf,
    /// The connection, and the lines that came over it.
    open: Option<(Lines, usize)>,
    /// Lines that were told: a new connection begins with them again.
    told: usize,
    /// So many of them an earlier process wrote into the step's log.
    logged: usize,
    /// Stands in no log: the program's token.
    hidden: Option<String>,
    output: String,
    ended: bool,
}

impl<'a> Followed<'a> {
    pub(in crate::kubernetes) fn new(asked: &'a Asked<'a>) -> Self {
        let file = asked.performing.log.join("stderr.log");
        Self {
            asked,
            file,
            open: None,
            told: 0,
            logged: 0,
            hidden: None,
            output: String::new(),
            ended: false,
        }
    }

    /// The same of a run whose lines come after `title` in the step's log: those that are there are
    /// not written again. `hidden` is in none of them.
    pub(in crate::kubernetes) async fn of_run(
        asked: &'a Asked<'a>,
        title: &str,
        hidden: &str,
    ) -> Self {
        let mut followed = Self::new(asked);
        followed.hidden = Some(hidden.to_owned());
        let log = tokio::fs::read(&followed.file).await.unwrap_or_default();
        match String::from_utf8_lossy(&log).rsplit_once(title) {
            Some((_, since)) => followed.logged = since.lines().skip(1).count(),
            None => host::process::note(&followed.file, &format!("{title}\n")).await,
        }
        followed
    }

    /// Tells what is printed within this time.
    pub(super) async fn advance(&mut self, pod: &Value, time: Duration) {
        let until = Instant::now() + time;
        if self.open.is_none() && !self.ended {
            self.open = connect(self.asked, pod).await.map(|lines| (lines, 0));
        }
        while let Some((lines, seen)) = &mut self.open {
            let Ok(next) = timeout_at(until, lines.next()).await else { return };
            let Ok(Some(line)) = next else {
                self.ended = next.is_ok();
                self.open = None;
                break;
            };
            *seen += 1;
            if *seen > self.told {
                self.tell(&String::from_utf8_lossy(&line)).await;
            }
        }
        sleep_until(until).await;
    }

    /// Tells the lines of a program that has ended which were not told yet. What followed them may
    /// not have noticed the end.
    pub(super) async fn finish(&mut self, pod: &Value) {
        let Ok(request) = log(&self.asked.cluster, pod).await else { return };
        let Ok(log) = self.asked.cluster.text(&request).await else { return };
        for line in log.lines().skip(self.told) {
            self.tell(line).await;
        }
    }

    async fn tell(&mut self, line: &str) {
        self.told += 1;
        let hidden = self.hidden.as_ref().filter(|hidden| line.contains(hidden.as_str()));
        let hidden = hidden.map(|hidden| line.replace(hidden.as_str(), "[the step's token]"));
        let line = hidden.as_deref().unwrap_or(line);
        if self.output.len() + line.len() < MAX_OUTPUT {
            self.output.push_str(line);
            self.output.push('\n');
        }
        if self.told <= self.logged {
            return;
        }
        let shown = self.asked.performing.redactor.text(line);
        host::process::note(&self.file, &format!("{shown}\n")).await;
    }

    /// What was printed: JSON where it is JSON.
    pub(super) fn output(&self) -> Value {
        model::json::read(self.output.as_bytes()).unwrap_or_else(|_| json!({ "text": self.output }))
    }
}

async fn connect(asked: &Asked<'_>, pod: &Value) -> Option<Lines> {
    let mut request = log(&asked.cluster, pod).await.ok()?.with("follow", true);
    request.patience = SILENCE;
    asked.cluster.lines(&request).await.ok()
}
