//! The HTTP client that everything shares: one pool of connections, one TLS provider.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use reqwest::Url;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy};

use crate::guard::{self, Blocked, Guard, Proxies, Reach};
use crate::tls::Authorities;

/// Longest time to connect: shorter than any sensible timeout, so that a host that does not
/// answer is known not to have got the request.
const CONNECT: Duration = Duration::from_secs(10);

/// Authorities besides the system's.
static TRUSTED: OnceLock<Authorities> = OnceLock::new();

/// The shared client could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct NoClient(String);

/// The shared client. It follows no redirects: who does decides about credentials.
///
/// Where the machine has no CA certificates, it still speaks plain HTTP, and refuses every
/// HTTPS server.
pub fn client() -> Result<Client, NoClient> {
    static CLIENT: OnceLock<Result<Client, NoClient>> = OnceLock::new();
    CLIENT.get_or_init(|| build(settings)).clone()
}

/// Why there is no client for a request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoWay {
    /// The request may not go there.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// There is none at all.
    #[error(transparent)]
    NoClient(#[from] NoClient),
}

/// The client for a request to `url`, which connects to addresses within `reach` alone, or to the
/// proxy that the environment names for it.
///
/// A proxy resolves names itself, and takes any of their addresses. So a name is looked up here first
/// and refused if one of them is too far; one that only the proxy can resolve is left to the proxy's
/// own rules.
pub async fn guarded(url: &Url, reach: Reach, proxies: &Proxies) -> Result<Client, NoWay> {
    guard::check_literal(url, reach)?;
    let Some(proxy) = proxies.of_url(url) else { return Ok(kept(None, reach)?) };
    if let Some(name) = url.domain() {
        guard::wholly_within(name, reach).await?;
    }
    Ok(kept(Some(proxy), reach)?)
}

/// One client for each reach, and for each proxy.
fn kept(proxy: Option<&Url>, reach: Reach) -> Result<Client, NoClient> {
    static CLIENTS: Mutex<BTreeMap<(Option<Url>, Reach), Client>> = Mutex::new(BTreeMap::new());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (proxy.cloned(), reach);
    if let Some(client) = clients.get(&key) {
        return Ok(client.clone());
    }
    let client = match proxy {
        None => build(|| settings().no_proxy().dns_resolver(Arc::new(Guard(reach)))),
        Some(url) => {
            let proxy = Proxy::all(url.clone()).map_err(|error| NoClient(chain(&error)))?;
            build(|| settings().no_proxy().proxy(proxy.clone()))
        }
    }?;
    clients.insert(key, client.clone());
    Ok(client)
}

/// Makes these authorities trusted by the shared client. To be called before its first use: the
/// client is made once.
pub fn trust(authorities: Authorities) {
    // An error means that others were named before, in this process.
    let _ = TRUSTED.set(authorities);
}

/// Makes aws-lc-rs the TLS provider of this process, if none was chosen yet.
pub fn install_tls_provider() {
    // An error means that it has been done.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn build(settings: impl Fn() -> ClientBuilder) -> Result<Client, NoClient> {
    install_tls_provider();
    settings().build().or_else(|error| {
        let error = chain(&error);
        tracing::warn!(
            %error,
            "no CA certificates were found: HTTPS servers are refused until they are installed \
             (package `ca-certificates`) and the server is started again"
        );
        let trusting_few = settings().tls_certs_only([]);
        trusting_few.build().map_err(|error| NoClient(chain(&error)))
    })
}

fn settings() -> ClientBuilder {
    let trusted = TRUSTED.get().into_iter().flat_map(Authorities::certificates);
    Client::builder()
        .tls_certs_merge(trusted)
        .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
}

/// An error with its causes: the outermost of an HTTP error seldom says what happened.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
    })
}
