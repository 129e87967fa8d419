//! A git server over ssh: a real `sshd`, run for each connection by the user who runs the test.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SSHD: &str = "/usr/sbin/sshd";

/// Lets in who holds the key [`GitSsh::key`].
pub(crate) struct GitSsh {
    address: SocketAddr,
    folder: PathBuf,
}

/// Whether there is a server to talk to. A machine that checks everything must have one.
pub(crate) fn is_there() -> bool {
    let there = Path::new(SSHD).exists();
    assert!(there || std::env::var_os("CI").is_none(), "{SSHD} is missing: install openssh-server");
    if !there {
        eprintln!("not tested: {SSHD} is missing (Debian's package openssh-server)");
    }
    there
}

impl GitSsh {
    /// With its keys and settings in `folder`.
    pub(crate) fn serve(folder: &Path) -> Self {
        let ssh = Self { address: ([127, 0, 0, 1], 0).into(), folder: folder.to_owned() };
        for name in ["host_key", "key"] {
            ssh.make_key(name);
        }
        fs::copy(ssh.path("key.pub"), ssh.path("authorized_keys")).unwrap();
        let settings = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            ssh.path("host_key").display(),
            ssh.path("authorized_keys").display()
        );
        fs::write(ssh.path("sshd_config"), settings).unwrap();
        // Only needed, and only possible, where the test is run by root.
        let _ = fs::create_dir("/run/sshd");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ssh.path("sshd_config");
        // Ends with the test's process: it owns nothing that would have to be put away.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let socket: OwnedFd = connection.unwrap().into();
                let mut sshd = Command::new(SSHD);
                sshd.args(["-i", "-e", "-f"]).arg(&settings).stderr(Stdio::null());
                sshd.stdin(socket.try_clone().unwrap()).stdout(socket);
                let mut sshd = sshd.spawn().unwrap();
                std::thread::spawn(move || sshd.wait());
            }
        });
        Self { address, ..ssh }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The private key of who may come in.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key")
    }

    /// Makes a pair of keys, `name` and `name.pub`.
    pub(crate) fn make_key(&self, name: &str) {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name));
        assert!(keygen.status().unwrap().success());
    }

    /// Writes a file of known hosts in which this server has the public key `name`.
    pub(crate) fn known_as(&self, name: &str) -> PathBuf {
        let key = fs::read_to_string(self.path(name)).unwrap();
        let path = self.path("known hosts");
        fs::write(&path, format!("[127.0.0.1]:{} {key}", self.address.port())).unwrap();
        path
    }

    pub(crate) fn url(&self, repository: &Path) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        format!("ssh://{}@{}{}", user.trim(), self.address, repository.display())
    }
}
