//! `tripline backup`: a file of which a state folder can be made, taken from a running server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::backup::{BEGINNING, LeftOut, Manifest, check, manifest};
use serde_json::json;

use crate::client::Connection;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Format, Output};

const EXAMPLES: &str = "\
Examples:
  tripline backup tripline.tar                  while the server works
  tripline backup - | zstd > tripline.tar.zst   compressed by whatever you like
  tripline restore tripline.tar --state new/    the way back

The backup holds the log, executions' files and secrets as they are stored: encrypted. The key
that opens them is not in it: keep that elsewhere. It is checked before it takes its name.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file, replaced if it is there; `-` is stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let Self { file, output, connection } = self;
        if file.as_os_str() == "-" {
            return to_stdout(&connection).await;
        }
        let partial = partial(&file)?;
        match to_file(&connection, &partial).await {
            Ok((manifest, bytes)) => {
                fs::rename(&partial, &file)
                    .map_err(|error| Failure::file(file.display(), &error))?;
                tell(&file, &manifest, bytes, output.format)
            }
            Err(failure) => {
                // It may not have been made.
                let _ = fs::remove_file(&partial);
                Err(failure)
            }
        }
    }
}

/// Where the backup lies until it is whole and checked.
fn partial(file: &Path) -> Result<PathBuf, Failure> {
    match file.file_name() {
        Some(name) if !file.is_dir() => {
            let mut name = name.to_owned();
            name.push(".partial");
            Ok(file.with_file_name(name))
        }
        _ => {
            let failure = Failure::usage(format!("{} is a folder", file.display()));
            Err(failure.with_hint("name the file that the backup is to become"))
        }
    }
}

async fn to_stdout(connection: &Connection) -> Outcome {
    if io::stdout().is_terminal() {
        let failure = Failure::usage("a backup is nothing for a terminal");
        return Err(failure.with_hint("name a file, or pass it on: `tripline backup - | …`"));
    }
    let mut to = Beginning { to: io::stdout().lock(), bytes: Vec::new() };
    connection.client()?.download("/backup", &mut to).await?;
    // Whoever takes it checks it; a server of another version may say nothing of this.
    if let Ok(manifest) = manifest(&to.bytes) {
        warn_of(&manifest.left_out);
    }
    Ok(Exit::Done)
}

/// Passes on what is written, and keeps how it began.
struct Beginning<W> {
    to: W,
    bytes: Vec<u8>,
}

impl<W: Write> Write for Beginning<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        let room = BEGINNING.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..written.min(room)]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn warn_of(left_out: &LeftOut) {
    if !left_out.is_empty() {
        output::warn(&format!("{left_out}; what executions need of them, keep elsewhere"));
    }
}

async fn to_file(connection: &Connection, file: &Path) -> Result<(Manifest, u64), Failure> {
    let client = connection.client()?;
    let failed = |error: io::Error| Failure::file(file.display(), &error);
    // It holds what the log holds: for nobody else's eyes.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = options.open(file).map_err(failed)?;
    client.download("/backup", &mut to).await?;
    to.flush().and_then(|()| to.sync_all()).map_err(failed)?;
    let written = File::open(file).map_err(failed)?;
    let bytes = written.metadata().map_err(failed)?.len();
    let manifest = check(io::BufReader::new(written));
    Ok((manifest.map_err(super::restore::failure)?, bytes))
}

fn tell(file: &Path, manifest: &Manifest, bytes: u64, format: Format) -> Outcome {
    let Manifest { installation, at, position, left_out, .. } = manifest;
    warn_of(left_out);
    if format != Format::Table {
        let told = json!({ "file": file, "bytes": bytes, "manifest": manifest });
        output::value(format, &told)?;
        return Ok(Exit::Done);
    }
    let (file, at, position) = (file.display(), output::seconds(*at), position.0);
    output::say(&format!(
        "{file}: the installation {installation} as of {at}, up to fact {position}; {bytes} bytes, \
         checked\nthe key that opens its secrets is not in it: keep that elsewhere"
    ))?;
    Ok(Exit::Done)
}
