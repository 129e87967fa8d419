//! Proxies, as the environment names them for every program: `HTTPS_PROXY`, `HTTP_PROXY`,
//! `ALL_PROXY` and `NO_PROXY`, in capitals or not.

use std::net::IpAddr;
use std::sync::OnceLock;

use reqwest::Url;

/// Which proxy a request goes through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<Exception>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    /// This domain and everything below it.
    Domain(String),
    /// This many leading bits of this address.
    Network(IpAddr, u32),
}

impl Proxies {
    /// Those of this process's environment, read once.
    pub fn of_environment() -> &'static Self {
        static READ: OnceLock<Proxies> = OnceLock::new();
        READ.get_or_init(|| Self::of(|name| std::env::var(name).ok()))
    }

    /// What the variables of the environment say.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            value.filter(|text| !text.is_empty())
        };
        let proxy = |name| {
            let text = read(name).or_else(|| read("ALL_PROXY"))?;
            let text = if text.contains("://") { text } else { format!("http://{text}") };
            Url::parse(&text).ok()
        };
        let except = read("NO_PROXY").unwrap_or_default();
        let except = except.split(',').filter_map(|entry| Exception::read(entry.trim())).collect();
        Self { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), except }
    }

    /// The proxy for a request to `url`; none: it goes straight there.
    pub fn of_url(&self, url: &Url) -> Option<&Url> {
        let host = url.host_str()?.trim_end_matches('.');
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if self.except.iter().any(|exception| exception.covers(host)) {
            return None;
        }
        if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }
}

impl Exception {
    fn read(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(all), |bits| bits.parse().ok().filter(|n| *n <= all))?;
            return Some(Self::Network(address, bits));
        }
        let domain = text.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        match (text, domain.is_empty()) {
            ("*", _) => Some(Self::All),
            (_, true) => None,
            _ => Some(Self::Domain(domain)),
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain) => {
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Network(network, bits) => {
                host.parse::<IpAddr>().is_ok_and(|address| same_network(address, *network, *bits))
            }
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let differing = 128 - (one ^ other).leading_zeros();
    differing <= width - bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn a_request_goes_through_the_proxy_of_its_scheme_unless_it_is_excepted() {
        let all = proxies(&[
            ("HTTP_PROXY", "http://plain:3128"),
            ("https_proxy", "secure:3129"),
            ("NO_PROXY", "localhost,.internal.example.com, 10.0.0.0/8,::1,intra.example.org"),
        ]);
        for (url, proxy) in [
            ("http://api.example.com/", Some("http://plain:3128/")),
            ("https://api.example.com/", Some("http://secure:3129/")),
            ("https://localhost/", None),
            ("https://a.internal.example.com/", None),
            ("https://internal.example.com/", None),
            ("https://xinternal.example.com/", Some("http://secure:3129/")),
            ("https://a.intra.example.org/", None),
            ("http://10.1.2.3/", None),
            ("http://11.1.2.3/", Some("http://plain:3128/")),
            ("http://[::1]/", None),
            ("http://[::2]/", Some("http://plain:3128/")),
        ] {
            let found = all.of_url(&Url::parse(url).unwrap()).map(Url::as_str);
            assert_eq!(found, proxy, "{url}");
        }
        let none = Url::parse("https://api.example.com/").unwrap();
        assert_eq!(proxies(&[]).of_url(&none), None);
        assert_eq!(proxies(&[("ALL_PROXY", "p:1"), ("no_proxy", "*")]).of_url(&none), None);
        assert!(proxies(&[("ALL_PROXY", "p:1")]).of_url(&none).is_some());
    }
}
