//! A pack's files as one immutable content: read once, hashed, and kept for as long as needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use model::{Diagnostic, Hash, Location, Map, PackName, Value};

use crate::environment::Environment;

/// Most files of one pack.
const MAX_FILES: usize = 5_000;
/// Most bytes of one pack.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A pack's files, by their path below its folder, `/` between parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) files: BTreeMap<String, PackFile>,
}

/// Where a pinned content keeps the configuration that its environment gave it: a name that no file
/// of a pack can have, since hidden ones are no part of it.
const CONFIGURATION: &str = ".config.json";

/// A folder in which Python keeps what it compiled.
const COMPILED: &str = "__pycache__/";

#[derive(Debug, Clone)]
pub(super) struct PackFile {
    pub(super) bytes: Vec<u8>,
    pub(super) executable: bool,
}

/// The hash of the content of the pack in `folder`.
pub fn content_hash(folder: &Path) -> Result<Hash, Vec<Diagnostic>> {
    let (snapshot, findings) = Snapshot::read(folder);
    if findings.is_empty() { Ok(snapshot.hash()) } else { Err(findings) }
}

/// The contents below `packs`, each in the folder of its hash, that are others, with why.
pub(crate) fn altered(packs: &Path) -> io::Result<Vec<(Hash, String)>> {
    let entries = match fs::read_dir(packs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut altered = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Another name is that of a folder that is being made.
        let Some(hash) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        altered.extend(other_content(&entry.path(), hash).map(|why| (hash, why)));
    }
    altered.sort();
    Ok(altered)
}

/// Why the files in `folder` are not those of this hash. What Python puts beside the modules that a
/// program imports changes nothing.
fn other_content(folder: &Path, hash: Hash) -> Option<String> {
    let (mut snapshot, findings) = Snapshot::read_pinned(folder);
    // Nobody goes on with it any more: it was tidied away just now.
    if !folder.exists() {
        return None;
    }
    if let Some(finding) = findings.first() {
        return Some(format!("{}: {}", finding.at.file, finding.message));
    }
    let found = snapshot.hash();
    snapshot.files.retain(|name, _| !name.contains(COMPILED));
    if [found, snapshot.hash()].contains(&hash) {
        return None;
    }
    let files = snapshot.name().map_or_else(
        || "its files were changed".to_owned(),
        |name| format!("the files of `{name}` there were changed"),
    );
    Some(format!("{files} (their hash is {found})"))
}

impl Snapshot {
    /// Reads every file below `folder`, hidden ones apart. A symbolic link is followed as long as
    /// it stays inside the folder. What cannot be read is told beside the rest.
    pub(super) fn read(folder: &Path) -> (Self, Vec<Diagnostic>) {
        let mut snapshot = Self::default();
        let mut walk = Walk::new(folder);
        match folder.canonicalize() {
            Ok(real) => walk.folder(folder, real, "", &mut snapshot),
            Err(error) => walk.fail(folder, &error),
        }
        (snapshot, walk.findings)
    }

    /// Reads a pinned content, configuration and all.
    pub(super) fn read_pinned(folder: &Path) -> (Self, Vec<Diagnostic>) {
        let (mut snapshot, findings) = Self::read(folder);
        if let Ok(bytes) = fs::read(folder.join(CONFIGURATION)) {
            snapshot.files.insert(CONFIGURATION.to_owned(), PackFile { bytes, executable: false });
        }
        (snapshot, findings)
    }

    /// The name that the files give the pack.
    pub(super) fn name(&self) -> Option<PackName> {
        let manifest = self.files.get("pack.yaml")?;
        let document = syntax::parse_bytes("pack.yaml", &manifest.bytes).ok()?;
        document.root().get("name")?.as_str()?.parse().ok()
    }

    /// The same files with the configuration that an environment gives: another content.
    pub(super) fn configure(&mut self, environment: &Environment) {
        let config = self.name().and_then(|name| environment.config(&name)).unwrap_or_default();
        if !config.is_empty() {
            let bytes = Value::Object(config).to_string().into_bytes();
            self.files.insert(CONFIGURATION.to_owned(), PackFile { bytes, executable: false });
        }
    }

    /// The configuration that came with the files.
    pub(super) fn configuration(&self) -> Map {
        let file = self.files.get(CONFIGURATION);
        file.and_then(|file| serde_json::from_slice(&file.bytes).ok()).unwrap_or_default()
    }

