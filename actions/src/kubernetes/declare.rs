//! What there is to know of each of these actions.

use model::{Effect, Map, Value};
use serde_json::json;

use super::Verb;
use crate::Metadata;
use crate::declare::metadata;

/// The declaration of one of them.
pub(super) fn declaration(verb: Verb) -> Metadata {
    let Said { description, parameters, result } = said(verb);
    let effect = match verb {
        Verb::Patch | Verb::RunJob => None,
        Verb::Get | Verb::List | Verb::Diff | Verb::Wait | Verb::Logs => Some(Effect::Read),
        _ => Some(Effect::Idempotent),
    };
    metadata(verb.name(), description, effect, &with_connection(parameters), &result)
}

/// What differs from one to the next.
struct Said {
    description: &'static str,
    parameters: Value,
    result: Value,
}

fn said(verb: Verb) -> Said {
    match verb {
        Verb::Get | Verb::List | Verb::Logs | Verb::Wait => reading(verb),
        Verb::Apply | Verb::Diff => applying(verb),
        Verb::RunJob | Verb::CreateEvent => making(verb),
        _ => changing(verb),
    }
}

/// Every one of them may name its cluster.
fn with_connection(mut parameters: Value) -> Value {
    if let Some(map) = parameters.as_object_mut() {
        map.insert(
            "connection".to_owned(),
            json!({ "type": "string", "description": "a connection of type kubernetes; without one `default`, the server's own cluster" }),
        );
    }
    parameters
}

/// What names one object, and then `more`.
fn target(more: &Value) -> Value {
    let mut all = json!({
        "api_version": { "type": "string", "required": true, "description": "such as `apps/v1`" },
        "kind": { "type": "string", "required": true, "description": "such as `Deployment`" },
        "name": { "type": "string", "required": true, "minLength": 1 },
        "namespace": namespace(),
    });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    all
}

fn namespace() -> Value {
    json!({ "type": "string", "description": "`default`, or the connection's own, where nothing is said" })
}

fn duration(default: &str, description: &str) -> Value {
    json!({ "type": "string", "default": default, "description": description })
}

fn object_result() -> Value {
    json!({ "object": { "type": ["object", "null"], "description": "the object, without managedFields; a Secret's values as hashes" } })
}

fn changed_result() -> Value {
    let mut result = object_result();
    result["changed"] = json!({ "type": "boolean", "description": "false: it was so already" });
    result
}

fn reading(verb: Verb) -> Said {
    match verb {
        Verb::List => list(),
        Verb::Logs => logs(),
        Verb::Wait => wait(),
        _ => get(),
    }
}

fn get() -> Said {
    let mut result = object_result();
    result["found"] = json!({ "type": "boolean" });
    result["values"] = json!({
        "type": "object",
        "additionalProperties": { "type": "string", "secret": true },
        "description": "of a Secret: a token for each value that is text",
    });
    Said {
        description: "Reads one object",
        parameters: target(&json!({
            "missing": { "enum": ["fail", "null"], "default": "fail",
                "description": "what an object that is not there means: an error, or `object: null`" },
        })),
        result,
    }
}

fn list() -> Said {
    Said {
        description: "Reads the objects of a kind",
        parameters: json!({
            "api_version": { "type": "string", "required": true },
            "kind": { "type": "string", "required": true },
            "namespace": { "type": "string", "description": "all where nothing is said" },
            "labels": labels(),
            "fields": { "type": "string", "description": "a field selector, such as `spec.nodeName=a`" },
            "limit": { "type": "integer", "minimum": 1, "maximum": 5000, "default": 500,
                "description": "more than these are an error, never left out in silence" },
            "select": { "type": "array", "items": { "type": "string" },
                "description": "paths to answer, such as `spec.replicas`, besides what names an object; all where nothing is said" },
        }),
        result: json!({ "items": { "type": "array", "items": { "type": "object" } } }),
    }
}

fn labels() -> Value {
    json!({ "type": ["string", "object"], "description": "a label selector as text, or labels and their values" })
}

