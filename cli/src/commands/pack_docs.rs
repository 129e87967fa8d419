//! `tripline pack docs`: a page about a pack, made of its files.

use std::path::PathBuf;

use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, coloured};

const EXAMPLES: &str = "\
Examples:
  tripline pack docs packs/web                                print the page
  tripline pack docs packs/web --file docs/web.md             write it
  tripline pack docs packs/web --file docs/web.md --check     fail if it is not up to date";

/// Which pack, and where its page goes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pack's folder
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Write the page to this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write nothing; exit code 1 if the file does not hold the page
    #[arg(long, requires = "file")]
    check: bool,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let page = engine::packs::docs::page_of(&self.path);
        let page = page.map_err(|findings| Failure::findings(Exit::Failed, findings))?;
        let Some(file) = &self.file else {
            output::say(&page)?;
            return Ok(Exit::Done);
        };
        if self.check {
            return if std::fs::read_to_string(file).is_ok_and(|text| text == page) {
                Ok(Exit::Done)
            } else {
                let message =
                    format!("{} is not the page of {}", file.display(), self.path.display());
                output::say(&coloured(Colour::Red, &message))?;
                output::say("run the same without --check to write it")?;
                Ok(Exit::Failed)
            };
        }
        std::fs::write(file, page).map_err(|error| Failure::file(file.display(), &error))?;
        Ok(Exit::Done)
    }
}
