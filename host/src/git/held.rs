//! How far a repository may lie whose URL somebody else than the environment wrote.
//!
//! git looks names up itself. So the name of a held repository is looked up here first, and git is
//! told the addresses within reach: it has nothing to look up, and a name that leads elsewhere a
//! moment later gains nothing. It follows no redirect either, as nobody could look where that leads.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::{GitError, Remote};
use crate::guard::{self, Blocked, HostPattern, Proxies, Reach};

/// Where git connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Remote {
    /// The same repository, which lies within reach of these entries of `hosts`. One that they don't
    /// name lies on the public internet, unless it must be `listed`.
    pub fn held(mut self, hosts: &[HostPattern], listed: bool) -> Result<Self, Blocked> {
        let Some(url) = self.address() else { return Ok(self) };
        let reach = match guard::permit(hosts, &url) {
            Err(Blocked::NotListed { .. }) if !listed => {
                guard::check_literal(&url, Reach::Public)?;
                Reach::Public
            }
            reach => reach?,
        };
        self.reach = Some(reach);
        Ok(self)
    }

    /// Host and port as a URL of a kind whose addresses are known in every spelling; none: it is no
    /// other machine's.
    fn address(&self) -> Option<Url> {
        let url = self.url();
        let (host, port) = match url.split_once("://") {
            Some(("file", _)) => return None,
            Some(("ssh", _)) => {
                let url = Url::parse(url).ok()?;
                (url.host_str()?.to_owned(), url.port().unwrap_or(22))
            }
            Some(_) => return Url::parse(url).ok(),
            None => {
                let (host, _) = url.split_once(':').filter(|(host, _)| !host.contains('/'))?;
                (host.rsplit('@').next()?.to_owned(), 22)
            }
        };
        Url::parse(&format!("https://{host}:{port}/")).ok()
    }

    /// Where git is to connect to; none: to wherever it finds, or where a proxy does.
    pub(super) async fn pin(&self, proxies: &Proxies) -> Result<Option<Pin>, GitError> {
        let (Some(reach), Some(url)) = (self.reach, self.address()) else { return Ok(None) };
        let host = url.host_str().unwrap_or_default();
        let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let https = self.url().starts_with("https:");
        if https && name.parse::<IpAddr>().is_ok() {
            // It was looked at in the URL, which git gets as it was read.
            return Ok(None);
        }
        let proxied = https && proxies.of_url(&url).is_some();
        let found = guard::resolve(name, reach).await;
        let addresses = match found {
            // What only the proxy can look up is for the proxy's own rules.
            Ok(_) if proxied => return Ok(None),
            Ok(found) => found.iter().map(SocketAddr::ip).collect(),
            Err(error) => match guard::blocked(error.as_ref()) {
                Some(blocked) => return Err(GitError::Blocked(blocked.clone())),
                None if proxied => return Ok(None),
                None => return Err(self.not_found(error.to_string())),
            },
        };
        let port = url.port_or_known_default().unwrap_or_default();
        Ok(Some(Pin { host: name.to_owned(), port, addresses }))
    }

    fn not_found(&self, message: String) -> GitError {
        let repository = self.repository().to_owned();
        GitError::Unreachable { repository, message }
    }

    /// Whether redirects are not to be followed.
    pub(super) const fn is_held(&self) -> bool {
        self.reach.is_some()
    }
}

impl Pin {
    /// The values of git's `http.curloptResolve`: the host may be written with a dot at its end.
    pub(super) fn for_curl(&self) -> [String; 2] {
        let addresses: Vec<String> = self.addresses.iter().map(bracketed).collect();
        let addresses = addresses.join(",");
        ["", "."].map(|dot| format!("{}{dot}:{}:{addresses}", self.host, self.port))
    }

    /// The options by which ssh goes to the address and knows the host by its name.
    pub(super) fn for_ssh(&self) -> Option<(IpAddr, String)> {
        let alias = match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        };
        self.addresses.first().map(|address| (*address, alias))
    }
}

