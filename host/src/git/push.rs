//! Commits and tags that are made here and pushed: found again when the answer was lost, made anew
//! on top of what others pushed meanwhile.

use std::collections::BTreeMap;

use model::Timestamp;

use super::command::Run;
use super::{GitError, RefPattern, Repository};

/// The trailer by which a commit is found again.
const TRAILER: &str = "Tripline-Key";
/// How often somebody else may be quicker.
const TRIES: usize = 5;
/// Most bytes of a diff that a plan shows.
const MAX_DIFF: u64 = 64 << 10;
const ZERO: &str = "0000000000000000000000000000000000000000";

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The branch, such as `main`.
    pub branch: String,
    /// What it says; its trailer is added.
    pub message: String,
    /// Who makes it.
    pub author: Author,
    /// The whole new content of each file; none removes it.
    pub files: BTreeMap<String, Option<Vec<u8>>>,
    /// The commit that the contents were made from; without it, the branch as it is found.
    pub base: Option<String>,
    /// Stands in the commit's trailer: a commit that has it is this one.
    pub key: String,
}

/// Who commits.
#[derive(Debug, Clone)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// What stands at the remote now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit's full name.
    pub commit: String,
    /// Whether it was there before.
    pub existed: bool,
}

/// What a commit would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCommit {
    /// The commit it would be made on.
    pub tip: String,
    /// The difference; none where there is none.
    pub diff: Option<String>,
}

/// A tag to be made.
#[derive(Debug, Clone)]
pub struct NewTag {
    /// Its name, such as `v1.2.0`.
    pub name: String,
    /// The commit.
    pub commit: String,
    /// With a message it is an annotated tag, by this author.
    pub message: Option<(String, Author)>,
}

impl Repository {
    /// Commits whole files to a branch and pushes it. Where somebody else was quicker, the commit
    /// is made anew on top of theirs, unless they changed one of its files.
    pub async fn commit_and_push(
        &self,
        new: &NewCommit,
        now: Timestamp,
    ) -> Result<Pushed, GitError> {
        let branch = branch(&new.branch)?;
        new.files.keys().try_for_each(|path| check_path(path))?;
        let _writing = self.lock.lock().await;
        let mut base = new.base.clone();
        for _ in 0..TRIES {
            let tip = self.tip(&branch).await?;
            let tip = tip.ok_or_else(|| GitError::NoBranch(new.branch.clone()))?;
            if let Some(commit) = self.with_key(&tip, &new.key).await? {
                return Ok(Pushed { commit, existed: true });
            }
            let from = self.resolve(base.get_or_insert(tip.clone())).await?;
            let tree = self.tree(&tip, new).await?;
            if self.tree_of(&tip).await? == tree {
                return Ok(Pushed { commit: tip, existed: true });
            }
            self.check_untouched(&from, &tip, new).await?;
            let commit = self.commit(&tip, &tree, new, now).await?;
            if self.push(&commit, &branch).await? {
                return Ok(Pushed { commit, existed: false });
            }
        }
        Err(GitError::Contended { branch: new.branch.clone(), tries: TRIES })
    }

    /// What [`Repository::commit_and_push`] would change now. Objects that no ref names are written
    /// to the mirror, which is a cache; nothing is sent.
    pub async fn plan_commit(&self, new: &NewCommit) -> Result<PlannedCommit, GitError> {
        let branch = branch(&new.branch)?;
        new.files.keys().try_for_each(|path| check_path(path))?;
        let _writing = self.lock.lock().await;
        let tip = self.tip(&branch).await?;
        let tip = tip.ok_or_else(|| GitError::NoBranch(new.branch.clone()))?;
        let from = self.resolve(new.base.as_ref().unwrap_or(&tip)).await?;
        let tree = self.tree(&tip, new).await?;
        if self.tree_of(&tip).await? == tree {
            return Ok(PlannedCommit { tip, diff: None });
        }
        self.check_untouched(&from, &tip, new).await?;
        let diff = self.diff(&tip, &tree).await?;
        Ok(PlannedCommit { tip, diff: Some(diff) })
    }

