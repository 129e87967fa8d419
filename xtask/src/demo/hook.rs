//! Plain HTTP/1.1 over loopback: the git host's side of a webhook, and a look at the release.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Posts `body` to `url` with the signature of `signed`; answers with the status.
pub(super) fn post(
    url: &str,
    secret: &str,
    signed: &str,
    body: &str,
    delivery: &str,
) -> Result<u16> {
    let rest = url.strip_prefix("http://").context("not an http URL")?;
    let (host, path) = rest.split_once('/').context("no path in the URL")?;
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-Hub-Signature-256: sha256={}\r\nX-GitHub-Delivery: {delivery}\r\nContent-Length: {}\r\n\r\n{body}",
        signature(secret, signed)?,
        body.len(),
    );
    let answer = exchange(host, &request)?;
    let status = answer.split_whitespace().nth(1).context("no status in the answer")?;
    Ok(status.parse()?)
}

/// The body of `GET path`.
pub(super) fn get(host: &str, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(host, &request)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body in the answer")?;
    Ok(body.trim().to_owned())
}

fn exchange(host: &str, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn signature(secret: &str, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    Ok(bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")))
}
