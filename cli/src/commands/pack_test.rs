//! `tripline pack test`: a pack's tests, run without a server and without a network.

mod coverage;
mod junit;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::packs::offline;
use engine::packtest::{Case, Coverage, Real, Suite, Verdict};
use host::process::Launcher;
use tempfile::TempDir;

use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Format, Output};

const EXAMPLES: &str = "\
Examples:
  tripline pack test packs/web                        all tests of a pack
  tripline pack test packs/                           of every pack in a folder
  tripline pack test packs/web/tests/release.yaml     of one file
  tripline pack test packs/web --filter rollback      those whose name says so
  tripline pack test packs/web --coverage             what the tests do not reach
  tripline pack test packs/ --junit report.xml        for a build server
  tripline execution export ex_… >run.json            what a server did …
  tripline pack test packs/web --from-execution run.json    … goes the same today

Tests run the pack's rules and chains as a server does, with mocks for actions and a clock that
skips. Exit codes: 0 all passed, 1 a test failed or a file has errors, 2 wrong use.";

/// Which tests, and what to tell of them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(crate) struct Args {
    /// A pack's folder, one whose sub-folders are packs, or a file of tests
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// More packs whose actions the tested ones use; their own tests are not run
    #[arg(long, value_name = "DIR")]
    packs: Vec<PathBuf>,
    /// Test that an exported execution goes the same today, given the same answers; the pack's own
    /// tests are not run
    #[arg(long, value_name = "FILE")]
    from_execution: Vec<PathBuf>,
    /// Run programs in tests that say so (`real: true`), on this machine and as you
    #[arg(long)]
    run_programs: bool,
    /// Only tests whose name or file holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Stop at the first test that fails
    #[arg(long)]
    fail_fast: bool,
    /// List the tests, run none
    #[arg(long, conflicts_with_all = ["coverage", "junit", "lcov"])]
    list: bool,
    /// Tell which rules never matched and which lines of chains never ran
    #[arg(long)]
    coverage: bool,
    /// Fail if less than this is reached, in percent; implies --coverage
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min_coverage: Option<f64>,
    /// Write the lines that ran as an lcov file; implies --coverage
    #[arg(long, value_name = "FILE", value_parser = file)]
    lcov: Option<PathBuf>,
    /// Write a report in JUnit's form
    #[arg(long, value_name = "FILE", value_parser = file)]
    junit: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let within = percent.filter(|percent| (0.0..=100.0).contains(percent));
    within.ok_or_else(|| format!("`{text}` is no number from 0 to 100"))
}

/// A file to write. The report itself goes to standard output.
fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "-" => Err("standard output has the report already: name a file".to_owned()),
        name => Ok(name.into()),
    }
}

