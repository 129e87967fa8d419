//! A disk that tests may fill.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A file system of 8 MiB of its own, until it is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount anything; where every test is to run (`CI` is set), that is an
    /// error.
    pub fn mount(at: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let tmpfs = ["-t", "tmpfs", "-o", "size=8m", "tmpfs"];
        let mounted = Command::new("mount").args(tmpfs).arg(at).output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Ok(Some(Self(at.to_owned()))),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("mount: {error}"),
        };
        let needs = format!(
            "a small tmpfs cannot be mounted here ({why}): it needs root, or CAP_SYS_ADMIN in a container"
        );
        ensure!(std::env::var_os("CI").is_none(), "{needs}");
        eprintln!("skipped: {needs}");
        Ok(None)
    }

    /// Takes what space there is.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        while ballast.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("the disk was not filled")
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a program that is being ended may still stand in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
