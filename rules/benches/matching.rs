//! What an event costs among many rules: two match, the others cannot.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed measurement")]

use std::sync::Arc;

use divan::Bencher;
use model::{Envelope, Event, Timestamp};
use rules::{ActiveRule, Evaluator, Rule, RuleSet};
use serde_json::json;

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// Rule `n`: a claim of one name, among other criteria.
fn rule(n: usize, when: &str, parameter: &str) -> ActiveRule {
    let text = format!(
        "trigger: {{ type: kubernetes.object }}
criteria:
  trigger.operation: {{ in: [added, modified] }}
  trigger.object.kind: MysqlDb
  trigger.object.metadata.name: claim-{}
  trigger.object.metadata.namespace: {{ matches: '^team-' }}
{when}
action: {{ ref: databases.provision, parameters: {{ claim: \"{parameter}\" }} }}
",
        n / 2,
    );
    let reference = format!("databases.rule_{n}").parse().unwrap();
    ActiveRule {
        rule: Arc::new(Rule::parse("rule.yaml", &text, reference).unwrap()),
        listens: Vec::new(),
        config: Arc::new(json!({ "limit": 500 })),
    }
}

/// A claim as the API server tells it, about 3 KiB of JSON text.
fn event() -> Event {
    let labels: serde_json::Map<_, _> =
        (0..30).map(|n| (format!("example.com/label-{n}"), json!(format!("value-{n}")))).collect();
    let fields: Vec<_> =
        (0..30).map(|n| json!({ "name": format!("field-{n}"), "value": n })).collect();
    let data = json!({
        "operation": "added",
        "object": {
            "apiVersion": "prsn.io/v1", "kind": "MysqlDb",
            "metadata": { "name": "claim-3", "namespace": "team-a", "uid": "0af9", "labels": labels },
            "spec": { "engine": "mysql", "storage_gb": 50, "fields": fields },
        },
    });
    let envelope = Envelope {
        id: "0af9/1".to_owned(),
        source: "tripline:main/kubernetes.object/0a".to_owned(),
        kind: "kubernetes.object".parse().unwrap(),
        time: Timestamp::UNIX_EPOCH,
        subject: None,
        cause: None,
        traceparent: None,
        tracestate: None,
    };
    Event { envelope, data }
}

fn measure(bencher: Bencher<'_, '_>, count: usize, when: &str, parameter: &str) {
    let set = RuleSet::new((0..count).map(|n| rule(n, when, parameter)).collect());
    let (mut evaluator, event) = (Evaluator::new(), event());
    assert_eq!(
        set.decide(&mut evaluator, &event, Timestamp::UNIX_EPOCH).selected.len(),
        2,
        "two rules match"
    );
    bencher.bench_local(|| set.decide(&mut evaluator, &event, Timestamp::UNIX_EPOCH));
}

/// Criteria and a plain path.
#[divan::bench(args = SIZES)]
fn criteria(bencher: Bencher<'_, '_>, count: usize) {
    measure(bencher, count, "", "${trigger.object.metadata.name}");
}

/// A condition besides: the event is converted for it once.
#[divan::bench(args = SIZES)]
fn conditions(bencher: Bencher<'_, '_>, count: usize) {
    let when = "when: trigger.object.spec.storage_gb <= config.limit";
    measure(bencher, count, when, "${trigger.object.metadata.name}");
}

/// From texts to a set.
#[divan::bench(args = [1_000, 10_000], sample_count = 3, sample_size = 1)]
fn loading(bencher: Bencher<'_, '_>, count: usize) {
    bencher.bench_local(|| {
        RuleSet::new((0..count).map(|n| rule(n, "", "${trigger.object.kind}")).collect())
    });
}
