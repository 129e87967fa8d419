//! What is waited for, and whether an object has come there.

use host::kubernetes::{Path, veil};
use model::value::brief;
use model::{ErrorKind, Map, StepError, Value};

use super::going::{is_going, still_there};
use super::health::{State, health};
use super::object::Object;

/// Longest value that a message shows.
const TOLD: usize = 200;

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Goal {
    /// It is there and all is well with it. A kind that tells nothing is well once it is there.
    Healthy,
    /// It is gone.
    Deleted,
    /// A condition of it has this status.
    Condition { kind: String, status: String },
    /// The value at this path, as `status.phase`, is this one, or anything but nothing.
    Field { path: Path, equals: Option<Value> },
}

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There.
    Met,
    /// Not yet, and what is missing.
    NotYet(String),
    /// It will not come there by waiting, and why.
    Never(String),
    /// It is gone, or going, and nobody brings that very object back.
    Gone(String),
}

impl Goal {
    /// What a parameter `for` says: `healthy`, `deleted`, `{ condition, status }` or
    /// `{ field, equals }`.
    pub(super) fn parse(wanted: &Value) -> Result<Self, StepError> {
        let goal = match wanted {
            Value::String(word) if word == "healthy" => Ok(Some(Self::Healthy)),
            Value::String(word) if word == "deleted" => Ok(Some(Self::Deleted)),
            Value::Object(parts) => Self::of_parts(parts),
            _ => Ok(None),
        };
        let goal = goal.and_then(|goal| {
            let known = "expected `healthy`, `deleted`, `{ condition: Ready }` with an optional `status`, or `{ field: status.phase }` with an optional `equals`, and nothing else";
            goal.ok_or_else(|| known.to_owned())
        });
        goal.map_err(|why| {
            StepError::new(ErrorKind::InvalidParameters, format!("`for` is {wanted}: {why}"))
        })
    }

    fn of_parts(parts: &Map) -> Result<Option<Self>, String> {
        let text = |name| parts.get(name).and_then(Value::as_str);
        let only = |names: [&str; 2]| parts.keys().all(|name| names.contains(&name.as_str()));
        Ok(match (text("condition"), text("field")) {
            (Some(kind), _) if only(["condition", "status"]) => Some(Self::Condition {
                kind: kind.to_owned(),
                status: status(parts.get("status"))?,
            }),
            (_, Some(path)) if only(["field", "equals"]) => {
                Some(Self::Field { path: path.parse()?, equals: parts.get("equals").cloned() })
            }
            _ => None,
        })
    }

    /// How far `object` is, which may not be there; `reported` where its kind has a status of its
    /// own, which somebody is to write; `known` where that very object was there before.
    pub(super) fn judge(&self, object: Option<&Value>, reported: bool, known: bool) -> Verdict {
        match (self, object) {
            (Self::Deleted, None) => Verdict::Met,
            (Self::Deleted, Some(object)) => Verdict::NotYet(still_there(object)),
            (_, None) if known => Verdict::Gone("somebody deleted it".to_owned()),
            (_, None) => Verdict::NotYet("it is not there".to_owned()),
            (_, Some(object)) if known && is_going(object) => {
                Verdict::Gone(format!("somebody deleted it, and {}", still_there(object)))
            }
            (Self::Healthy, Some(object)) => healthy(object, reported),
            (Self::Condition { kind, status }, Some(object)) => {
                match (condition(object, kind, status), health(object)) {
                    (Verdict::NotYet(_), Some(it)) if self.is_hopeless(object, it.state) => {
                        Verdict::Never(it.message)
                    }
                    (verdict, _) => verdict,
                }
            }
            (Self::Field { path, equals }, Some(object)) => field(object, path, equals.as_ref()),
        }
    }

    /// Whether an object that does so badly will never come there.
    fn is_hopeless(&self, object: &Value, state: State) -> bool {
        state == State::Degraded && self.takes_health(Object(object).text("/kind"))
    }

    /// Whether only an object of this kind that does well comes there.
    pub(super) fn takes_health(&self, of: &str) -> bool {
        match self {
            Self::Healthy => true,
            Self::Condition { kind, status } => {
                status == "True"
                    && matches!(
                        (of, kind.as_str()),
                        ("Deployment", "Available") | ("Job", "Complete")
                    )
            }
            Self::Deleted | Self::Field { .. } => false,
        }
    }
}

