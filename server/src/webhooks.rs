//! The webhooks' listener: it serves `/webhooks/<pack>/<sensor>` and nothing else.

mod refused;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::any;
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
        .route("/webhooks/{pack}/{sensor}", any(receive))
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
    // Told apart first: what does not exist is not counted, or memory would be anybody's to fill.
    let Some(limit) = app.engine.webhook_body_limit(&pack, &sensor) else {
        let detail = format!("there is no webhook sensor `{pack}.{sensor}`");
        return Err(Problem::new(ErrorKind::NotFound, detail));
    };
    let from = request.extensions().get::<Peer>().map(|peer| peer.0);
    match accept(&app.engine, &pack, &sensor, limit, request).await {
        Ok(Accepted::New { .. }) => Ok(StatusCode::ACCEPTED),
        Ok(Accepted::Duplicate { .. }) => Ok(StatusCode::OK),
        Err(refused) => {
            let id = format!("{pack}.{sensor}");
            app.refusals.note(&id, from, &refused, app.engine.now());
            app.engine.metrics().webhook_refused(&id, refused.kind);
            Err(problem(refused))
        }
    }
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
