//! Where a repository lies and how to get in: an allow-list of transports.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::Options;
use crate::guard::Reach;

/// A URL that is not allowed, or is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL of a repository.
    #[error(
        "`{0}` is not a repository's URL: expected `https://host/path` or `ssh://user@host/path`"
    )]
    Malformed(String),
    /// A transport that is not on the list.
    #[error("the scheme `{0}` is not allowed for repositories: expected https or ssh")]
    Scheme(String),
    /// A path or `file:` URL, without permission.
    #[error("`{0}` is a local repository: {1}")]
    Local(String, &'static str),
    /// A password in the URL.
    #[error("the repository's URL holds a password: put it into `credentials` instead")]
    Password,
    /// Credentials that don't suit the transport.
    #[error("{0}")]
    Credentials(&'static str),
}

/// How to get in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Public, or what the system has (an ssh agent, the user's keys).
    None,
    /// For https: a token, or `user:password`.
    Password(String),
    /// For ssh: a file with a private key.
    Key(PathBuf),
    /// For ssh: a private key itself.
    PrivateKey(String),
}

/// Never shows the password or key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(_) => f.write_str("Password(…)"),
            Self::PrivateKey(_) => f.write_str("PrivateKey(…)"),
            Self::Key(path) => f.debug_tuple("Key").field(path).finish(),
        }
    }
}

/// How every form of a private key begins.
const KEY_BEGINS: &str = "-----BEGIN";

/// How git reaches a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    Ssh,
    File,
}

impl Transport {
    /// Its name in `GIT_ALLOW_PROTOCOL`.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

/// A repository somewhere else, checked against the allow-list.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    repository: String,
    transport: Transport,
    /// `https://host:port`, which alone is given the credentials.
    origin: Option<String>,
    username: Option<String>,
    credentials: Credentials,
    /// How far its addresses may lie; none: wherever they do.
    pub(super) reach: Option<Reach>,
}

