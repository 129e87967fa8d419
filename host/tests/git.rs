//! Mirrors and exports of real repositories.

#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::git::{
    Credentials, Git, GitError, MAX_COMMITS, Mirrors, Options, RefPattern, Repository,
};
use tempfile::TempDir;

/// A repository of somebody else's, and our mirror of it.
struct Lab {
    folder: TempDir,
    mirror: Repository,
}

fn options() -> Options {
    Options { allow_local: host::git::Local::Anywhere, ..Options::default() }
}

impl Lab {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::new(options);
        let url = folder.path().join("origin").display().to_string();
        let remote = git.remote(&url, Credentials::None).unwrap();
        let mirror = git.repository(folder.path().join("mirror"), remote);
        let lab = Self { folder, mirror };
        std::fs::create_dir(lab.origin()).unwrap();
        lab.git(&["init", "-q", "-b", "main"]);
        lab
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn git<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(["-c", "commit.gpgSign=false", "-c", "core.quotePath=false"])
            .args(args)
            .current_dir(self.origin())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, path: impl AsRef<Path>, content: &str) {
        let path = self.origin().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything; returns the commit.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn fetch(&self) -> Result<(), GitError> {
        self.mirror.fetch(&["refs/*".parse::<RefPattern>().unwrap()]).await.map(drop)
    }

    fn target(&self, name: &str) -> PathBuf {
        self.folder.path().join("exports").join(name)
    }
}

#[tokio::test]
async fn a_mirror_follows_refs_that_come_move_and_go() {
    let lab = Lab::new();
    let first = lab.commit("first");
    lab.git(&["tag", "-a", "v1", "-m", "one"]);
    lab.git(&["branch", "side"]);
    lab.fetch().await.unwrap();
    let refs = lab.mirror.refs().await.unwrap();
    let names: Vec<&str> = refs.keys().map(String::as_str).collect();
    assert_eq!(names, ["refs/heads/main", "refs/heads/side", "refs/tags/v1"]);
    assert!(refs.values().all(|commit| *commit == first), "tags stand at what they tag: {refs:?}");

    let second = lab.commit("second");
    lab.git(&["branch", "-D", "side"]);
    lab.fetch().await.unwrap();
    let refs = lab.mirror.refs().await.unwrap();
    assert_eq!(refs["refs/heads/main"], second);
    assert!(!refs.contains_key("refs/heads/side"));
    assert!(lab.mirror.is_ancestor(&first, &second).await.unwrap());
    assert!(!lab.mirror.is_ancestor(&second, &first).await.unwrap());
    lab.mirror.tidy().await.unwrap();
}

#[tokio::test]
async fn only_the_wanted_refs_are_fetched_and_one_that_is_not_there_is_no_error() {
    let lab = Lab::new();
    lab.commit("first");
    lab.git(&["branch", "other"]);
    let wanted = ["refs/heads/main", "refs/heads/none"].map(|p| p.parse::<RefPattern>().unwrap());
    lab.mirror.fetch(&wanted).await.unwrap();
    let refs = lab.mirror.refs().await.unwrap();
    assert_eq!(refs.keys().collect::<Vec<_>>(), ["refs/heads/main"]);
}

#[tokio::test]
async fn commits_tell_who_did_what_to_which_files() {
    let lab = Lab::new();
    lab.write("kept.txt", "1");
    lab.write("gone.txt", "1");
    let before = lab.commit("first");
    lab.write("kept.txt", "2");
    lab.write("dir/new file.txt", "1");
    std::fs::remove_file(lab.origin().join("gone.txt")).unwrap();
    let after = lab.commit("second\n\nwith a body");
    lab.fetch().await.unwrap();
    let commits = lab.mirror.commits(&before, &after).await.unwrap();
    assert_eq!((commits.total, commits.truncated), (1, false));
    let [commit] = &commits.list[..] else { panic!("{commits:?}") };
    assert_eq!(commit.id, after);
    assert_eq!((commit.author.as_str(), commit.email.as_str()), ("Ada", "ada@example.com"));
    assert_eq!(commit.message, "second\n\nwith a body");
    assert_eq!(commit.added, ["dir/new file.txt"]);
    assert_eq!(commit.modified, ["kept.txt"]);
    assert_eq!(commit.removed, ["gone.txt"]);
    assert!(lab.mirror.commits(&after, &before).await.unwrap().list.is_empty());
}

