//! Calls that name an action, a length of time or options in plain text.

use model::diagnostic::instead;
use model::{
    ActionRef, Diagnostic, Duration, Effect, Location, Map, Timestamp, TriggerType, Value,
};
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::{Catalog, NamedCall, Text, Written, hinted, literal, meant};
use crate::calls::{self, GET_SECRET, UNSUPPORTED};
use crate::compiled::location;
use crate::options::{PollOptions, StepOptions, parse_max};

/// What is wrong with calls of chains' own functions.
pub(super) fn check(text: &Text<'_>, catalog: &dyn Catalog) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let checker = Checker { text, catalog };
    text.walk(|path| {
        if let Some((call, position)) = call(path) {
            found.extend(checker.call(call, position));
        }
    });
    found
}

/// The calls of `run` and `poll` that name their actions in plain text, and those of `secret`.
pub(super) fn named(text: &Text<'_>) -> Vec<NamedCall> {
    let mut found = Vec::new();
    text.walk(|path| {
        let Some((call, position)) = call(path) else { return };
        found.extend(match call.name.as_str() {
            "run" | "poll" => named_run(text, call),
            "secret" => named_secret(text, call, position),
            _ => None,
        });
    });
    found
}

fn named_run(text: &Text<'_>, call: &FnCallExpr) -> Option<NamedCall> {
    let Expr::StringConstant(name, position) = call.args.first()? else { return None };
    let parameters = call.args.get(1).map(|given| written(text, given));
    Some(NamedCall {
        action: name.parse().ok()?,
        at: location(text.file, *position),
        parameters: parameters.unwrap_or_default(),
    })
}

/// `secret(path)` is the call of an action.
fn named_secret(text: &Text<'_>, call: &FnCallExpr, position: Position) -> Option<NamedCall> {
    let path = call.args.first()?;
    let (value, beginning) = (literal::value(path), literal::beginning(path));
    let at = location(text.file, path.position());
    Some(NamedCall {
        action: GET_SECRET.parse().ok()?,
        at: location(text.file, position),
        parameters: vec![("path".to_owned(), said(value, beginning), at)],
    })
}

/// What a map that is written out says of its entries.
fn written(text: &Text<'_>, given: &Expr) -> Vec<(String, Written, Location)> {
    let entries = literal::map(given).unwrap_or_default().into_iter();
    let written = |entry: literal::Entry| {
        let at = location(text.file, entry.position);
        (entry.name, said(entry.value, entry.beginning), at)
    };
    entries.map(written).collect()
}

fn said(value: Option<Value>, beginning: Option<String>) -> Written {
    match (value, beginning) {
        (Some(value), _) => Written::Value(value),
        (None, Some(beginning)) => Written::Beginning(beginning),
        (None, None) => Written::Computed,
    }
}

/// The unqualified call that a walk stands at.
pub(super) fn call<'a>(path: &[ASTNode<'a>]) -> Option<(&'a FnCallExpr, Position)> {
    let (call, position) = match path.last()? {
        ASTNode::Expr(Expr::FnCall(call, position))
        | ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, *position),
        _ => return None,
    };
    (call.namespace.is_empty() && call.op_token.is_none()).then_some((call, position))
}

struct Checker<'a> {
    text: &'a Text<'a>,
    catalog: &'a dyn Catalog,
}

