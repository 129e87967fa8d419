//! Why a rule selected an event, or did not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{active, event_from, listening, now};
use expect_test::{Expect, expect};
use model::source::Emitter;
use model::{Event, Value};
use rules::{ActiveRule, Evaluator, Outcome, Rule, RuleSet, explain};
use serde_json::json;

const PROVISION: &str = r#"
description: A MysqlDb claim becomes an RDS instance
trigger: { type: kubernetes.object, parameters: { api_version: prsn.io/v1, kind: MysqlDb } }
criteria:
  trigger.operation: { in: [added, modified] }
  trigger.object.metadata.namespace: { matches: "^team-" }
  trigger.object.metadata.labels["app.kubernetes.io/part-of"]: { exists: true }
  trigger.object.spec.engine: mysql
  any:
    - { trigger.object.spec.class: small }
    - { trigger.object.spec.storage_gb: { le: 100 } }
when: trigger.object.spec.storage_gb <= 500
action:
  ref: databases.provision
  parameters: { claim: "${trigger.object.metadata.name}", subnet_group: "${config.limit}" }
"#;

fn provision() -> ActiveRule {
    let name = "databases.provision_mysql".parse().unwrap();
    active(Rule::parse("provision_mysql.yaml", PROVISION, name).unwrap())
}

fn claim(change: impl FnOnce(&mut Value)) -> Event {
    let mut data = json!({
        "operation": "added",
        "object": {
            "metadata": {
                "name": "orders", "namespace": "team-a",
                "labels": { "app.kubernetes.io/part-of": "shop" },
            },
            "spec": { "engine": "mysql", "class": "large", "storage_gb": 50 },
        },
    });
    change(&mut data);
    event_from("tripline:main/kubernetes.object/0a", "kubernetes.object", data)
}

/// The explanation for people; it ends as the decision does.
fn check(active: &ActiveRule, event: &Event, expected: Expect) {
    let explanation = explain(active, &mut Evaluator::new(), event, now());
    let decision = RuleSet::new(vec![active.clone()]).decide(&mut Evaluator::new(), event, now());
    let decided = match (decision.selected.first(), decision.failed.first()) {
        (Some(selected), _) => {
            assert_eq!(explanation.parameters.as_ref(), Some(&selected.parameters));
            Outcome::Match
        }
        (_, Some(failure)) => {
            assert_eq!(explanation.error.as_ref(), Some(&failure.error));
            Outcome::Error
        }
        (None, None) => Outcome::NoMatch,
    };
    assert_eq!(explanation.outcome, decided);
    expected.assert_eq(&explanation.to_string());
}

