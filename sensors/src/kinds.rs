//! What there is to know of trigger types and sensor types: for `check`, `explain` and editors.

use model::{Map, Value};
use serde_json::json;

use crate::kubernetes;

/// A kind of event that a rule can name.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerKind {
    /// Its name, such as `git.push`.
    pub name: &'static str,
    /// When it happens, in a sentence.
    pub description: &'static str,
    /// What a rule's `trigger.parameters` may hold, as the properties of a [`model::Schema`].
    pub parameters: Map,
    /// What a rule sees as `trigger`, likewise.
    pub payload: Map,
    /// The sensor type that emits it; `None` where the trigger's parameters say it all.
    pub sensor: Option<&'static str>,
}

/// A kind of sensor that a pack can name.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorKind {
    /// Its name, such as `git`.
    pub name: &'static str,
    /// What it watches, in a sentence.
    pub description: &'static str,
    /// What the sensor's `parameters` may hold, as the properties of a [`model::Schema`].
    pub parameters: Map,
    /// The trigger types it emits.
    pub triggers: &'static [&'static str],
}

/// Every trigger type whose events this crate makes.
pub fn trigger_types() -> Vec<TriggerKind> {
    let timer = |name, description| TriggerKind {
        name,
        description,
        parameters: schema_of(name),
        payload: firing(),
        sensor: None,
    };
    let watched = |name, description| TriggerKind {
        name,
        description,
        parameters: schema_of(name),
        payload: kubernetes::payload_of(name),
        sensor: None,
    };
    vec![
        TriggerKind {
            name: "git.push",
            description: "A ref of a git repository was made, moved or removed.",
            parameters: which_sensor(),
            payload: push(),
            sensor: Some("git"),
        },
        watched("kubernetes.object", "An object of a cluster was made, changed or removed."),
        watched("kubernetes.condition", "A condition in the status of an object changed."),
        watched(
            "kubernetes.event",
            "A cluster recorded an event, such as an image that cannot be pulled.",
        ),
        timer("timer.cron", "A time came that fits a cron expression."),
        timer("timer.interval", "A multiple of a length of time came, counted from 1970 in UTC."),
        timer("timer.at", "A point in time came."),
        TriggerKind {
            name: "webhook.received",
            description: "A webhook received a request whose signature is right.",
            parameters: which_sensor(),
            payload: request(),
            sensor: Some("webhook"),
        },
    ]
}

/// Every sensor type that a pack's `sensors/` may name and this crate runs.
pub fn sensor_types() -> Vec<SensorKind> {
    vec![
        SensorKind {
            name: "git",
            description: "Watches the refs of a git repository.",
            parameters: schema_of("git"),
            triggers: &["git.push"],
        },
        SensorKind {
            name: "webhook",
            description: "Receives signed JSON requests at /webhooks/<pack>/<sensor>.",
            parameters: schema_of("webhook"),
            triggers: &["webhook.received"],
        },
        SensorKind {
            name: "process",
            description: "Runs a program of the pack that prints events of the pack's own types.",
            parameters: schema_of("process"),
            triggers: &[],
        },
    ]
}

/// Parameters of a trigger in which rules can differ and still share what is watched: they only say
/// what of it is told.
pub fn apart(trigger: &str) -> &'static [&'static str] {
    match trigger {
        "kubernetes.object" => &["operations", "changes"],
        "kubernetes.condition" => &["types", "changes"],
        _ => &[],
    }
}

/// The properties of what [`crate::build`] takes for `kind`; none for a kind it doesn't know.
pub(crate) fn schema_of(kind: &str) -> Map {
    match kind {
        "git" => git(),
        "webhook" => webhook(),
        "process" => process(),
        "timer.cron" => cron(),
        "timer.interval" => properties(json!({
            "every": { "type": "string", "required": true,
                "description": "how long from one firing to the next, at least 1s" },
        })),
        "timer.at" => properties(json!({
            "time": { "type": "string", "required": true,
                "description": "when, with its offset: `2026-03-29T02:30:00Z`" },
        })),
        kind => kubernetes::parameters_of(kind),
    }
}

