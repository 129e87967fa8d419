//! `make lab` and `cargo xtask lab`: builds the servers that tests talk to, and lets a cluster of them
//! stand for trying things by hand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use lab::{Group, Parts, Standing};

/// Real servers for tests, and for trying things by hand.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask lab", bin_name = "cargo xtask lab")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the servers that are not built yet: the default
    Build,
    /// Let a cluster stand until it is taken down, and print where its kubeconfig lies
    Up {
        #[command(flatten)]
        place: Place,
        /// bare: etcd and the API server; rollouts: with controllers and pods that only look as if
        /// they ran; programs: with pods that run their containers' commands
        #[arg(long, default_value = "rollouts", value_parser = parts())]
        parts: Parts,
        /// Fail where something is not built yet
        #[arg(long)]
        no_build: bool,
    },
    /// Say whether a cluster stands, and where; the exit code is 1 where none does
    Status {
        #[command(flatten)]
        place: Place,
        /// How it is said
        #[arg(long, short, default_value = "text", value_parser = ["text", "json"])]
        output: String,
    },
    /// Take the cluster down; the next one goes on with what it held
    Down {
        #[command(flatten)]
        place: Place,
        /// Delete its folder too
        #[arg(long)]
        delete: bool,
    },
    /// Hold a cluster
    #[command(hide = true)]
    Hold {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_parser = parts())]
        parts: Parts,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The cluster's folder [default: `up` in the lab's cache]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(self) -> Result<PathBuf> {
        self.dir.map_or_else(Standing::folder, Ok)
    }
}

fn parts() -> impl TypedValueParser<Value = Parts> {
    let named = |name: String| Parts::ALL.into_iter().find(|parts| parts.name() == name);
    PossibleValuesParser::new(Parts::ALL.map(Parts::name))
        .try_map(move |name| named(name).ok_or("no such parts"))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command.unwrap_or(Command::Build)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Build => Group::ALL.into_iter().try_for_each(build)?,
        Command::Up { place, parts, no_build } => {
            if !no_build {
                lab::build(parts, |program| eprintln!("building {program}"))?;
            }
            tell(&Standing::up(&place.folder()?, parts).await?);
        }
        Command::Status { place, output } => return status(place, &output),
        Command::Down { place, delete } => down(place, delete).await?,
        Command::Hold { place, parts } => lab::hold(&place.folder()?, parts).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build(group: Group) -> Result<()> {
    let begun = Instant::now();
    let say = |program: &str| println!("building {program} (lab/{})", group.name());
    group.build(say).with_context(|| format!("lab/{}", group.name()))?;
    println!("lab/{}: {} ({:.0?})", group.name(), group.folder()?.display(), begun.elapsed());
    Ok(())
}

fn tell(standing: &Standing) {
    println!("{} at {}", standing.parts.name(), standing.server);
    for (name, process) in &standing.servers {
        let how = if process.lives() { "runs" } else { "is gone" };
        println!("  {name} {how}, pid {}", process.pid);
    }
    println!("export KUBECONFIG={}", standing.kubeconfig.display());
}

fn status(place: Place, output: &str) -> Result<ExitCode> {
    let folder = place.folder()?;
    let found = Standing::find(&folder);
    match (&found, output) {
        (found, "json") => println!("{}", serde_json::to_string_pretty(found)?),
        (Some(standing), _) => tell(standing),
        (None, _) => println!("no cluster stands in {}", folder.display()),
    }
    Ok(if found.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn down(place: Place, delete: bool) -> Result<()> {
    let folder = place.folder()?;
    match Standing::find(&folder) {
        Some(standing) => standing.down().await?,
        None => println!("no cluster stands in {}", folder.display()),
    }
    if delete { Standing::delete(&folder) } else { Ok(()) }
}
