//! Real sockets that say too little, too slowly, or too much.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Long enough for anything that should happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const LAZY: Bounds = Bounds { connections: 8, head: SOON, life: None };

/// A listener that answers `hi`, and stops with the test.
async fn greeter(bounds: Bounds) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "hi"));
    tokio::spawn(answer(listener, router, bounds, CancellationToken::new()));
    address
}

async fn connect(address: SocketAddr, said: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(said.as_bytes()).await.unwrap();
    connection
}

/// All that is answered until the other side closes.
async fn heard(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = connection.read_to_string(&mut text);
    // A reset after the answer is a way to close, too.
    let _ = tokio::time::timeout(SOON, read).await.expect("the connection is closed");
    text
}

async fn greeted(connection: &mut TcpStream) {
    let mut text = [0; 512];
    let read = tokio::time::timeout(SOON, connection.read(&mut text)).await;
    let read = read.expect("there is an answer").unwrap();
    assert!(text[..read].ends_with(b"hi"), "{:?}", String::from_utf8_lossy(&text[..read]));
}

#[tokio::test]
async fn who_says_nothing_or_half_a_request_is_cut_off() {
    let address = greeter(Bounds { head: Duration::from_millis(200), ..LAZY }).await;
    for said in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\nx-"] {
        assert_eq!(heard(&mut connect(address, said).await).await, "", "{said:?}");
    }
    let mut silent_after_its_answer = connect(address, REQUEST).await;
    greeted(&mut silent_after_its_answer).await;
    assert_eq!(heard(&mut silent_after_its_answer).await, "");
}

#[tokio::test]
async fn a_byte_now_and_then_gains_no_time() {
    let address = greeter(Bounds { head: Duration::from_millis(300), ..LAZY }).await;
    let (mut reader, mut writer) = connect(address, REQUEST.trim_end()).await.into_split();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut text = Vec::new();
    let _ = tokio::time::timeout(SOON, reader.read_to_end(&mut text)).await.expect("it is closed");
    assert_eq!(text, b"");
    tokio::time::timeout(SOON, trickle).await.expect("nobody listens any more").unwrap();
}

#[tokio::test]
async fn headers_that_are_too_long_or_too_many_are_refused() {
    let address = greeter(LAZY).await;
    let long = format!("x: {}\r\n", "y".repeat(2 * HEAD_BYTES));
    let many: String = (0..=HEADERS).map(|n| format!("x{n}: y\r\n")).collect();
    for headers in [long, many] {
        let said = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let answer = heard(&mut connect(address, &said).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn many_more_idle_connections_than_places_keep_nobody_waiting() {
    for said in ["", "GET / HTT", REQUEST] {
        let address = greeter(LAZY).await;
        let mut idle = Vec::new();
        for _ in 0..10 * LAZY.connections {
            idle.push(connect(address, said).await);
        }
        let mut asking = connect(address, REQUEST).await;
        greeted(&mut asking).await;
        // The first of them made room; the last are still there.
        heard(&mut idle[0]).await;
        let last = idle.last_mut().unwrap();
        last.write_all(REQUEST.strip_prefix(said).unwrap_or(REQUEST).as_bytes()).await.unwrap();
        greeted(last).await;
    }
}

/// A listener of two places that are both taken by requests, whose answers wait for the token.
async fn busy() -> (SocketAddr, [TcpStream; 2], CancellationToken) {
    let (listener, open) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let address = listener.local_addr().unwrap();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let opened = open.clone();
    let waits = get(async move || {
        begun.send(()).ok();
        opened.cancelled().await;
        "hi"
    });
    let bounds = Bounds { connections: 2, ..LAZY };
    let router = Router::new().route("/", waits);
    tokio::spawn(answer(listener, router, bounds, CancellationToken::new()));
    let asking = [connect(address, REQUEST).await, connect(address, REQUEST).await];
    for _ in &asking {
        tokio::time::timeout(SOON, begins.recv()).await.expect("the request is taken");
    }
    (address, asking, open)
}

#[tokio::test]
async fn while_all_are_being_answered_the_next_is_told_to_come_again() {
    let (address, mut asking, open) = busy().await;
    let refusal = heard(&mut connect(address, REQUEST).await).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    assert!(refusal.contains("retry-after: 5") && refusal.contains("problem+json"), "{refusal}");
    open.cancel();
    for answered in &mut asking {
        greeted(answered).await;
    }
    greeted(&mut connect(address, REQUEST).await).await;
}

#[tokio::test]
async fn those_who_are_told_to_come_again_are_bounded_too() {
    let (address, mut asking, open) = busy().await;
    let mut silent = Vec::new();
    for _ in 0..4 * REFUSALS {
        silent.push(connect(address, "").await);
    }
    for one in &mut silent {
        heard(one).await;
    }
    open.cancel();
    greeted(&mut asking[0]).await;
    greeted(&mut connect(address, REQUEST).await).await;
}

#[tokio::test]
async fn a_connection_has_an_end_however_much_it_asks() {
    let life = Some(Duration::from_millis(200));
    let address = greeter(Bounds { life, ..LAZY }).await;
    let mut connection = connect(address, REQUEST).await;
    greeted(&mut connection).await;
    assert_eq!(heard(&mut connection).await, "");
}

#[tokio::test]
async fn what_was_asked_is_done_though_its_asker_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
    let open = CancellationToken::new();
    let opened = open.clone();
    let slow = get(async move || {
        says.send("begun").ok();
        opened.cancelled().await;
        says.send("done").ok();
    });
    let bounds = Bounds { connections: 1, ..LAZY };
    let router = Router::new().route("/", slow);
    tokio::spawn(answer(listener, router, bounds, CancellationToken::new()));
    let asking = connect(address, REQUEST).await;
    assert_eq!(said.recv().await, Some("begun"));
    drop(asking);
    // Its place stays taken meanwhile: who asks and hangs up again and again makes no more work.
    let refusal = heard(&mut connect(address, REQUEST).await).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    open.cancel();
    let heard = tokio::time::timeout(SOON, said.recv()).await;
    assert_eq!(heard.expect("it goes on"), Some("done"));
}
