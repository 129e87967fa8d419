//! The repository's own chores, run as `cargo xtask <chore>`.
//!
//! A chore is one module with a `run`; `tidy` is the house's taste as a test. This crate owns no
//! part of the product and is never a dependency of it.

mod demo;
mod docs;
mod lab;
mod repo;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <chore>

Chores:
  tidy          check what the compiler doesn't: layering, purity, links, promises, licences
  docs          write what is generated of the documentation
  demo          show the main job on real input, over a kill -9, and check every claim; in a cluster
                too where the lab is built, or KUBECONFIG or `--kubeconfig FILE` names one
  lab …         a Kubernetes cluster for trying things by hand: up, status, down
  test [ARG…]   run `cargo test --workspace` and sum up all test binaries in a last line
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("", [].as_slice()),
    };
    let done = match chore {
        "docs" => docs::run(),
        "demo" => demo::run(rest),
        "demo-app" => demo::run_app(rest),
        "lab" => lab::run(rest),
        "tidy" => tidy::run(),
        "test" => test::run(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