fn logs() -> Said {
    Said {
        description: "Reads the newest lines that a pod's container wrote",
        parameters: json!({
            "namespace": namespace(),
            "pod": { "type": "string", "required": true },
            "container": { "type": "string", "description": "needed where the pod has several and no annotation `kubectl.kubernetes.io/default-container`" },
            "tail": { "type": "integer", "minimum": 1, "maximum": 10_000, "default": 100,
                "description": "how many lines" },
            "since": { "type": "string", "description": "how far back, such as `10m`" },
            "previous": { "type": "boolean", "default": false,
                "description": "of the container before it was started again" },
        }),
        result: json!({
            "text": { "type": "string" },
            "truncated": { "type": "boolean", "description": "the beginning was left out: it had more than 256 KiB" },
        }),
    }
}

fn wait() -> Said {
    let mut result = object_result();
    result["waited"] = json!({ "type": "string", "description": "how long" });
    Said {
        description: "Waits until an object is healthy, is gone, or shows something",
        parameters: target(
            &json!({ "for": goal(), "timeout": duration("10m", "how long at most") }),
        ),
        result,
    }
}

fn goal() -> Value {
    json!({ "default": "healthy", "description":
        "`healthy`, `deleted`, `{ condition: Ready, status: \"True\" }` or `{ field: status.phase, equals: Bound }`" })
}

fn applying(verb: Verb) -> Said {
    let mut parameters = json!({
        "manifest": { "type": ["object", "array", "string"], "required": true,
            "description": "one object, a list of them, or YAML of several documents; those of a lower `tripline.dev/wave` (an annotation, 0 where nothing is said) are applied before the others, and healthy" },
        "namespace": { "type": "string", "description": "of objects that name none" },
        "force": { "type": "boolean", "default": false,
            "description": "takes over fields that another manager owns" },
        "field_manager": { "type": "string", "default": "tripline", "minLength": 1 },
        "owner": { "type": "string", "minLength": 1,
            "description": "written as the annotation `tripline.dev/owner`; an object of another owner is not touched" },
    });
    if verb == Verb::Diff {
        return Said {
            description: "Shows what applying would change, as the API server itself tells it",
            parameters,
            result: json!({
                "changed": { "type": "boolean" },
                "objects": { "type": "array", "description": "per object: api_version, kind, namespace, name, result (created, configured, unchanged), paths, diff" },
            }),
        };
    }
    parameters["wait"] = json!({ "type": "object", "additionalProperties": false, "properties": {
        "for": goal(), "timeout": { "type": "string", "description": "how long at most, 10m where nothing is said" },
    }, "description": "waits for all objects after all are applied" });
    Said {
        description: "Applies objects (server-side apply), in the order in which they need each other",
        parameters,
        result: json!({
            "objects": { "type": "array", "description": "per object: api_version, kind, namespace, name, uid, result (created, configured, unchanged)" },
            "changed": { "type": "boolean" },
        }),
    }
}

fn making(verb: Verb) -> Said {
    if verb == Verb::RunJob { run_job() } else { create_event() }
}

fn run_job() -> Said {
    let text_list = json!({ "type": "array", "items": { "type": "string" } });
    Said {
        description: "Runs a program as a Kubernetes Job and waits for its end",
        parameters: json!({
            "namespace": namespace(),
            "name": { "type": "string", "default": "tripline", "minLength": 1, "maxLength": 40,
                "description": "what the Job's name begins with; its rest follows from the step" },
            "image": { "type": "string", "required": true, "minLength": 1 },
            "command": text_list,
            "args": text_list,
            "env": { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] },
                "description": "variables; those that hold a secret lie in a Secret that belongs to the Job" },
            "effect": { "enum": ["unsafe", "idempotent"], "default": "unsafe",
                "description": "what running the program twice does: where nobody knows how it ended, a person is asked about an `unsafe` one" },
            "service_account": { "type": "string" },
            "resources": { "type": "object", "description": "requests and limits, as in a pod" },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "timeout": duration("30m", "how long the Job may run"),
            "keep": duration("1h", "how long the finished Job stays in the cluster"),
        }),
        result: json!({
            "job": { "type": "string", "description": "its name" },
            "pod": { "type": "string" },
            "exit_code": { "type": "integer" },
            "output": { "description": "what it wrote: JSON where it is JSON, else `{ text }`; of more than 4 MiB the beginning, with `truncated: true`" },
            "warning": { "type": "string", "description": "why what it wrote could not be read" },
        }),
    }
}

