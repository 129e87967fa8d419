//! Packs that are part of the program: written into the state folder when a server starts, they are
//! folders like any other from then on.

use std::io;
use std::path::{Path, PathBuf};

use model::{Diagnostic, Location};

/// What settings write before the name of such a pack.
pub const PREFIX: &str = "builtin:";

/// A pack that is part of the program.
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its files by their paths below its folder, tests left out.
    files: &'static [(&'static str, &'static str)],
}

macro_rules! files {
    ($pack:literal: $($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../packs/", $pack, "/", $file)))),*]
    };
}

/// All of them.
pub const SHIPPED: [Shipped; 1] = [Shipped {
    name: "deploy",
    files: files!("deploy":
        "pack.yaml",
        "actions/blue_green.rhai",
        "actions/blue_green.yaml",
        "actions/recreate.rhai",
        "actions/recreate.yaml",
        "actions/rollback.rhai",
        "actions/rollback.yaml",
        "actions/rolling.rhai",
        "actions/rolling.yaml",
        "lib/colors.rhai",
        "lib/workload.rhai",
    ),
}];

impl Shipped {
    /// The pack that `text` names, as `builtin:deploy`; none: `text` names no such pack.
    ///
    /// Errors: there is no pack of this name.
    pub fn named(text: &str) -> Result<Option<&'static Self>, String> {
        let Some(name) = text.strip_prefix(PREFIX) else { return Ok(None) };
        let found = SHIPPED.iter().find(|shipped| shipped.name == name);
        let all = || SHIPPED.map(|shipped| format!("`{PREFIX}{}`", shipped.name)).join(", ");
        let unknown = || format!("`{text}`: no such pack ships with Tripline; there are {}", all());
        found.map(Some).ok_or_else(unknown)
    }

    /// Writes it below `folder` as it is in this version, and answers where.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let pack = folder.join(self.name);
        match std::fs::remove_dir_all(&pack) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for (path, text) in self.files {
            let file = pack.join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(&pack))?;
            std::fs::write(file, text)?;
        }
        Ok(pack)
    }
}

/// Such packs among `folders` as folders of the `shelf`, like all others.
pub(crate) fn on_shelf(folders: &[PathBuf], shelf: &Path) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let place = |folder: &PathBuf| match Shipped::named(&folder.to_string_lossy()) {
        Ok(None) => Ok(folder.clone()),
        Ok(Some(shipped)) => shipped.write(shelf).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    folders.iter().map(|folder| place(folder).map_err(|error| vec![unwritable(&error)])).collect()
}

pub(crate) fn unwritable(error: &str) -> Diagnostic {
    Diagnostic::error(Location::file("packs"), error)
}

/// Calls a file that lies on the `shelf` as its user knows it.
pub(crate) fn call_shipped(file: &mut String, shelf: &Path) {
    if let Ok(shipped) = Path::new(file.as_str()).strip_prefix(shelf) {
        *file = format!("{PREFIX}{}", shipped.display());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files below a folder, without those of tests.
    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true if name == "tests" => {}
                true => below(&entry.path(), &format!("{name}/"), found),
                false => drop(found.insert(name)),
            }
        }
    }

    #[test]
    fn no_file_of_a_shipped_pack_is_forgotten() {
        let target = tempfile::tempdir().unwrap();
        for shipped in SHIPPED {
            let written = shipped.write(target.path()).unwrap();
            let again = shipped.write(target.path()).unwrap();
            assert_eq!(written, again);
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs").join(shipped.name);
            let [mut expected, mut found] = [BTreeSet::new(), BTreeSet::new()];
            below(&source, "", &mut expected);
            below(&written, "", &mut found);
            assert_eq!(found, expected);
        }
    }
}
