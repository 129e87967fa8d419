//! `core.*`: actions that touch nothing, for trying things out and for tests of packs.

use futures::FutureExt;
use futures::future::BoxFuture;
use model::{Effect, ErrorKind, Performance, Plan, StepError, Value};
use serde_json::json;

use crate::declare::metadata;
use crate::{Action, Metadata, Performing};

/// An action that touches nothing.
pub(crate) struct Core {
    what: What,
    metadata: Metadata,
}

#[derive(Clone, Copy)]
enum What {
    Echo,
    Noop,
    Fail,
}

impl Core {
    pub(crate) fn all() -> [Self; 3] {
        [What::Echo, What::Noop, What::Fail].map(|what| Self { what, metadata: what.metadata() })
    }
}

/// What a chain's `catch` may see: bounds and mismatches are nobody's to pretend.
fn raisable() -> Vec<&'static str> {
    let kinds = ErrorKind::ALL.into_iter().filter(|kind| kind.is_catchable());
    kinds.map(ErrorKind::as_str).collect()
}

impl What {
    fn metadata(self) -> Metadata {
        match self {
            Self::Echo => metadata(
                "core.echo",
                "Returns its value",
                Some(Effect::Read),
                &json!({ "value": { "required": true, "description": "anything" } }),
                &json!({ "value": {} }),
            ),
            Self::Noop => {
                metadata("core.noop", "Does nothing", Some(Effect::Read), &json!({}), &json!({}))
            }
            Self::Fail => metadata(
                "core.fail",
                "Fails, or ends with an unknown outcome",
                None,
                &json!({
                    "message": { "type": "string", "required": true },
                    "kind": { "enum": raisable(), "default": "failed" },
                    "outcome": {
                        "enum": ["failed", "unknown"],
                        "default": "failed",
                        "description": "`unknown`: as if the answer had been lost",
                    },
                    "effect": {
                        "enum": ["read", "idempotent", "unsafe"],
                        "default": "read",
                        "description": "what the action is taken for, which decides about retries",
                    },
                }),
                &json!({}),
            ),
        }
    }

    fn perform(self, parameters: &Value) -> Performance {
        match self {
            Self::Echo => Performance::Done(json!({ "value": parameters["value"] })),
            Self::Noop => Performance::Done(json!({})),
            Self::Fail => fail(parameters),
        }
    }
}

fn fail(parameters: &Value) -> Performance {
    let kind = parameters["kind"].as_str().and_then(ErrorKind::parse);
    let message = parameters["message"].as_str().unwrap_or_default();
    let error = StepError::new(kind.unwrap_or(ErrorKind::Failed), message);
    match parameters["outcome"].as_str() {
        Some("unknown") => Performance::Unknown(error),
        _ => Performance::Failed(error),
    }
}

impl Action for Core {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn effect(&self, parameters: &Value) -> Effect {
        parameters["effect"].as_str().and_then(Effect::parse).unwrap_or(Effect::Read)
    }

    fn plan<'a>(&'a self, planned: &'a Performing) -> BoxFuture<'a, Result<Plan, StepError>> {
        async move {
            match self.what.perform(&planned.parameters) {
                Performance::Done(result) => Ok(Plan::new("touches nothing").answering(result)),
                Performance::Failed(error) => Err(error),
                Performance::Unknown(error) => {
                    Ok(Plan::new(format!("ends with an unknown outcome: {}", error.message)))
                }
            }
        }
        .boxed()
    }

    fn perform(&self, performing: Performing) -> BoxFuture<'_, Performance> {
        async move { self.what.perform(&performing.parameters) }.boxed()
    }
}