    pub(super) fn hash(&self) -> Hash {
        hash_of(&self.files, |_| true)
    }

    /// The hash of what the pack's programs may look at while they run, and of the types of what they
    /// tell: without what only Tripline and people read.
    pub(super) fn material(&self) -> Hash {
        hash_of(&self.files, |name| {
            let text = |ending: &str| name.ends_with(ending);
            let declares = ["rules/", "actions/", "sensors/", "tests/"];
            let declares = declares.iter().any(|folder| name.starts_with(folder)) && text(".yaml");
            let own = ["pack.yaml", CONFIGURATION].contains(&name);
            !(own || declares || text(".rhai") || text(".md"))
        })
    }

    /// Writes the files to `folder` unless it is there already: it is named by their hash.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        if folder.exists() {
            return Ok(());
        }
        let parent = folder.parent().unwrap_or(folder);
        fs::create_dir_all(parent)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let fresh = parent.join(format!(".{name}.new"));
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        for (name, file) in &self.files {
            let path = fresh.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&fresh))?;
            fs::write(&path, &file.bytes)?;
            let mode = if file.executable { 0o700 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            fs::File::open(&path)?.sync_all()?;
        }
        fs::rename(&fresh, folder)?;
        fs::File::open(parent)?.sync_all()
    }
}

fn hash_of(files: &BTreeMap<String, PackFile>, counts: impl Fn(&str) -> bool) -> Hash {
    let counted = files.iter().filter(|(name, _)| counts(name));
    Hash::of_parts(counted.flat_map(|(name, file)| {
        let mode: &[u8] = if file.executable { b"x" } else { b"-" };
        [(name.as_str(), mode), ("", file.bytes.as_slice())]
    }))
}

struct Walk<'a> {
    root: &'a Path,
    /// Where the folders really are that lead to where it is, the pack's own first.
    within: Vec<PathBuf>,
    /// Links that lead round in a circle, by where they really are: one may be met on several ways.
    circles: BTreeSet<PathBuf>,
    bytes: u64,
    /// A bound was reached: nothing more is read.
    full: bool,
    findings: Vec<Diagnostic>,
}

/// Deepest folder of a pack.
const MAX_DEPTH: usize = 16;

impl<'a> Walk<'a> {
    fn new(root: &'a Path) -> Self {
        let (within, circles) = (Vec::new(), BTreeSet::new());
        Self { root, within, circles, bytes: 0, full: false, findings: Vec::new() }
    }

    fn folder(&mut self, folder: &Path, real: PathBuf, prefix: &str, into: &mut Snapshot) {
        if self.within.len() > MAX_DEPTH {
            let message = format!("folders are nested deeper than {MAX_DEPTH}");
            return self.refuse(folder, message, "move what the pack needs further up");
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.fail(folder, &error),
        };
        self.within.push(real);
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(&entry.path(), prefix, into),
                Err(error) => self.fail(folder, &error),
            }
        }
        self.within.pop();
    }

    fn entry(&mut self, path: &Path, prefix: &str, into: &mut Snapshot) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return self.refuse(path, "the file's name is not UTF-8".to_owned(), "rename it");
        };
        if name.starts_with('.') || self.full {
            return;
        }
        let target = match path.canonicalize() {
            Ok(target) => target,
            Err(_) if path.is_symlink() => return self.link(path, "leads nowhere"),
            Err(error) => return self.fail(path, &error),
        };
        if !self.within.first().is_some_and(|pack| target.starts_with(pack)) {
            return self.link(path, "leads out of the pack");
        }
        if self.within.contains(&target) {
            return self.circle(path, name);
        }
        let name = format!("{prefix}{name}");
        if target.is_dir() {
            return self.folder(path, target, &format!("{name}/"), into);
        }
        match read_file(path) {
            Ok(file) => {
                self.bytes += file.bytes.len() as u64;
                into.files.insert(name, file);
            }
            Err(error) => self.fail(path, &error),
        }
        if into.files.len() > MAX_FILES || self.bytes > MAX_BYTES {
            let message = format!("a pack has at most {MAX_FILES} files and {MAX_BYTES} bytes");
            let hint = "keep what is no part of the pack outside of its folder";
            self.full = true;
            self.refuse(self.root, message, hint);
        }
    }

    /// What leads back to a folder that it is in is a link.
    fn circle(&mut self, path: &Path, name: &str) {
        let real = self.within.last().map(|folder| folder.join(name)).unwrap_or_default();
        if self.circles.insert(real) {
            self.link(path, "leads round in a circle");
        }
    }

    fn link(&mut self, path: &Path, wrong: &str) {
        // As it was written: where that is on this machine is another matter.
        let target = fs::read_link(path).unwrap_or_default();
        let message = format!("the symbolic link to {} {wrong}", target.display());
        self.refuse(path, message, "put the file itself into the pack, or remove the link");
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        let hint = "let the user who runs this read it, or remove it from the pack";
        self.refuse(path, format!("it cannot be read: {error}"), hint);
    }

    fn refuse(&mut self, path: &Path, message: String, hint: &str) {
        let at = Location::file(path.display().to_string());
        self.findings.push(Diagnostic::error(at, message).with_hint(hint));
    }
}

