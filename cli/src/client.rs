//! The client: finds the server and the token, each by itself, and asks.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use model::Value;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use server::files::{Addresses, read_token};
use store::Sqlite;

use crate::config;
use crate::contexts::{Context, Contexts};
use crate::failure::{Exit, Failure, refused};
use crate::output;

const CONNECT: Duration = Duration::from_secs(5);
/// No answer but the live stream takes longer.
const ANSWER: Duration = Duration::from_secs(60);

/// Which server, and who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The server's address [env: TRIPLINE_SERVER]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The token [env: TRIPLINE_TOKEN; else that of the context, or of the state folder for the server on
    /// it]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A server of `tripline context list` [env: TRIPLINE_CONTEXT; else the one in use]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "state"])]
    context: Option<String>,
    /// The state folder of a server on this machine [default: `state` in ./tripline.yaml, else
    /// ./state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// A way to a server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// Where a server is looked for.
enum Place {
    /// At an address; no token of a state folder goes there that nobody named and whose server is another.
    Address(String),
    /// Where a context says, with the token it says: no other server is to see that.
    Context(Context),
    /// Where the server on this folder says.
    Folder(PathBuf),
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Connection {
    /// Looks the server and the token up.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        for slip in config::variables::slips() {
            output::warn(&slip);
        }
        let (base, found) = match self.place()? {
            Place::Address(server) => {
                let base = check_server(&server)?;
                let folder = self.folder();
                // Who names the folder too asks for its token.
                let own = self.state.is_some() || is_local(&base, &folder);
                let own = own.then(|| read_token(&folder));
                (base, own.transpose()?.flatten())
            }
            Place::Context(Context { server: Some(server), token, .. }) => {
                (check_server(&server)?, token)
            }
            Place::Context(Context { state, token, .. }) => {
                let (base, own) = local(&state.unwrap_or_else(config::state_folder))?;
                (base, token.or(own))
            }
            Place::Folder(folder) => local(&folder)?,
        };
        let variable = variable("TRIPLINE_TOKEN");
        // The flag --context chooses the token, too.
        let token = match self.context {
            Some(_) => found.or(variable),
            None => variable.or(found),
        };
        let token = self.token.clone().or(token).map(|token| token.trim().to_owned());
        Ok(Client { http: http(&base)?, base, token })
    }

    /// By flag, variable, the context in use, the local state folder: the first that says.
    fn place(&self) -> Result<Place, Failure> {
        let named = |name: &str| Ok(Place::Context(Contexts::load()?.named(name)?.clone()));
        match (&self.server, &self.context, &self.state) {
            (Some(server), ..) => return Ok(Place::Address(server.clone())),
            (None, Some(context), _) => return named(context),
            (None, None, Some(state)) => return Ok(Place::Folder(state.clone())),
            (None, None, None) => {}
        }
        if let Some(server) = variable("TRIPLINE_SERVER") {
            return Ok(Place::Address(server));
        }
        if let Some(name) = variable("TRIPLINE_CONTEXT") {
            return named(&name);
        }
        match &Contexts::load()?.current {
            Some(name) => named(name),
            None => Ok(Place::Folder(self.folder())),
        }
    }

    fn folder(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(config::state_folder)
    }
}

/// The server on a state folder of this machine, and the token there.
fn local(folder: &Path) -> Result<(String, Option<String>), Failure> {
    Ok((format!("http://{}", local_server(folder)?), read_token(folder)?))
}

/// Whether the server on this folder is the one at `base`: no other is to see its token.
fn is_local(base: &str, folder: &Path) -> bool {
    let (Ok(own), Ok(url)) = (local_server(folder), reqwest::Url::parse(base)) else {
        return false;
    };
    let is_own = |host: &str| {
        let literal = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        literal.map_or(host == "localhost" && own.ip().is_loopback(), |ip| ip == own.ip())
    };
    url.scheme() == "http"
        && url.port_or_known_default() == Some(own.port())
        && url.host_str().is_some_and(is_own)
}

