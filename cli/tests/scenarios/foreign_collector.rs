//! The traces of real work, in a collector that is not ours.

use std::collections::BTreeMap;

use lab::Collector;
use serde_json::Value;

use crate::files::{PATIENCE, chain, pack, world};
use crate::support::eventually;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OUTER: &str = "b7ad6b7169203331";
/// What tracing systems know of that trace.
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_collector_of_opentelemetry_shows_one_trace_from_the_event_to_its_steps() {
    let collector = Collector::start().await.unwrap();
    let spans = tokio::task::block_in_place(|| {
        let world = world();
        let settings = format!("telemetry: {{ endpoint: '{}' }}\n", collector.url());
        world.write("tripline.yaml", &settings);
        pack(&world, "triggers/ordered.yaml", "payload: { n: {} }\n");
        let rule = "trigger: { type: p.ordered }\naction: { ref: p.ship }\n";
        pack(&world, "rules/ship.yaml", rule);
        chain(&world, "ship", r#"run("core.echo", #{ value: 1 }); run("p.pack")"#);
        chain(&world, "pack", r#"run("core.noop")"#);
        let server = world.serve();
        world.write("order.json", r#"{ "n": 1 }"#);
        let emit = ["event", "emit", "p.ordered", "--data", "order.json", "-o", "json"];
        let mut emit = world.client(&emit);
        emit.env("TRACEPARENT", format!("00-{TRACE}-{OUTER}-01")).env("TRACESTATE", STATE);
        let emitted: Value = serde_json::from_slice(&emit.output().unwrap().stdout).unwrap();
        world.reaches(emitted["executions"][0].as_str().unwrap(), &["succeeded"]);
        // Its end sends what is left.
        server.stop();
        eventually(PATIENCE, || {
            let spans = collector.spans().into_iter().map(|span| (span.name.clone(), span));
            let spans: BTreeMap<_, _> = spans.collect();
            spans.contains_key("execution p.ship").then_some(spans)
        })
    });
    assert_eq!(spans["event p.ordered"].parent, OUTER);
    for (part, whole) in [
        ("rules", "event p.ordered"),
        ("execution p.ship", "event p.ordered"),
        ("step core.echo", "execution p.ship"),
        ("attempt core.echo", "step core.echo"),
        ("step p.pack", "execution p.ship"),
        ("execution p.pack", "step p.pack"),
        ("step core.noop", "execution p.pack"),
        ("attempt core.noop", "step core.noop"),
    ] {
        assert_eq!(spans[part].parent, spans[whole].id, "{part} is a part of {whole}: {spans:#?}");
        assert_eq!((&*spans[part].trace, &*spans[part].state), (TRACE, STATE), "{part}");
    }
}
