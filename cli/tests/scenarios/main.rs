//! Stories told to the real binary: real SQLite, git and HTTP, real programs, `kill -9`.
//!
//! Each module is one subject. A server is a child process of its test, on a folder of its own and
//! on free ports; nothing here waits for a length of time, only for something to be so.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/collector.rs"]
#[allow(dead_code, reason = "the tests of traces use the rest")]
mod collector;
#[path = "../support/examples.rs"]
mod examples;
#[path = "../../../sensors/tests/remote/https.rs"]
#[allow(dead_code, reason = "the tests of sensors use the rest")]
mod https;
#[path = "../support/mod.rs"]
mod support;

mod files;

mod artifacts;
mod backup_contents;
mod backups;
mod broken_environment;
mod broken_packs;
mod by_hand;
mod canaries;
mod cluster_connections;
mod cluster_faults;
mod cluster_programs;
mod cluster_releases;
mod cluster_rights;
mod cluster_secrets;
mod clusters;
mod commits;
mod crash_in_chain;
mod crash_in_program;
mod cut_answers;
mod damage;
mod deadly_chains;
mod deploys;
mod dry_runs;
mod earlier_schemas;
mod foreign_collector;
mod full_disk;
mod git_pushes;
mod guide;
mod hanging_up;
mod idle_connections;
mod kubernetes;
mod not_text;
mod orderly_stop;
mod pages;
mod process_sensors;
mod protected_namespaces;
mod redeploys;
mod retention;
mod rules_on_events;
mod secret_store;
mod secrets_missing;
mod shell_examples;
mod sleepers;
mod state_folder;
mod terminal;
mod timers;
mod undoing;
mod walk_through;
mod webhooks;
