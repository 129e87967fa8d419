//! Sending and reading: redirects, bounds, and where it broke off.

use host::download::Download;
use model::{Hash, Size, StepError};
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, LOCATION, USER_AGENT};
use reqwest::{Client, Response, StatusCode, Url};

use super::access::Access;
use super::download::Saved;
use super::request::Request;

/// Most bytes of an answer's body.
const MAX_BODY: Size = Size::from_bytes(4 * 1024 * 1024);
const MAX_REDIRECTS: usize = 5;

/// What the server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// After redirects, without credentials.
    pub(super) url: String,
    /// The body, or why it could not be read.
    pub(super) body: Result<Body, Trouble>,
    /// It was the answer to a HEAD request: there is no body to read.
    pub(super) bodiless: bool,
}

/// What came after an answer's head.
#[derive(Debug)]
pub(super) enum Body {
    Bytes(Vec<u8>),
    /// Written to where the step wants it.
    File(Saved),
}

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The request may not go there.
    Refused(StepError),
    /// The server did not get the request.
    NotSent(String),
    /// The server may have got it.
    Lost(String),
    /// The body is larger than this.
    TooLarge(Size),
    /// The file that is wanted cannot be written.
    Unwritten(String),
    /// The body is another than was expected.
    Digest { expected: Hash, found: Hash },
    /// More than [`MAX_REDIRECTS`].
    Redirects,
}

impl Trouble {
    pub(super) fn lost(error: reqwest::Error) -> Self {
        // The URL may hold credentials, and the caller knows it.
        Self::Lost(host::http::chain(&error.without_url()))
    }
}

/// Sends the request, whose turn it is, follows redirects, reads the last answer.
pub(super) async fn exchange(mut request: Request, access: &Access) -> Result<Answer, Trouble> {
    let download = match &request.download {
        Some(wanted) => Some(wanted.begin().await?),
        None => None,
    };
    for redirects in 0..=MAX_REDIRECTS {
        if redirects > 0 {
            access.turn().await;
        }
        let client = access.client(&request.url).await.map_err(Trouble::Refused)?;
        let response = send(&client, &request, access).await?;
        match redirected(&request, &response, access) {
            Some(next) => request = next,
            None => return Ok(read(response, &request, download).await),
        }
    }
    Err(Trouble::Redirects)
}

async fn send(client: &Client, request: &Request, access: &Access) -> Result<Response, Trouble> {
    let mut builder = client
        .request(request.method.clone(), request.url.clone())
        .headers(request.headers.clone());
    if let Some(body) = &request.body {
        builder = builder.body(body.clone());
    }
    builder.send().await.map_err(|error| {
        if let Some(blocked) = host::guard::blocked(&error) {
            return Trouble::Refused(access.denied(&request.url, blocked));
        }
        let not_sent = error.is_connect() || error.is_builder();
        // The URL may hold credentials, and the caller knows it.
        let told = host::http::chain(&error.without_url());
        if not_sent { Trouble::NotSent(told) } else { Trouble::Lost(told) }
    })
}

/// The request that the answer asks for instead, where it may be followed.
///
/// Only a repetition of the same request is followed for what is not a read, and only to the same
/// server: a changed method could hide that the first was done, and a body may hold secrets.
/// The credentials of a connection stay below its own address, whose paths may be different servers.
fn redirected(request: &Request, response: &Response, access: &Access) -> Option<Request> {
    let status = response.status().as_u16();
    let repeats = matches!(status, 307 | 308);
    let follows = repeats || (request.is_read() && matches!(status, 301..=303));
    if !follows || !request.follow_redirects {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let url = request.url.join(location).ok()?;
    let same_server = origin(&url) == origin(&request.url);
    if !matches!(url.scheme(), "http" | "https") || !(same_server || request.is_read()) {
        return None;
    }
    let mut next = Request { url, ..request.clone() };
    if !same_server {
        next.body = None;
        next.headers = harmless(&request.headers);
    }
    access.unsign(&mut next.headers, &next.url);
    Some(next)
}

fn origin(url: &Url) -> (&str, Option<&str>, Option<u16>) {
    (url.scheme(), url.host_str(), url.port_or_known_default())
}

/// The headers that another server may see: any other may be a credential.
fn harmless(headers: &HeaderMap) -> HeaderMap {
    let known = [ACCEPT, ACCEPT_LANGUAGE, USER_AGENT];
    let kept = headers.iter().filter(|(name, _)| known.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn read(response: Response, request: &Request, download: Option<Download>) -> Answer {
    let mut url = response.url().clone();
    // Fails only for URLs that cannot have credentials.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    let (status, headers) = (response.status(), response.headers().clone());
    let body = match (&request.download, download) {
        (Some(wanted), Some(download)) if request.expects(status.as_u16()) => {
            wanted.save(download, response).await.map(Body::File)
        }
        _ => read_body(response).await.map(Body::Bytes),
    };
    Answer {
        status,
        headers,
        url: url.into(),
        bodiless: request.method == reqwest::Method::HEAD,
        body,
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > MAX_BODY.bytes() => {
                return Err(Trouble::TooLarge(MAX_BODY));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(Trouble::lost(error)),
        }
    }
}
