//! What rules may say of objects of a cluster, and what they see.

use model::{Map, Value};
use serde_json::json;

/// The parameters of a trigger, as the properties of a [`model::Schema`]; none for other triggers.
pub(crate) fn parameters_of(trigger: &str) -> Map {
    let mut own = match trigger {
        "kubernetes.object" => object(),
        "kubernetes.condition" => json!({
            "types": { "type": "array", "items": { "type": "string" }, "minItems": 1,
                "description": "types of conditions, such as `Ready`; all if absent" },
            "changes": { "enum": ["status", "reason"], "default": "status",
                "description": "which changes count: of the `status`, or also of the `reason` alone" },
        }),
        "kubernetes.event" => json!({}),
        _ => return Map::new(),
    };
    if trigger != "kubernetes.event" {
        merge(&mut own, kind());
    }
    merge(&mut own, common());
    properties(own)
}

/// The payload of a trigger, likewise.
pub(crate) fn payload_of(trigger: &str) -> Map {
    let mut own = match trigger {
        "kubernetes.condition" => json!({
            "type": { "required": true, "type": "string", "description": "the condition's type" },
            "status": { "required": true, "description": "its status: True, False or Unknown" },
            "reason": { "required": true, "description": "why, in one word" },
            "message": { "required": true, "description": "why, for people" },
            "from": { "required": true, "description": "the status before; null: there was none" },
            "to": { "required": true, "description": "the status now" },
            "old_reason": { "required": true, "description": "the reason before; null: there was none" },
        }),
        "kubernetes.event" => json!({
            "type": { "required": true, "description": "Normal or Warning" },
            "reason": { "required": true, "description": "what happened, in one word" },
            "message": { "required": true, "description": "what happened, for people" },
            "regarding": { "required": true, "description": "the object it is about: kind, namespace, name, uid" },
            "source": { "required": true, "description": "who tells it" },
        }),
        _ => json!({
            "operation": { "required": true, "enum": ["added", "modified", "deleted", "entered", "left"],
                "description": "what happened; `entered` and `left`: a selector chooses it now, or no longer" },
            "old": { "required": true, "type": ["object", "null"],
                "description": "the object as it was told before; null where it was not, or is large" },
            "changed": { "required": true, "type": "array", "items": { "type": "string" },
                "description": "paths at which `object` is not as `old`; empty unless it was modified" },
        }),
    };
    merge(
        &mut own,
        json!({
            "object": { "required": true, "type": "object",
                "description": "the object without `managedFields`; of one that is gone, its last known state" },
            "initial": { "required": true, "type": "boolean",
                "description": "whether it was there when the sensor looked for the first time" },
            "catch_up": { "required": true, "type": "boolean",
                "description": "whether it happened while nobody watched" },
        }),
    );
    properties(own)
}

fn kind() -> Value {
    json!({
        "api_version": { "type": "string", "required": true, "description": "such as `v1` or `apps/v1`" },
        "kind": { "type": "string", "required": true, "description": "such as `Deployment`" },
    })
}

fn object() -> Value {
    json!({
        "operations": { "type": "array", "minItems": 1, "uniqueItems": true,
            "items": { "enum": ["added", "modified", "deleted", "entered", "left"] },
            "default": ["added", "modified", "deleted", "entered", "left"],
            "description": "what is told" },
        "changes": { "default": "spec",
            "oneOf": [
                { "enum": ["spec", "any"] },
                { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 50 },
            ],
            "description": "which changes count: `spec` (the generation moved; of kinds without one, any), `any`, or those at these paths" },
        "metadata_only": { "type": "boolean", "default": false,
            "description": "whether nothing but the metadata of objects is asked for" },
        "delete_guard": { "enum": ["on", "off"], "default": "on",
            "description": "whether many deletions found at once wait for `tripline sensor confirm`" },
    })
}

fn common() -> Value {
    json!({
        "namespaces": { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "maxItems": 50,
            "description": "namespaces; all if absent" },
        "labels": { "type": "string", "minLength": 1, "description": "a selector of labels, such as `app=web,tier!=test`" },
        "fields": { "type": "string", "minLength": 1, "description": "a selector of fields, such as `metadata.name=web`" },
        "initial": { "enum": ["skip", "emit"], "default": "skip",
            "description": "whether objects that are there at first are told, once for each rule" },
        "connection": { "type": "string",
            "description": "a connection of type kubernetes; the server's own cluster if absent" },
    })
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn properties(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
