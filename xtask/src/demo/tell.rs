//! The demo's voice: short sentences, colour only on a terminal; and its patience.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::PATIENCE;

/// Tells a person what happens.
pub(super) struct Teller {
    colour: bool,
    terminal: bool,
    start: Instant,
}

impl Teller {
    pub(super) fn new() -> Self {
        let terminal = stdout().is_terminal() && stdin().is_terminal();
        let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, terminal, start: Instant::now() }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(super) fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Something the demo did.
    pub(super) fn did(&self, text: &str) {
        self.line("·", "36", text);
    }

    /// Something that was checked.
    pub(super) fn saw(&self, text: &str) {
        self.line("✓", "32", text);
    }

    pub(super) fn note(&self, text: &str) {
        println!("  {}", self.paint("2", text));
    }

    pub(super) fn failed(&self, text: &str) {
        self.line("✗", "31", text);
    }

    pub(super) fn done(&self, text: &str) {
        let seconds = self.start.elapsed().as_secs();
        println!("\n{} ({seconds} s)", self.paint("1;32", text));
    }

    /// A command and what it printed.
    pub(super) fn shell(&self, command: &str, output: &str) {
        println!("{}", self.paint("2", &format!("  $ {command}")));
        for line in output.lines() {
            println!("  {line}");
        }
    }

    pub(super) fn ask(&self, question: &str) -> bool {
        print!("\n{} [y/N] ", self.paint("1", question));
        stdout().flush().ok();
        let mut answer = String::new();
        stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
    }

    fn line(&self, mark: &str, colour: &str, text: &str) {
        println!("  {} {text}", self.paint(colour, mark));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Looks until it holds, or patience ends; the last error is the one told.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = holds();
        match held {
            Ok(true) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.context(what.to_owned())),
            Ok(false) if Instant::now() > deadline => {
                bail!("{what}: did not happen within {} s", PATIENCE.as_secs())
            }
            Ok(false) | Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}
