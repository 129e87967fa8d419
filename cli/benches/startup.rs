//! Start-up and idle memory of the real server: `cargo bench -p tripline-cli --bench startup`.
//!
//! With the packs of this repository, on a fresh state folder and again on the used one: how long
//! until `/readyz` could be asked, and how much memory the server holds a moment later.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TIMES: usize = 5;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..TIMES {
        let state = folder.path().join(n.to_string());
        let (fresh, _) = start(&state);
        let (again, resident) = start(&state);
        println!(
            "start {:>4} ms fresh, {:>4} ms again; idle {:>3} MB resident",
            fresh.as_millis(),
            again.as_millis(),
            resident / 1_000
        );
    }
}

/// The time from the start to the server's word where it listens, and its memory when idle.
fn start(state: &Path) -> (Duration, u64) {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--webhooks-listen", "127.0.0.1:0"]);
    command.arg("--state").arg(state).arg("--packs").arg(packs);
    command.env("TRIPLINE_LOG", "error").stdout(Stdio::null());
    let began = Instant::now();
    let server = command.spawn().unwrap();
    let told = state.join("server.json");
    while !told.exists() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let took = began.elapsed();
    // What the start needed and gives back is not what it idles with.
    std::thread::park_timeout(Duration::from_secs(1));
    let resident = resident_kilobytes(server.id());
    stop(server);
    (took, resident)
}

fn stop(mut server: Child) {
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM).unwrap();
    server.wait().unwrap();
}

/// `VmRSS` of a process.
fn resident_kilobytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
