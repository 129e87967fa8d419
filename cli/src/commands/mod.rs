//! The commands: one file each, and here what the command line looks like as a whole.

mod action;
mod audit;
mod backup;
mod check;
mod completion;
mod config;
mod context;
mod doctor;
mod dry_run;
mod event;
mod execution;
mod key;
mod later;
mod noun;
mod pack;
mod pack_docs;
mod pack_new;
mod pack_rbac;
mod pack_test;
mod reference;
mod rerun;
mod resolve;
mod restore;
mod rule;
mod rule_explain;
mod rule_test;
mod run;
mod schema;
mod secret;
mod sensor;
mod serve;
mod step;
mod timer;
mod token;
mod trigger;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::failure::{Exit, Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  tripline check packs/                               what is wrong with these packs?
  tripline serve --packs packs/                       start a server
  tripline run core.echo value=hello                  run an action and wait for it
  tripline event emit shop.ordered --data order.json  hand an event in
  tripline execution list --states failed             what went wrong?
  tripline execution get ex_…                         why, and what to do now?

Exit codes: 0 done, 1 the work failed, 2 wrong use, 3 no match, 4 no server reached,
5 refused, 6 an execution needs attention, 130 interrupted.";

/// Event-driven automation: sensors notice, rules select, durable action chains do the work.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(propagate_version = false, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    Serve(serve::Args),
    /// Find what is wrong with packs, without a server
    Check(check::Args),
    /// Run an action and wait for its result
    Run(run::Args),
    /// Rules: which event makes which action run
    #[command(subcommand)]
    Rule(rule::Command),
    /// Executions: runs of actions, past and present
    #[command(subcommand)]
    Execution(execution::Command),
    /// Events: what happened
    #[command(subcommand)]
    Event(event::Command),
    /// Trigger types: the kinds of events that rules can name
    #[command(subcommand)]
    Trigger(trigger::Command),
    /// Sensors: what watches for events
    #[command(subcommand)]
    Sensor(sensor::Command),
    /// Timers: when they fire next
    #[command(subcommand)]
    Timer(timer::Command),
    /// Actions: what can be run
    #[command(subcommand)]
    Action(action::Command),
    /// Packs: what is loaded, and what is wrong with it
    #[command(subcommand)]
    Pack(pack::Command),
    /// The datastore's keys
    #[command(subcommand)]
    Key(key::Command),
    /// Secrets: named values that only actions and sensors get to see
    #[command(subcommand)]
    Secret(secret::Command),
    /// Tokens: who may use the API, and how much
    #[command(subcommand)]
    Token(token::Command),
    /// The audit: who did what
    #[command(subcommand)]
    Audit(audit::Command),
    /// Contexts: the servers that you work with, by name
    #[command(subcommand)]
    Context(context::Command),
    /// The settings of a server
    #[command(subcommand)]
    Config(config::Command),
    /// Back a running server's state up into a file
    Backup(backup::Args),
    /// Make a state folder of a backup
    Restore(restore::Args),
    /// Examine a state folder, also beside a running server
    Doctor(doctor::Args),
    /// Inside of a container: do what a step's program does
    #[command(subcommand)]
    Step(step::Command),
    /// Print a JSON Schema for editors
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
    /// Print what is generated of the documentation
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Does what the command line says.
pub(crate) fn run(args: Vec<OsString>) -> Outcome {
    match CommandLine::try_parse_from(&args) {
        Ok(line) => line.command.run(),
        Err(error) => misunderstood(&args, &error),
    }
}

/// Help that was asked for, a word of a later version, or wrong use.
fn misunderstood(args: &[OsString], error: &clap::Error) -> Outcome {
    if let Some(word) = later::word(args, error) {
        return Err(Failure::later(&word));
    }
    error.print()?;
    Ok(if error.use_stderr() { Exit::Usage } else { Exit::Done })
}

impl Command {
    fn run(self) -> Outcome {
        match self {
            Self::Serve(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Run(args) => ask(args.run()),
            Self::Rule(command) => command.run(),
            Self::Execution(command) => ask(command.run()),
            Self::Event(command) => ask(command.run()),
            Self::Trigger(command) => ask(command.run()),
            Self::Sensor(command) => ask(command.run()),
            Self::Timer(command) => ask(command.run()),
            Self::Action(command) => ask(command.run()),
            Self::Pack(command) => command.run(),
            Self::Key(command) => ask(command.run()),
            Self::Secret(command) => ask(command.run()),
            Self::Token(command) => ask(command.run()),
            Self::Audit(command) => ask(command.run()),
            Self::Context(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Backup(args) => ask(args.run()),
            Self::Restore(args) => ask(args.run()),
            Self::Doctor(args) => ask(args.run()),
            Self::Step(command) => ask(command.run()),
            Self::Schema(args) => args.run(),
            Self::Completion(args) => args.run(),
            Self::Reference(args) => args.run(),
        }
    }
}

/// Runs a command that talks to a server.
fn ask(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Failed, "system", error.to_string()))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_two_flags_of_a_command_have_one_name() {
        CommandLine::command().debug_assert();
    }
}
