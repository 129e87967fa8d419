//! `make lab`: builds the servers that tests talk to, as far as they are not built yet.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use lab::Group;

fn main() -> ExitCode {
    match Group::ALL.into_iter().try_for_each(build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(group: Group) -> Result<()> {
    let begun = Instant::now();
    let say = |program: &str| println!("building {program} (lab/{})", group.name());
    group.build(say).with_context(|| format!("lab/{}", group.name()))?;
    println!("lab/{}: {} ({:.0?})", group.name(), group.folder()?.display(), begun.elapsed());
    Ok(())
}
