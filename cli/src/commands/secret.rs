//! `tripline secret`: named secrets. A value is never an argument, which everybody could see in the
//! list of processes, and never printed.

use std::io::{BufRead, IsTerminal};
use std::pin::pin;

use clap::{Args, Subcommand};
use nix::sys::signal::{Signal as Stop, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getsid};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::noun::List;
use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{self, Column};

const EXAMPLES: &str = "\
Examples:
  tripline secret set databases/admin                 asks for the value, without showing it
  tripline secret set hooks/app < hook.txt            from a file; one line break at its end is cut
  pwgen -s 32 1 | tripline secret set app/token       from a program";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List secrets: paths and versions, never values
    List(List),
    /// Give a secret a value, from standard input or a hidden prompt
    Set(Set),
    /// Delete a secret, all its versions, for good
    Delete(Delete),
    /// Encrypt every secret with the first configured key
    Rekey(Rekey),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// The secret's path, such as databases/admin
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The secret's path
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Rekey {
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 4] = [
    Column::at("PATH", "/path"),
    Column::at("VERSION", "/version"),
    Column::time("SET", "/set_at"),
    Column::at("KEY", "/key"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(asked) => return asked.run("/secrets", &COLUMNS).await,
            Self::Set(Set { path, connection }) => {
                let client = connection.client()?;
                let Some(value) = value(&path).await? else { return Ok(Exit::Interrupted) };
                let body = json!({ "value": value });
                let set = client.put(&format!("/secrets/{}", segment(&path)), &body).await?;
                output::say(&format!("{path}: version {}", set["version"]))?;
            }
            Self::Delete(Delete { path, connection }) => {
                let gone =
                    connection.client()?.delete(&format!("/secrets/{}", segment(&path))).await?;
                output::say(&deleted(&path, &gone))?;
            }
            Self::Rekey(Rekey { connection }) => {
                let done = connection.client()?.post("/secrets/rekey", &Value::Null).await?;
                output::say(&format!("{} records encrypted anew", done["records"]))?;
                output::tell(
                    "hint: backups made before now still need the key that was used then: keep it as long as them",
                );
            }
        }
        Ok(Exit::Done)
    }
}

/// What a deletion took, and whom it concerns.
fn deleted(path: &str, gone: &Value) -> String {
    let versions = match gone["versions"].as_u64() {
        Some(1) => "1 version".to_owned(),
        Some(many) => format!("{many} versions"),
        None => "all versions".to_owned(),
    };
    format!("{path}: {versions} deleted; steps of executions that were given it fail from now on")
}

/// Most bytes that are read of a value; how many a secret may have, the server says.
const MAX_VALUE: u64 = 1024 * 1024;

/// The value, from whoever is on the other end of standard input; none if somebody would rather
/// not.
async fn value(path: &str) -> Result<Option<String>, Failure> {
    let mut text = if std::io::stdin().is_terminal() {
        match prompted(path).await? {
            Some(text) => text,
            None => return Ok(None),
        }
    } else {
        let bytes = input::bounded(std::io::stdin().lock(), "standard input", MAX_VALUE)?;
        String::from_utf8(bytes).map_err(|_| {
            Failure::usage("the value on standard input is not text (UTF-8)".to_owned())
                .with_hint("encode it, for instance with base64, and decode it where it is used")
        })?
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Some(text))
}

/// Asks on the terminal, which does not show what is typed. Whatever ends the question, the terminal
/// is as it was then.
async fn prompted(path: &str) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| Failure::file("the terminal", &error);
    let stdin = std::io::stdin();
    let mut interrupted = Interrupted::hear().map_err(failed)?;
    let mut suspended = signal(SignalKind::from_raw(Stop::SIGTSTP as i32)).map_err(failed)?;
    let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    let set = |settings: &Termios| {
        tcsetattr(&stdin, SetArg::TCSAFLUSH, settings).map_err(|error| failed(error.into()))
    };
    let ask = || output::ask(&format!("value of {path}: "));
    ask();
    set(&hidden)?;
    let mut line = pin!(read_line());
    let read = loop {
        tokio::select! {
            line = &mut line => break line.map(Some),
            () = interrupted.come() => break Ok(None),
            _ = suspended.recv() => {
                // Whom no shell holds as a job nobody would bring back.
                if getsid(None) == Ok(Pid::this()) {
                    continue;
                }
                set(&before)?;
                raise(Stop::SIGSTOP).map_err(|error| failed(error.into()))?;
                ask();
                set(&hidden)?;
            }
        }
    };
    let restored = set(&before);
    output::tell("");
    let text = read.map_err(failed)?;
    restored?;
    Ok(text)
}

/// A line of standard input. It is read in a thread of its own, which nobody waits for: a read from a
/// terminal cannot be called off, and ends with the process.
async fn read_line() -> std::io::Result<String> {
    let (tell, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_line(&mut text);
        // Who asked may have gone.
        let _ = tell.send(read.map(|_| text));
    });
    line.await.unwrap_or_else(|_| Err(std::io::ErrorKind::UnexpectedEof.into()))
}

/// The signals that end a command, heard from when it is made on.
struct Interrupted([Signal; 3]);

impl Interrupted {
    fn hear() -> std::io::Result<Self> {
        let [ctrl_c, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([ctrl_c?, terminate?, hangup?]))
    }

    async fn come(&mut self) {
        let Self([ctrl_c, terminate, hangup]) = self;
        tokio::select! {
            _ = ctrl_c.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
