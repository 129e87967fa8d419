//! A webhook sensor whose secret is not there.

use crate::files::{pack, sensor_is, text, world};
use crate::support::{World, client, send};

fn hook(world: &World, secret: &str) {
    let sensor = format!(
        "type: webhook\nparameters:\n  secrets: [{secret}]\n  signature: {{ header: X-Signature }}\n"
    );
    pack(world, "sensors/hook.yaml", &sensor);
    pack(
        world,
        "rules/take.yaml",
        "trigger: { type: webhook.received, parameters: { sensor: hook } }\naction: { ref: core.noop }\n",
    );
}

#[test]
fn a_sensor_waits_for_a_variable_and_says_for_which() {
    let world = world();
    hook(&world, "{ env: SCENARIO_SECRET }");
    let server = world.serve();
    let sensor = sensor_is(&world, "p/hook", "waiting");
    assert!(text(&sensor["message"]).contains("SCENARIO_SECRET"), "{sensor:#}");
    let request = client().post(format!("{}/webhooks/p/hook", server.webhooks())).body("{}");
    let refused = send(request.header("content-type", "application/json"));
    assert_eq!(refused.status, 503, "nothing is taken unchecked");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    // Variables are those of the process: a restart of the sensor finds nothing new.
    world.run(&["sensor", "restart", "p.hook"]).succeeded();
    sensor_is(&world, "p/hook", "waiting");
    server.stop();
    let world = world.with_variable("SCENARIO_SECRET", "0123456789abcdef");
    let _server = world.serve();
    sensor_is(&world, "p/hook", "running");
}

#[test]
fn a_file_that_came_is_read_when_the_sensor_is_restarted() {
    let world = world();
    hook(&world, &format!("{{ file: {} }}", world.path("secret").display()));
    let _server = world.serve();
    let sensor = sensor_is(&world, "p/hook", "waiting");
    assert!(text(&sensor["message"]).contains("secret"), "{sensor:#}");
    world.write("secret", "0123456789abcdef\n");
    world.run(&["sensor", "restart", "p/hook"]).succeeded();
    sensor_is(&world, "p/hook", "running");
}
