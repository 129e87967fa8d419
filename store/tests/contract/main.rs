//! What every store does, run over each of them.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

/// Makes a test over each store of every behaviour.
macro_rules! contract {
    ($($behaviour:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&::store::Memory::new()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let options = ::store::sqlite::Options::default();
                let store = ::store::Sqlite::open(folder.path(), &options).unwrap();
                super::$behaviour(&store).await;
            })*
        }
    };
}

mod access;
mod appending;
mod events;
mod executions;
mod latest;
mod listings;
mod retention;
mod sealed;
