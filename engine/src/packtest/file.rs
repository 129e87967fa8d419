//! `tests/*.yaml`: a list of tests, read strictly.

use std::collections::BTreeMap;

use model::diagnostic::instead;
use model::source::Emitter;
use model::{
    ActionRef, Diagnostic, Duration, Envelope, ErrorKind, Event, EventSource, Location, Map, Name,
    PackName, Timestamp, TriggerType, Value,
};
use syntax::{Fields, Node};

use super::case::{Cancel, Case, Expect, Start};
use super::{expects, mocks};
use crate::packs::{Generation, Library, Pack};

/// When a test happens that says nothing: a fixed time, so that it goes the same every day.
const DEFAULT_NOW: &str = "2026-01-01T00:00:00Z";

/// What a test's words are looked up in.
pub(super) struct Context<'a> {
    pub(super) pack: &'a Pack,
    pub(super) library: &'a Library,
    pub(super) generation: &'a Generation,
    /// The pack's other files, for `data_file`, by their path in the pack.
    pub(super) files: &'a BTreeMap<String, Vec<u8>>,
    /// The pack's folder as the user knows it.
    pub(super) shown: &'a str,
}

type Parsed<T> = Result<T, Vec<Diagnostic>>;

impl<'a> Context<'a> {
    pub(super) fn new(
        pack: &'a Pack,
        library: &'a Library,
        generation: &'a Generation,
        files: &'a BTreeMap<String, Vec<u8>>,
        shown: &'a str,
    ) -> Self {
        Self { pack, library, generation, files, shown }
    }

    /// The action that `text` names; the finding stands where `refuse` puts it.
    pub(super) fn action(
        &self,
        text: &str,
        refuse: impl Fn(String) -> Diagnostic,
    ) -> Parsed<ActionRef> {
        let reference: ActionRef =
            text.parse().map_err(|e: model::name::BadName| vec![refuse(e.to_string())])?;
        if self.library.resolve(self.generation, None, &reference).is_ok() {
            return Ok(reference);
        }
        let names = self.library.names(self.generation);
        let hint = instead(text, names.iter().map(String::as_str));
        Err(vec![refuse(format!("there is no action `{text}`")).with_hint(hint)])
    }
}

/// The tests of one file, or everything that is wrong with it.
pub(super) fn parse(file: &str, text: &str, context: &Context<'_>) -> Parsed<Vec<Case>> {
    let document = syntax::parse(file, text)?;
    let root = document.root();
    let Some(items) = root.as_list() else {
        let finding = root.error(format!("expected a list of tests, found {}", root.describe()));
        return Err(vec![finding.with_hint("begin each test with `- name: what it shows`")]);
    };
    let mut findings = Vec::new();
    let mut cases: Vec<Case> = Vec::new();
    for item in items {
        match case(item, context) {
            Ok(case) => {
                if let Some(other) = cases.iter().find(|other| other.name == case.name) {
                    let message = format!("line {} has a test of this name", other.at.line);
                    findings.push(item.error_at("name", message).with_hint("rename one of them"));
                }
                cases.push(case);
            }
            Err(wrong) => findings.extend(wrong),
        }
    }
    if findings.is_empty() { Ok(cases) } else { Err(findings) }
}

const KNOWN: [&str; 11] = [
    "name",
    "description",
    "event",
    "action",
    "config",
    "now",
    "keys",
    "global_keys",
    "mocks",
    "cancel",
    "expect",
];

fn case(node: &Node, context: &Context<'_>) -> Parsed<Case> {
    let fields = Fields::new(node, &KNOWN, &["answers"]);
    let name = fields.required("name").string();
    fields.optional("description").string();
    let now = fields.optional("now").parsed::<Timestamp>().or_else(|| DEFAULT_NOW.parse().ok());
    let start = fields.part(start(&fields, context, now.unwrap_or_default()));
    let config = fields.part(config(fields.optional("config").node(), context));
    let keys = keys(&fields, context.pack);
    let mocks = fields.optional("mocks").node().map(|node| mocks::parse(node, context));
    let mocks = mocks.map_or(Some(Vec::new()), |mocks| fields.part(mocks));
    let cancel = fields.optional("cancel").node().map(|node| cancel(node, &fields));
    let cancel = cancel.map_or(Some(None), |cancel| fields.part(cancel).map(Some));
    let expect = fields.required("expect").node().map(|node| expects::parse(node, context));
    let expect = expect.map_or(Some(Expect::default()), |expect| fields.part(expect));
    let case = (|| {
        Some(Case {
            name: name?,
            at: node.location_of("name"),
            start: start?,
            config: config?,
            now: now?,
            keys,
            mocks: mocks?,
            cancel: cancel?,
            expect: expect?,
        })
    })();
    fields.finish(case)
}

