//! One TLS and crypto library is linked: aws-lc-rs. Another one would double what must be patched.

use super::Finding;
use crate::repo::Repo;

const BANNED: [&str; 3] = ["ring", "openssl-sys", "native-tls"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let found = BANNED.iter().filter(|name| repo.tree.iter().any(|built| built.name == **name));
    found
        .map(|name| {
            let hint = "find who brings it with `cargo tree -e features -i` and turn that off";
            Finding::error("Cargo.lock", format!("`{name}` is built: {hint}"))
        })
        .collect()
}