/// The status that a condition is to have. YAML makes a boolean of what Kubernetes has as text.
fn status(wanted: Option<&Value>) -> Result<String, String> {
    match wanted {
        None | Some(Value::Bool(true)) => Ok("True".to_owned()),
        Some(Value::Bool(false)) => Ok("False".to_owned()),
        Some(Value::String(status)) => Ok(status.clone()),
        Some(other) => Err(format!("the status is {other}: expected `True`, `False` or `Unknown`")),
    }
}

fn healthy(object: &Value, reported: bool) -> Verdict {
    match health(object) {
        None if reported && is_custom(object) && !Object(object).holds("/status") => {
            Verdict::NotYet("it has no status: its controller has not looked at it".to_owned())
        }
        None => Verdict::Met,
        Some(health) => match health.state {
            State::Healthy => Verdict::Met,
            State::Degraded => Verdict::Never(health.message),
            _ => Verdict::NotYet(health.to_string()),
        },
    }
}

/// Whether its kind is none of Kubernetes' own, of which some never get a status.
fn is_custom(object: &Value) -> bool {
    let group = Object(object).text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}

fn condition(object: &Value, kind: &str, status: &str) -> Verdict {
    let object = Object(object);
    let Some(found) = object.condition(kind) else {
        return Verdict::NotYet(format!("it shows no condition `{kind}`"));
    };
    if found.is_stale(object) {
        return Verdict::NotYet(format!("its condition `{kind}` is of an older version of it"));
    }
    if found.status == status {
        return Verdict::Met;
    }
    Verdict::NotYet(format!("its condition `{kind}` is {} ({})", found.status, found.message))
}

