//! The trampoline as a program of its own: `cargo test` builds it for the tests of the sensors.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::exec_child::main(std::env::args_os().skip(1))
}
