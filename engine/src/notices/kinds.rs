//! The types of the engine's own events, with what rules see as `trigger`.

use model::{Map, Value};
use sensors::TriggerKind;
use serde_json::json;

pub(crate) const FINISHED: &str = "tripline.execution.finished";
pub(crate) const FAILED: &str = "tripline.execution.failed";
pub(crate) const NEEDS_ATTENTION: &str = "tripline.execution.needs_attention";
pub(crate) const RULE_ERROR: &str = "tripline.rule.error";
pub(crate) const LOOP_DETECTED: &str = "tripline.loop_detected";
pub(crate) const EVENT_STUCK: &str = "tripline.event.stuck";
pub(crate) const SENSOR_FAILING: &str = "tripline.sensor.failing";
pub(crate) const SENSOR_RECOVERED: &str = "tripline.sensor.recovered";
pub(crate) const SENSOR_NEEDS_CONFIRMATION: &str = "tripline.sensor.needs_confirmation";
pub(crate) const SENSOR_LEFT_OUT: &str = "tripline.sensor.left_out";
pub(crate) const PACK_ACTIVATED: &str = "tripline.pack.activated";
pub(crate) const PACK_REJECTED: &str = "tripline.pack.rejected";

/// Every trigger type whose events the engine makes of itself.
pub(crate) fn trigger_types() -> Vec<TriggerKind> {
    let mut all = vec![
        kind(FINISHED, "An execution ended, however it did.", ended()),
        kind(FAILED, "An execution failed or ran out of time.", ended()),
        kind(
            NEEDS_ATTENTION,
            "A step's outcome is unknown and a person must say what happened.",
            needs_attention(),
        ),
        kind(
            RULE_ERROR,
            "A rule's condition or a template failed on an event.",
            properties(json!({
                "rule": text("the rule"),
                "error": text("what was wrong, and where in the rule's file"),
                "event": text("the event's key"),
                "type": text("the event's type"),
            })),
        ),
        kind(
            LOOP_DETECTED,
            "Executions caused one another, or a chain went on as new runs, too many times: an event or a run was refused.",
            properties(json!({
                "execution": text("the execution that would have caused it"),
                "action": text("its action"),
                "rule": optional("the rule that asked for it"),
                "type": text("the type of the refused event; `continue_as` where a run was refused"),
                "depth": number("how many executions caused one another"),
            })),
        ),
        kind(
            EVENT_STUCK,
            "Not all that rules asked for on an event can be requested: a part of it is lost.",
            properties(json!({
                "event": text("the event's key"),
                "type": optional("the event's type"),
                "error": text("what is lost"),
            })),
        ),
        kind(
            PACK_ACTIVATED,
            "A pack's content became active, or its files are again what is active.",
            properties(json!({
                "pack": text("the pack"),
                "version": text("the version it claims"),
                "hash": text("the hash of its content"),
            })),
        ),
        kind(
            PACK_REJECTED,
            "A pack's files were refused; its last good content stays.",
            properties(json!({
                "pack": text("the pack"),
                "error": text("the first error"),
            })),
        ),
    ];
    all.extend(of_sensors());
    all
}

fn kind(name: &'static str, description: &'static str, payload: Map) -> TriggerKind {
    TriggerKind { name, description, parameters: Map::new(), payload, sensor: None }
}

/// How sensors stand, and what they cannot tell.
fn of_sensors() -> Vec<TriggerKind> {
    vec![
        kind(
            SENSOR_FAILING,
            "A sensor failed and is tried again.",
            properties(json!({
                "sensor": text("`pack/name`, or `type/hash` of a subscription"),
                "type": text("the sensor's type"),
                "error": text("why"),
                "next_try": text("when it tries again"),
            })),
        ),
        kind(
            SENSOR_RECOVERED,
            "A sensor that failed, or waited for a person, works again.",
            properties(json!({
                "sensor": text("`pack/name`, or `type/hash` of a subscription"),
                "type": text("the sensor's type"),
            })),
        ),
        kind(
            SENSOR_NEEDS_CONFIRMATION,
            "So many objects are gone at once that a sensor tells nothing of it until a person confirms.",
            properties(json!({
                "sensor": text("what to confirm: `tripline sensor confirm` takes it"),
                "type": text("the sensor's type"),
                "missing": number("objects that are gone"),
                "of": number("objects that it knew"),
                "message": text("the same, for people"),
            })),
        ),
        kind(
            SENSOR_LEFT_OUT,
            "A sensor saw something of which no rule can be told: too deep, or too large.",
            properties(json!({
                "sensor": text("`pack/name`, or `type/hash` of a subscription"),
                "type": text("the sensor's type"),
                "subject": text("the object: `namespace/name`"),
                "operation": text("what happened to it, in one word"),
                "reason": text("why it was not told"),
            })),
        ),
    ]
}

fn ended() -> Map {
    let mut properties = execution();
    properties.extend(self::properties(json!({
        "outcome": { "enum": ["succeeded", "failed", "cancelled", "timed_out"], "required": true,
            "description": "how it ended" },
        "error": error(),
        "requested_at": text("when it was asked for"),
        "finished_at": text("when it ended"),
    })));
    properties
}

fn needs_attention() -> Map {
    let mut properties = execution();
    properties.extend(self::properties(json!({
        "step": optional("the step; absent where it is the chain itself"),
        "error": error(),
    })));
    properties
}

fn execution() -> Map {
    properties(json!({
        "execution": text("its id"),
        "action": text("its action"),
        "rule": optional("the rule that asked for it"),
        "event": optional("the event that caused it"),
        "parent": optional("the execution that runs it as a step"),
    }))
}

fn error() -> Value {
    json!({ "type": "object", "description": "why it did not succeed",
        "properties": { "message": { "type": "string" }, "kind": { "type": "string" },
            "action": { "type": "string" } } })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "required": true, "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "integer", "required": true, "description": description })
}

fn optional(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn properties(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