fn create_event() -> Said {
    Said {
        description: "Tells something of an object, as `kubectl describe` shows it",
        parameters: target(&json!({
            "type": { "enum": ["Normal", "Warning"], "default": "Normal" },
            "reason": { "type": "string", "required": true, "pattern": "^[A-Za-z][A-Za-z0-9]*$", "maxLength": 128,
                "description": "one word, such as `RolledBack`" },
            "message": { "type": "string", "required": true, "maxLength": 1024 },
            "action": { "type": "string", "default": "Automation", "maxLength": 128,
                "description": "what was done, in a word" },
        })),
        result: json!({ "name": { "type": "string", "description": "the event's" } }),
    }
}

fn changing(verb: Verb) -> Said {
    let (description, more) = match verb {
        Verb::Patch => patch(),
        Verb::PatchStatus => patch_status(),
        Verb::Delete => return delete(),
        Verb::Scale => (
            "Sets the number of replicas",
            json!({
                "replicas": { "type": "integer", "minimum": 0, "required": true },
                "uid": uid(),
            }),
        ),
        Verb::Restart => (
            "Replaces the pods of a Deployment, StatefulSet or DaemonSet, by its own way of updating",
            json!({}),
        ),
        Verb::Label => ("Sets and removes labels", entries("labels")),
        Verb::Annotate => ("Sets and removes annotations", entries("annotations")),
        Verb::AddFinalizer => {
            ("Adds a finalizer: the object stays until it is removed", finalizer())
        }
        _ => ("Removes a finalizer; an object that is gone has none", finalizer()),
    };
    Said { description, parameters: target(&more), result: changed_result() }
}

fn uid() -> Value {
    json!({ "type": "string", "description": "only this very object, and no later one of its name" })
}

fn patch() -> (&'static str, Value) {
    let more = json!({
        "type": { "enum": ["merge", "strategic", "json"], "default": "merge",
            "description": "`json`: a list of operations (RFC 6902), which is not safe to repeat" },
        "patch": { "type": ["object", "array"], "required": true },
        "subresource": { "enum": ["status", "scale"] },
    });
    ("Changes parts of an object", more)
}

fn patch_status() -> (&'static str, Value) {
    let more = json!({
        "status": { "type": "object", "description": "merged into the status" },
        "conditions": { "type": "array", "items": { "type": "object" },
            "description": "each `{ type, status, reason, message }`; the time of the last transition and the observed generation are filled in" },
    });
    ("Changes the status of an object; nothing is written where it says so already", more)
}

fn delete() -> Said {
    Said {
        description: "Deletes an object; one that is not there is deleted already",
        parameters: target(&json!({
            "uid": uid(),
            "resource_version": { "type": "string", "description": "only as it was read" },
            "propagation": { "enum": ["background", "foreground", "orphan"], "default": "background" },
            "wait": { "type": "boolean", "default": false, "description": "until it is gone" },
            "timeout": duration("10m", "how long to wait at most"),
        })),
        result: json!({ "existed": { "type": "boolean" } }),
    }
}

fn entries(name: &str) -> Value {
    let mut more = Map::new();
    more.insert(
        name.to_owned(),
        json!({
            "type": "object", "required": true, "minProperties": 1,
            "additionalProperties": { "type": ["string", "null"] },
            "description": "names and values; null removes",
        }),
    );
    Value::Object(more)
}

fn finalizer() -> Value {
    json!({ "finalizer": { "type": "string", "required": true, "pattern": "^[^/]+/[^/]+$",
        "description": "such as `tripline.dev/cleanup`" } })
}