/// `cancel: 10s`, or with a reason: `{ after: 10s, reason: … }`.
fn cancel(node: &Node, test: &Fields<'_>) -> Parsed<(Cancel, Location)> {
    if node.as_map().is_none() {
        let cancel = length(test, "cancel").map(|after| Cancel { after, reason: None });
        return cancel.map(|cancel| (cancel, node.location())).ok_or_else(Vec::new);
    }
    let fields = Fields::new(node, &["after", "reason"], &[]);
    let after = fields.required("after").duration();
    let reason = fields.optional("reason").string();
    fields.finish(after.map(|after| (Cancel { after, reason }, node.location())))
}

fn start(fields: &Fields<'_>, context: &Context<'_>, now: Timestamp) -> Parsed<Start> {
    match (fields.optional("event").node(), fields.optional("action").node()) {
        (Some(event), None) => Ok(Start::Event(Box::new(self::event(event, context, now)?))),
        (None, Some(node)) => action(node, context),
        (Some(_), Some(action)) => {
            let message = "a test begins with an `event` or with an `action`, not with both";
            Err(vec![action.error(message).with_hint("make two tests of it")])
        }
        (None, None) => {
            let hint = "add `event: { type: …, data: … }`, or `action: { ref: …, parameters: … }`";
            Err(vec![fields.node().error("the test says not what happens").with_hint(hint)])
        }
    }
}

fn action(node: &Node, context: &Context<'_>) -> Parsed<Start> {
    let fields = Fields::new(node, &["ref", "parameters"], &[]);
    let named = fields.required("ref");
    let reference = named
        .string()
        .zip(named.node())
        .and_then(|(text, at)| fields.part(context.action(&text, |message| at.error(message))));
    let mut parameters = fields.optional("parameters").map().unwrap_or_default();
    let written = fields.optional("parameters").node().unwrap_or(node);
    if let Some(reference) = &reference
        && let Ok(resolved) = context.library.resolve(context.generation, None, reference)
    {
        resolved.parameters().fill(&mut parameters);
        let given = Value::Object(parameters.clone());
        for violation in resolved.parameters().violations(&given) {
            fields.report(violated(written, &violation));
        }
    }
    fields.finish(reference.map(|reference| Start::Action { reference, parameters }))
}

const EVENT: [&str; 9] =
    ["type", "data", "data_file", "id", "source", "subject", "time", "sensor", "parameters"];

fn event(node: &Node, context: &Context<'_>, now: Timestamp) -> Parsed<Event> {
    let fields = Fields::new(node, &EVENT, &[]);
    let kind = fields.required("type").parsed::<TriggerType>();
    let known = kind.as_ref().and_then(|kind| context.generation.triggers.get(kind));
    if let (Some(kind), None, Some(at)) = (&kind, known, node.get("type")) {
        let names = context.generation.triggers.keys().map(TriggerType::as_str);
        let finding = at.error(format!("there is no trigger type `{kind}`"));
        fields.report(finding.with_hint(instead(kind.as_str(), names)));
    }
    let data = fields.part(data(&fields, context));
    if let (Some(known), Some((data, at))) = (known, &data) {
        for violation in known.payload.violations_of_part(data) {
            fields.report(violated(at, &violation));
        }
    }
    let source = fields.part(source(&fields, context.pack, kind.as_ref()));
    let id = fields.optional("id").string().unwrap_or_else(|| "test".to_owned());
    let time = fields.optional("time").parsed::<Timestamp>().unwrap_or(now);
    let subject = fields.optional("subject").string();
    let event = (|| {
        let envelope = Envelope {
            id,
            source: source?,
            kind: kind?,
            time,
            subject,
            cause: None,
            traceparent: None,
            tracestate: None,
        };
        Some(Event { envelope, data: data?.0 })
    })();
    fields.finish(event)
}

/// The data, written here or in a file of the pack, and what knows its places.
fn data(fields: &Fields<'_>, context: &Context<'_>) -> Parsed<(Value, Node)> {
    match (fields.optional("data").node(), fields.optional("data_file").node()) {
        (Some(data), None) => Ok((data.to_value(), data.clone())),
        (None, Some(file)) => data_file(file, context),
        (Some(_), Some(file)) => {
            Err(vec![file.error("`data` says it already").with_hint("remove one of the two")])
        }
        (None, None) => {
            let finding = fields.node().error("the event has no data");
            Err(vec![finding.with_hint("add `data: { … }`, or `data_file: FILE` beside the test")])
        }
    }
}

fn data_file(node: &Node, context: &Context<'_>) -> Parsed<(Value, Node)> {
    let Some(name) = node.as_str() else {
        return Err(vec![node.error(format!("expected a file's name, found {}", node.describe()))]);
    };
    let path = format!("tests/{name}");
    let Some(bytes) = context.files.get(&path) else {
        let others = context.files.keys().filter_map(|file| file.strip_prefix("tests/"));
        let hint = match model::diagnostic::suggest(name, others) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add {path}; the name is taken from the pack's folder `tests`"),
        };
        return Err(vec![
            node.error(format!("there is no file {path} in the pack")).with_hint(hint),
        ]);
    };
    let document = syntax::parse_bytes(&format!("{}/{path}", context.shown), bytes)?;
    Ok((document.root().to_value(), document.root().clone()))
}