impl Remote {
    /// The repository as events and messages name it: the URL without a user name.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// How to get in.
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) const fn transport(&self) -> Transport {
        self.transport
    }

    /// The origin that may be given a user name and password, and these.
    pub(super) fn login(&self) -> Option<(&str, &str, &str)> {
        let (Some(origin), Credentials::Password(secret)) = (&self.origin, &self.credentials)
        else {
            return None;
        };
        let (user, password) = match (&self.username, secret.split_once(':')) {
            (Some(user), _) => (user.as_str(), secret.as_str()),
            (None, Some((user, password))) => (user, password),
            // The hosts that take a bare token accept any name with it.
            (None, None) => ("x-access-token", secret.as_str()),
        };
        Some((origin, user, password))
    }

    pub(super) fn parse(
        text: &str,
        credentials: Credentials,
        options: &Options,
    ) -> Result<Self, BadUrl> {
        let malformed = || BadUrl::Malformed(text.to_owned());
        if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
            return Err(malformed());
        }
        let remote = if text.contains("://") {
            Self::of_url(text, &Url::parse(text).map_err(|_| malformed())?)?
        } else if let Some((host, path)) = text.split_once(':').filter(|(h, _)| !h.contains('/')) {
            let host = host.rsplit('@').next().unwrap_or_default();
            if path.starts_with(':') {
                return Err(BadUrl::Scheme(host.to_owned()));
            }
            Self::of_ssh(text, host)?
        } else {
            Self::bare(Path::new(text).to_string_lossy().into_owned(), Transport::File)
        };
        remote.may_be_used(options)?;
        remote.with(credentials)
    }

    /// Whether it lies where it may, as far as that is told without asking anybody. Links may have
    /// come between two uses.
    pub(super) fn may_be_used(&self, options: &Options) -> Result<(), BadUrl> {
        let local = self.transport == Transport::File;
        let refusal = || options.allow_local.refusal(&self.url, options.state.as_deref());
        match local.then(refusal).flatten() {
            Some(why) => Err(BadUrl::Local(self.url.clone(), why)),
            None => Ok(()),
        }
    }

    fn of_url(text: &str, url: &Url) -> Result<Self, BadUrl> {
        let malformed = || BadUrl::Malformed(text.to_owned());
        if url.password().is_some() {
            return Err(BadUrl::Password);
        }
        match url.scheme() {
            "file" => Ok(Self::bare(text.to_owned(), Transport::File)),
            "ssh" => Self::of_ssh(text, url.host_str().ok_or_else(malformed)?),
            "https" if url.query().is_none() && url.fragment().is_none() => {
                let mut plain = url.clone();
                plain.set_username("").map_err(|()| malformed())?;
                let username = Some(url.username()).filter(|name| !name.is_empty());
                Ok(Self {
                    repository: plain.to_string(),
                    origin: Some(url.origin().ascii_serialization()),
                    username: username.map(ToOwned::to_owned),
                    ..Self::bare(plain.to_string(), Transport::Https)
                })
            }
            "https" => Err(malformed()),
            scheme => Err(BadUrl::Scheme(scheme.to_owned())),
        }
    }

    fn of_ssh(text: &str, host: &str) -> Result<Self, BadUrl> {
        let user = text.trim_start_matches("ssh://");
        if host.is_empty() || host.starts_with('-') || user.starts_with('-') {
            return Err(BadUrl::Malformed(text.to_owned()));
        }
        Ok(Self::bare(text.to_owned(), Transport::Ssh))
    }

    fn bare(url: String, transport: Transport) -> Self {
        let (repository, credentials) = (url.clone(), Credentials::None);
        let (origin, username, reach) = (None, None, None);
        Self { url, repository, transport, origin, username, credentials, reach }
    }

    fn with(self, credentials: Credentials) -> Result<Self, BadUrl> {
        match (self.transport, &credentials) {
            (Transport::Ssh, Credentials::PrivateKey(key)) if !key.starts_with(KEY_BEGINS) => {
                Err(BadUrl::Credentials(
                    "an ssh URL takes a private key as credentials, which begins with `-----BEGIN`",
                ))
            }
            (_, Credentials::None)
            | (Transport::Https, Credentials::Password(_))
            | (Transport::Ssh, Credentials::Key(_) | Credentials::PrivateKey(_)) => {
                Ok(Self { credentials, ..self })
            }
            (Transport::Https, Credentials::Key(_) | Credentials::PrivateKey(_)) => Err(
                BadUrl::Credentials("an https URL takes a token or `user:password` as credentials"),
            ),
            (Transport::Ssh, Credentials::Password(_)) => {
                Err(BadUrl::Credentials("an ssh URL takes a private key as credentials"))
            }
            (Transport::File, _) => {
                Err(BadUrl::Credentials("a local repository takes no credentials"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Local;
    use super::*;

    fn parse(text: &str) -> Result<Remote, BadUrl> {
        Remote::parse(text, Credentials::None, &Options::default())
    }

    #[test]
    fn only_https_and_ssh_lead_outside() {
        for (text, protocol) in [
            ("https://git.example.com/team/app.git", "https"),
            ("ssh://git@git.example.com:2222/team/app.git", "ssh"),
            ("git@git.example.com:team/app.git", "ssh"),
        ] {
            assert_eq!(parse(text).unwrap().transport().protocol(), protocol, "{text}");
        }
        for text in [
            "http://git.example.com/app",
            "git://git.example.com/app",
            "ext::sh -c id",
            "ftp://x/y",
            "https://git.example.com/app?x=1",
            "https://user:pass@git.example.com/app",
            "--upload-pack=id",
            "-oProxyCommand=id:x",
            "ssh://-oProxyCommand=id/x",
            "git@-oProxyCommand=id:x",
            "",
            "a\nb",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn local_repositories_need_permission() {
        for text in ["/srv/app.git", "file:///srv/app.git", "./app"] {
            assert!(matches!(parse(text), Err(BadUrl::Local(..))), "{text}");
            let allowed = Options { allow_local: Local::Anywhere, ..Options::default() };
            assert!(Remote::parse(text, Credentials::None, &allowed).is_ok(), "{text}");
        }
    }

    #[test]
    fn credentials_suit_the_transport_and_stay_out_of_sight() {
        let token = Credentials::Password("s3cr3t-token".to_owned());
        let remote =
            Remote::parse("https://bot@git.example.com/app", token.clone(), &Options::default())
                .unwrap();
        assert_eq!(remote.repository(), "https://git.example.com/app");
        assert_eq!(remote.login(), Some(("https://git.example.com", "bot", "s3cr3t-token")));
        assert!(!format!("{remote:?}").contains("s3cr3t"));
        let pair = Credentials::Password("me:s3cr3t-token".to_owned());
        let remote =
            Remote::parse("https://git.example.com:8443/app", pair, &Options::default()).unwrap();
        assert_eq!(remote.login(), Some(("https://git.example.com:8443", "me", "s3cr3t-token")));
        assert!(Remote::parse("git@git.example.com:app", token, &Options::default()).is_err());
        let no_key = Credentials::PrivateKey("s3cr3t-token".to_owned());
        let error = Remote::parse("git@git.example.com:app", no_key, &Options::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("-----BEGIN") && !error.contains("s3cr3t"), "{error}");
    }
}
