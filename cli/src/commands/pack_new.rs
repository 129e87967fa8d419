//! `tripline pack new`: a small pack that is complete, checks clean, and passes its tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::PackName;

use crate::failure::{Exit, Failure, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tripline pack new web                 in the folder ./web
  tripline pack new web --dir packs     in packs/web";

/// Which pack, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pack's name: a-z, 0-9 and _, beginning with a letter
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder in which the pack's own is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A file of the new pack: its path, its text, whether it is a program.
struct File(&'static str, &'static str, bool);

const FILES: [File; 10] = [
    File("pack.yaml", include_str!("../../templates/pack/pack.yaml"), false),
    File("README.md", include_str!("../../templates/pack/README.md"), false),
    File(
        "triggers/arrived.yaml",
        include_str!("../../templates/pack/triggers/arrived.yaml"),
        false,
    ),
    File(
        "rules/greet_arrivals.yaml",
        include_str!("../../templates/pack/rules/greet_arrivals.yaml"),
        false,
    ),
    File("actions/greet.yaml", include_str!("../../templates/pack/actions/greet.yaml"), false),
    File("actions/greet.rhai", include_str!("../../templates/pack/actions/greet.rhai"), false),
    File("actions/say.yaml", include_str!("../../templates/pack/actions/say.yaml"), false),
    File("actions/say.sh", include_str!("../../templates/pack/actions/say.sh"), true),
    File("lib/words.rhai", include_str!("../../templates/pack/lib/words.rhai"), false),
    File("tests/greet.yaml", include_str!("../../templates/pack/tests/greet.yaml"), false),
];

impl Args {
    pub(super) fn run(self) -> Outcome {
        let name: PackName =
            self.name.parse().map_err(|error| Failure::usage(format!("{error}")))?;
        if engine::packs::is_reserved(&name) {
            let message = format!("`{name}` is the prefix of what is built in");
            return Err(Failure::usage(message).with_hint("choose another name for the pack"));
        }
        let folder = match self.dir.as_os_str() == "." {
            true => PathBuf::from(name.as_str()),
            false => self.dir.join(name.as_str()),
        };
        if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            let message = format!("{} is there already, and not empty", folder.display());
            return Err(Failure::usage(message).with_hint("choose another name, or another --dir"));
        }
        for file in &FILES {
            write(&folder, file, &name)?;
        }
        output::say(&next(&folder.display().to_string(), &name))?;
        Ok(Exit::Done)
    }
}

fn write(folder: &Path, File(path, text, program): &File, name: &PackName) -> Result<(), Failure> {
    let path = folder.join(path);
    let failed = |error| Failure::file(path.display(), &error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&path, text.replace("NAME", name.as_str())).map_err(failed)?;
    if *program {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    Ok(())
}

fn next(folder: &str, name: &PackName) -> String {
    format!(
        "made the pack `{name}` in {folder}: a rule, a chain, a program and their tests

Next:
  tripline pack test {folder}      its tests, without a server
  tripline serve --packs {folder}  a server that runs it
  echo '{{\"name\": \"Ada\"}}' | tripline event emit {name}.arrived --data -
  tripline execution list"
    )
}
