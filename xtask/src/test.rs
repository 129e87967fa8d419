//! `cargo xtask test`: cargo's own test run, shown as it is, and one line that sums it up.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::repo;

/// Runs every test of the workspace, the rest of the run too when one binary failed; then, where it
/// is installed, puts the API to the test by a client that is not ours.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let all = ["--workspace", "--no-fail-fast"];
    let mut sum = cargo_test(&all, arguments)?;
    if std::env::var_os("SCHEMATHESIS").is_some() && arguments.is_empty() {
        let api = ["--package", "tripline-cli", "--test", "api_fuzz"];
        sum = sum.and(cargo_test(&api, &["--".to_owned(), "--ignored".to_owned()])?);
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.ended && sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(which: &[&str], arguments: &[String]) -> Result<Counts> {
    let mut command = Command::new(repo::cargo());
    command.args(["test", "--locked"]).args(which).args(arguments);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `cargo test`")?;
    let output = child.stdout.take().context("`cargo test` has no output")?;
    let counts = echo(BufReader::new(output), std::io::stdout().lock())?;
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        eprintln!("error: a test binary did not build or did not come to its end ({status})");
    }
    Ok(Counts { ended: status.success(), ..counts })
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    /// Whether every binary was built and came to its end.
    ended: bool,
}

impl Counts {
    fn and(self, more: Self) -> Self {
        Self {
            passed: self.passed + more.passed,
            failed: self.failed + more.failed,
            ended: self.ended && more.ended,
        }
    }
}

/// Copies every line as it comes and adds up those that tell a test binary's result.
fn echo(mut from: impl BufRead, mut to: impl Write) -> Result<Counts> {
    let mut sum = Counts::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        if let Some(counts) = result(&String::from_utf8_lossy(&line)) {
            sum.passed += counts.passed;
            sum.failed += counts.failed;
        }
        line.clear();
    }
    Ok(sum)
}

/// Reads `test result: ok. 3 passed; 0 failed; …`; the verdict may be coloured.
fn result(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        let part = counts.split("; ").find_map(|part| part.trim().strip_suffix(name))?;
        part.trim().parse().ok()
    };
    Some(Counts { passed: count("passed")?, failed: count("failed")?, ended: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_binaries_are_added_and_every_line_is_shown() {
        let output = "\
running 3 tests
test a ... ok
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: \u{1b}[31mFAILED\u{1b}[m. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out

test result: a test that prints this is not a result
";
        let mut shown = Vec::new();
        let counts = echo(output.as_bytes(), &mut shown).unwrap();
        assert_eq!(counts, Counts { passed: 4, failed: 2, ended: false });
        assert_eq!(String::from_utf8(shown).unwrap(), output);
    }

    #[test]
    fn output_that_is_not_utf8_passes_through() {
        let mut shown = Vec::new();
        echo(b"\xff\xfe\n".as_slice(), &mut shown).unwrap();
        assert_eq!(shown, b"\xff\xfe\n");
    }
}
