//! `sleep("7d")` and `sleep_until("2026-12-24T18:00:00Z")`.

use std::rc::Rc;

use model::{Duration, Timestamp};
use rhai::{Dynamic, Engine, NativeCallContext};

use super::run::result;
use super::{ask, invalid, text};
use crate::advance::Ask;
use crate::host::Host;
use crate::raise::Answer;

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("sleep", move |context: NativeCallContext<'_>, length: Dynamic| {
        sleep(&own, &context, &length)
    });
    let own = host.clone();
    engine.register_fn("sleep_until", move |context: NativeCallContext<'_>, time: Dynamic| {
        sleep_until(&own, &context, &time)
    });
}

fn sleep(host: &Host, context: &NativeCallContext<'_>, length: &Dynamic) -> Answer<()> {
    let path = host.step("sleep")?;
    if length.is_int() || length.is_float() {
        return Err(invalid(format!(
            "`sleep` needs a length with its unit: write sleep(\"{length}s\")"
        )));
    }
    let length = text("sleep", "a length", length)?;
    let length: Duration =
        length.parse().map_err(|error: model::duration::BadDuration| invalid(error.to_string()))?;
    let until = length.after(host.with(|pass| pass.now)?);
    let said = ask(host, context, &path, &Ask::Sleep { until })?;
    result(&said).map(|_| ())
}

fn sleep_until(host: &Host, context: &NativeCallContext<'_>, time: &Dynamic) -> Answer<()> {
    let path = host.step("sleep_until")?;
    let time = text("sleep_until", "a time", time)?;
    let until: Timestamp = time.parse().map_err(|_| {
        invalid(format!("`{time}` is not a time: expected RFC 3339 such as `2026-12-24T18:00:00Z`"))
    })?;
    let said = ask(host, context, &path, &Ask::Sleep { until })?;
    result(&said).map(|_| ())
}
