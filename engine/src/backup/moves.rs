//! What a restore made comes into its place, and what was there goes aside: both, or neither.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::restore::private;
use super::{BackupError, failed};

/// Without it no server starts: it is the first to go and the last to come, so that nobody takes a half
/// for the whole, wherever this process is killed.
const DATABASE: &str = "tripline.db";

/// Moves of one restore, in the order in which they were made.
pub(super) struct Moves<'a> {
    state: &'a Path,
    made: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(state: &'a Path) -> Self {
        Self { state, made: Vec::new() }
    }

    /// Moves what is `there` into the folder `aside`, and what is `new` from the folder `fresh` into its
    /// place. Where that cannot be, everything is where it was.
    pub(super) fn replace(
        mut self,
        there: &[String],
        aside: &Path,
        fresh: &Path,
        new: &[String],
    ) -> Result<(), BackupError> {
        let Err(error) = self.forward(there, aside, fresh, new) else { return Ok(()) };
        self.back(error, aside)
    }

    fn forward(
        &mut self,
        there: &[String],
        aside: &Path,
        fresh: &Path,
        new: &[String],
    ) -> Result<(), BackupError> {
        let state = self.state;
        if !there.is_empty() {
            private(aside).map_err(failed(aside))?;
            let (database, rest) = parted(there);
            self.all(state, aside, &database)?;
            self.all(state, aside, &rest)?;
        }
        let (database, rest) = parted(new);
        self.all(fresh, state, &rest)?;
        self.all(fresh, state, &database)
    }

    /// Moves these for good: they are in their place before anything that is moved later.
    fn all(&mut self, from: &Path, to: &Path, names: &[&String]) -> Result<(), BackupError> {
        for name in names {
            let (from, to) = (from.join(name), to.join(name));
            fs::rename(&from, &to).map_err(failed(&from))?;
            self.made.push((from, to));
        }
        synced(from)?;
        synced(to)
    }

    /// What came last goes back first.
    fn back(self, error: BackupError, aside: &Path) -> Result<(), BackupError> {
        for (from, to) in self.made.into_iter().rev() {
            if let Err(source) = fs::rename(&to, &from) {
                let error = Box::new(failed(&to)(source));
                return Err(BackupError::Torn { error, from: to, to: from });
            }
        }
        let _ = fs::remove_dir(aside);
        synced(self.state)?;
        Err(error)
    }
}

fn parted(names: &[String]) -> (Vec<&String>, Vec<&String>) {
    names.iter().partition(|name| *name == DATABASE)
}

fn synced(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of three parts, a new one of two, and a folder for the old one in which one part is
    /// already.
    fn scene() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["blobs/1", "head", "tripline.db", "new/blobs/2", "new/tripline.db"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn replace(state: &Path) -> Result<(), BackupError> {
        let there = names(&["blobs", "head", "tripline.db"]);
        let new = names(&["blobs", "tripline.db"]);
        Moves::new(state).replace(&there, &state.join("old"), &state.join("new"), &new)
    }

    fn holds(state: &Path, name: &str, text: &str) {
        assert_eq!(fs::read_to_string(state.join(name)).unwrap(), text);
    }

    #[test]
    fn what_was_there_goes_aside_and_the_new_comes_into_its_place() {
        let folder = scene();
        replace(folder.path()).unwrap();
        holds(folder.path(), "tripline.db", "new/tripline.db");
        holds(folder.path(), "blobs/2", "new/blobs/2");
        for (name, text) in
            [("tripline.db", "tripline.db"), ("head", "head"), ("blobs/1", "blobs/1")]
        {
            holds(&folder.path().join("old"), name, text);
        }
        assert!(!folder.path().join("head").exists());
    }

    #[test]
    fn what_cannot_go_aside_leaves_everything_as_it_was() {
        // `head` is the last to go; that the new blobs cannot come shows later still.
        for taken in ["old/head/x", "old/blobs/x", "new/blobs/2"] {
            let folder = scene();
            let path = folder.path().join(taken);
            match taken {
                "new/blobs/2" => fs::remove_dir_all(folder.path().join("new/blobs")).unwrap(),
                _ => fs::create_dir_all(path).unwrap(),
            }
            let refused = replace(folder.path()).unwrap_err();
            assert!(matches!(refused, BackupError::File { .. }), "{taken}: {refused}");
            for name in ["tripline.db", "head", "blobs/1"] {
                holds(folder.path(), name, name);
            }
            holds(folder.path(), "new/tripline.db", "new/tripline.db");
        }
    }

    #[test]
    fn no_moment_of_it_has_a_database_without_all_that_belongs_to_it() {
        let folder = scene();
        let state = folder.path();
        let mut moves = Moves::new(state);
        let there = names(&["blobs", "head", "tripline.db"]);
        let new = names(&["blobs", "tripline.db"]);
        moves.forward(&there, &state.join("old"), &state.join("new"), &new).unwrap();
        let databases = moves.made.iter().map(|(from, _)| from.ends_with(DATABASE));
        assert_eq!(databases.collect::<Vec<_>>(), [true, false, false, false, true]);
    }
}