#[tokio::test]
async fn merges_show_what_they_brought_and_commits_come_oldest_first() {
    let lab = Lab::new();
    let before = lab.commit("base");
    lab.git(&["checkout", "-q", "-b", "side"]);
    lab.write("side.txt", "1");
    let side = lab.commit("side");
    lab.git(&["checkout", "-q", "main"]);
    lab.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let after = lab.git(&["rev-parse", "HEAD"]);
    lab.fetch().await.unwrap();
    let commits = lab.mirror.commits(&before, &after).await.unwrap();
    let ids: Vec<&str> = commits.list.iter().map(|commit| commit.id.as_str()).collect();
    assert_eq!(ids, [&side, &after]);
    assert_eq!(commits.list[1].added, ["side.txt"]);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_shown_as_well_as_it_can_be() {
    let lab = Lab::new();
    let before = lab.commit("first");
    lab.write(OsStr::from_bytes(b"caf\xe9.txt"), "1");
    lab.write("new\nline.txt", "1");
    lab.commit("caf?");
    let file = lab.folder.path().join("commit");
    let mut raw = lab.git(&["cat-file", "commit", "HEAD"]).into_bytes();
    *raw.last_mut().unwrap() = 0xe9;
    std::fs::write(&file, raw).unwrap();
    let path = file.display().to_string();
    let after = lab.git(&["hash-object", "-w", "-t", "commit", "--literally", &path]);
    lab.git(&["update-ref", "refs/heads/main", &after]);
    lab.fetch().await.unwrap();
    let commits = lab.mirror.commits(&before, &after).await.unwrap();
    assert_eq!(commits.list[0].message, "caf\u{fffd}");
    assert_eq!(commits.list[0].added, ["caf\u{fffd}.txt", "new\nline.txt"]);
    let target = lab.target("odd");
    lab.mirror.export(&after, &target).await.unwrap();
    assert!(target.join(OsStr::from_bytes(b"caf\xe9.txt")).exists());
}

#[tokio::test]
async fn of_many_commits_the_newest_are_listed_and_all_are_counted() {
    let lab = Lab::new();
    let before = lab.commit("base");
    let total = MAX_COMMITS + 10;
    let mut stream = String::new();
    for n in 1..=total {
        let from = if n == 1 { format!("from {before}\n") } else { String::new() };
        let head = "commit refs/heads/main\ncommitter Ada <ada@example.com>";
        let time = 1_700_000_000 + n;
        stream.extend([head, &format!(" {time} +0000\ndata <<.\nno {n}\n.\n{from}\n")]);
    }
    let file = lab.folder.path().join("stream");
    std::fs::write(&file, stream).unwrap();
    let import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(lab.origin())
        .stdin(std::fs::File::open(file).unwrap())
        .status();
    assert!(import.unwrap().success());
    let after = lab.git(&["rev-parse", "main"]);
    lab.fetch().await.unwrap();
    let commits = lab.mirror.commits(&before, &after).await.unwrap();
    assert_eq!((commits.list.len(), commits.total), (MAX_COMMITS, total as u64));
    assert!(commits.truncated);
    assert_eq!(commits.list[0].message, "no 11");
    assert_eq!(commits.list.last().unwrap().id, after);
    assert_eq!(commits.list[0].time.to_string(), "2023-11-14T22:13:31Z");
}

#[tokio::test]
async fn an_export_holds_the_commit_s_files_and_nothing_else() {
    let lab = Lab::new();
    lab.write("run.sh", "#!/bin/sh\n");
    lab.write("deep/er/data.bin", "\u{0}\u{1}");
    lab.write("empty", "");
    lab.write("attributes.txt", "$Id$\r\nline\n");
    lab.write(".gitattributes", "*.txt ident text eol=crlf\nempty export-ignore\n");
    let script = lab.origin().join("run.sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", lab.origin().join("link")).unwrap();
    let commit = lab.commit("first");
    lab.fetch().await.unwrap();
    let target = lab.target("app");
    let exported = lab.mirror.export(&commit[..10], &target).await.unwrap();
    assert_eq!((exported.commit, exported.existed), (commit.clone(), false));

    let read = |path: &str| std::fs::read_to_string(target.join(path)).unwrap();
    assert_eq!(read("deep/er/data.bin"), "\u{0}\u{1}");
    assert_eq!(read("empty"), "");
    let link = target.join("link");
    assert!(link.symlink_metadata().unwrap().is_file(), "a link becomes text");
    assert_eq!(read("link"), "/etc/passwd");
    let mode = |path: &str| target.join(path).metadata().unwrap().permissions().mode() & 0o111;
    assert_ne!(mode("run.sh"), 0);
    assert_eq!(mode("empty"), 0);
    let mut names: Vec<_> = std::fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".gitattributes", "attributes.txt", "deep", "empty", "link", "run.sh"]);
    let blob = lab.git(&["cat-file", "-p", &format!("{commit}:attributes.txt")]);
    assert_eq!(read("attributes.txt").trim(), blob, "what is committed, untouched by filters");
}