fn field(object: &Value, path: &Path, equals: Option<&Value>) -> Verdict {
    let found = path.find(object).unwrap_or(&Value::Null);
    if equals.map_or(!found.is_null(), |wanted| found == wanted) {
        return Verdict::Met;
    }
    // What a Secret holds is compared, and not told.
    let mut shown = object.clone();
    veil(&mut shown);
    let shown = path.find(&shown).unwrap_or(&Value::Null);
    Verdict::NotYet(format!("`{path}` is {}", brief(shown, TOLD)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn not_yet(text: &str) -> Verdict {
        Verdict::NotYet(text.to_owned())
    }

    #[test]
    fn an_object_is_judged_by_what_is_waited_for() {
        let object = json!({
            "apiVersion": "prsn.io/v1", "kind": "MysqlDb",
            "metadata": { "generation": 2, "finalizers": ["a", "b"], "labels": { "a/b": "1" } },
            "status": { "phase": "Creating", "ingress": [{ "ip": "::1" }], "conditions": [
                { "type": "Ready", "status": "False", "reason": "R", "message": "m" },
                { "type": "Old", "status": "True", "observedGeneration": 1 },
            ] },
        });
        for (goal, expected) in [
            (json!("healthy"), not_yet("progressing: R: m")),
            (json!("deleted"), not_yet("it is held by its finalizers a, b")),
            (json!({ "condition": "Ready" }), not_yet("its condition `Ready` is False (R: m)")),
            (json!({ "condition": "Ready", "status": "False" }), Verdict::Met),
            (json!({ "condition": "Ready", "status": false }), Verdict::Met),
            (json!({ "field": "status.ingress[0].ip", "equals": "::1" }), Verdict::Met),
            (json!({ "field": "metadata.labels[\"a/b\"]", "equals": "1" }), Verdict::Met),
            (
                json!({ "condition": "Old" }),
                not_yet("its condition `Old` is of an older version of it"),
            ),
            (json!({ "condition": "New" }), not_yet("it shows no condition `New`")),
            (
                json!({ "field": "status.phase", "equals": "Done" }),
                not_yet("`status.phase` is \"Creating\""),
            ),
            (json!({ "field": "status.phase", "equals": "Creating" }), Verdict::Met),
            (json!({ "field": "status.phase" }), Verdict::Met),
            (json!({ "field": "status.endpoint" }), not_yet("`status.endpoint` is null")),
        ] {
            assert_eq!(
                Goal::parse(&goal).unwrap().judge(Some(&object), true, false),
                expected,
                "{goal}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_gone_and_nothing_else() {
        assert_eq!(Goal::Deleted.judge(None, true, true), Verdict::Met);
        assert_eq!(Goal::Healthy.judge(None, true, false), not_yet("it is not there"));
    }

    #[test]
    fn the_very_object_that_was_there_does_not_come_back() {
        let going = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a"] } });
        let gone = |told: &str| Verdict::Gone(told.to_owned());
        assert_eq!(Goal::Healthy.judge(None, false, true), gone("somebody deleted it"));
        let held = "somebody deleted it, and it is held by its finalizers a";
        assert_eq!(Goal::Healthy.judge(Some(&going), false, true), gone(held));
        let field = Goal::parse(&json!({ "field": "metadata.finalizers" })).unwrap();
        assert_eq!(field.judge(Some(&going), false, true), gone(held));
        assert_eq!(field.judge(Some(&going), false, false), Verdict::Met);
        let waits = not_yet("progressing: it is being deleted");
        assert_eq!(Goal::Healthy.judge(Some(&going), false, false), waits);
    }

    #[test]
    fn what_a_secret_holds_is_compared_and_not_told() {
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "data": { "key": "aHVudGVyMg==" } });
        let judge = |goal| match Goal::parse(&goal).unwrap().judge(Some(&secret), false, false) {
            Verdict::NotYet(told) => told,
            verdict => format!("{verdict:?}"),
        };
        assert_eq!(judge(json!({ "field": "data.key", "equals": "aHVudGVyMg==" })), "Met");
        for path in ["data.key", "data"] {
            let told = judge(json!({ "field": path, "equals": "another" }));
            assert!(told.starts_with(&format!("`{path}` is ")) && !told.contains("aHVu"), "{told}");
        }
    }

    #[test]
    fn what_its_controller_has_not_looked_at_is_not_healthy_yet() {
        let object = |api: &str| json!({ "apiVersion": api, "kind": "K", "status": {} });
        let judge = |api, reported| Goal::Healthy.judge(Some(&object(api)), reported, false);
        let waits = not_yet("it has no status: its controller has not looked at it");
        assert_eq!(judge("prsn.io/v1", true), waits);
        assert_eq!(judge("prsn.io/v1", false), Verdict::Met, "its kind has no status");
        assert_eq!(judge("batch/v1", true), Verdict::Met, "as of a CronJob that has not run");
    }

    #[test]
    fn what_failed_is_not_waited_for() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "status": { "phase": "Failed" } });
        assert_eq!(
            Goal::Healthy.judge(Some(&pod), true, false),
            Verdict::Never("it failed".to_owned())
        );
    }

    #[test]
    fn a_condition_that_takes_health_never_comes_to_what_failed() {
        let deadline = json!({ "type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded" });
        let stuck = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "generation": 1 },
            "status": { "observedGeneration": 1, "conditions": [deadline] } });
        let failed = json!({ "apiVersion": "batch/v1", "kind": "Job",
            "status": { "conditions": [{ "type": "Failed", "status": "True" }] } });
        for (object, goal, never) in [
            (&stuck, json!({ "condition": "Available" }), true),
            (&stuck, json!({ "condition": "Available", "status": "False" }), false),
            (&stuck, json!({ "condition": "Stopped" }), false),
            (&failed, json!({ "condition": "Complete" }), true),
            (&failed, json!({ "condition": "Suspended" }), false),
        ] {
            let verdict = Goal::parse(&goal).unwrap().judge(Some(object), true, false);
            assert_eq!(matches!(verdict, Verdict::Never(_)), never, "{goal}: {verdict:?}");
        }
    }

    #[test]
    fn a_goal_that_means_nothing_is_refused() {
        for goal in [json!("ready"), json!({}), json!({ "condition": "A", "field": "b" }), json!(3)]
        {
            let error = Goal::parse(&goal).unwrap_err();
            assert!(error.message.contains("expected `healthy`"), "{error:?}");
        }
        for (goal, why) in [
            (json!({ "condition": "Ready", "state": "False" }), "and nothing else"),
            (json!({ "condition": "Ready", "status": 1 }), "the status is 1"),
            (json!({ "field": "a", "equal": 1 }), "and nothing else"),
            (json!({ "field": "a[b]" }), "`a[b]` is no path"),
        ] {
            let error = Goal::parse(&goal).unwrap_err();
            assert!(error.message.contains(why), "{error:?}");
        }
    }
}