/// An IPv6 address in brackets.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{Credentials, Git, Options};

    fn remote(url: &str) -> Remote {
        let options = Options { allow_local: crate::git::Local::Anywhere, ..Options::default() };
        Git::new(options).remote(url, Credentials::None).unwrap()
    }

    fn held(hosts: &[&str], listed: bool, url: &str) -> Result<Option<Reach>, Blocked> {
        let hosts: Vec<HostPattern> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        remote(url).held(&hosts, listed).map(|remote| remote.reach)
    }

    #[test]
    fn a_repository_of_a_packs_own_lies_on_the_internet_or_on_a_host_that_it_asks_for() {
        let hosts = ["*.corp.example.com", "10.0.0.7", "git.example.org:2222"];
        for (url, reach) in [
            ("https://git.example.com/app", Reach::Public),
            ("git@git.example.com:app", Reach::Public),
            ("https://git.corp.example.com/app", Reach::Private),
            ("git@git.corp.example.com:app", Reach::Private),
            ("ssh://git@git.corp.example.com:2222/app", Reach::Private),
            ("https://10.0.0.7/app", Reach::Local),
            ("git@10.0.0.7:app", Reach::Local),
        ] {
            assert_eq!(held(&hosts, false, url), Ok(Some(reach)), "{url}");
        }
        assert_eq!(held(&hosts, true, "/srv/app.git"), Ok(None), "it is no host's");
        for url in [
            "https://10.0.0.8/app",
            "https://127.0.0.1/app",
            "https://2130706433/app",
            "https://[::1]/app",
            "git@127.0.0.1:app",
            "ssh://git@2130706433/app",
            "ssh://git@[::1]:2222/app",
            "git@169.254.169.254:app",
        ] {
            let refused = held(&hosts, false, url);
            assert!(matches!(refused, Err(Blocked::TooFar { .. })), "{url}: {refused:?}");
        }
    }

    #[test]
    fn one_that_must_be_listed_is_listed() {
        for url in ["https://git.example.com/app", "git@git.example.com:app"] {
            assert!(matches!(held(&[], true, url), Err(Blocked::NotListed { .. })), "{url}");
            assert!(held(&["git.example.com"], true, url).is_ok(), "{url}");
        }
        assert!(held(&["git.example.com:2222"], true, "git@git.example.com:app").is_err());
        assert!(held(&["git.example.com:22"], true, "git@git.example.com:app").is_ok());
    }

    #[tokio::test]
    async fn git_is_told_the_addresses_of_a_name_that_is_held_and_of_no_other() {
        let none = Proxies::default();
        let local = "https://localhost:7443/app";
        let here = remote(local).held(&["127.0.0.1".parse().unwrap()], false).unwrap();
        let refused = here.pin(&none).await.unwrap_err();
        assert!(matches!(refused, GitError::Blocked(Blocked::TooFar { .. })), "{refused}");
        let own = remote(local).held(&["localhost".parse().unwrap()], true).unwrap();
        let pin = own.pin(&none).await.unwrap().unwrap();
        assert!(pin.for_curl()[0].starts_with("localhost:7443:"), "{pin:?}");
        assert!(pin.for_curl()[1].starts_with("localhost.:7443:"), "{pin:?}");
        let literal = remote("https://127.0.0.1/").held(&["127.0.0.1".parse().unwrap()], true);
        assert_eq!(literal.unwrap().pin(&none).await.unwrap(), None, "there is nothing to look up");
        assert!(pin.addresses.iter().all(IpAddr::is_loopback) && !pin.addresses.is_empty());
        assert_eq!(remote(local).pin(&none).await.unwrap(), None);
        let ssh =
            remote("ssh://git@localhost:2222/app").held(&["localhost".parse().unwrap()], true);
        let (_, alias) = ssh.unwrap().pin(&none).await.unwrap().unwrap().for_ssh().unwrap();
        assert_eq!(alias, "[localhost]:2222");
    }
}
