//! Authorities that are trusted besides the system's: most companies have one of their own.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Certificate;

/// Where systems keep all the authorities they trust in one file.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why a file makes nobody trusted.
#[derive(Debug, thiserror::Error)]
pub enum BadAuthorities {
    /// The file system failed.
    #[error("`tls.ca_file`: {} cannot be {doing}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Something else is in it.
    #[error(
        "`tls.ca_file`: {} holds no certificate: expected PEM, which begins with `-----BEGIN CERTIFICATE-----`",
        .0.display()
    )]
    NoCertificate(PathBuf),
}

/// The certificates of a PEM file.
#[derive(Clone)]
pub struct Authorities {
    pem: Vec<u8>,
    certificates: Vec<Certificate>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.certificates.len()).finish()
    }
}

impl Authorities {
    /// Reads a file with at least one certificate.
    pub fn read(path: &Path) -> Result<Self, BadAuthorities> {
        let pem = std::fs::read(path).map_err(io("read", path))?;
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(BadAuthorities::NoCertificate(path.to_owned()));
        }
        Ok(Self { pem, certificates })
    }

    /// For the HTTP client.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.certificates.iter().cloned()
    }

    /// Writes these and the system's into one file: for `git`, one file is all it trusts.
    pub fn write_bundle(&self, to: &Path) -> Result<(), BadAuthorities> {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let known = named.into_iter().chain(SYSTEM_BUNDLES.map(PathBuf::from));
        let mut bundle = known.map(std::fs::read).find_map(Result::ok).unwrap_or_default();
        bundle.push(b'\n');
        bundle.extend_from_slice(&self.pem);
        std::fs::write(to, bundle).map_err(io("written", to))
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BadAuthorities {
    move |error| BadAuthorities::Io { doing, path: path.to_owned(), error }
}
