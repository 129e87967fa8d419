//! Who talks to a cluster: tokens, kubeconfigs, and the key that service accounts' tokens are signed
//! with.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use sha2::{Digest, Sha256};

/// The token of a user who may do everything.
pub const ADMIN: &str = "lab-admin-token";
/// The token of the service account `narrow` of the namespace `default`, which may do nothing until
/// it is allowed to.
pub const NARROW: &str = "lab-narrow-token";

/// The certificate that the API server shows, made by itself at its first start.
pub(crate) const CA: &str = "certs/apiserver.crt";
/// With what the parts of a cluster go to the API server.
pub(crate) const ADMIN_KUBECONFIG: &str = "lab-admin-token.kubeconfig";
/// The private half of the key that service accounts' tokens are signed with.
pub(crate) const SIGNING_KEY: &str = "sa.key";
/// Who signs them, and for whom.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

const TOKENS: &str = r#"lab-admin-token,admin,admin,"system:masters"
lab-narrow-token,system:serviceaccount:default:narrow,narrow,"system:serviceaccounts,system:serviceaccounts:default"
"#;

/// Writes what the API server knows its callers by: `tokens.csv`, and the two halves of the signing
/// key, `sa.key` and `sa.pub`; unless an earlier start did.
pub(crate) fn write(folder: &Path) -> Result<()> {
    if folder.join(SIGNING_KEY).exists() {
        return Ok(());
    }
    let random = SystemRandom::new();
    let made = |_: Unspecified| anyhow!("no signing key could be made");
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(made)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref())?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(made)?;
    fs::write(folder.join("tokens.csv"), TOKENS)?;
    fs::write(folder.join("sa.pub"), pem("PUBLIC KEY", public.as_ref()))?;
    fs::write(folder.join(SIGNING_KEY), pem("PRIVATE KEY", private.as_ref()))?;
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// How a caller shows who it is.
pub(crate) enum Credential<'a> {
    Token(&'a str),
    /// A file that holds a token, and may hold another one later.
    TokenFile(&'a Path),
}

impl Credential<'_> {
    /// What the kubeconfig with this credential is called.
    pub(crate) fn file_name(&self) -> String {
        let of = match self {
            Self::Token(known @ (ADMIN | NARROW)) => (*known).to_owned(),
            Self::Token(other) => short_hash(other.as_bytes()),
            Self::TokenFile(path) => short_hash(path.as_os_str().as_encoded_bytes()),
        };
        format!("{of}.kubeconfig")
    }

    fn user(&self) -> String {
        match self {
            Self::Token(token) => format!("token: {token}"),
            Self::TokenFile(path) => format!("tokenFile: \"{}\"", path.display()),
        }
    }
}

fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A kubeconfig for the API server at `url`.
pub(crate) fn kubeconfig(url: &str, ca: &Path, credential: &Credential<'_>) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
current-context: lab
clusters: [{{ name: lab, cluster: {{ server: "{url}", certificate-authority: "{}" }} }}]
users: [{{ name: lab, user: {{ {} }} }}]
contexts: [{{ name: lab, context: {{ cluster: lab, user: lab }} }}]
"#,
        ca.display(),
        credential.user(),
    )
}
