//! Entries of the datastore that many executions change at the same time.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;
use store::sqlite::{Options, Sqlite};
use support::{House, ended, result, run};

const COUNT: usize = 200;

/// On a real database, whose queries run beside one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_count_at_once_on_an_entry_that_is_not_there_yet_lose_no_step() {
    let house = House::new();
    let store = Sqlite::open(&house.path("state"), &Options::default()).unwrap();
    let house = House { store: Arc::new(store), ..house };
    house.chain("count", "key: {}", r#"run("datastore.increment", #{ key: params.key }).value"#);
    let engine = house.start().await;
    for round in 0..2 {
        let parameters = json!({ "key": format!("n{round}") });
        let runs = (0..COUNT).map(|_| run(&engine, "p.count", parameters.clone()));
        let ids = join_all(runs).await;
        let mut seen = Vec::new();
        for id in &ids {
            seen.push(result(&ended(&engine, id).await).as_u64().unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=COUNT as u64).collect::<Vec<_>>(), "each saw another number");
    }
}
