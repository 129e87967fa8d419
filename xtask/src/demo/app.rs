//! The application that the demo releases: a git repository whose `serve` answers over HTTP.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A local repository with a work tree.
pub(super) struct Repository {
    pub(super) folder: PathBuf,
}

impl Repository {
    pub(super) fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let repository = Self { folder: folder.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// Commits a version to main; answers with the commit.
    pub(super) fn commit(&self, version: &str, healthy: bool) -> Result<String> {
        let server = std::env::current_exe()?;
        let serve = format!("#!/bin/sh\nexec '{}' demo-app \"$@\"\n", server.display());
        fs::write(self.folder.join("serve"), serve)?;
        fs::set_permissions(self.folder.join("serve"), fs::Permissions::from_mode(0o755))?;
        fs::write(self.folder.join("version"), format!("{version}\n"))?;
        fs::write(self.folder.join("health"), if healthy { "ok\n" } else { "broken\n" })?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &format!("Release {version}")])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes a branch at the current commit.
    pub(super) fn branch(&self, name: &str) -> Result<()> {
        self.git(&["branch", name]).map(|_| ())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let who = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"];
        let output =
            Command::new("git").arg("-C").arg(&self.folder).args(who).args(arguments).output();
        let output = output.context("git cannot be run: is it installed?")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {}: {error}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// `demo-app PORTFILE`: serves the current folder's version and health on a free port, which it
/// writes to PORTFILE once it listens.
pub(super) fn serve(arguments: &[String]) -> Result<()> {
    let file = arguments.first().context("usage: demo-app PORTFILE")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let fresh = format!("{file}.new");
    fs::write(&fresh, listener.local_addr()?.port().to_string())?;
    fs::rename(fresh, file)?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap_or(0);
        let (status, body) = answer(&String::from_utf8_lossy(&request[..length]));
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // A client that went away is none of the server's trouble.
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
    }
    Ok(())
}

/// The version for everybody; its health for who has the key that the release was started with.
fn answer(request: &str) -> (&'static str, String) {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    if !request.starts_with("GET /health") {
        return ("200 OK", read("version"));
    }
    let key = std::env::var("APP_KEY").unwrap_or_default();
    let bearer = format!("authorization: Bearer {key}");
    match (request.lines().any(|line| line.eq_ignore_ascii_case(&bearer)), read("health").trim()) {
        (false, _) => ("401 Unauthorized", "the key is wrong".to_owned()),
        (true, "ok") => ("200 OK", "ok".to_owned()),
        (true, why) => ("503 Service Unavailable", why.to_owned()),
    }
}
