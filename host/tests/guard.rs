//! The guarded client against real sockets: straight, and through a proxy.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use host::guard::{Blocked, Proxies, Reach};
use host::http::{NoWay, Url, guarded};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers everything and notes the first lines of requests.
async fn server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            noted.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    });
    (port, seen)
}

async fn get(url: &str, reach: Reach, proxies: &Proxies) -> Result<String, String> {
    let url = Url::parse(url).unwrap();
    let client = guarded(&url, reach, proxies).await.map_err(|error| match error {
        NoWay::Blocked(Blocked::TooFar { .. }) => "too far".to_owned(),
        other => other.to_string(),
    })?;
    let answer = client.get(url).send().await.map_err(|error| {
        let blocked = host::guard::blocked(&error).is_some();
        if blocked { "too far".to_owned() } else { error.to_string() }
    })?;
    answer.text().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_name_and_an_address_of_this_machine_are_reached_only_within_reach() {
    let (port, seen) = server().await;
    let none = Proxies::default();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        for reach in [Reach::Public, Reach::Private] {
            assert_eq!(get(&url, reach, &none).await, Err("too far".to_owned()), "{url}");
        }
    }
    assert_eq!(seen.lock().unwrap().len(), 0);
    assert_eq!(get(&format!("http://localhost:{port}/"), Reach::Local, &none).await.unwrap(), "ok");
    // The connection that was kept alive by one reach is none for another.
    let url = format!("http://localhost:{port}/");
    assert_eq!(get(&url, Reach::Public, &none).await, Err("too far".to_owned()));
}

#[tokio::test]
async fn a_proxy_is_asked_for_what_is_within_reach_and_never_for_what_is_not() {
    let (port, seen) = server().await;
    let proxy = format!("http://127.0.0.1:{port}");
    let proxies = Proxies::of(|name| (name == "HTTP_PROXY").then(|| proxy.clone()));
    for url in ["http://localhost/", "http://169.254.169.254/", "http://10.0.0.1/"] {
        assert_eq!(get(url, Reach::Public, &proxies).await, Err("too far".to_owned()), "{url}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0);
    // A name that only the proxy can resolve.
    assert_eq!(get("http://no-such-host.invalid/x", Reach::Public, &proxies).await.unwrap(), "ok");
    assert_eq!(*seen.lock().unwrap(), ["GET http://no-such-host.invalid/x HTTP/1.1"]);
}
