//! The binary `tripline`: a server and the commands that talk to it.
//!
//! One command is one file in `commands/`. What they share: [`client`] finds and asks the server,
//! [`output`] prints, [`input`] reads what users hand in, [`follow`] watches an execution, and
//! [`failure`] alone turns errors into words and exit codes.

mod client;
mod commands;
mod config;
mod contexts;
mod execution;
mod failure;
mod follow;
mod input;
mod listing;
mod output;
mod timeline;
mod visible;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Before anything else: this process is about to become another program.
    if args.get(1).is_some_and(|word| word == "exec-child") {
        return host::exec_child::main(args.into_iter().skip(2));
    }
    match commands::run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell().into(),
    }
}
