//! What a request may reach and how it gets in: its connection, where it names one.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::connection::{Auth, Connection, Connections, Target, password};
use host::guard::{self, Blocked, HostPattern, Proxies, Reach};
use host::http::NoWay;
use host::redact::{Redactor, known};
use model::{ErrorKind, PackName, Performance, StepError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde_json::json;

use crate::Performing;
use crate::connection::no_connection;

/// What stands in the place of a connection's credentials.
const CREDENTIALS: &str = "(credentials)";

/// What keeps a text from being a URL.
type ParseError = <Url as FromStr>::Err;

/// How a request gets in.
#[derive(Default)]
pub(super) struct Access {
    connection: Option<Arc<Connection>>,
    /// The header that the connection's credentials make.
    signature: Option<(HeaderName, HeaderValue)>,
    /// Finds the credentials, which no result may show.
    hidden: Arc<Redactor>,
    /// The hosts that may be reached without the connection.
    hosts: Vec<HostPattern>,
    /// Who asks.
    pack: Option<PackName>,
}

impl Access {
    /// The connection that the step names, with its credentials as they are now.
    pub(super) fn of(
        performing: &Performing,
        connections: &Connections,
    ) -> Result<Self, StepError> {
        let pack = performing.pack.as_ref();
        let alone =
            Self { hosts: performing.hosts.clone(), pack: pack.cloned(), ..Self::default() };
        let Some(name) = performing.parameters["connection"].as_str() else { return Ok(alone) };
        let connection = connections.of(name, pack).map_err(|error| no_connection(&error))?;
        let secret = connections.credentials(&connection).map_err(|error| no_connection(&error))?;
        let mut access = Self { connection: Some(connection), ..alone };
        if let Some(secret) = secret {
            access.sign_with(secret.expose())?;
        }
        Ok(access)
    }

    fn sign_with(&mut self, secret: &str) -> Result<(), StepError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let Target::Http { auth, .. } = &connection.spec.target else { return Ok(()) };
        let encoded = STANDARD.encode(secret);
        let (name, text) = match auth {
            Auth::Bearer => (Some(AUTHORIZATION), format!("Bearer {secret}")),
            Auth::Basic => (Some(AUTHORIZATION), format!("Basic {encoded}")),
            Auth::Header(name) => (name.parse().ok(), secret.to_owned()),
        };
        let value = HeaderValue::from_str(&text).ok();
        let Some((name, mut value)) = name.zip(value) else {
            let name = &connection.spec.name;
            let message =
                format!("the credentials of the connection `{name}` cannot be sent as a header");
            return Err(StepError::new(ErrorKind::Unauthenticated, message));
        };
        value.set_sensitive(true);
        self.signature = Some((name, value));
        let hidden = Redactor::new([secret, password(secret)].map(|text| (text, CREDENTIALS)));
        self.hidden = known().hold(hidden);
        Ok(())
    }

    /// The URL that `text` means: below the connection's own, where there is one.
    pub(super) fn url(&self, text: &str) -> Result<Url, String> {
        let url = match &self.connection {
            Some(connection) => connection.request(text).map_err(|error| error.to_string()),
            None => http_url(text),
        };
        url.map_err(|error| format!("`url`: {error}"))
    }

    /// The client that may ask `url`: who configured the connection has allowed its own address.
    pub(super) async fn client(&self, url: &Url) -> Result<Client, StepError> {
        let reach = self.reach(url)?;
        let client = host::http::guarded(url, reach, Proxies::of_environment()).await;
        client.map_err(|error| match error {
            NoWay::Blocked(blocked) => self.denied(url, &blocked),
            NoWay::NoClient(error) => StepError::new(ErrorKind::Internal, error.to_string()),
        })
    }

    /// What an address behind `url` may be, if its host may be reached at all.
    pub(super) fn reach(&self, url: &Url) -> Result<Reach, StepError> {
        let connected = self.connection.as_ref().is_some_and(|c| c.request(url.as_str()).is_ok());
        match connected {
            true => Ok(Reach::Local),
            false => guard::permit(&self.hosts, url).map_err(|error| self.denied(url, &error)),
        }
    }

    /// A host that may not be reached, and what to do about it.
    pub(super) fn denied(&self, url: &Url, error: &Blocked) -> StepError {
        host_denied(self.pack.as_ref(), &self.hosts, url, error)
    }

    /// Adds the connection's credentials.
    pub(super) fn sign(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let Some((name, value)) = &self.signature else { return Ok(()) };
        if headers.contains_key(name) {
            return Err(format!("the connection sets the header `{name}`: leave it out"));
        }
        headers.insert(name.clone(), value.clone());
        Ok(())
    }

    /// Takes the connection's credentials out of a request that is sent on to `url`, where they may
    /// not go.
    pub(super) fn unsign(&self, headers: &mut HeaderMap, url: &Url) {
        let goes = self.connection.as_ref().is_some_and(|c| c.request(url.as_str()).is_ok());
        if let Some((name, _)) = self.signature.as_ref().filter(|_| !goes) {
            headers.remove(name);
        }
    }

    /// Waits until the connection may be asked.
    pub(super) async fn turn(&self) {
        if let Some(connection) = &self.connection {
            connection.turn().await;
        }
    }

    /// The performance without the credentials: some servers answer with what they were sent.
    pub(super) fn hide(&self, performance: Performance) -> Performance {
        if self.hidden.is_empty() {
            return performance;
        }
        let error = |error: StepError| StepError {
            message: self.hidden.text(&error.message).into_owned(),
            details: self.hidden.value(error.details),
            ..error
        };
        match performance {
            Performance::Done(value) => Performance::Done(self.hidden.value(value)),
            Performance::Failed(failed) => Performance::Failed(error(failed)),
            Performance::Unknown(unknown) => Performance::Unknown(error(unknown)),
        }
    }
}

