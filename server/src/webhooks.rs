//! The webhooks' listener: it serves `/webhooks/<pack>/<sensor>` and nothing else.

mod refused;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use engine::{Accepted, Engine, WebhookRefused};
use futures::StreamExt;
use model::ErrorKind;
use tower_http::catch_panic::CatchPanicLayer;

use crate::App;
use crate::connections::BODY;
use crate::problem::Problem;
use crate::throttle::Peer;

pub(crate) use self::refused::{Counts, Refusals};

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/webhooks/{pack}/{sensor}", post(receive).fallback(not_posted))
        .fallback(async || Problem::new(ErrorKind::NotFound, "there is no webhook at this path"))
        .layer(CatchPanicLayer::new())
        .with_state(app)
}

/// 202 once a new event is durable, 200 for one that was there already.
async fn receive(
    State(app): State<App>,
    Path((pack, sensor)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let limit = body_limit(&app, &pack, &sensor)?;
    let from = request.extensions().get::<Peer>().copied();
    match accept(&app.engine, &pack, &sensor, limit, request).await {
        Ok(Accepted::New { .. }) => Ok(StatusCode::ACCEPTED),
        Ok(Accepted::Duplicate { .. }) => Ok(StatusCode::OK),
        Err(refused) => Err(noted(&app, &pack, &sensor, from, refused)),
    }
}

/// A browser, or whoever tries the address out, sends no event.
async fn not_posted(
    State(app): State<App>,
    Path((pack, sensor)): Path<(String, String)>,
    method: Method,
    request: Request,
) -> Problem {
    if let Err(unknown) = body_limit(&app, &pack, &sensor) {
        return unknown;
    }
    let from = request.extensions().get::<Peer>().copied();
    let message = format!("a webhook is sent by POST; this was {method}");
    noted(&app, &pack, &sensor, from, refused(405, "not_posted", message))
}

/// Told apart first: what does not exist is not counted, or memory would be anybody's to fill.
fn body_limit(app: &App, pack: &str, sensor: &str) -> Result<usize, Problem> {
    app.engine.webhook_body_limit(pack, sensor).ok_or_else(|| {
        let detail = format!("there is no webhook sensor `{pack}.{sensor}`");
        Problem::new(ErrorKind::NotFound, detail)
    })
}

/// The answer to a request that was refused, which is counted.
fn noted(
    app: &App,
    pack: &str,
    sensor: &str,
    from: Option<Peer>,
    refused: WebhookRefused,
) -> Problem {
    let id = format!("{pack}.{sensor}");
    app.refusals.note(&id, from.map(|Peer(from)| from), &refused, app.engine.now());
    app.engine.metrics().webhook_refused(&id, refused.kind);
    problem(refused)
}

async fn accept(
    engine: &Engine,
    pack: &str,
    sensor: &str,
    limit: usize,
    request: Request,
) -> Result<Accepted, WebhookRefused> {
    // Before the body: what waits to be read is in memory too.
    let place = engine.webhook_place()?;
    let (parts, body) = request.into_parts();
    let request = sensors::webhook::Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: query(&parts.uri)?,
        headers: headers(&parts.headers),
        // A sensor that lacks its secret takes nothing: the engine says so.
        body: if limit == 0 { Bytes::new() } else { read(body, limit).await? },
        received_at: engine.now(),
    };
    engine.webhook(place, pack, sensor, request).await
}

/// At most `limit` bytes are kept, whatever the sender claims or sends.
async fn read(body: Body, limit: usize) -> Result<Bytes, WebhookRefused> {
    let late = || refused(408, "timeout", "the body did not arrive in time".to_owned());
    let whole = async {
        let mut chunks = body.into_data_stream();
        let mut read = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| {
                refused(400, "malformed", format!("the body ended early: {error}"))
            })?;
            if read.len() + chunk.len() > limit {
                let message = format!("the body has more than {limit} bytes");
                return Err(refused(413, "too_large", message));
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(BODY, whole).await.unwrap_or_else(|_| Err(late()))
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, WebhookRefused> {
    let read = Query::try_from_uri(uri);
    read.map(|Query(pairs)| pairs).map_err(|error| refused(400, "malformed", error.body_text()))
}

/// Names and values in order; bytes that are no text are shown as such and fit no signature.
fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    text.collect()
}

fn refused(status: u16, kind: &'static str, message: String) -> WebhookRefused {
    WebhookRefused { status, kind, message, retry_after: None }
}

fn problem(refused: WebhookRefused) -> Problem {
    let problem = Problem::refused(refused.status, refused.kind, refused.message);
    problem.retry_after(refused.retry_after)
}
