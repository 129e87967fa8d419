//! Who asked for which export: so that a folder, or a downloaded file, goes once nobody who asked
//! for it is left.
//!
//! Beside the exports lies a file for each owner, with a line for each folder that it asked for. It
//! is written before the folder is, so that no folder is without its owner.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the files of owners lie, and folders that are on their way out.
const OWNERS: &str = ".owners";
const LEAVING: &str = ".leaving";
/// What stands beside an export, as `.NAME.` and this: what lacks both was put there by others.
const MARKS: [&str; 2] = ["commit", "download"];
/// Held while something is put in its place: what was looked at before is so until it is there.
static PLACING: Mutex<()> = Mutex::new(());

/// The folder of all exports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exports {
    base: PathBuf,
}

impl Exports {
    /// Those in `base`.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// Where the target `to` lies.
    pub fn path(&self, to: &Path) -> PathBuf {
        self.base.join(to)
    }

    /// `to` as it is held: relative to the exports, also where its whole path is written. None where
    /// nothing may be put: elsewhere, as whoever writes there decides what the server loads and runs,
    /// and under names that begin with a dot, which are those of the house.
    pub fn target(&self, to: &Path) -> Option<PathBuf> {
        let named = |part: Component<'_>| match part {
            Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
            _ => false,
        };
        let below = match to.is_absolute() {
            true => to.strip_prefix(std::path::absolute(&self.base).ok()?).ok()?,
            false => to,
        };
        let free = below.components().next().is_some() && below.components().all(named);
        free.then(|| below.to_owned())
    }

    /// Where the files lie that programs of steps handed in.
    pub const STEPS: &str = "steps";

    /// Why no step puts anything at `to`, which is a [`Self::target`]: what is there is read and run as
    /// what it was when it came.
    pub fn closed(&self, to: &Path) -> Option<String> {
        if to.starts_with(Self::STEPS) {
            let steps = Self::STEPS;
            return Some(format!("`{steps}` is for the files that programs of steps hand in"));
        }
        let folders = to.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let exported = folders.into_iter().find(|folder| self.mark(folder, MARKS[0]).exists());
        exported.map(|folder| {
            let folder = folder.display();
            format!("`{folder}` is an export of a commit, which stays what the commit says")
        })
    }

    /// Notes that `to` is a file that was downloaded, and for which pack; none: for a person or a step.
    pub fn mark_download(&self, to: &Path, pack: Option<&str>) -> io::Result<()> {
        let mark = self.mark(to, MARKS[1]);
        fs::create_dir_all(mark.parent().unwrap_or(&self.base))?;
        fs::write(mark, pack.unwrap_or_default())
    }

    /// The pack that the file `to` was downloaded for, where one is noted.
    pub(crate) fn downloaded_for(&self, to: &Path) -> Option<String> {
        let pack = fs::read_to_string(self.mark(to, MARKS[1])).ok()?;
        Some(pack).filter(|pack| !pack.is_empty() && self.path(to).exists())
    }

    /// The owner of what stays until somebody removes it by hand.
    pub const NOBODY: &str = "nobody";

    /// From here on `owner` holds the export to `to`, which is a [`Self::target`].
    pub fn hold(&self, owner: &str, to: &Path) -> io::Result<()> {
        if self.of(owner)?.contains(to) {
            return Ok(());
        }
        let file = self.file(owner);
        fs::create_dir_all(file.parent().unwrap_or(&self.base))?;
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        let line = serde_json::to_string(&to.to_string_lossy())?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    /// Whoever holds an export.
    pub fn owners(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.base.join(OWNERS)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        names.collect()
    }

    /// `owner` needs its exports no longer: what nobody else holds is removed.
    pub fn release(&self, owner: &str) -> io::Result<()> {
        for to in self.of(owner)? {
            let inside = to.components().all(|part| matches!(part, Component::Normal(_)));
            if inside && !self.is_held(&to, owner)? {
                self.remove(&to, owner)?;
            }
        }
        fs::remove_file(self.file(owner))
    }

    fn file(&self, owner: &str) -> PathBuf {
        self.base.join(OWNERS).join(owner)
    }

    /// What `owner` holds; a line that a crash cut short names no folder that is there.
    fn of(&self, owner: &str) -> io::Result<BTreeSet<PathBuf>> {
        let text = match fs::read_to_string(self.file(owner)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            text => text?,
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<String>(line).ok());
        Ok(lines.map(PathBuf::from).collect())
    }

    /// Whether another one holds `to`, a folder around it or one in it.
    fn is_held(&self, to: &Path, owner: &str) -> io::Result<bool> {
        for other in self.owners()?.iter().filter(|other| *other != owner) {
            let holds = self.of(other)?;
            if holds.iter().any(|held| held.starts_with(to) || to.starts_with(held)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mark(&self, to: &Path, mark: &str) -> PathBuf {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        self.base.join(to).with_file_name(format!(".{name}.{mark}"))
    }

    /// Moves the folder out of the way before it is looked again: who asked for it meanwhile gets it
    /// back, or makes a new one.
    fn remove(&self, to: &Path, owner: &str) -> io::Result<()> {
        let (folder, leaving) = (self.base.join(to), self.base.join(LEAVING));
        let aside = leaving.join(owner);
        let marks: Vec<_> = MARKS.iter().map(|mark| self.mark(to, mark)).collect();
        if !marks.iter().any(|mark| mark.exists()) {
            return Ok(());
        }
        fs::create_dir_all(&leaving)?;
        match fs::rename(&folder, &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            moved => moved?,
        }
        if self.is_held(to, owner)? && fs::rename(&aside, &folder).is_ok() {
            return Ok(());
        }
        match aside.symlink_metadata()?.is_dir() {
            true => fs::remove_dir_all(&aside)?,
            false => fs::remove_file(&aside)?,
        }
        for mark in marks.iter().filter(|mark| mark.exists()) {
            fs::remove_file(mark)?;
        }
        Ok(())
    }
}

/// Whoever holds this is the only one to put anything in its place.
pub(crate) fn placing() -> MutexGuard<'static, ()> {
    PLACING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(exports: &Exports, owner: &str, to: &str) {
        exports.hold(owner, Path::new(to)).unwrap();
        fs::create_dir_all(exports.path(Path::new(to))).unwrap();
        fs::write(exports.mark(Path::new(to), "commit"), "c").unwrap();
    }

    #[test]
    fn an_export_goes_with_the_last_who_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(folder.path());
        for (owner, to) in [("a", "app"), ("b", "app"), ("a", "own"), ("a", "own"), ("c", "x/y")] {
            export(&exports, owner, to);
        }
        // Around what another one holds, and in it.
        export(&exports, "a", "x");
        let there = |to: &str| folder.path().join(to).exists();
        exports.release("a").unwrap();
        assert!(there("app") && there("x/y") && !there("own") && !there(".own.commit"));
        exports.release("b").unwrap();
        assert!(!there("app") && there("x/y"));
        assert_eq!(exports.owners().unwrap(), ["c"]);
    }

    #[test]
    fn a_downloaded_file_goes_with_the_last_who_asked_for_it_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(folder.path());
        for (owner, to) in [("a", "x/own"), ("a", "both"), ("nobody", "both"), ("a", "foreign")] {
            exports.hold(owner, Path::new(to)).unwrap();
            fs::create_dir_all(folder.path().join("x")).unwrap();
            fs::write(folder.path().join(to), "it").unwrap();
            if to != "foreign" {
                exports.mark_download(Path::new(to), None).unwrap();
            }
        }
        exports.release("a").unwrap();
        let there = |to: &str| folder.path().join(to).exists();
        assert!(there("both") && there("foreign") && !there("x/own") && !there("x/.own.download"));
    }

    #[test]
    fn an_export_lies_below_the_exports_and_not_under_a_name_of_the_house() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(folder.path().join("exports"));
        let below = exports.path(Path::new("x/app")).display().to_string();
        let house = exports.path(Path::new(".owners/a")).display().to_string();
        for (to, target) in [
            ("app", Some("app")),
            ("x/app", Some("x/app")),
            (below.as_str(), Some("x/app")),
            (house.as_str(), None),
            ("", None),
            (".", None),
            ("..", None),
            ("x/../../packs/app", None),
            (".owners/a", None),
            ("x/.app.commit", None),
            ("/srv/app", None),
            ("/srv/../app", None),
        ] {
            assert_eq!(exports.target(Path::new(to)).as_deref(), target.map(Path::new), "{to}");
        }
    }

    #[test]
    fn nothing_outside_is_ever_removed() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(folder.path().join("exports"));
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        export(&exports, "a", "in");
        let lines = "\"../outside\"\n\"..\"\n\"\"\n\"cut sho";
        fs::write(folder.path().join("exports/.owners/b"), lines).unwrap();
        let foreign = folder.path().join("exports/foreign");
        fs::create_dir(&foreign).unwrap();
        exports.hold("b", Path::new("foreign")).unwrap();
        exports.release("b").unwrap();
        assert!(outside.exists() && foreign.exists() && folder.path().join("exports/in").exists());
    }
}