#[tokio::test]
async fn an_export_that_is_there_is_done_and_other_content_is_an_error() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.commit("first");
    lab.write("a", "2");
    let second = lab.commit("second");
    lab.fetch().await.unwrap();
    let target = lab.target("app");
    assert!(!lab.mirror.export(&first, &target).await.unwrap().existed);
    std::fs::write(target.join("built"), "by a later step").unwrap();
    assert!(lab.mirror.export(&first, &target).await.unwrap().existed);
    let error = lab.mirror.export(&second, &target).await.unwrap_err();
    assert!(matches!(error, GitError::TargetExists(_)), "{error}");
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "1");

    let foreign = lab.target("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    let error = lab.mirror.export(&first, &foreign).await.unwrap_err();
    assert!(matches!(error, GitError::TargetExists(_)), "{error}");

    // What an export that was killed left behind is in nobody's way.
    std::fs::remove_dir_all(&target).unwrap();
    std::fs::create_dir_all(lab.target(".app.exporting/x")).unwrap();
    assert!(!lab.mirror.export(&second, &target).await.unwrap().existed);
    assert!(!target.join("x").exists());
    assert!(!lab.target(".app.exporting").exists());
}

#[tokio::test]
async fn exports_of_two_commits_to_one_target_at_once_have_one_winner() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.commit("first");
    lab.write("a", "2");
    let second = lab.commit("second");
    lab.fetch().await.unwrap();
    let target = lab.target("app");
    let (one, other) =
        tokio::join!(lab.mirror.export(&first, &target), lab.mirror.export(&second, &target));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let content = std::fs::read_to_string(target.join("a")).unwrap();
    assert_eq!(content, if one.is_ok() { "1" } else { "2" });
}

#[tokio::test]
async fn a_tree_with_a_name_that_leads_outside_is_refused_as_a_whole() {
    let lab = Lab::new();
    lab.write("a", "1");
    lab.commit("first");
    let blob = lab.git(&["rev-parse", "HEAD:a"]);
    let raw: Vec<u8> =
        (0..20).map(|i| u8::from_str_radix(&blob[2 * i..2 * i + 2], 16).unwrap()).collect();
    for name in ["..", ".git", "../x"] {
        let mut tree = format!("100644 {name}\0").into_bytes();
        tree.extend(&raw);
        let file = lab.folder.path().join("tree");
        std::fs::write(&file, tree).unwrap();
        let path = file.display().to_string();
        let tree = lab.git(&["hash-object", "-w", "-t", "tree", "--literally", &path]);
        let commit = lab.git(&["commit-tree", "-m", "bad", &tree]);
        lab.git(&["update-ref", "refs/heads/bad", &commit]);
        lab.fetch().await.unwrap();
        let error = lab.mirror.export(&commit, &lab.target("bad")).await.unwrap_err();
        assert!(matches!(error, GitError::UnsafeName(_)), "{name}: {error}");
        assert!(!lab.target("bad").exists() && !lab.target(".bad.exporting").exists());
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_exported_nor_kept() {
    let lab = Lab::with(Options { max_export_bytes: 10, max_export_files: 3, ..options() });
    lab.write("a", "12345678901");
    let heavy = lab.commit("heavy");
    lab.write("a", "1");
    for n in 0..3 {
        lab.write(format!("f{n}"), "");
    }
    let many = lab.commit("many");
    lab.fetch().await.unwrap();
    for commit in [heavy, many] {
        let error = lab.mirror.export(&commit, &lab.target("app")).await.unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    }
    let lab = Lab::with(Options { max_mirror_bytes: 100, ..options() });
    lab.commit("first");
    let error = lab.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_is_ended() {
    let lab = Lab::with(Options { fetch_timeout: model::Duration::from_millis(1), ..options() });
    lab.commit("first");
    let error = lab.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_named() {
    let lab = Lab::new();
    lab.commit("first");
    let nowhere = "0123456789012345678901234567890123456789";
    // Before the first fetch and after it.
    for _ in 0..2 {
        for commit in [nowhere, "main", "--help", "HEAD~1", ""] {
            let error = lab.mirror.export(commit, &lab.target("app")).await.unwrap_err();
            assert!(matches!(error, GitError::UnknownCommit { .. }), "{commit}: {error}");
        }
        lab.fetch().await.unwrap();
    }
    let error = lab.mirror.is_ancestor(nowhere, nowhere).await.unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
}

#[tokio::test]
async fn a_repository_that_is_gone_is_unreachable_until_it_is_back() {
    let lab = Lab::new();
    let commit = lab.commit("first");
    lab.fetch().await.unwrap();
    let away = lab.folder.path().join("away");
    std::fs::rename(lab.origin(), &away).unwrap();
    let error = lab.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }) && error.is_transient(), "{error}");
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], commit);
    std::fs::create_dir(lab.origin()).unwrap();
    let error = lab.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "an empty folder: {error}");
    lab.git(&["init", "-q"]);
    assert!(lab.mirror.remote_is_empty().await.unwrap());
    std::fs::remove_dir_all(lab.origin()).unwrap();
    std::fs::rename(away, lab.origin()).unwrap();
    lab.fetch().await.unwrap();
    assert!(!lab.mirror.remote_is_empty().await.unwrap());
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], commit);
}

