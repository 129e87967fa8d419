//! A git server over https: TLS by rustls, a password, and git's own `http-backend` behind it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

type Connection = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// Serves the repositories below a folder to who knows user and password.
pub(crate) struct GitHttps {
    address: SocketAddr,
    site: Arc<Site>,
}

struct Site {
    root: PathBuf,
    login: (String, String),
    tls: Arc<ServerConfig>,
    closed: AtomicBool,
    /// The arguments of every process of this machine, as they were while a request was answered.
    arguments: Mutex<Vec<u8>>,
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// The certificate of the authority that has signed the server's.
pub(crate) fn authority() -> PathBuf {
    file("ca.pem")
}

fn file(name: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.join("sensors/tests/remote/tls").join(name)
}

impl GitHttps {
    pub(crate) fn serve(root: &Path, user: &str, password: &str) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let tls = ServerConfig::builder_with_provider(provider);
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::new(Site {
            root: root.to_owned(),
            login: (user.to_owned(), password.to_owned()),
            tls: Arc::new(tls.with_single_cert(vec![certificate], key).unwrap()),
            closed: AtomicBool::new(false),
            arguments: Mutex::default(),
        });
        let serving = site.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.closed.load(Ordering::Relaxed) {
                    return;
                }
                let (site, connection) = (serving.clone(), connection.unwrap());
                // A client that does not trust us leaves in the middle: not our failure.
                std::thread::spawn(move || site.answer(connection));
            }
        });
        Self { address, site }
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("https://{}/{repository}", self.address)
    }

    /// Whether `text` was in any process's arguments while something was asked here.
    pub(crate) fn has_seen_in_arguments(&self, text: &str) -> bool {
        let seen = self.site.arguments.lock().unwrap();
        assert!(!seen.is_empty(), "nothing was asked");
        String::from_utf8_lossy(&seen).contains(text)
    }
}

impl Drop for GitHttps {
    fn drop(&mut self) {
        self.site.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Site {
    fn answer(&self, connection: TcpStream) -> Option<()> {
        let tls = ServerConnection::new(self.tls.clone()).unwrap();
        let mut connection = BufReader::new(StreamOwned::new(tls, connection));
        let request = Request::read(&mut connection)?;
        self.look_at_processes();
        let answer = match request.headers.get("authorization") {
            Some(told) if *told == self.authorization() => self.ask_git(request),
            _ => b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"git\"\r\n\
                   connection: close\r\ncontent-length: 0\r\n\r\n"
                .to_vec(),
        };
        let mut stream = connection.into_inner();
        stream.write_all(&answer).ok()?;
        stream.conn.send_close_notify();
        stream.flush().ok()
    }

    fn authorization(&self) -> String {
        let (user, password) = &self.login;
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    fn look_at_processes(&self) {
        let mut arguments = self.arguments.lock().unwrap();
        for process in std::fs::read_dir("/proc").unwrap() {
            let lines = std::fs::read(process.unwrap().path().join("cmdline"));
            arguments.extend(lines.unwrap_or_default());
        }
    }

    /// Answers as a web server does that runs `git http-backend` as a CGI program.
    fn ask_git(&self, request: Request) -> Vec<u8> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REMOTE_USER", &self.login.0)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let body = request.body;
        let writing = std::thread::spawn(move || input.write_all(&body));
        let output = child.wait_with_output().unwrap().stdout;
        let _ = writing.join();
        let status = match output.strip_prefix(b"Status: ") {
            Some(rest) => rest.split(|byte| *byte == b'\r').next().unwrap().to_vec(),
            None => b"200 OK".to_vec(),
        };
        [b"HTTP/1.1 ", status.as_slice(), b"\r\nconnection: close\r\n", &output].concat()
    }
}

impl Request {
    fn read(connection: &mut Connection) -> Option<Self> {
        let first = line(connection)?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = line(connection)?.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        if headers.contains_key("expect") {
            connection.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let mut body = Vec::new();
        if headers.contains_key("transfer-encoding") {
            while let size @ 1.. = usize::from_str_radix(&line(connection)?, 16).ok()? {
                connection.take(size as u64).read_to_end(&mut body).ok()?;
                line(connection)?;
            }
        } else if let Some(size) = headers.get("content-length") {
            connection.take(size.parse().ok()?).read_to_end(&mut body).ok()?;
        }
        Some(Self { method, target, headers, body })
    }
}

fn line(connection: &mut Connection) -> Option<String> {
    let mut line = String::new();
    connection.read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}