fn cron() -> Map {
    properties(json!({
        "cron": { "type": "string", "required": true,
            "description": "minute hour day month weekday, such as `30 2 * * 1-5`" },
        "zone": { "type": "string", "default": "UTC",
            "description": "the time zone of the expression, such as Europe/Berlin" },
        "misfire": { "enum": ["skip", "once", "all"], "default": "once",
            "description": "what happens to times missed while the server was down" },
        "limit": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100,
            "description": "with `misfire: all`, how many of the newest fire" },
        "jitter": duration("the most that a firing is delayed, by a hash of source and time", None),
    }))
}

fn git() -> Map {
    properties(json!({
        "url": { "type": "string",
            "description": "the repository: https://host/path, ssh://user@host/path; with a connection, below its URL" },
        "connection": { "type": "string",
            "description": "a connection of type git: its URL, credentials and rate limit" },
        "refs": { "type": "array", "items": { "type": "string" }, "minItems": 1,
            "maxItems": 100, "default": ["refs/heads/*"],
            "description": "full names of refs, where `*` stands for any text" },
        "every": duration("how often to look, at least 1s", Some("1m")),
        "credentials": secret("a token or `user:password` (https), or the file of a key (ssh)"),
        "initial": { "enum": ["skip", "emit"], "default": "skip",
            "description": "whether refs that are there at first sight are events" },
        "shared_with": { "type": "array", "items": { "type": "string" }, "default": [],
            "description": "the other packs whose chains may `git.export` what it watches: names, or beginnings with `*`" },
    }))
}

fn webhook() -> Map {
    properties(json!({
        "secrets": { "type": "array", "items": secret("a key"), "minItems": 1, "maxItems": 5,
            "required": true, "description": "the keys that sign, such as `[{ env: HOOK_SECRET }]`; several while one rotates" },
        "signature": { "type": "object", "required": true, "additionalProperties": false,
            "description": "how requests are signed with HMAC-SHA256",
            "properties": {
                "header": { "type": "string", "required": true },
                "encoding": { "enum": ["hex", "base64"] },
                "prefix": { "type": "string" },
                "signed": { "type": "string" },
            } },
        "timestamp": { "type": "object", "additionalProperties": false,
            "description": "the header with the time of sending, in seconds since 1970",
            "properties": {
                "header": { "type": "string", "required": true },
                "tolerance": duration("how far it may be off, either way", None),
            } },
        "id": { "type": "object", "additionalProperties": false,
            "minProperties": 1, "maxProperties": 1,
            "description": "what tells deliveries apart: the header with their id, or (`content: true`) what is signed",
            "properties": { "header": { "type": "string" }, "content": { "const": true } } },
        "body_limit": { "type": ["string", "integer"], "default": "256KiB",
            "description": "the largest body, in bytes or as 256KiB or 4MiB; at most 4MiB" },
        "pokes": { "type": "string",
            "description": "a git sensor of this pack that looks at once when a request came" },
        "secret_fields": { "type": "array", "items": { "type": "string" }, "maxItems": 50, "default": [],
            "description": "what of a request is secret, such as `[body.password, headers.x-api-key]`: rules and chains see tokens there" },
    }))
}

fn process() -> Map {
    properties(json!({
        "entry_point": { "type": "string", "required": true,
            "description": "the program: an executable file in the pack's folder `sensors`" },
        "parameters": { "type": "object",
            "description": "values that the program is given on stdin" },
        "secrets": { "type": "object",
            "description": "name → reference to a secret, whose value the program is given on stdin" },
        "limits": { "type": "object", "additionalProperties": false,
            "description": "`memory` (address space, 16GiB), `files` (open ones, 1024) and `cpu` (processor time of one run, none), which the kernel keeps, and `events_per_second` (1000): above it the program waits in its own pipe",
            "properties": {
                "memory": { "type": "string", "description": "most address space, such as 512MiB" },
                "files": { "type": "integer", "minimum": 16, "description": "most open files" },
                "cpu": { "type": "string", "description": "most processor time of one run, such as 10m" },
                "events_per_second": { "type": "integer", "minimum": 1, "maximum": 100_000,
                    "description": "most events stored in a second" },
            } },
    }))
}

