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

/// The token of a user who may do everything.
pub const ADMIN: &str = "lab-admin-token";
/// The token of the service account `narrow` of the namespace `default`, which may do nothing until
/// it is allowed to.
pub const NARROW: &str = "lab-narrow-token";

/// The certificate that the API server shows, made by itself at its first start.
pub(crate) const CA: &str = "certs/apiserver.crt";
/// With what the parts of a cluster go to the API server.
pub(crate) const ADMIN_KUBECONFIG: &str = "lab-admin-token.kubeconfig";

const TOKENS: &str = r#"lab-admin-token,admin,admin,"system:masters"
lab-narrow-token,system:serviceaccount:default:narrow,narrow,"system:serviceaccounts,system:serviceaccounts:default"
"#;

/// Writes what the API server knows its callers by: `tokens.csv`, and the two halves of the signing
/// key, `sa.key` and `sa.pub`.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let random = SystemRandom::new();
    let made = |_: Unspecified| anyhow!("no signing key could be made");
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(made)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref())?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(made)?;
    fs::write(folder.join("tokens.csv"), TOKENS)?;
    fs::write(folder.join("sa.key"), pem("PRIVATE KEY", private.as_ref()))?;
    fs::write(folder.join("sa.pub"), pem("PUBLIC KEY", public.as_ref()))?;
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A kubeconfig for the API server at `url`.
pub(crate) fn kubeconfig(url: &str, ca: &Path, token: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
current-context: lab
clusters: [{{ name: lab, cluster: {{ server: "{url}", certificate-authority: "{}" }} }}]
users: [{{ name: lab, user: {{ token: {token} }} }}]
contexts: [{{ name: lab, context: {{ cluster: lab, user: lab }} }}]
"#,
        ca.display()
    )
}