/// A suite and how its tests went.
struct Ran<'a> {
    suite: &'a Suite,
    tests: Vec<(&'a Case, Verdict, Duration)>,
    coverage: Option<Coverage>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let (folders, files) = self.chosen()?;
        let others = [folders.as_slice(), &self.packs].concat();
        let scratch = self.run_programs.then(tempfile::tempdir).transpose().map_err(system)?;
        let programs = scratch.as_ref().map(real).transpose().map_err(system)?;
        let load = |folder: &PathBuf| Suite::load_running(folder, &others, programs.as_ref());
        let suites: Vec<Suite> = match (self.from_execution.as_slice(), folders.as_slice()) {
            ([], folders) => folders.iter().map(load).collect(),
            (recordings, [folder]) => vec![Suite::recorded(folder, &others, recordings)],
            (_, several) => {
                let message = format!("{} packs: which of them ran it?", several.len());
                return Err(Failure::usage(message).with_hint("name the pack's own folder"));
            }
        };
        let wanted = |case: &Case| self.wants(case, &files);
        let found = suites.iter().any(|suite| !suite.findings.is_empty());
        if !found && !suites.iter().flat_map(|suite| &suite.cases).any(wanted) {
            return Err(self.nothing(&suites));
        }
        if self.list {
            return report::list(self.output.format, &suites, wanted);
        }
        let began = Instant::now();
        let mut ran = Vec::new();
        for suite in &suites {
            ran.push(self.play(suite, &files)?);
        }
        self.tell(&ran, began.elapsed())
    }

    /// The packs' folders, and the files of tests that were named.
    fn chosen(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for path in &self.paths {
            let known = std::fs::metadata(path).map_err(|e| Failure::file(path.display(), &e))?;
            if known.is_dir() {
                let packs = offline::folders(std::slice::from_ref(path));
                if packs.is_empty() {
                    let message = format!("there is no pack in {}", path.display());
                    let hint = "a pack is a folder with a pack.yaml; `tripline pack new` makes one";
                    return Err(Failure::usage(message).with_hint(hint));
                }
                folders.extend(packs);
            } else {
                folders.push(pack_of(path)?);
                files.push(path.clone());
            }
        }
        folders.sort();
        folders.dedup();
        Ok((folders, files))
    }

    fn wants(&self, case: &Case, files: &[PathBuf]) -> bool {
        let file = Path::new(&case.at.file);
        let named = |text: &String| case.name.contains(text) || case.at.file.contains(text);
        (files.is_empty() || files.iter().any(|wanted| wanted == file))
            && self.filter.as_ref().is_none_or(named)
    }

    fn nothing(&self, suites: &[Suite]) -> Failure {
        let all: usize = suites.iter().map(|suite| suite.cases.len()).sum();
        match (&self.filter, all) {
            (_, 0) => Failure::usage("there are no tests here").with_hint(
                "write some in the pack's folder `tests`; see docs/guide/testing-packs.md",
            ),
            (Some(filter), all) => {
                let message = format!("none of {all} tests has `{filter}` in its name or file");
                Failure::usage(message).with_hint("`--list` shows their names")
            }
            (None, _) => Failure::usage("there are no tests in that file"),
        }
    }

    fn play<'a>(&self, suite: &'a Suite, files: &[PathBuf]) -> Result<Ran<'a>, Failure> {
        let coverage = self.coverage || self.min_coverage.is_some() || self.lcov.is_some();
        let stopped = AtomicBool::new(false);
        let told = self.output.format == Format::Table;
        let mut tests: Vec<(&Case, Verdict, Duration)> = Vec::new();
        let mut since = Instant::now();
        let cases: Vec<&Case> = suite.cases.iter().collect();
        let wanted = |case: &Case| !stopped.load(Ordering::Relaxed) && self.wants(case, files);
        let result = suite.run(coverage, wanted, |case, verdict| {
            let took = since.elapsed();
            since = Instant::now();
            if self.fail_fast && !verdict.passed() {
                stopped.store(true, Ordering::Relaxed);
            }
            let same = |other: &&&Case| std::ptr::eq(**other, case);
            if let Some(case) = cases.iter().find(same) {
                tests.push((case, verdict, took));
            }
        });
        let coverage = result.map_err(system)?;
        let ran = Ran { suite, tests, coverage };
        if told {
            report::suite(&ran)?;
        }
        Ok(ran)
    }

    /// Says what there is to say once all tests have ended.
    fn tell(&self, ran: &[Ran<'_>], took: Duration) -> Outcome {
        if let Some(file) = &self.junit {
            write(file, &junit::document(ran))?;
        }
        if let Some(file) = &self.lcov {
            write(file, &coverage::lcov(ran))?;
        }
        let least = self.min_coverage.map(|least| (least, coverage::percent(ran)));
        let short = least.filter(|(least, reached)| reached < least);
        match self.output.format {
            Format::Table => {
                coverage::tell(ran)?;
                report::summary(ran, took)?;
                if let Some((least, reached)) = short {
                    let message = format!("{reached:.1} % is reached, less than {least} %");
                    output::say(&output::coloured(output::Colour::Red, &message))?;
                }
            }
            format => output::value(format, &report::value(ran, took))?,
        }
        let failed = ran.iter().any(Ran::failed) || short.is_some();
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

impl Ran<'_> {
    fn failed(&self) -> bool {
        !self.suite.findings.is_empty()
            || self.tests.iter().any(|(_, verdict, _)| !verdict.passed())
    }
}

/// What it takes to run programs.
fn real(scratch: &TempDir) -> io::Result<Real> {
    Ok(Real { launcher: Launcher::own()?, folder: scratch.path().to_owned() })
}

fn system(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, "system", error.to_string())
}

/// The pack that a file of tests belongs to.
fn pack_of(file: &Path) -> Result<PathBuf, Failure> {
    let tests = file.parent().filter(|folder| folder.ends_with("tests"));
    let pack = tests.and_then(Path::parent).map(|pack| match pack.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => pack.to_owned(),
    });
    pack.filter(|pack| pack.join("pack.yaml").exists()).ok_or_else(|| {
        let message = format!("{} is no file of a pack's tests", file.display());
        Failure::usage(message).with_hint("these lie in the folder `tests` of a pack")
    })
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::file(file.display(), &error))
}
