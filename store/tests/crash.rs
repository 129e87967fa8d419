//! A process that is killed at any moment: what it was answered is there, and all is well.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use model::{Origin, Version};
use store::sqlite::Options;
use store::{Appended, Batch, Position, Sqlite, Store};

const FOLDER: &str = "STORE_CRASH_FOLDER";
const RUN: &str = "STORE_CRASH_RUN";

/// One batch over two streams, so that a torn one would be seen.
fn pair(id: &str) -> Batch {
    let cursor = write(sensor(&format!("s/{id}")), vec![moved(id), moved(id)]);
    let run = model::ExecutionId::random(model::Hash::of(id.as_bytes()).as_bytes());
    let run = write(model::Stream::Execution(run), vec![request(Origin::Manual), parked(None)]);
    batch(id, vec![cursor, run])
}

/// The process to be killed: appends until then, eight batches at a time, and says what was answered.
#[tokio::test]
#[ignore = "the other test here runs it, in a process of its own"]
async fn appends_until_it_is_killed() {
    let (folder, run) = (env::var(FOLDER).unwrap(), env::var(RUN).unwrap());
    let store = Sqlite::open(Path::new(&folder), &Options::default()).unwrap();
    let append = |n: u32| {
        let (store, id) = (&store, format!("{run}/{n}"));
        async move { (store.append(pair(&id)).await, id) }
    };
    let mut next = 8;
    let mut running: FuturesUnordered<_> = (0..next).map(append).collect();
    while let Some((answer, id)) = running.next().await {
        match answer {
            Ok(Appended::Committed { .. }) => println!("answered {id};"),
            other => println!("failed {id} {other:?}"),
        }
        std::io::stdout().flush().unwrap();
        running.push(append(next));
        next += 1;
    }
}

fn start(folder: &Path, run: usize) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "appends_until_it_is_killed", "--ignored", "--nocapture"]);
    command.env(FOLDER, folder).env(RUN, run.to_string()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs the process until it has said `enough` answers, kills it, and collects all it said.
fn kill_after(folder: &Path, run: usize, enough: usize) -> Vec<String> {
    let mut child = start(folder, run);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let id = |line: &str| Some(line.split_once("answered ")?.1.strip_suffix(';')?.to_owned());
    let mut answers = lines.filter_map(|line| id(&line));
    let mut said: Vec<_> = answers.by_ref().take(enough).collect();
    child.kill().unwrap();
    said.extend(answers);
    child.wait().unwrap();
    said
}

#[tokio::test]
async fn what_a_killed_process_was_answered_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = BTreeSet::new();
    for (run, enough) in [1, 3, 10, 17, 40, 90].into_iter().enumerate() {
        answered.extend(kill_after(folder.path(), run, enough));
        assert_eq!(Sqlite::verify(folder.path()), [], "after run {run}");
    }
    let store = Sqlite::open(folder.path(), &Options::default()).unwrap();
    let head = store.head().await.unwrap();
    for id in answered {
        let again = store.append(pair(&id)).await.unwrap();
        assert!(matches!(again, Appended::Committed { position } if position <= head), "{id}");
        let (facts, _) = store.read(&sensor(&format!("s/{id}")), Version::NONE).await.unwrap();
        assert_eq!(facts.len(), 2, "{id}");
    }
    assert_eq!(store.head().await.unwrap(), head);
    // Batches are whole: four facts each.
    assert_eq!(head, Position(4 * (head.0 / 4)));
}