/// What the event is said to come from: rules look at the sensor, or at the trigger's parameters.
fn source(fields: &Fields<'_>, pack: &Pack, kind: Option<&TriggerType>) -> Parsed<String> {
    let written = fields.optional("source").string();
    let sensor = fields.optional("sensor").string();
    let parameters = fields.optional("parameters").map();
    if let Some(source) = written {
        return Ok(source);
    }
    let emitter = match (sensor, parameters, kind) {
        (Some(name), ..) => Emitter::Sensor(named_sensor(fields, pack, &name)?),
        (None, Some(parameters), Some(kind)) => {
            let hash = model::Hash::of_value(&Value::Object(parameters)).short();
            Emitter::Subscription(kind.clone(), hash)
        }
        _ => return Ok("test".to_owned()),
    };
    let installation = super::stage::installation();
    Ok(EventSource { installation, emitter }.to_string())
}

fn named_sensor(fields: &Fields<'_>, pack: &Pack, name: &str) -> Parsed<model::SensorRef> {
    let known = pack.sensors.keys().map(Name::as_str);
    if name.contains('.') {
        return name.parse().map_err(|e: model::name::BadName| {
            vec![fields.node().error_at("sensor", e.to_string())]
        });
    }
    if let Some(sensor) = pack.sensors.keys().find(|sensor| sensor.as_str() == name) {
        return Ok(model::SensorRef::new(pack.name.clone(), sensor.clone()));
    }
    let finding = fields.node().error_at("sensor", format!("there is no sensor `{name}`"));
    Err(vec![finding.with_hint(instead(name, known))])
}

/// The configuration that the test gives its pack.
fn config(node: Option<&Node>, context: &Context<'_>) -> Parsed<Map> {
    let given = match node {
        None => Map::new(),
        Some(node) => match node.to_value() {
            Value::Object(map) => map,
            _ => {
                return Err(vec![node.error(format!("expected a map, found {}", node.describe()))]);
            }
        },
    };
    let mut config = context.pack.config.as_object().cloned().unwrap_or_default();
    config.extend(given);
    let violations = context.pack.config_schema.violations(&Value::Object(config.clone()));
    // What is missing is missing in every test alike: told only where a test gives some of it.
    let told = violations.iter().filter_map(|violation| Some(violated(node?, violation)));
    let told: Vec<Diagnostic> = told.collect();
    if told.is_empty() { Ok(config) } else { Err(told) }
}

/// The entries of `keys` (the pack's) and `global_keys`, by their names in the store.
pub(super) fn entries<'n>(
    fields: &Fields<'n>,
    pack: &PackName,
) -> Vec<(String, &'n Node, Location)> {
    let of = |field: &str, scope: &str| {
        let entries = fields.node().get(field).and_then(Node::as_map).unwrap_or_default();
        let named = entries.iter().map(|entry| {
            (format!("{scope}/{}", entry.key.name()), &entry.value, entry.key.location())
        });
        named.collect::<Vec<_>>()
    };
    // Not maps: said once, by the getters.
    fields.optional("keys").entries();
    fields.optional("global_keys").entries();
    [of("keys", pack.as_str()), of("global_keys", "global")].concat()
}

fn keys(fields: &Fields<'_>, pack: &Pack) -> Vec<(String, Value)> {
    let entries = entries(fields, &pack.name);
    entries.into_iter().map(|(key, node, _)| (key, node.to_value())).collect()
}

/// A misfit of a schema as a finding about the value that `node` holds.
pub(super) fn violated(node: &Node, violation: &model::Violation) -> Diagnostic {
    let finding = node.error_at(&violation.path, violation.message.clone());
    match &violation.hint {
        Some(hint) => finding.with_hint(hint.clone()),
        None => finding,
    }
}

/// A length of time that must be more than nothing.
pub(super) fn length(fields: &Fields<'_>, name: &str) -> Option<Duration> {
    fields.optional(name).duration()
}

/// An error kind by its name.
pub(super) fn error_kind(fields: &Fields<'_>, name: &str) -> Option<ErrorKind> {
    let text = fields.optional(name).string()?;
    let node = fields.optional(name).node()?;
    let known = ErrorKind::ALL.map(ErrorKind::as_str);
    let kind = ErrorKind::parse(&text);
    if kind.is_none() {
        let hint = match model::diagnostic::suggest(&text, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of {}", known.join(", ")),
        };
        fields.report(node.error(format!("`{text}` is no error kind")).with_hint(hint));
    }
    kind
}
