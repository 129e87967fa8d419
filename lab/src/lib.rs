//! Real servers for tests: each test has its own, on free ports and folders of its own.
//!
//! ```text
//!  Group (go.mod, sources) ──`make lab`──▶ programs in a cache, by hash
//!                                              │
//!    Cluster = Etcd + Api + what [`Parts`] adds ◀┘  each a Server: kill, stop, freeze, start again
//! ```
//!
//! No containers: the programs are built from Go modules, pinned in a `go.mod` for each group, into
//! a cache outside of the checkout ([`Group::build`]), so that a second checkout builds nothing. A
//! [`Server`] is a child process that ends with whoever started it, whatever becomes of that.
//!
//! A test that needs the lab says `#[ignore = "needs the lab"]`: `cargo test` leaves it out,
//! `make test` runs it.

mod account;
mod cluster;
mod collector;
mod disk;
mod group;
mod history;
mod identity;
mod node;
mod part;
mod plan;
mod port;
mod process;
mod proxy;
mod server;
mod standing;

pub use cluster::{Cluster, Parts};
pub use collector::Collector;
pub use disk::Disk;
pub use group::Group;
pub use history::Backup;
pub use identity::{ADMIN, NARROW};
pub use part::Part;
pub use port::Port;
pub use process::Process;
pub use proxy::{Asked, Proxy, Trouble};
pub use server::Server;
pub use standing::{Standing, build, hold};

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};

/// How long a server may take to be ready, on a machine that builds something besides.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(25)).await;
        }
    };
    let late = || format!("{what}: not within {} s", PATIENCE.as_secs());
    timeout(PATIENCE, asking).await.with_context(late)
}
