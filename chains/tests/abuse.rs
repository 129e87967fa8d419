//! Programs that mean harm: each ends within its bounds, and the process lives on.
//!
//! A stack overflow aborts the whole process, so each program runs in a child of this one: the test
//! binary itself, told by a variable which program to run. The first line of a program says what
//! its end must show: `compile` for one that is refused, `waits` for one that suspends.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use chains::testing::Trial;
use chains::{EVALUATOR_STACK_BYTES, Program, Source};

const PROGRAM: &str = "TRIPLINE_ABUSE_PROGRAM";
/// Unoptimised rhai is about 20 times slower than what ships.
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn one_program() {
    let Ok(path) = std::env::var(PROGRAM) else { return };
    let text = fs::read_to_string(path).unwrap();
    let thread = thread::Builder::new().stack_size(EVALUATOR_STACK_BYTES);
    let end = thread.spawn(move || end_of(&text)).unwrap().join().unwrap();
    println!("end: {end}");
}

fn end_of(text: &str) -> String {
    let source = Source { file: "a.rhai".to_owned(), text: text.to_owned(), libs: [].into() };
    if let Err(wrong) = Program::compile(source) {
        return format!("compile: {}", wrong[0].message);
    }
    let mut trial = Trial::of(text).params(serde_json::json!([1, 2, 3]));
    let shown = trial.advance().shown();
    if trial.waiting().is_empty() { shown } else { format!("waits\n{shown}") }
}

#[test]
fn every_program_ends_within_its_bounds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abuse");
    let mut programs: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    assert!(programs.len() >= 40);
    if let Ok(only) = std::env::var("ONLY") {
        programs.retain(|path| path.to_string_lossy().contains(&only));
    }
    let wrong: Vec<String> = programs.iter().filter_map(|path| wrong_with(path)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong with how a program ended.
fn wrong_with(path: &Path) -> Option<String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let expected = text.lines().next().unwrap().trim_start_matches("// expect:").trim().to_owned();
    let began = Instant::now();
    let (status, output) = run(path);
    let took = began.elapsed();
    let end = output.split("end: ").nth(1).unwrap_or("nothing").lines().next().unwrap_or_default();
    if std::env::var("SHOW").is_ok() {
        let end: String = end.chars().take(150).collect();
        eprintln!("{name}: {took:?} {end}");
    }
    match status {
        None => Some(format!("{name}: still running after {took:?}")),
        Some(false) => Some(format!("{name}: the process ended: {output}")),
        Some(true) if output.contains("panicked") => Some(format!("{name}: {output}")),
        Some(true) if !output.contains(&expected) => {
            Some(format!("{name}: expected `{expected}`, ended with {end}"))
        }
        Some(true) => None,
    }
}

/// Whether the process ended well, where it ended in time, and what it printed.
fn run(path: &Path) -> (Option<bool>, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_program", "--nocapture"])
        .env(PROGRAM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, printed) = channel();
    listen(child.stdout.take().unwrap(), send.clone());
    listen(child.stderr.take().unwrap(), send);
    let deadline = Instant::now() + LONGEST;
    let mut text = String::new();
    // Both pipes end with the process.
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(part) = printed.recv_timeout(left) else {
            child.kill().unwrap();
            child.wait().unwrap();
            return (None, text);
        };
        text += &part;
    }
    (Some(child.wait().unwrap().success()), text)
}

fn listen(mut pipe: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        // Nobody listens any more where the process took too long.
        let _ = to.send(String::from_utf8_lossy(&bytes).into_owned());
    });
}