fn read_file(path: &Path) -> io::Result<PackFile> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        // A pipe or a device might never end.
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::other(format!("more than {MAX_BYTES} bytes")));
    }
    Ok(PackFile { bytes: fs::read(path)?, executable: metadata.permissions().mode() & 0o111 != 0 })
}

/// Whether `path`, as a file writes it, stays below the folder it is read from.
pub(super) fn stays_inside(path: &str) -> bool {
    PathBuf::from(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("rules")).unwrap();
        fs::write(folder.path().join("pack.yaml"), "name: a\n").unwrap();
        fs::write(folder.path().join("rules/b.yaml"), "x\n").unwrap();
        folder
    }

    #[test]
    fn a_content_is_the_same_wherever_it_lies_and_another_when_a_file_changes() {
        let folder = pack();
        let (snapshot, _) = Snapshot::read(folder.path());
        let copy = folder.path().join("copy-of").join(snapshot.hash().to_string());
        snapshot.write(&copy).unwrap();
        assert_eq!(content_hash(&copy), Ok(snapshot.hash()));
        fs::write(copy.join("pack.yaml"), "name: b\n").unwrap();
        assert_ne!(content_hash(&copy), Ok(snapshot.hash()));
    }

    #[test]
    fn what_only_tripline_reads_is_no_material_of_programs() {
        let folder = pack();
        let material = || Snapshot::read(folder.path()).0.material();
        let write = |name: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "other\n").unwrap();
        };
        for (name, counts) in [
            ("pack.yaml", false),
            ("rules/b.yaml", false),
            ("sensors/watch.yaml", false),
            ("actions/a.rhai", false),
            ("README.md", false),
            ("sensors/watch.sh", true),
            ("lib/words.yaml", true),
            ("triggers/told.yaml", true),
            ("rules/table.csv", true),
        ] {
            let before = material();
            write(name);
            assert_eq!(material() != before, counts, "{name}");
        }
    }

    #[test]
    fn a_link_out_of_the_pack_is_refused_and_one_inside_is_followed() {
        let folder = pack();
        std::os::unix::fs::symlink("b.yaml", folder.path().join("rules/c.yaml")).unwrap();
        assert_eq!(Snapshot::read(folder.path()).0.files.len(), 3);
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("rules/d.yaml")).unwrap();
        let (rest, findings) = Snapshot::read(folder.path());
        assert_eq!(rest.files.len(), 3);
        assert!(findings[0].message.contains("leads out of the pack"), "{findings:?}");
    }

    #[test]
    fn a_link_that_leads_round_in_a_circle_is_told_once_with_where_it_leads() {
        let folder = pack();
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(to, folder.path().join(at)).unwrap();
        };
        link("..", "rules/round");
        link("rules", "again");
        let (snapshot, findings) = Snapshot::read(folder.path());
        let told: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(told, ["the symbolic link to .. leads round in a circle"]);
        let names: Vec<&String> = snapshot.files.keys().collect();
        assert_eq!(names, ["again/b.yaml", "pack.yaml", "rules/b.yaml"]);
        // Two folders that hold each other.
        fs::remove_file(folder.path().join("rules/round")).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        link("../lib", "rules/lib");
        link("../rules", "lib/rules");
        let (_, findings) = Snapshot::read(folder.path());
        let mut told: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        told.sort_unstable();
        let circle = |to: &str| format!("the symbolic link to {to} leads round in a circle");
        assert_eq!(told, [circle("../lib"), circle("../rules")], "each link once");
    }
}