    /// The difference between two trees, cut where it is long.
    async fn diff(&self, from: &str, to: &str) -> Result<String, GitError> {
        let plain = ["-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"];
        let run = self.run("diff-tree").args(plain).args([from, to]);
        let output = run.max_output(MAX_DIFF).output().await?;
        if !output.cut && output.code != Some(0) {
            return Err(output.failure());
        }
        let cut = if output.cut { "\n(the rest of the diff is left out)\n" } else { "" };
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + cut)
    }

    /// What [`Repository::push_tag`] would come to now.
    pub async fn plan_tag(&self, new: &NewTag) -> Result<Pushed, GitError> {
        let name = reference("refs/tags/", &new.name)?;
        let _writing = self.lock.lock().await;
        let existing = self.tip(&name).await?;
        let commit = self.resolve(&new.commit).await?;
        match existing {
            Some(at) if at == commit => Ok(Pushed { commit, existed: true }),
            Some(at) => Err(GitError::TagExists { tag: new.name.clone(), commit: at }),
            None => Ok(Pushed { commit, existed: false }),
        }
    }

    /// Makes a tag and pushes it. One that is there already must stand at the same commit.
    pub async fn push_tag(&self, new: &NewTag, now: Timestamp) -> Result<Pushed, GitError> {
        let name = reference("refs/tags/", &new.name)?;
        let _writing = self.lock.lock().await;
        let existing = self.tip(&name).await?;
        let commit = self.resolve(&new.commit).await?;
        let taken = |commit| GitError::TagExists { tag: new.name.clone(), commit };
        match existing {
            Some(at) if at == commit => return Ok(Pushed { commit, existed: true }),
            Some(at) => return Err(taken(at)),
            None => {}
        }
        let object = match &new.message {
            Some((message, author)) => self.tag_object(new, &commit, message, author, now).await?,
            None => commit.clone(),
        };
        if self.push(&object, &name).await? {
            return Ok(Pushed { commit, existed: false });
        }
        match self.tip(&name).await? {
            Some(at) if at == commit => Ok(Pushed { commit, existed: true }),
            at => Err(taken(at.unwrap_or_default())),
        }
    }

    /// The commit at which `name` stands at the remote now.
    async fn tip(&self, name: &str) -> Result<Option<String>, GitError> {
        self.prepare().await?;
        let bad = |_| GitError::BadName(name.to_owned());
        self.fetch_once(&[name.parse::<RefPattern>().map_err(bad)?]).await?;
        Ok(self.refs().await?.remove(name))
    }

    /// The commit below `tip` that has the trailer.
    async fn with_key(&self, tip: &str, key: &str) -> Result<Option<String>, GitError> {
        let trailer = format!("{TRAILER}: {key}");
        let grep = format!("--grep={trailer}");
        let args = ["--fixed-strings", "--format=%H%x00%B%x01", &grep, tip, "--"];
        let found = self.run("log").args(args).stdout().await?;
        let found = String::from_utf8_lossy(&found);
        let mut exact = found.split('\u{1}').filter_map(|commit| {
            let (id, message) = commit.trim_start().split_once('\0')?;
            message.lines().any(|line| line.trim() == trailer).then(|| id.to_owned())
        });
        Ok(exact.next_back())
    }

    async fn tree_of(&self, commit: &str) -> Result<String, GitError> {
        self.word(self.run("rev-parse").args(["--verify", &format!("{commit}^{{tree}}")])).await
    }

    /// The tree of `tip` with the new files in it.
    async fn tree(&self, tip: &str, new: &NewCommit) -> Result<String, GitError> {
        let folder = tempfile::tempdir().map_err(GitError::io("make", &std::env::temp_dir()))?;
        let index = folder.path().join("index");
        self.run("read-tree").variable("GIT_INDEX_FILE", &index).args([tip]).stdout().await?;
        let mut entries = Vec::new();
        for (path, content) in &new.files {
            let entry = match content {
                Some(content) => {
                    let hash = self.run("hash-object").args(["-w", "--stdin"]).input(content)?;
                    format!("{} {}\t{path}", self.mode(tip, path).await?, self.word(hash).await?)
                }
                None => format!("0 {ZERO}\t{path}"),
            };
            entries.extend(entry.into_bytes());
            entries.push(0);
        }
        let update = self.run("update-index").variable("GIT_INDEX_FILE", &index);
        update.args(["-z", "--index-info"]).input(&entries)?.stdout().await?;
        self.word(self.run("write-tree").variable("GIT_INDEX_FILE", &index)).await
    }

    /// A file that is executable stays so.
    async fn mode(&self, tip: &str, path: &str) -> Result<&'static str, GitError> {
        let entry = self.run("ls-tree").args(["--full-tree", tip, "--", path]).stdout().await?;
        Ok(if entry.starts_with(b"100755 ") { "100755" } else { "100644" })
    }

    /// Nobody may have changed the same files since `base`.
    async fn check_untouched(
        &self,
        base: &str,
        tip: &str,
        new: &NewCommit,
    ) -> Result<(), GitError> {
        if base == tip {
            return Ok(());
        }
        let diff = self.run("diff-tree").args(["-r", "-z", "--name-only", "--no-renames"]);
        let diff = diff.args([base, tip, "--"]).args(new.files.keys()).stdout().await?;
        let touched = String::from_utf8_lossy(&diff);
        let touched: Vec<String> =
            touched.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        if touched.is_empty() {
            return Ok(());
        }
        Err(GitError::Touched { branch: new.branch.clone(), files: touched.join(", ") })
    }

    async fn commit(
        &self,
        tip: &str,
        tree: &str,
        new: &NewCommit,
        now: Timestamp,
    ) -> Result<String, GitError> {
        let message = format!("{}\n\n{TRAILER}: {}\n", new.message.trim_end(), new.key);
        let date = format!("{} +0000", now.as_second());
        let mut run = self.run("commit-tree").args([tree, "-p", tip, "-F", "-"]);
        for role in ["AUTHOR", "COMMITTER"] {
            run = run
                .variable(&format!("GIT_{role}_NAME"), &new.author.name)
                .variable(&format!("GIT_{role}_EMAIL"), &new.author.email)
                .variable(&format!("GIT_{role}_DATE"), &date);
        }
        self.word(run.input(message.as_bytes())?).await
    }

    async fn tag_object(
        &self,
        new: &NewTag,
        commit: &str,
        message: &str,
        author: &Author,
        now: Timestamp,
    ) -> Result<String, GitError> {
        let Author { name, email } = author;
        let object = format!(
            "object {commit}\ntype commit\ntag {}\ntagger {name} <{email}> {} +0000\n\n{}\n",
            new.name,
            now.as_second(),
            message.trim_end()
        );
        self.word(self.run("mktag").input(object.as_bytes())?).await
    }

    /// Pushes `object` to `name`. False: somebody else was quicker.
    async fn push(&self, object: &str, name: &str) -> Result<bool, GitError> {
        let options = self.git.options();
        let output = self
            .asking("push")
            .await?
            .args(["--porcelain", "--quiet", "--no-verify", "--"])
            .args([self.remote().url(), &format!("{object}:{name}")])
            .timeout(options.fetch_timeout)
            .output()
            .await?;
        if output.code == Some(0) {
            return Ok(true);
        }
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = told.lines().find(|line| line.starts_with('!')).unwrap_or_default();
        let quicker = ["(fetch first)", "(non-fast-forward)", "(already exists)"];
        let raced = |status: &str| {
            let reason = quicker.iter().any(|reason| status.contains(reason));
            reason || output.stderr.contains("cannot lock ref")
        };
        match status {
            "" => Err(GitError::of_fetch(self.remote(), &output.stderr)),
            status if raced(status) => Ok(false),
            status => {
                let reason = status.rsplit('\t').next().unwrap_or_default();
                let message = super::error::brief(&format!("{reason}\n{}", output.stderr));
                let repository = self.remote().repository().to_owned();
                Err(GitError::Declined { repository, message })
            }
        }
    }

    async fn word(&self, run: Run) -> Result<String, GitError> {
        let output = run.stdout().await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}

fn branch(name: &str) -> Result<String, GitError> {
    reference("refs/heads/", name)
}

/// The full name of a ref, by git's own rules and without patterns.
fn reference(prefix: &str, name: &str) -> Result<String, GitError> {
    let bad = name.is_empty()
        || name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
        || ["..", "//", "@{"].iter().any(|pair| name.contains(pair))
        || name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    if bad { Err(GitError::BadName(name.to_owned())) } else { Ok(format!("{prefix}{name}")) }
}

/// A file below the repository's root, and none of git's own.
fn check_path(path: &str) -> Result<(), GitError> {
    let part_is_bad =
        |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    let bad =
        path.contains(|c: char| c.is_control() || c == '\\') || path.split('/').any(part_is_bad);
    if bad { Err(GitError::BadPath(path.to_owned())) } else { Ok(()) }
}