/// The address that a text means: `host:port` is short for `http://host:port`.
pub(crate) fn check_server(server: &str) -> Result<String, Failure> {
    let named = server.trim();
    let whole = match named.contains("://") {
        true => named.to_owned(),
        false => format!("http://{named}"),
    };
    let url = reqwest::Url::parse(&whole).ok();
    // What has neither a port nor a dot is rather a slip than a host.
    let plausible = named.contains([':', '.']) || named == "localhost";
    let known = url.filter(|url| ["http", "https"].contains(&url.scheme()) && plausible);
    if known.is_some_and(|url| url.has_host()) {
        return Ok(whole.trim_end_matches('/').to_owned());
    }
    let failure = Failure::usage(format!("`{server}` is not a server's address"));
    Err(failure.with_hint("write host:port, such as 127.0.0.1:7410, or https://host"))
}

fn local_server(state: &Path) -> Result<std::net::SocketAddr, Failure> {
    let told = Addresses::read(state)?;
    let addresses = match (told, Sqlite::holder(state)) {
        (Some(addresses), Ok(Some(pid))) if pid == addresses.pid.to_string() => addresses,
        // Whether it runs cannot be told: asking it shows that.
        (Some(addresses), Err(_)) => addresses,
        (_, Ok(Some(pid))) => return Err(not_listening(state, &pid)),
        (killed, _) => return Err(no_server(state, killed.as_ref())),
    };
    let mut api = addresses.api;
    // "Any address" is one to listen on, not to connect to.
    if api.ip().is_unspecified() {
        api.set_ip(if api.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    Ok(api)
}

/// Whoever answers at the address of a server that was killed is another one, and no business of its token.
fn no_server(state: &Path, killed: Option<&Addresses>) -> Failure {
    let message = format!("no server runs on the state folder {}", state.display());
    match killed {
        None => Failure::unreachable(message).with_hint(
            "start one with `tripline serve`, or name one with --server, --context or --state",
        ),
        Some(killed) => {
            let pid = killed.pid;
            let message = format!("{message}: the last one, process {pid}, was killed");
            Failure::unreachable(message)
                .with_hint("start it again with `tripline serve`: what was under way goes on")
        }
    }
}

fn not_listening(state: &Path, pid: &str) -> Failure {
    let state = state.display();
    let message = format!("the process {pid} runs on the state folder {state} and answers nobody");
    Failure::unreachable(message)
        .with_hint("a server does so for a moment when it starts and when it ends: try again")
}

pub(crate) fn http(base: &str) -> Result<reqwest::Client, Failure> {
    host::http::install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT);
    if !base.starts_with("https:") {
        // Neither certificates nor a proxy of the environment have a part in plain HTTP: it is
        // for this machine and the private networks around it.
        builder = builder.no_proxy().tls_certs_only([]);
    }
    builder.build().map_err(|error| Failure::unreachable(host::http::chain(&error)))
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(encode).collect()
}

impl Client {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        // Who runs this command within a trace, such as a CI job, finds there what it starts.
        if let Some(place) = variable("TRACEPARENT") {
            request = request.header("traceparent", place);
            if let Some(state) = variable("TRACESTATE") {
                request = request.header("tracestate", state);
            }
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap_or_default();
        Err(refused(status, &body))
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        read(exchange(request).await.map_err(|error| self.unreachable(&error))?)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        // What the outer errors say, the address, is told already.
        let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
        let why = causes.last().map(ToString::to_string).unwrap_or_default();
        let message = format!("no server answers at {}: {why}", self.base);
        Failure::unreachable(message).with_hint("is it running? start it with `tripline serve`")
    }

    /// What is at `path`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::GET, path).query(query)).await
    }

    /// The items of the list at `path`.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<Value>, Failure> {
        items(&mut self.get(path, query).await?)
    }

    /// Asks for something to be started. The request has a name of its own: sent again, it starts
    /// nothing twice.
    pub(crate) async fn start(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let name = engine::random_secret();
        let request = || self.request(Method::POST, path).header("idempotency-key", &name);
        self.insist(|| request().json(body)).await
    }

    /// Tells what has an id, and so is known when it is told again.
    pub(crate) async fn tell(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.insist(|| self.request(Method::POST, path).json(body)).await
    }

    /// Asks what may be asked twice, once more where the connection broke before the answer had come.
    async fn insist(&self, request: impl Fn() -> RequestBuilder) -> Result<Value, Failure> {
        let mut answer = exchange(request()).await;
        let cut_off = answer.as_ref().is_err_and(is_cut_off);
        if cut_off {
            output::tell("the connection broke before the answer had come: asking again");
            answer = exchange(request()).await;
        }
        read(answer.map_err(|error| match cut_off || !error.is_connect() {
            true => self.unreachable(&error).with_hint("it may have begun: the listings tell"),
            false => self.unreachable(&error),
        })?)
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.answer(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// Writes what is at `path` to `to`, however long it takes.
    pub(crate) async fn download(
        &self,
        path: &str,
        to: &mut impl std::io::Write,
    ) -> Result<(), Failure> {
        let mut response = self.send(self.request(Method::GET, path)).await?;
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => to.write_all(&piece)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.cut_short(&error)),
            }
        }
    }

    fn cut_short(&self, error: &reqwest::Error) -> Failure {
        let why = host::http::chain(error);
        let message = format!("the answer of {} was cut short: {why}", self.base);
        Failure::unreachable(message).with_hint("did the server end? try again")
    }

    /// The live stream, from after `position` on.
    pub(crate) async fn stream(
        &self,
        stream: &str,
        position: Option<u64>,
    ) -> Result<Response, Failure> {
        let request = self.request(Method::GET, "/stream").query(&[("stream", stream)]);
        self.send(match position {
            Some(position) => request.header("last-event-id", position),
            None => request,
        })
        .await
    }
}

