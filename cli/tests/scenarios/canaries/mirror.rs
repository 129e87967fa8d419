//! A server that tells whatever it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use super::roads::{COOKIE, LOGGED_IN, canary};

/// Answers every request with all that came, as an error under `/fail`; hands out secrets under `/login`.
pub(crate) fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = request(&mut stream);
            let failing = request.starts_with(b"GET /fail");
            let status = if failing { "400 Bad Request" } else { "200 OK" };
            let (body, cookie) = match request.windows(7).any(|part| part == b" /login") {
                true => (login(), canary(COOKIE)),
                false => (json!({ "mirrored": String::from_utf8_lossy(&request) }), String::new()),
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nset-cookie: {cookie}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // A client may have gone.
            let _ =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    address
}

fn login() -> Value {
    let token = canary(LOGGED_IN);
    json!({ "again": [&token], "access_token": token, "expires_in": 3600 })
}

fn request(stream: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).unwrap_or(0);
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let wanted = text.find("\r\n\r\n").map(|head| {
            let length = text.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            head + 4 + length.unwrap_or(0)
        });
        if length == 0 || wanted.is_some_and(|wanted| request.len() >= wanted) {
            return request;
        }
    }
}
