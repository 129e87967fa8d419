//! What changes, as it changes.

use std::time::Duration;

use bytes::Bytes;
use model::{ErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use super::objects::{METADATA, complete};
use super::{Cluster, Failure, Lines, Resource, Selected, numbers};

/// What a watch tells. Of an object that is nested deeper than can be read, what lies too deep is null.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// An object is there that was not among the selected ones.
    Added(Value),
    /// An object is another than it was.
    Modified(Value),
    /// An object is not among the selected ones any more: it is gone, or is not selected.
    Deleted(Value),
    /// Nothing is missing up to this version.
    Bookmark(String),
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    lines: Lines,
    resource: Resource,
    idle: Duration,
    begun: Instant,
    heard: Instant,
    told: bool,
    size: usize,
}

/// A watch that ends sooner, and without a word, was none. The API server lets none end sooner of itself.
const SHORTEST: Duration = Duration::from_secs(1);

impl Cluster {
    /// Watches the selected objects from `version` on. The API server ends it after `length`; before
    /// that it says something now and then, and if it does not within `idle`, the watch has failed.
    pub async fn watch(
        &self,
        selected: &Selected<'_>,
        version: &str,
        length: Duration,
        idle: Duration,
    ) -> Result<Watch, Failure> {
        let mut request = selected
            .request()
            .with("watch", true)
            .with("allowWatchBookmarks", true)
            .with("resourceVersion", version)
            .with("timeoutSeconds", length.as_secs().max(1));
        if selected.metadata_only {
            request.accept = METADATA;
        }
        let begun = Instant::now();
        let lines = self.lines(&request).await?;
        let (resource, heard) = (selected.resource.clone(), Instant::now());
        Ok(Watch { lines, resource, idle, begun, heard, told: false, size: 0 })
    }
}

impl Watch {
    /// The bytes of the last word, as it came.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The next word; none: the watch ended as it was told to. Not to be asked again after that, or
    /// after a failure. Nothing is lost if the answer is not waited for.
    pub async fn next(&mut self) -> Result<Option<Told>, Failure> {
        let line = timeout_at(self.heard + self.idle, self.lines.next()).await;
        let line = line.map_err(|_| silent(self.idle))??;
        self.heard = Instant::now();
        if line.is_none() && !self.told && self.begun.elapsed() < SHORTEST {
            return Err(none());
        }
        self.told = true;
        self.size = line.as_ref().map_or(0, Bytes::len);
        line.map(|line| read(&line, &self.resource)).transpose()
    }
}

fn read(line: &Bytes, resource: &Resource) -> Result<Told, Failure> {
    let unreadable = |why: &str| {
        let message = format!("the watch told something that cannot be read: {why}");
        Failure::unsent(ErrorKind::Unavailable, message)
    };
    // The object lies one level deep.
    let told = numbers::read_pruned(line, numbers::LEVELS + 1);
    let (mut told, _) = told.map_err(|error| unreadable(&error.to_string()))?;
    let mut object = told["object"].take();
    match told["type"].as_str() {
        Some("ERROR") => return Err(Failure::told(&object)),
        Some("BOOKMARK") => {
            let version = object["metadata"]["resourceVersion"].as_str();
            return Ok(Told::Bookmark(version.unwrap_or_default().to_owned()));
        }
        _ => complete(&mut object, resource),
    }
    match told["type"].as_str() {
        Some("ADDED") => Ok(Told::Added(object)),
        Some("MODIFIED") => Ok(Told::Modified(object)),
        Some("DELETED") => Ok(Told::Deleted(object)),
        other => Err(unreadable(&format!("type {other:?}"))),
    }
}

fn none() -> Failure {
    let message = "the watch ended at once and told nothing: is there a proxy before the API server that lets no answer last?";
    Failure::unsent(ErrorKind::Unavailable, message)
}

fn silent(idle: Duration) -> Failure {
    let message = format!("the watch has said nothing for {} s: it is begun again", idle.as_secs());
    Failure::unsent(ErrorKind::Timeout, message)
}