fn which_sensor() -> Map {
    properties(json!({
        "sensor": { "type": "string",
            "description": "a sensor of this pack, or `pack.sensor`; all of this pack's if absent" },
    }))
}

fn firing() -> Map {
    properties(json!({
        "scheduled_at": { "required": true, "type": "string", "description": "when it should have fired" },
        "fired_at": { "required": true, "type": "string", "description": "when it did" },
        "misfired": { "required": true, "type": "boolean", "description": "whether it is late" },
    }))
}

fn push() -> Map {
    let names = json!({ "type": "array", "items": { "type": "string" } });
    properties(json!({
        "repository": { "required": true, "type": "string", "description": "the repository's URL" },
        "ref": { "required": true, "type": "string", "description": "the full name of the ref" },
        "before": { "required": true, "type": ["string", "null"],
            "description": "the commit it stood at; null for a new or first-seen ref" },
        "after": { "required": true, "type": ["string", "null"],
            "description": "the commit it stands at; null for a removed ref" },
        "commits": { "required": true, "type": "array",
            "description": "the newest 250 commits that came, oldest first",
            "items": { "type": "object", "properties": {
                "id": { "type": "string" },
                "author": { "type": "object", "properties": {
                    "name": { "type": "string" }, "email": { "type": "string" } } },
                "message": { "type": "string" },
                "time": { "type": "string" },
                "added": names, "modified": names, "removed": names,
            } } },
        "commits_total": { "required": true, "type": "integer", "description": "how many came in all" },
        "truncated": { "required": true, "type": "boolean",
            "description": "whether commits or file names are left out" },
        "forced": { "required": true, "type": "boolean", "description": "whether history was rewritten" },
        "created": { "required": true, "type": "boolean", "description": "whether the ref was made" },
        "deleted": { "required": true, "type": "boolean", "description": "whether the ref was removed" },
    }))
}

fn request() -> Map {
    properties(json!({
        "method": { "required": true, "type": "string" },
        "path": { "required": true, "type": "string" },
        "query": { "required": true, "type": "object", "description": "a list where a name comes several times" },
        "headers": { "required": true, "type": "object",
            "description": "names in lower case, without the signature and credentials" },
        "body": { "required": true, "description": "the JSON that was sent" },
    }))
}

fn secret(what: &str) -> Value {
    json!({ "type": ["object", "string"],
        "description": format!(
            "{what}: `{{ env: NAME }}`, `{{ file: PATH }}` or `{{ secret: PATH }}`, for which the path alone is short"
        ) })
}

fn duration(what: &str, default: Option<&str>) -> Value {
    let mut property = json!({ "type": "string", "description": what });
    if let (Some(default), Some(property)) = (default, property.as_object_mut()) {
        property.insert("default".to_owned(), default.into());
    }
    property
}

fn properties(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Schema, TriggerType};

    #[test]
    fn every_schema_can_be_used_and_every_trigger_has_its_sensor() {
        for trigger in trigger_types() {
            assert!(trigger.name.parse::<TriggerType>().is_ok(), "{}", trigger.name);
            assert!(Schema::compile(&trigger.parameters).is_ok(), "{}", trigger.name);
            assert!(Schema::compile(&trigger.payload).is_ok(), "{}", trigger.name);
            let Some(sensor) = trigger.sensor else { continue };
            let of_sensor =
                |kind: &SensorKind| kind.name == sensor && kind.triggers.contains(&trigger.name);
            assert!(sensor_types().iter().any(of_sensor), "{}", trigger.name);
        }
        for sensor in sensor_types() {
            assert!(Schema::compile(&sensor.parameters).is_ok(), "{}", sensor.name);
        }
    }
}