/// The URL of a request, which names a host.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => {
            "it has no scheme: expected http or https, as in `https://host/path`".to_owned()
        }
        ParseError::EmptyHost => {
            "it names no host: expected one, as in `https://host/path`".to_owned()
        }
        error => error.to_string(),
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!(
            "its scheme is `{scheme}`: expected http or https, as in `https://host/path`"
        )),
    }
}

/// The error of a request for `pack`, or for a person, which may reach `hosts`, to a host that may not be
/// reached.
pub fn host_denied(
    pack: Option<&PackName>,
    hosts: &[HostPattern],
    url: &Url,
    error: &Blocked,
) -> StepError {
    let host = guard::shown(url);
    let hint = match (pack, error.entry()) {
        (_, Err(why)) => why.to_owned(),
        (Some(pack), Ok(_)) if hosts.iter().any(|entry| entry.is_held_back(url)) => {
            format!(
                "the environment grants it on the public internet alone; add `{host}` to its `packs.{pack}.permissions.hosts`"
            )
        }
        (Some(pack), Ok(_)) => {
            format!("add `{host}` to `permissions.hosts` in the pack.yaml of `{pack}`")
        }
        (None, Ok(_)) => {
            "an action that is run by hand reaches public hosts, and others by a connection"
                .to_owned()
        }
    };
    let details = json!({ "permission": "hosts", "asked": host, "pack": pack });
    StepError::new(ErrorKind::Denied, format!("{error}: {hint}")).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_back_by_the_environment_is_told_what_to_change_there() {
        let parsed = |entry: &str| [entry.parse::<HostPattern>().unwrap()];
        let url = Url::parse("https://db.example.com/").unwrap();
        let address = "10.0.0.7".parse().unwrap();
        let host = "db.example.com".to_owned();
        let blocked = Blocked::TooFar { host, address, place: "a private address" };
        let pack = "web".parse().unwrap();
        let told = |hosts: &[HostPattern]| host_denied(Some(&pack), hosts, &url, &blocked).message;
        let asked = parsed("db.example.com");
        let held_back = guard::granted(&asked, &parsed("*"));
        assert_eq!(
            told(&held_back),
            "`db.example.com` is 10.0.0.7, a private address: the environment grants it on the public \
             internet alone; add `db.example.com` to its `packs.web.permissions.hosts`"
        );
        let public = told(&parsed("*"));
        assert!(public.ends_with("to `permissions.hosts` in the pack.yaml of `web`"), "{public}");
    }
}
