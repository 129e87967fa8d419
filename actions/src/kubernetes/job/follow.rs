//! What a Job's program prints, line by line as it comes: into the step's log, and kept for its
//! result.

use std::path::PathBuf;
use std::time::Duration;

use host::kubernetes::{Failure, Lines, Request};
use model::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::end::{End, Ended};
use super::manifest::PROGRAM;
use crate::kubernetes::asked::Asked;
use crate::kubernetes::patience::passes;
use crate::kubernetes::read;

/// Most bytes that are kept for the result, as of a program of a pack.
const MAX_OUTPUT: usize = 4 << 20;
/// A program may be silent for as long as its Job may run.
const SILENCE: Duration = Duration::from_secs(24 * 3_600);
/// How long the log of a program that has ended is asked for, and how long between two tries.
const ASKED_FOR: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(500));

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
    /// Whether the output goes on behind what is kept.
    cut: bool,
    /// Why the pod or its log cannot be read.
    unread: Option<String>,
    ended: bool,
}

impl<'a> Followed<'a> {
    /// That of a run whose lines come after `title` in the step's log: those that are there are not
    /// written again. `hidden` is in none of them.
    pub(in crate::kubernetes) async fn of_run(
        asked: &'a Asked<'a>,
        title: &str,
        hidden: Option<String>,
    ) -> Self {
        let file = asked.performing.log.join("stderr.log");
        let log = tokio::fs::read(&file).await.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let since = log.rsplit_once(title).map(|(_, since)| since);
        if since.is_none() {
            host::process::note(&file, &format!("{title}\n")).await;
        }
        let logged = since.map_or(0, |since| since.lines().skip(1).count());
        Self {
            asked,
            file,
            open: None,
            told: 0,
            logged,
            hidden,
            output: String::new(),
            cut: false,
            unread: None,
            ended: false,
        }
    }

    /// Tells what is printed within this time.
    pub(super) async fn advance(&mut self, pod: &Value, time: Duration) {
        let until = Instant::now() + time;
        if self.open.is_none() && !self.ended {
            match connect(self.asked, pod).await {
                Ok(lines) => self.open = Some((lines, 0)),
                Err(failure) => self.missing(&failure).await,
            }
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
        let until = Instant::now() + ASKED_FOR.0;
        let log = loop {
            match whole(self.asked, pod).await {
                Err(failure) if passes(&failure) && Instant::now() < until => {
                    sleep(ASKED_FOR.1).await;
                }
                log => break log,
            }
        };
        match log {
            Err(failure) => {
                self.missing(&failure).await;
                self.unread.get_or_insert(failure.message);
            }
            Ok(log) => {
                self.unread = None;
                for line in log.lines().skip(self.told) {
                    self.tell(line).await;
                }
            }
        }
    }

    /// Says once, in the step's log, which right is missing to see how its program does.
    pub(super) async fn missing(&mut self, failure: &Failure) {
        if passes(failure) || self.unread.as_ref() == Some(&failure.message) {
            return;
        }
        let line = format!("[tripline: how the program does cannot be seen: {failure}]\n");
        host::process::note(&self.file, &line).await;
        self.unread = Some(failure.message.clone());
    }

    /// The end of the Job, with what was told.
    pub(super) fn ended(
        &mut self,
        job: Value,
        pod: Option<Value>,
        end: End,
        is_outlived: bool,
    ) -> Ended {
        let gone = || "its pod is gone".to_owned();
        let unread = self.unread.take();
        let unread = unread.or_else(|| (pod.is_none() && self.told == 0).then(gone));
        let printed = std::mem::take(&mut self.output);
        Ended { job, pod, end, is_outlived, printed, is_cut: self.cut, unread }
    }

    async fn tell(&mut self, line: &str) {
        self.told += 1;
        let hidden = self.hidden.as_ref().filter(|hidden| line.contains(hidden.as_str()));
        let hidden = hidden.map(|hidden| line.replace(hidden.as_str(), "[the step's token]"));
        let line = hidden.as_deref().unwrap_or(line);
        self.cut |= self.output.len() + line.len() >= MAX_OUTPUT;
        if !self.cut {
            self.output.push_str(line);
            self.output.push('\n');
        }
        if self.told <= self.logged {
            return;
        }
        let shown = self.asked.performing.redactor.text(line);
        host::process::note(&self.file, &format!("{shown}\n")).await;
    }
}

async fn connect(asked: &Asked<'_>, pod: &Value) -> Result<Lines, Failure> {
    let mut request = log(asked, pod).await?.with("follow", true);
    request.patience = SILENCE;
    asked.cluster.lines(&request).await
}

async fn whole(asked: &Asked<'_>, pod: &Value) -> Result<String, Failure> {
    asked.cluster.text(&log(asked, pod).await?).await
}

/// A request for what the program in a pod has written.
async fn log(asked: &Asked<'_>, pod: &Value) -> Result<Request, Failure> {
    Ok(read::log(&asked.cluster, pod).await?.with("container", PROGRAM))
}
