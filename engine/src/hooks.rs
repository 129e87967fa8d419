//! Webhooks: a request of another system becomes an event, stored before it is answered.

use model::Actor;
use sensors::webhook::Request;
use tokio::sync::OwnedSemaphorePermit;

use crate::arrival::Arrival;
use crate::engine::Engine;
use crate::intake::{self, Accepted, IntakeError};

/// A refused request, as it is answered and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRefused {
    /// The HTTP status.
    pub status: u16,
    /// A short name of the reason.
    pub kind: &'static str,
    /// What was wrong.
    pub message: String,
    /// Seconds after which to come again, where that would help.
    pub retry_after: Option<u32>,
}

/// One of the bounded number of requests that are handled at the same time.
#[derive(Debug)]
pub struct WebhookPlace(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

impl WebhookRefused {
    fn busy(message: &str) -> Self {
        let message = message.to_owned();
        Self { status: 503, kind: "unavailable", message, retry_after: Some(5) }
    }

    /// The same, where what is wrong is nothing for strangers.
    fn unable(pack: &str, sensor: &str, message: &str, why: &str) -> Self {
        tracing::warn!(sensor = %format_args!("{pack}.{sensor}"), why, "a webhook was answered 503");
        Self::busy(message)
    }
}

impl Engine {
    /// Whether any pack has a webhook sensor.
    pub fn has_webhooks(&self) -> bool {
        self.sensing.has_webhooks()
    }

    /// How many bytes the body of a request to this sensor may have; none: there is no such sensor.
    pub fn webhook_body_limit(&self, pack: &str, sensor: &str) -> Option<usize> {
        match self.sensing.webhook(&format!("{pack}/{sensor}"))? {
            Ok(webhook) => Some(webhook.body_limit()),
            Err(_) => Some(0),
        }
    }

    /// A place for a request, to be taken before its body is read.
    pub fn webhook_place(&self) -> Result<WebhookPlace, WebhookRefused> {
        let place = self.webhooks.clone().try_acquire_owned();
        let busy = |_| WebhookRefused::busy("too many requests at once");
        place.map(WebhookPlace).map_err(busy)
    }

    /// Checks a request and stores its event.
    pub async fn webhook(
        &self,
        place: WebhookPlace,
        pack: &str,
        sensor: &str,
        request: Request,
    ) -> Result<Accepted, WebhookRefused> {
        let id = format!("{pack}/{sensor}");
        let webhook = match self.sensing.webhook(&id) {
            Some(Ok(webhook)) => webhook,
            Some(Err(error)) => {
                return Err(WebhookRefused::unable(
                    pack,
                    sensor,
                    "the sensor is not ready",
                    &error,
                ));
            }
            None => {
                let message = format!("there is no webhook sensor `{pack}.{sensor}`");
                return Err(WebhookRefused {
                    status: 404,
                    kind: "not_found",
                    message,
                    retry_after: None,
                });
            }
        };
        let event = webhook.receive(&request).map_err(|refusal| WebhookRefused {
            status: refusal.status(),
            kind: refusal.kind(),
            message: refusal.to_string(),
            retry_after: None,
        })?;
        let happened = event.envelope.time;
        let arrival = Arrival::hiding(event, webhook.secret_fields());
        self.can_keep(&arrival).map_err(|why| {
            WebhookRefused::unable(pack, sensor, "secrets cannot be stored now", &why)
        })?;
        let pokes = webhook.pokes().map(|sensor| format!("{pack}/{sensor}"));
        let engine = self.clone();
        let accepted = self.core.impatient(async move {
            // Taken until this is over, whether or not the sender still waits.
            let _place = place;
            let Self { core, driver, sensing, .. } = &engine;
            let accepted = intake::accept_one(core, driver, &Actor::engine(), arrival).await;
            if accepted.is_ok() {
                sensing.count(&id, happened);
                if let Some(sensor) = pokes {
                    sensing.poke(&sensor);
                }
            }
            accepted
        });
        match accepted.await {
            Ok(accepted) => Ok(accepted),
            Err(error @ IntakeError::TooLarge(_)) => Err(WebhookRefused {
                status: 413,
                kind: "too_large",
                message: error.to_string(),
                retry_after: None,
            }),
            Err(error @ IntakeError::TooDeep) => Err(WebhookRefused {
                status: 400,
                kind: "too_deep",
                message: error.to_string(),
                retry_after: None,
            }),
            Err(IntakeError::Trouble(trouble)) => {
                let message = "events cannot be stored now";
                Err(WebhookRefused::unable(pack, sensor, message, &trouble.to_string()))
            }
        }
    }

    /// Whether what the event holds of secrets can be encrypted; asked before it is stored without them.
    fn can_keep(&self, arrival: &Arrival) -> Result<(), String> {
        if arrival.fresh.is_empty() {
            return Ok(());
        }
        self.core.vault.ready().map_err(|error| error.to_string())
    }
}
