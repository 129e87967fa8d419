//! The shared HTTP client on machines with and without CA certificates.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn plain_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    format!("http://{address}/")
}

async fn plain_http_works() {
    let client = host::http::client().unwrap();
    let answer = client.get(plain_server().await).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
}

#[tokio::test]
async fn plain_http_works_here() {
    plain_http_works().await;
}

#[test]
fn plain_http_works_without_ca_certificates() {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "without_ca_certificates", "--ignored"]);
    test.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let output = test.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "is run by the test above, in an environment without CA certificates"]
async fn without_ca_certificates() {
    plain_http_works().await;
}

#[test]
fn the_tls_provider_is_installed_once_however_often_it_is_asked_for() {
    host::http::install_tls_provider();
    host::http::install_tls_provider();
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}