#[test]
fn a_match_shows_every_check_and_the_parameters() {
    check(
        &provision(),
        &claim(|_| ()),
        expect![[r#"
        databases.provision_mysql: match
          ✓ type kubernetes.object: found kubernetes.object
          ✓ trigger.operation in ["added","modified"]: found "added"
          ✓ trigger.object.metadata.namespace matches "^team-": found "team-a"
          ✓ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: found "shop"
          ✓ trigger.object.spec.engine eq "mysql": found "mysql"
          ✓ any of 2 groups
            ✗ group 1
              ✗ trigger.object.spec.class eq "small": found "large"
            ✓ group 2
              ✓ trigger.object.spec.storage_gb le 100: found 50
          ✓ when trigger.object.spec.storage_gb <= 500
          action databases.provision
            claim: "orders"
            subnet_group: 5"#]],
    );
}

#[test]
fn a_miss_shows_what_was_expected_and_found() {
    let miss = claim(|data| {
        data["operation"] = json!("deleted");
        data["object"]["metadata"]["labels"] = json!({});
        data["object"]["metadata"]["namespace"] = json!(["team-a"]);
        data["object"]["spec"] = json!({ "engine": "x".repeat(200), "storage_gb": "50" });
    });
    check(
        &provision(),
        &miss,
        expect![[r#"
        databases.provision_mysql: no match
          ✓ type kubernetes.object: found kubernetes.object
          ✗ trigger.operation in ["added","modified"]: found "deleted"
          ✗ trigger.object.metadata.namespace matches "^team-": found ["team-a"] (it is a list, and only a string can be compared)
          ✗ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: absent
          ✗ trigger.object.spec.engine eq "mysql": found "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
          ✗ any of 2 groups
            ✗ group 1
              ✗ trigger.object.spec.class eq "small": absent
            ✗ group 2
              ✗ trigger.object.spec.storage_gb le 100: found "50" (it is a string, and only a number can be compared)
          - when trigger.object.spec.storage_gb <= 500: not asked
          action databases.provision"#]],
    );
}

#[test]
fn a_condition_that_says_no_or_fails_is_shown() {
    let large = claim(|data| {
        data["object"]["spec"] = json!({ "engine": "mysql", "class": "small", "storage_gb": 501 });
    });
    check(
        &provision(),
        &large,
        expect![[r#"
        databases.provision_mysql: no match
          ✓ type kubernetes.object: found kubernetes.object
          ✓ trigger.operation in ["added","modified"]: found "added"
          ✓ trigger.object.metadata.namespace matches "^team-": found "team-a"
          ✓ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: found "shop"
          ✓ trigger.object.spec.engine eq "mysql": found "mysql"
          ✓ any of 2 groups
            ✓ group 1
              ✓ trigger.object.spec.class eq "small": found "small"
            ✗ group 2
              ✗ trigger.object.spec.storage_gb le 100: found 501
          ✗ when trigger.object.spec.storage_gb <= 500
          action databases.provision"#]],
    );
    let absent = claim(|data| {
        data["object"]["spec"] = json!({ "engine": "mysql", "class": "small" });
    });
    check(
        &provision(),
        &absent,
        expect![[r#"
        databases.provision_mysql: error
          ✓ type kubernetes.object: found kubernetes.object
          ✓ trigger.operation in ["added","modified"]: found "added"
          ✓ trigger.object.metadata.namespace matches "^team-": found "team-a"
          ✓ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: found "shop"
          ✓ trigger.object.spec.engine eq "mysql": found "mysql"
          ✓ any of 2 groups
            ✓ group 1
              ✓ trigger.object.spec.class eq "small": found "small"
            ✗ group 2
              ✗ trigger.object.spec.storage_gb le 100: absent
          ! when trigger.object.spec.storage_gb <= 500
            when: missing property `storage_gb`: use get(…, "storage_gb", default) where it may be absent (provision_mysql.yaml:12:27)
          action databases.provision"#]],
    );
}

#[test]
fn a_template_that_fails_is_shown() {
    let nameless = claim(|data| {
        data["object"]["metadata"].as_object_mut().unwrap().remove("name");
    });
    check(
        &provision(),
        &nameless,
        expect![[r#"
        databases.provision_mysql: error
          ✓ type kubernetes.object: found kubernetes.object
          ✓ trigger.operation in ["added","modified"]: found "added"
          ✓ trigger.object.metadata.namespace matches "^team-": found "team-a"
          ✓ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: found "shop"
          ✓ trigger.object.spec.engine eq "mysql": found "mysql"
          ✓ any of 2 groups
            ✗ group 1
              ✗ trigger.object.spec.class eq "small": found "large"
            ✓ group 2
              ✓ trigger.object.spec.storage_gb le 100: found 50
          ✓ when trigger.object.spec.storage_gb <= 500
          ! parameter `claim`: missing property `name`: use get(…, "name", default) where it may be absent (provision_mysql.yaml:15:51)
          action databases.provision"#]],
    );
}

#[test]
fn another_type_and_another_source_are_shown() {
    let push = event_from("tripline:main/app/push", "git.push", json!({}));
    check(
        &provision(),
        &push,
        expect![[r#"
        databases.provision_mysql: no match
          ✗ type kubernetes.object: found git.push
          - when trigger.object.spec.storage_gb <= 500: not asked
          action databases.provision"#]],
    );
    let emitter = Emitter::Subscription("kubernetes.object".parse().unwrap(), "0b".to_owned());
    let deaf = ActiveRule { listens: vec![emitter], ..provision() };
    check(
        &deaf,
        &claim(|_| ()),
        expect![[r#"
        databases.provision_mysql: no match
          ✓ type kubernetes.object: found kubernetes.object
          ✗ source kubernetes.object/0b: found tripline:main/kubernetes.object/0a
          ✓ trigger.operation in ["added","modified"]: found "added"
          ✓ trigger.object.metadata.namespace matches "^team-": found "team-a"
          ✓ trigger.object.metadata.labels["app.kubernetes.io/part-of"] exists true: found "shop"
          ✓ trigger.object.spec.engine eq "mysql": found "mysql"
          ✓ any of 2 groups
            ✗ group 1
              ✗ trigger.object.spec.class eq "small": found "large"
            ✓ group 2
              ✓ trigger.object.spec.storage_gb le 100: found 50
          - when trigger.object.spec.storage_gb <= 500: not asked
          action databases.provision"#]],
    );
}

#[test]
fn items_that_fit_are_counted() {
    let text = "trigger: { type: a.b }\ncriteria: { trigger.commits: { any: { author: ann }, all: { files: { lt: 9 } } } }\naction: { ref: a.b }\n";
    let data =
        json!({ "commits": [{ "author": "ann", "files": 3 }, { "author": "bob", "files": 10 }] });
    let event = event_from("tripline:main/api/x", "a.b", data);
    check(
        &listening("p.r", text, &[]),
        &event,
        expect![[r#"
        p.r: no match
          ✓ type a.b: found a.b
          ✓ trigger.commits any {"author":"ann"}: found [{"author":"ann","files":3},{"author":"bob","files":10}] (1 of 2 items fit)
          ✗ trigger.commits all {"files":{"lt":9}}: found [{"author":"ann","files":3},{"author":"bob","files":10}] (1 of 2 items fit)
          action a.b"#]],
    );
}

#[test]
fn programs_read_the_same_as_json() {
    let miss = claim(|data| {
        data["object"]["spec"]["engine"] = json!(5);
        data["object"]["metadata"]["labels"] = json!({});
    });
    let explanation = explain(&provision(), &mut Evaluator::new(), &miss, now());
    expect![[r#"
        {
          "rule": "databases.provision_mysql",
          "outcome": "no_match",
          "trigger": {
            "expected": "kubernetes.object",
            "found": "kubernetes.object",
            "passed": true
          },
          "source": {
            "expected": [],
            "found": "tripline:main/kubernetes.object/0a",
            "passed": true
          },
          "criteria": [
            {
              "path": "trigger.operation",
              "operator": "in",
              "expected": [
                "added",
                "modified"
              ],
              "found": {
                "value": "added"
              },
              "passed": true
            },
            {
              "path": "trigger.object.metadata.namespace",
              "operator": "matches",
              "expected": "^team-",
              "found": {
                "value": "team-a"
              },
              "passed": true
            },
            {
              "path": "trigger.object.metadata.labels[\"app.kubernetes.io/part-of\"]",
              "operator": "exists",
              "expected": true,
              "found": "absent",
              "passed": false
            },
            {
              "path": "trigger.object.spec.engine",
              "operator": "eq",
              "expected": "mysql",
              "found": {
                "value": 5
              },
              "passed": false,
              "note": "it is a whole number, and only a string can be compared"
            }
          ],
          "any": [
            {
              "criteria": [
                {
                  "path": "trigger.object.spec.class",
                  "operator": "eq",
                  "expected": "small",
                  "found": {
                    "value": "large"
                  },
                  "passed": false
                }
              ],
              "passed": false
            },
            {
              "criteria": [
                {
                  "path": "trigger.object.spec.storage_gb",
                  "operator": "le",
                  "expected": 100,
                  "found": {
                    "value": 50
                  },
                  "passed": true
                }
              ],
              "passed": true
            }
          ],
          "when": {
            "condition": "trigger.object.spec.storage_gb <= 500",
            "result": null,
            "error": null
          },
          "action": "databases.provision",
          "parameters": null,
          "error": null
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&explanation).unwrap());
}