#[tokio::test]
async fn a_mirror_that_is_locked_damaged_or_lost_is_made_whole() {
    let lab = Lab::new();
    lab.write("a", "1");
    let commit = lab.commit("first");
    lab.fetch().await.unwrap();
    let mirror = lab.folder.path().join("mirror");
    // What a git that was killed leaves behind.
    std::fs::create_dir_all(mirror.join("refs/heads")).unwrap();
    std::fs::write(mirror.join("refs/heads/main.lock"), "").unwrap();
    std::fs::write(mirror.join("packed-refs.lock"), "").unwrap();
    let next = lab.commit("second");
    lab.fetch().await.unwrap();
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], next);

    // What a power cut leaves behind.
    std::fs::write(mirror.join("refs/heads/main"), "").unwrap();
    for entry in std::fs::read_dir(mirror.join("objects")).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    lab.fetch().await.unwrap();
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], next);
    std::fs::write(mirror.join("HEAD"), "").unwrap();
    lab.fetch().await.unwrap();
    std::fs::remove_dir_all(mirror.join("objects")).unwrap();
    lab.fetch().await.unwrap();
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], next);

    std::fs::remove_dir_all(&mirror).unwrap();
    lab.fetch().await.unwrap();
    assert!(lab.mirror.export(&commit, &lab.target("app")).await.is_ok());
}

#[tokio::test]
async fn fetches_of_one_mirror_take_turns() {
    let lab = Lab::new();
    let commit = lab.commit("first");
    let fetches = tokio::join!(lab.fetch(), lab.fetch(), lab.fetch());
    assert!(matches!(fetches, (Ok(()), Ok(()), Ok(()))), "{fetches:?}");
    assert_eq!(lab.mirror.refs().await.unwrap()["refs/heads/main"], commit);
}

#[tokio::test]
async fn hooks_and_submodules_do_nothing() {
    let lab = Lab::new();
    lab.commit("first");
    lab.fetch().await.unwrap();
    let proof = lab.folder.path().join("proof");
    let hook = format!("#!/bin/sh\ntouch {}\n", proof.display());
    let path = lab.folder.path().join("mirror/hooks/reference-transaction");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, hook).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    lab.write(".gitmodules", "[submodule \"x\"]\n path = x\n url = ext::sh -c id\n update = !id\n");
    lab.git(&["add", "-A"]);
    let gitlink = format!("160000,{},x", "1".repeat(40));
    lab.git(&["update-index", "--add", "--cacheinfo", &gitlink]);
    lab.git(&["commit", "-q", "-m", "sub"]);
    let commit = lab.git(&["rev-parse", "HEAD"]);
    lab.fetch().await.unwrap();
    let target = lab.target("app");
    lab.mirror.export(&commit, &target).await.unwrap();
    assert!(!target.join("x").exists(), "a submodule is left out");
    assert!(!proof.exists());
}

#[tokio::test]
async fn an_action_finds_the_mirror_of_a_sensor() {
    let lab = Lab::new();
    let (mirrors, app) = (Mirrors::default(), "demo.app".parse().unwrap());
    assert!(mirrors.get(&app).is_none());
    mirrors.clone().register(app.clone(), lab.mirror.clone(), Vec::new());
    assert!(mirrors.get(&app).is_some());
    mirrors.remove(&app);
    assert!(mirrors.get(&app).is_none());
}