impl Checker<'_> {
    fn call(&self, call: &FnCallExpr, position: Position) -> Vec<Diagnostic> {
        let name = call.name.as_str();
        match name {
            "run" | "poll" => self.action(call, position),
            "sleep" => self.length(call).into_iter().collect(),
            "sleep_until" => self.time(call).into_iter().collect(),
            "emit" => self.event(call, position),
            "parallel_map" => {
                self.options(call.args.get(2), |o| parse_max(o).map_err(|e| e.to_string()))
            }
            _ if UNSUPPORTED.contains(&name) => {
                let message = format!("`{name}` is not supported by this version of Tripline");
                vec![self.text.error(position, message).with_hint(calls::instead(name))]
            }
            _ => Vec::new(),
        }
    }

    fn action(&self, call: &FnCallExpr, position: Position) -> Vec<Diagnostic> {
        let mut found = if call.name == "run" {
            self.options(call.args.get(2), |o| {
                StepOptions::parse(o).map(|_| ()).map_err(|e| e.to_string())
            })
        } else {
            self.options(call.args.get(3), |o| {
                PollOptions::parse(o).map(|_| ()).map_err(|e| e.to_string())
            })
        };
        let Some(Expr::StringConstant(name, at)) = call.args.first() else { return found };
        let action: ActionRef = match name.parse() {
            Ok(action) => action,
            Err(error) => {
                found.push(self.text.error(*at, model::name::BadName::to_string(&error)));
                return found;
            }
        };
        let Some(signature) = self.catalog.get(&action) else {
            found.extend(self.missing("action", name, *at, &self.catalog.names()));
            return found;
        };
        let writes = signature.effect.is_some_and(|effect| effect != Effect::Read);
        if call.name == "poll" && writes {
            let message =
                format!("`poll` repeats its action without end, and `{name}` does not only read");
            found.push(self.text.error(*at, message).with_hint("poll an action that only reads"));
        }
        found.extend(self.parameters(
            call.args.get(1),
            action.as_str(),
            &signature.parameters,
            position,
        ));
        found
    }

    /// That there is no such thing, unless it is among those that there are.
    fn missing(
        &self,
        what: &str,
        name: &str,
        at: Position,
        known: &[String],
    ) -> Option<Diagnostic> {
        if known.iter().any(|known| known == name) {
            return None;
        }
        let finding = self.text.error(at, format!("there is no {what} `{name}`"));
        Some(finding.with_hint(instead(name, known.iter().map(String::as_str))))
    }

    fn parameters(
        &self,
        given: Option<&Expr>,
        action: &str,
        schema: &model::Schema,
        position: Position,
    ) -> Vec<Diagnostic> {
        let entries = match given {
            None => Vec::new(),
            Some(expression) => match literal::map(expression) {
                Some(entries) => entries,
                None => return Vec::new(),
            },
        };
        let value = |name: &str| entries.iter().find(|entry| entry.name == name);
        let plain = entries.iter().filter_map(|e| Some((e.name.clone(), e.value.clone()?)));
        let mut found = Vec::new();
        let written = Value::Object(plain.collect::<Map>());
        let of_part = schema.violations_of_part(&written);
        for violation in schema.violations(&written) {
            let top = violation.path.split('.').next().unwrap_or_default();
            let entry = value(top);
            // What is required and computed is there.
            let computed = entry.is_some_and(|entry| {
                entry.value.is_none() || entry.partial && !of_part.contains(&violation)
            });
            if computed {
                continue;
            }
            let at = entry.map_or(position, |entry| entry.position);
            let message = format!("`{action}`: {}", violation.message);
            found.push(hinted(self.text.error(at, message), violation.hint));
        }
        for entry in entries.iter().filter(|entry| entry.value.is_none()) {
            if !schema.properties().contains_key(&entry.name) {
                let hint = meant(&entry.name, schema.properties().keys().map(String::as_str));
                let message = format!("`{action}`: unknown parameter `{}`", entry.name);
                found.push(hinted(self.text.error(entry.position, message), hint));
            }
        }
        found
    }

    fn options<T>(
        &self,
        given: Option<&Expr>,
        parse: impl Fn(&Map) -> Result<T, String>,
    ) -> Vec<Diagnostic> {
        let Some(expression) = given else { return Vec::new() };
        let Some(entries) = literal::map(expression) else { return Vec::new() };
        // One at a time, so that each finding has its own place.
        let wrong = entries.into_iter().filter_map(|entry| {
            let one = Map::from_iter([(entry.name, entry.value.unwrap_or(Value::Null))]);
            let computed = one.values().all(Value::is_null);
            let error = parse(&one).err()?;
            let unknown = error.contains(": unknown;");
            let (message, hint) = match error.split_once("; ") {
                Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
                None => (error, None),
            };
            let finding = || hinted(self.text.error(entry.position, message), hint);
            (unknown || !computed).then(finding)
        });
        wrong.collect()
    }

    fn length(&self, call: &FnCallExpr) -> Option<Diagnostic> {
        let argument = call.args.first()?;
        match literal::value(argument)? {
            Value::String(length) => {
                let error = length.parse::<Duration>().err()?;
                Some(self.text.error(argument.position(), error.to_string()))
            }
            number @ Value::Number(_) => {
                let finding =
                    self.text.error(argument.position(), "`sleep` needs a length with its unit");
                Some(finding.with_hint(format!("write sleep(\"{number}s\")")))
            }
            _ => None,
        }
    }

    fn time(&self, call: &FnCallExpr) -> Option<Diagnostic> {
        let argument = call.args.first()?;
        let time = literal::text(argument)?;
        time.parse::<Timestamp>().err()?;
        let finding = self.text.error(argument.position(), format!("`{time}` is not a time"));
        Some(finding.with_hint("write RFC 3339 with a zone, such as `2026-12-24T18:00:00Z`"))
    }

    fn event(&self, call: &FnCallExpr, position: Position) -> Vec<Diagnostic> {
        let Some(Expr::StringConstant(name, at)) = call.args.first() else { return Vec::new() };
        let kind: TriggerType = match name.parse() {
            Ok(kind) => kind,
            Err(error) => {
                return vec![self.text.error(*at, model::name::BadName::to_string(&error))];
            }
        };
        let Some(payload) = self.catalog.payload(&kind) else {
            let missing = self.missing("trigger type", name, *at, &self.catalog.trigger_types());
            return missing.into_iter().collect();
        };
        if let Some((message, hint)) = self.catalog.not_emitted(&kind) {
            return vec![self.text.error(*at, message).with_hint(hint)];
        }
        self.parameters(call.args.get(1), name, &payload, position)
    }
}
