//! Tests of packs: `tests/*.yaml`, run without a server, without a network, without waiting.
//!
//! A test names an event (or an action), what the actions it leads to answer, and what is expected
//! of rules, steps and outcome. It runs on the engine's own intake and driver, with a store in
//! memory and a clock that skips: what a retry, a handler or a timeout does here it does in
//! production.

mod case;
mod compare;
mod cover;
mod diff;
mod expects;
mod file;
mod found;
mod matching;
mod mocks;
mod recorded;
mod stage;
mod templates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use actions::BuiltinContext;
use host::process::Launcher;
use model::{Diagnostic, Exported, Location, Timestamp};

use crate::evaluators::Evaluators;
use crate::metrics::Metrics;
use crate::packs::{Generation, Library, Pack, offline};
use crate::render;

pub use case::Case;
pub use compare::Misfit;
pub use cover::{Coverage, FileCoverage};

/// The tests of one pack.
pub struct Suite {
    /// The pack's name; empty where its files cannot be read.
    pub pack: String,
    /// The pack's folder as the user knows it.
    pub shown: String,
    /// What keeps the pack or a test file from being used.
    pub findings: Vec<Diagnostic>,
    /// Its tests, in the order of their files.
    pub cases: Vec<Case>,
    stage: Option<stage::Stage>,
}

/// Where programs run that tests don't mock.
pub struct Real {
    /// Starts them.
    pub launcher: Launcher,
    /// A folder for what they leave; the caller's to remove.
    pub folder: PathBuf,
}

/// How one test went.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What differs from what is expected: nothing if it passed.
    pub misfits: Vec<Misfit>,
}

impl Suite {
    /// Reads the pack in `folder` and its tests. It may use the packs in `others`, whose rules and
    /// tests don't count.
    pub fn load(folder: &Path, others: &[PathBuf]) -> Self {
        Self::load_running(folder, others, None)
    }

    /// The same; tests that say so run programs, as these do.
    pub fn load_running(folder: &Path, others: &[PathBuf], programs: Option<&Real>) -> Self {
        let shown = folder.display().to_string();
        let context = match programs {
            Some(Real { launcher, folder }) => offline::context_of(folder, launcher.clone()),
            None => offline::context(),
        };
        let (packs, findings) = offline::load_with(folder, others, &context);
        let errors: Vec<Diagnostic> = findings.into_iter().filter(Diagnostic::is_error).collect();
        let Some(pack) = packs.first().cloned().filter(|_| errors.is_empty()) else {
            let suite = Self {
                pack: String::new(),
                shown,
                findings: errors,
                cases: Vec::new(),
                stage: None,
            };
            return suite;
        };
        let builtin = render::builtin(&BuiltinContext::default(), render::On::Here);
        let library = Library::new(builtin.clone(), context.clone());
        let by_name = packs.iter().map(|pack| (pack.name.clone(), pack.clone())).collect();
        let generation = Generation::idle(by_name);
        let (cases, findings) = read(folder, &pack, &library, &generation);
        let name = pack.name.clone();
        let (programs, packs) = (programs.map(|real| real.folder.clone()), lean(packs));
        let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
        let stage = stage::Stage { pack: name.clone(), packs, builtin, context, programs, metrics };
        Self { pack: name.to_string(), shown, findings, cases, stage: Some(stage) }
    }

    /// The pack in `folder` with exported executions as its tests: given the same answers, they
    /// must go the same today.
    pub fn recorded(folder: &Path, others: &[PathBuf], files: &[PathBuf]) -> Self {
        let mut suite = Self::load(folder, others);
        suite.cases.clear();
        suite.findings.retain(|finding| !finding.at.file.contains("/tests/"));
        for file in files {
            let shown = file.display().to_string();
            let read = std::fs::read(file).map_err(|error| error.to_string());
            match read.and_then(|bytes| Exported::read(&bytes).map_err(|e| e.to_string())) {
                Ok(exported) => suite.cases.push(Case::recorded(&shown, exported)),
                Err(error) => {
                    suite.findings.push(Diagnostic::error(Location::file(shown), error));
                }
            }
        }
        suite
    }

    /// Runs the tests that `wanted` picks and tells each as it ends. Answers what they covered.
    pub fn run(
        &self,
        coverage: bool,
        wanted: impl Fn(&Case) -> bool + Sync,
        mut tell: impl FnMut(&Case, Verdict) + Send,
    ) -> Result<Option<Coverage>, std::io::Error> {
        let Some(stage) = &self.stage else { return Ok(None) };
        let played = || {
            Evaluators::with_own(|bench| {
                if coverage {
                    bench.chains = chains::Evaluator::covering();
                }
            });
            let mut matched = cover::Matched::default();
            for case in self.cases.iter().filter(|case| wanted(case)) {
                let misfits = outcome(stage, case, &mut matched);
                tell(case, Verdict { misfits });
            }
            let covered = Evaluators::with_own(|bench| bench.chains.covered());
            coverage.then(|| cover::of(stage, &matched, &covered))
        };
        // Chains need an evaluator's stack.
        thread::scope(|scope| {
            let builder = thread::Builder::new().name("pack-test".to_owned());
            let runner =
                builder.stack_size(chains::EVALUATOR_STACK_BYTES).spawn_scoped(scope, played)?;
            runner.join().map_err(|_| std::io::Error::other("the tests ended unexpectedly"))
        })
    }
}

/// What differs in one test.
fn outcome(stage: &stage::Stage, case: &Case, matched: &mut cover::Matched) -> Vec<Misfit> {
    if let case::Start::Recorded(exported) = &case.start {
        return recorded::judge(stage, exported, &case.at);
    }
    if stage.programs.is_none() && case.runs_programs() {
        let told = "it runs programs on this machine: that takes `--run-programs`";
        return vec![Misfit::new(&case.at, told)];
    }
    match stage.play(case) {
        Ok(found) => {
            matched.note(&found);
            compare::judge(case, &found)
        }
        Err(error) => vec![Misfit::new(&case.at, error.to_string())],
    }
}

impl Verdict {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.misfits.is_empty()
    }
}

/// The packs without what only a check needs.
fn lean(packs: Vec<Arc<Pack>>) -> Vec<Arc<Pack>> {
    let lean =
        packs.into_iter().map(|pack| Arc::new(Pack { texts: BTreeMap::new(), ..(*pack).clone() }));
    lean.collect()
}

/// The tests of the pack's files, and what is wrong with these.
fn read(
    folder: &Path,
    pack: &Pack,
    library: &Library,
    generation: &Generation,
) -> (Vec<Case>, Vec<Diagnostic>) {
    let shown = folder.display().to_string();
    let files = match offline::files(folder, "tests/") {
        Ok(files) => files,
        Err(findings) => return (Vec::new(), findings),
    };
    let context = file::Context::new(pack, library, generation, &files, &shown);
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for (path, bytes) in files.iter().filter(|(path, _)| is_test(path)) {
        let name = format!("{shown}/{path}");
        let read = syntax::text(&name, bytes).and_then(|text| file::parse(&name, text, &context));
        match read {
            Ok(read) => cases.extend(read),
            Err(wrong) => findings.extend(wrong),
        }
    }
    (cases, findings)
}

/// A file directly in `tests`; data lies in folders below, or is JSON.
fn is_test(path: &str) -> bool {
    let Some(name) = path.strip_prefix("tests/") else { return false };
    !name.contains('/') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}
