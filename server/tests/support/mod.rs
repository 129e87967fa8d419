//! A server over a real engine and a real store, in a temporary folder and on free ports.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, each of which uses some")]

pub(crate) mod samples;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Engine;
use hmac::{Hmac, KeyInit, Mac};
use host::Clock;
use host::process::Launcher;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use server::Running;
use sha2::Sha256;
use store::Sqlite;
use tempfile::TempDir;

/// Long enough for anything that should happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The files of a pack with a trigger type, a rule, a chain and a webhook.
const PACK: [(&str, &str); 9] = [
    ("hook.secret", SECRET),
    ("pack.yaml", "name: shop\nversion: 1.0.0\npermissions: { actions: [core.*] }\n"),
    ("triggers/ordered.yaml", "payload: { item: { type: string, required: true } }\n"),
    (
        "rules/ship.yaml",
        "trigger: { type: shop.ordered }\ncriteria: { trigger.item: { ne: nothing } }\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.item}' } }\n",
    ),
    (
        "rules/hook.yaml",
        "trigger: { type: webhook.received, parameters: { sensor: hook } }\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.body.item}' } }\n",
    ),
    (
        "rules/yearly.yaml",
        "trigger: { type: timer.cron, parameters: { cron: '0 0 29 2 *' } }\n\
         action: { ref: shop.ship, parameters: { item: calendar } }\n",
    ),
    (
        "actions/ship.yaml",
        "entry_point: ship.rhai\nparameters: { item: { type: string, required: true } }\n",
    ),
    ("actions/ship.rhai", "#{ shipped: run(\"core.echo\", #{ value: params.item }).value }\n"),
    (
        "sensors/hook.yaml",
        "type: webhook\nparameters:\n  secrets: [ { file: hook.secret } ]\n  \
         signature: { header: X-Signature, prefix: sha256= }\n  id: { header: X-Delivery }\n  \
         body_limit: 1KiB\n",
    ),
];
/// What its webhook's requests are signed with.
pub(crate) const SECRET: &str = "0123456789abcdef";

/// A running server.
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
    http: reqwest::Client,
}

impl Served {
    /// With the pack above.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in PACK {
            let path = folder.path().join("packs/shop").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::in_folder(folder).await
    }

    pub(crate) async fn in_folder(folder: TempDir) -> Self {
        let state = folder.path().join("state");
        let store = Arc::new(Sqlite::open(&state, &store::sqlite::Options::default()).unwrap());
        // No program is run here.
        let launcher = Launcher { program: "/nonexistent".into(), args: Vec::new() };
        let packs = vec![folder.path().join("packs")];
        let environment = Some(folder.path().join("dev.yaml")).filter(|file| file.exists());
        let settings = engine::Settings::new(&state, packs, launcher);
        let advertise = Some("http://127.0.0.1:7410".to_owned());
        let settings = engine::Settings { environment, advertise, ..settings };
        let engine = Engine::start(settings, store, Clock::System).await.unwrap();
        let free = || "127.0.0.1:0".to_owned();
        let settings = server::Settings { listen: free(), webhooks_listen: free(), state };
        let running = server::serve(engine.clone(), settings).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { engine, running, folder, http }
    }

    pub(crate) fn token(&self) -> String {
        server::files::read_token(&self.folder.path().join("state")).unwrap().unwrap()
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.running.api()))
    }

    /// A request to the webhooks' listener.
    pub(crate) fn hook(&self, path: &str, body: &str) -> RequestBuilder {
        let address = self.running.webhooks().borrow().expect("the listener is open");
        let request = self.http.post(format!("http://{address}{path}"));
        request.header("content-type", "application/json").body(body.to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(self.token())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).bearer_auth(self.token()).json(&body)).await
    }

    /// Hands an order in; the id of the execution that ships it.
    pub(crate) async fn order(&self, item: &str) -> String {
        let event = json!({ "type": "shop.ordered", "data": { "item": item } });
        let answer = self.post("/api/v1/events", event).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()["executions"][0].as_str().unwrap().to_owned()
    }

    /// Waits for the end of an execution.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let execution = self.get(&format!("/api/v1/executions/{id}")).await.json();
            if !execution["finished_at"].is_null() {
                return execution;
            }
            assert!(Instant::now() < deadline, "{execution}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn stop(self) -> TempDir {
        assert!(self.engine.shutdown(SOON).await);
        self.running.stopped().await;
        self.folder
    }
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Its problem document: status and kind agree with what is expected.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("https://tripline.dev/problems/{kind}"));
        problem
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.timeout(SOON).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// What `look` finds in the end.
pub(crate) async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads messages of a live stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    unread: String,
}

impl Stream {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new() }
    }

    /// The next message; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let event: String = self.unread.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let message = data.map(|data| serde_json::from_str(data).unwrap());
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk()).await;
            let chunk = chunk.expect("something happens in time").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads up to a fact of this name.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut read = Vec::new();
        while let Some(message) = self.next().await {
            let last = message["type"] == kind;
            read.push(message);
            if last {
                return read;
            }
        }
        panic!("the stream ended before {kind}: {read:?}");
    }
}

/// What the pack's webhook takes for signed.
pub(crate) fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
