//! Calls that the chain answers itself, once: `now()`, `uuid()`, `log(…)`, `emit(…)`; and
//! `fail(…)`, which needs no record.

use std::rc::Rc;

use model::value::brief;
use model::{ErrorKind, Hash, Record, StepPath, TriggerType};
use rhai::{Dynamic, Engine};

use super::{invalid, json, storable, text};
use crate::host::{Found, Host, Stop};
use crate::limits::LOG_BYTES;
use crate::raise::{Answer, raise, wrong};
use crate::replay;

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("now", move || now(&own));
    let own = host.clone();
    engine.register_fn("uuid", move || uuid(&own));
    let own = host.clone();
    engine.register_fn("log", move |message: Dynamic| log(&own, &message));
    let own = host.clone();
    engine.register_fn("emit", move |kind: Dynamic, data: Dynamic| emit(&own, &kind, &data));
    engine.register_fn("fail", |message: Dynamic| fail(&message));
}

/// The record at `path`: the journal's, else the one that `make` gives, which is noted.
pub(super) fn recorded(host: &Host, path: &StepPath, make: Record) -> Answer<Record> {
    let function = make.function();
    let found = host.look(path, |found| match found {
        Found::Nothing => Ok(None),
        Found::Record(record) if record.function() == function => Ok(Some(record.clone())),
        other => Err(replay::not_a_record(path, function, &other)),
    })?;
    match found {
        Err(error) => Err(host.stop(Stop::Mismatch(error))),
        Ok(Some(record)) => Ok(record),
        Ok(None) if !host.may_begin(path)? => match make {
            // Not in journals of earlier versions, and the same without any.
            Record::Uuid(_) => Ok(make),
            _ => Err(host.stop(Stop::Waiting)),
        },
        Ok(None) => {
            if let Record::Emit { data, .. } = &make {
                storable("emit", "the data", data)?;
            }
            host.with(|pass| pass.record(path, &make))?;
            Ok(make)
        }
    }
}

/// Takes the next path for a call that leaves nothing in the journal.
pub(super) fn unrecorded(host: &Host, function: &str) -> Answer<StepPath> {
    let path = host.step(function)?;
    match host.look(&path, |found| replay::occupied(&path, function, &found))? {
        Some(error) => Err(host.stop(Stop::Mismatch(error))),
        None => Ok(path),
    }
}

fn now(host: &Host) -> Answer {
    let path = host.step("now")?;
    let record = Record::Now(host.with(|pass| pass.now)?);
    match recorded(host, &path, record)? {
        Record::Now(time) => Ok(time.to_string().into()),
        _ => Ok(Dynamic::UNIT),
    }
}

/// A UUID of the kind "made by a rule of one's own" (version 8), from execution and path.
fn uuid(host: &Host) -> Answer {
    let path = host.step("uuid")?;
    let key = host.with(|pass| pass.key(&path))?;
    let mut bytes = *Hash::of_parts([("uuid", key.as_str().as_bytes())]).as_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = Hash::from_bytes(bytes).to_string();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]];
    match recorded(host, &path, Record::Uuid(parts.join("-")))? {
        Record::Uuid(uuid) => Ok(uuid.into()),
        _ => Ok(Dynamic::UNIT),
    }
}

fn log(host: &Host, message: &Dynamic) -> Answer<()> {
    let path = host.step("log")?;
    let text = match message.clone().into_string() {
        Ok(text) => text,
        Err(_) => json("log", "the message", message)?.to_string(),
    };
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at > LOG_BYTES);
    let text = end.map_or(text.clone(), |end| format!("{}…", &text[..end]));
    recorded(host, &path, Record::Log(text)).map(|_| ())
}

fn emit(host: &Host, kind: &Dynamic, data: &Dynamic) -> Answer {
    let path = host.step("emit")?;
    let kind: TriggerType = text("emit", "the event's type", kind)?
        .parse()
        .map_err(|error: model::name::BadName| invalid(error.to_string()))?;
    let data = json("emit", "the event's data", data)?;
    if model::token::is_within(&data) {
        let message = "`emit`: the event's data holds a secret's token: events are for everybody to see, so leave it out";
        return Err(wrong(ErrorKind::Rejected, message));
    }
    if let Record::EmitRefused { error, .. } = recorded(host, &path, Record::Emit { kind, data })? {
        return Err(raise(&error));
    }
    let key = host.with(|pass| pass.key(&path))?;
    Ok(key.to_string().into())
}

fn fail(message: &Dynamic) -> Answer<()> {
    let text = match message.clone().into_string() {
        Ok(text) => text,
        Err(_) => brief(&json("fail", "the message", message)?, 1_000),
    };
    Err(wrong(ErrorKind::Failed, text))
}
