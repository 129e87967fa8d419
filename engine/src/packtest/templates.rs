//! `${…}` in what mocks answer.

use std::cell::OnceCell;

use actions::Performing;
use expr::condition::{Frame, Interpreter};
use expr::template::Template;
use model::{Diagnostic, Hash, Token, Value};
use syntax::{Kind, Node};

/// What `${…}` in an answer may read.
const NAMES: [&str; 2] = ["params", "attempt"];

thread_local! {
    static INTERPRETER: OnceCell<Interpreter> = const { OnceCell::new() };
}

fn interpreting<T>(work: impl FnOnce(&Interpreter) -> T) -> T {
    INTERPRETER.with(|cell| work(cell.get_or_init(|| Interpreter::new(&NAMES))))
}

/// What stands for a secret's token in a mock's result.
const TOKEN: &str = "${token()}";

/// Whether something in it is to be evaluated.
pub(super) fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.values().any(holds_template),
        _ => false,
    }
}

/// What is wrong with its `${…}`.
pub(super) fn check_templates(node: &Node, wrong: &mut Vec<Diagnostic>) {
    match node.kind() {
        Kind::String(text) => {
            // Of the same length, so that columns stay.
            let text = &text.replace(TOKEN, "${\"token\"}");
            if let Err(error) = interpreting(|interpreter| Template::parse(text, interpreter)) {
                let finding = node.error_within(error.line, error.column, error.message);
                wrong.push(match error.hint {
                    Some(hint) => finding.with_hint(hint),
                    None => finding,
                });
            }
        }
        Kind::List(items) => items.iter().for_each(|item| check_templates(item, wrong)),
        Kind::Map(entries) => {
            for entry in entries {
                check_templates(&entry.value, wrong);
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

/// `value` with its `${…}` evaluated.
pub(super) fn render(value: &Value, performing: &Performing) -> Result<Value, String> {
    if !holds_template(value) {
        return Ok(value.clone());
    }
    let value = &with_token(value, performing);
    let attempt = Value::from(performing.attempt);
    interpreting(|interpreter| {
        let mut frame = Frame::new();
        frame.set("params", &performing.parameters);
        frame.set("attempt", &attempt);
        rendered(value, interpreter, &mut frame)
    })
}

/// `value` with a token for `${token()}`: the same one for the same step.
fn with_token(value: &Value, performing: &Performing) -> Value {
    let token = || Token::random(Hash::of(performing.key.as_str().as_bytes()).as_bytes());
    match value {
        Value::String(text) => Value::from(text.replace(TOKEN, token().as_str())),
        Value::Array(items) => items.iter().map(|item| with_token(item, performing)).collect(),
        Value::Object(map) => {
            let item = |(name, item): (&String, _)| (name.clone(), with_token(item, performing));
            Value::Object(map.iter().map(item).collect())
        }
        other => other.clone(),
    }
}

fn rendered(
    value: &Value,
    interpreter: &Interpreter,
    frame: &mut Frame<'_>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let template = Template::parse(text, interpreter).map_err(|error| error.message)?;
            template.render(interpreter, frame).map_err(|failed| failed.message)?
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| rendered(item, interpreter, frame));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let entries = map
                .iter()
                .map(|(key, item)| Ok((key.clone(), rendered(item, interpreter, frame)?)));
            Value::Object(entries.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}
