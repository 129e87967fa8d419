//! `cargo xtask test`: cargo's own test run, shown as it is, and one line that sums it up.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use crate::repo;

/// What a test says that is ignored because it needs real servers.
const NEEDS_THE_LAB: &str = "needs the lab";

/// When `make` began, in seconds since 1970: what it does before the tests takes its time too.
const BEGUN: &str = "MAKE_BEGUN";
/// What takes longer is run too seldom.
const LONG: Duration = Duration::from_secs(30 * 60);

/// Runs every test of the workspace, the rest of the run too when one binary failed; then those that
/// need the lab, and, where it is installed, puts the API to the test by a client that is not ours.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let begun = Instant::now();
    let all = ["--workspace", "--no-fail-fast"];
    let mut sum = cargo_test(&all, arguments)?;
    let lab = std::mem::take(&mut sum.need_the_lab);
    if std::env::var("LAB").is_ok_and(|lab| lab == "0") || !arguments.is_empty() {
        tell_what_is_left_out(&lab);
    } else {
        sum = sum.and(lab_test(&all, &lab)?);
    }
    if std::env::var_os("SCHEMATHESIS").is_some() && arguments.is_empty() {
        let api = ["--package", "tripline-cli", "--test", "api_fuzz"];
        sum = sum.and(cargo_test(&api, &["--".to_owned(), "--ignored".to_owned()])?);
    }
    let took = since_make_began().unwrap_or_else(|| begun.elapsed());
    println!("{}\n{} passed, {} failed", told(took), sum.passed, sum.failed);
    Ok(if sum.ended && sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn since_make_began() -> Option<Duration> {
    let begun = Duration::from_secs(std::env::var(BEGUN).ok()?.parse().ok()?);
    SystemTime::UNIX_EPOCH.elapsed().ok()?.checked_sub(begun)
}

/// How long all of it took.
fn told(took: Duration) -> String {
    let (minutes, seconds) = (took.as_secs() / 60, took.as_secs() % 60);
    let told = format!("took {minutes} min {seconds} s");
    match took > LONG {
        true => format!(
            "warning: {told}, more than {} minutes: look for what is slow (`finished in` above), or for what else the machine does",
            LONG.as_secs() / 60
        ),
        false => told,
    }
}

fn tell_what_is_left_out(tests: &[String]) {
    if !tests.is_empty() {
        println!("\nleft out, for they need the lab (`make lab`):\n  {}", tests.join("\n  "));
    }
}

/// Runs the tests of these names, each of which must be there.
fn lab_test(which: &[&str], names: &[String]) -> Result<Counts> {
    if names.is_empty() {
        return Ok(Counts { ended: true, ..Counts::default() });
    }
    let only = ["--tests", "--", "--ignored", "--exact"].map(ToOwned::to_owned);
    let counts = cargo_test(which, &[only.as_slice(), names].concat())?;
    let ran = counts.passed + counts.failed;
    if ran < names.len() as u64 {
        eprintln!("error: {} tests need the lab, and only {ran} were run", names.len());
    }
    Ok(Counts { ended: counts.ended && ran >= names.len() as u64, ..counts })
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
    /// The names of those that were ignored because they need the lab.
    need_the_lab: Vec<String>,
    /// Whether every binary was built and came to its end.
    ended: bool,
}

impl Counts {
    fn and(self, more: Self) -> Self {
        Self {
            passed: self.passed + more.passed,
            failed: self.failed + more.failed,
            need_the_lab: [self.need_the_lab, more.need_the_lab].concat(),
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
        let text = String::from_utf8_lossy(&line);
        if let Some((passed, failed)) = result(&text) {
            sum.passed += passed;
            sum.failed += failed;
        }
        sum.need_the_lab.extend(needs_the_lab(&text));
        line.clear();
    }
    Ok(sum)
}

/// Reads `test result: ok. 3 passed; 0 failed; …`; the verdict may be coloured.
fn result(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        let part = counts.split("; ").find_map(|part| part.trim().strip_suffix(name))?;
        part.trim().parse().ok()
    };
    Some((count("passed")?, count("failed")?))
}

/// Reads `test NAME ... ignored, needs the lab`; the verdict may be coloured.
fn needs_the_lab(line: &str) -> Option<String> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    verdict.contains(NEEDS_THE_LAB).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_binaries_are_added_and_every_line_is_shown() {
        let output = "\
running 3 tests
test a ... ok
test b::c ... ignored, needs the lab
test d ... ignored, needs much time
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: \u{1b}[31mFAILED\u{1b}[m. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out

test result: a test that prints this is not a result
";
        let mut shown = Vec::new();
        let counts = echo(output.as_bytes(), &mut shown).unwrap();
        let need_the_lab = vec!["b::c".to_owned()];
        assert_eq!(counts, Counts { passed: 4, failed: 2, need_the_lab, ended: false });
        assert_eq!(String::from_utf8(shown).unwrap(), output);
    }

    #[test]
    fn how_long_it_took_is_told_and_warned_of_beyond_half_an_hour() {
        assert_eq!(told(Duration::from_secs(1_445)), "took 24 min 5 s");
        assert_eq!(told(LONG), "took 30 min 0 s");
        let late = told(LONG + Duration::from_secs(1));
        assert!(late.starts_with("warning: took 30 min 1 s, more than 30 minutes: "), "{late}");
    }

    #[test]
    fn output_that_is_not_utf8_passes_through() {
        let mut shown = Vec::new();
        echo(b"\xff\xfe\n".as_slice(), &mut shown).unwrap();
        assert_eq!(shown, b"\xff\xfe\n");
    }
}
