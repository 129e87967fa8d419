//! The trampoline that every child program starts through.
//!
//! A program must not begin before it is known which process to end should the engine die. So the
//! engine starts its own binary first, records that process, and only then tells it to become the
//! program:
//!
//! ```text
//! engine                                   trampoline (its own process group)
//!   ├─ spawn ────────────────────────────────▶ reads one line of stdin, byte by byte
//!   ├─ records pid and start time                  │
//!   ├─ "go <nonce>\n" ───────────────────────▶ ────┤
//!   │  ◀────────────────────── "<nonce>\n" on stdout: from here on it may have effects
//!   │                                              ├─ sets limits, becomes the program
//!   ├─ the rest of stdin ────────────────────▶ the program reads it
//!   │  ◀────── or "<nonce> <errno>\n" and exit 127: there was nothing to become
//! ```
//!
//! The nonce is not in the arguments or the environment, so no program can claim that it never
//! began. An engine that dies before the go closes the pipe, and the trampoline ends.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, mode_t, umask};

/// Exit code of a trampoline that could not become its program.
pub(crate) const NOT_STARTED: u8 = 127;
/// Longest go line: a nonce has 32 characters.
const MAX_GO: usize = 128;

/// How often a program whose file is open for writing is tried again: for a second in all.
const BUSY_TRIES: u32 = 50;

/// Bounds that the kernel keeps for a child program. Core dumps are always off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most bytes of address space.
    pub memory: Option<u64>,
    /// Most seconds of processor time.
    pub cpu: Option<u64>,
    /// Most open files.
    pub files: Option<u64>,
}

/// What is set before the trampoline becomes its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Setting {
    limits: Limits,
    /// The mask of its new files' modes.
    umask: Option<u64>,
}

impl Setting {
    fn apply(self) -> nix::Result<()> {
        if let Some(mask) = self.umask.and_then(|mask| mode_t::try_from(mask).ok()) {
            umask(Mode::from_bits_truncate(mask));
        }
        self.limits.apply()
    }
}

impl Limits {
    /// As arguments of the trampoline, with the mask that programs get.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        let named = [
            ("--memory", self.memory),
            ("--cpu", self.cpu),
            ("--files", self.files),
            ("--umask", crate::file::given_mask()),
        ];
        let given = named.into_iter().filter_map(|(name, bound)| Some((name, bound?)));
        given.flat_map(|(name, bound)| [name.into(), bound.to_string().into()]).collect()
    }

    fn apply(self) -> nix::Result<()> {
        let named = [
            (Resource::RLIMIT_CORE, Some(0)),
            (Resource::RLIMIT_AS, self.memory),
            (Resource::RLIMIT_CPU, self.cpu),
            (Resource::RLIMIT_NOFILE, self.files),
        ];
        let given = named.into_iter().filter_map(|(resource, bound)| Some((resource, bound?)));
        given.into_iter().try_for_each(|(resource, bound)| setrlimit(resource, bound, bound))
    }
}

/// Why the trampoline did not become the program.
enum Failure {
    /// Somebody started it by hand, wrongly.
    Usage(String),
    /// The engine died before it said go.
    NoGo,
    /// The kernel refused.
    Refused { nonce: String, error: io::Error },
}

/// Waits for the go on stdin, then becomes the program that `args` name:
/// `[--memory BYTES] [--cpu SECONDS] [--files N] [--umask MASK] -- PROGRAM [ARGUMENT]…`.
///
/// It returns only if that failed.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Err(failure) = become_program(args.into_iter());
    match failure {
        Failure::Usage(message) => {
            eprintln!("exec-child: {message}");
            ExitCode::from(2)
        }
        Failure::NoGo => ExitCode::from(3),
        Failure::Refused { nonce, error } => {
            // The engine is told in its own words; if it is gone, nobody is left to tell.
            let _ = say(&format!("{nonce} {}\n", error.raw_os_error().unwrap_or_default()));
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn become_program(args: impl Iterator<Item = OsString>) -> Result<Infallible, Failure> {
    let (setting, mut program) = parse(args)?;
    let nonce = read_go().ok_or(Failure::NoGo)?;
    say(&format!("{nonce}\n")).map_err(|_| Failure::NoGo)?;
    let error = match setting.apply() {
        Ok(()) => exec(&mut program),
        Err(errno) => errno.into(),
    };
    Err(Failure::Refused { nonce, error })
}

/// Becomes the program. A file that is "busy" is tried again: whoever forks while the file is
/// being written holds it open until its own exec, for a moment.
#[expect(clippy::disallowed_methods, reason = "nothing else happens in this process")]
fn exec(program: &mut Command) -> io::Error {
    let mut error = program.exec();
    for _ in 0..BUSY_TRIES {
        if error.kind() != io::ErrorKind::ExecutableFileBusy {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        error = program.exec();
    }
    error
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<(Setting, Command), Failure> {
    let usage = |message: &str| Failure::Usage(message.to_owned());
    let mut setting = Setting::default();
    let limits = &mut setting.limits;
    loop {
        let name = args.next().ok_or_else(|| usage("expected `-- PROGRAM`"))?;
        let bound = match name.to_str() {
            Some("--") => break,
            Some("--memory") => &mut limits.memory,
            Some("--cpu") => &mut limits.cpu,
            Some("--files") => &mut limits.files,
            Some("--umask") => &mut setting.umask,
            _ => return Err(usage("unknown option: this command is for the engine's own use")),
        };
        let number = args.next().and_then(|text| text.to_str()?.parse().ok());
        *bound = Some(number.ok_or_else(|| usage("a limit must be a whole number"))?);
    }
    let program = args.next().ok_or_else(|| usage("expected a program after `--`"))?;
    let mut command = Command::new(program);
    command.args(args);
    Ok((setting, command))
}

/// Reads the go line and not a byte more: what follows belongs to the program.
fn read_go() -> Option<String> {
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_GO {
        stdin.read_exact(&mut byte).ok()?;
        if byte == *b"\n" {
            return Some(String::from_utf8(line).ok()?.strip_prefix("go ")?.to_owned());
        }
        line.push(byte[0]);
    }
    None
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}