/// Sends a request, and receives all of its answer.
async fn exchange(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    let response = request.timeout(ANSWER).send().await?;
    let status = response.status();
    match response.bytes().await {
        Err(error) if status.is_success() => Err(error),
        body => Ok((status, body.unwrap_or_default().to_vec())),
    }
}

/// Whether a server was reached, and the connection to it broke.
fn is_cut_off(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout() && !error.is_builder()
}

fn read<T: DeserializeOwned>((status, body): (StatusCode, Vec<u8>)) -> Result<T, Failure> {
    if !status.is_success() {
        return Err(refused(status.as_u16(), &body));
    }
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(text).map_err(|error| {
        let message = "the server's answer cannot be read by this command";
        let hint = format!(
            "are the server and this command of the same version? (line {}, column {} of its answer)",
            error.line(),
            error.column()
        );
        Failure::new(Exit::Failed, "answer", message).with_hint(hint)
    })
}

/// What a listing holds. What has no list in it is no answer of Tripline's.
pub(crate) fn items(answer: &mut Value) -> Result<Vec<Value>, Failure> {
    if let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) {
        return Ok(items);
    }
    let message = "the server's answer is no listing: it has no `items`";
    let failure = Failure::new(Exit::Failed, "answer", message);
    Err(failure.with_hint("see that --server names a Tripline server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_url_or_its_address() {
        for (given, meant) in [
            ("127.0.0.1:7410", "http://127.0.0.1:7410"),
            ("https://tripline.example.com/", "https://tripline.example.com"),
        ] {
            assert_eq!(check_server(given).unwrap(), meant);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_before_anything_is_asked() {
        for given in ["", "garbage", "http://", ":::", "ftp://host", "http://a b", "host:99999"] {
            assert!(check_server(given).is_err(), "{given}");
        }
    }

    #[test]
    fn an_id_with_slashes_is_one_segment() {
        assert_eq!(segment("ex_abc/3.1"), "ex_abc%2F3.1");
        assert_eq!(segment("a b%"), "a%20b%25");
    }
}
