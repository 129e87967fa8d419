//! `${…}` in texts: `$${` is a literal, a text that is one `${…}` keeps the value's type.

use model::Value;

use crate::Limits;
use crate::condition::{BadExpression, Expression, Failed, Frame, Interpreter};

/// Most bytes of a filled text.
const LONGEST: usize = Limits::CONDITION.string_bytes;

/// A text with expressions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// A text without expressions, `$${` read.
    Literal(String),
    /// One expression and nothing else: its value is the result, whatever its type.
    Whole(Part),
    /// Expressions among text.
    Mixed(Vec<Piece>),
}

/// An expression and where it begins in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    expression: Expression,
    start: Place,
}

/// A piece of a mixed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// A value: strings bare, others as JSON.
    Value(Part),
}

/// Line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl Template {
    /// Reads `text`; positions of errors are positions in it.
    pub fn parse(text: &str, interpreter: &Interpreter) -> Result<Self, BadExpression> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut start = Place { line: 1, column: 1 };
        while let Some(at) = rest.find("${") {
            let (before, inside) = (&rest[..at], &rest[at + 2..]);
            start = start.after(&rest[..at + 2]);
            if let Some(before) = before.strip_suffix('$') {
                literal += before;
                literal += "${";
                rest = inside;
                continue;
            }
            literal += before;
            let end = closing_brace(inside).ok_or_else(|| {
                start.refuse("`${` has no closing `}`", "close it; a literal `${` is written `$${`")
            })?;
            let part = Part::parse(&inside[..end], start, interpreter)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Value(part));
            rest = &inside[end + 1..];
            start = start.after(&inside[..=end]);
        }
        literal += rest;
        Ok(Self::of(pieces, literal))
    }

    fn of(mut pieces: Vec<Piece>, tail: String) -> Self {
        match (pieces.pop(), tail.is_empty()) {
            (None, _) => Self::Literal(tail),
            (Some(Piece::Value(part)), true) if pieces.is_empty() => Self::Whole(part),
            (Some(last), _) => {
                pieces.push(last);
                pieces.extend((!tail.is_empty()).then_some(Piece::Text(tail)));
                Self::Mixed(pieces)
            }
        }
    }

    /// The text, if there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Whole(_) | Self::Mixed(_) => None,
        }
    }

    /// The value over the values of `frame`; positions of errors are positions in the text, which is
    /// as long as a text may be anywhere.
    pub fn render(
        &self,
        interpreter: &Interpreter,
        frame: &mut Frame<'_>,
    ) -> Result<Value, Failed> {
        match self {
            Self::Literal(text) => Ok(Value::String(text.clone())),
            Self::Whole(part) => part.evaluate(interpreter, frame),
            Self::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text += piece,
                        Piece::Value(part) => {
                            splice(&mut text, &part.evaluate(interpreter, frame)?);
                        }
                    }
                    if text.len() > LONGEST {
                        return Err(Failed::whole(format!(
                            "the text has more than {LONGEST} bytes"
                        )));
                    }
                }
                Ok(Value::String(text))
            }
        }
    }
}

fn splice(text: &mut String, value: &Value) {
    match value {
        Value::String(inner) => text.push_str(inner),
        other => text.push_str(&other.to_string()),
    }
}

impl Part {
    fn parse(source: &str, start: Place, interpreter: &Interpreter) -> Result<Self, BadExpression> {
        if source.trim().is_empty() {
            return Err(start.refuse(
                "`${}` holds no expression",
                "write one; a literal `${` is written `$${`",
            ));
        }
        let expression = interpreter.check(source).map_err(|error| {
            let Place { line, column } = start.plus(error.line, error.column);
            BadExpression { line, column, ..error }
        })?;
        Ok(Self { expression, start })
    }

    fn evaluate(&self, interpreter: &Interpreter, frame: &mut Frame<'_>) -> Result<Value, Failed> {
        interpreter.evaluate(&self.expression, frame).map_err(|failed| {
            let Place { line, column } = self.start.plus(failed.line, failed.column);
            Failed { line, column, ..failed }
        })
    }
}

impl Place {
    /// The place behind `text`, which begins here.
    fn after(self, text: &str) -> Self {
        match text.rsplit_once('\n') {
            Some((before, last)) => Self {
                line: self.line + before.matches('\n').count() + 1,
                column: last.chars().count() + 1,
            },
            None => Self { column: self.column + text.chars().count(), ..self },
        }
    }

    /// The place that is `line` and `column` in an expression that begins here.
    fn plus(self, line: usize, column: usize) -> Self {
        let column = if line == 1 { self.column + column - 1 } else { column };
        Self { line: self.line + line - 1, column }
    }

    fn refuse(self, message: &str, hint: &str) -> BadExpression {
        // The `${` itself is what is wrong.
        let column = self.column.saturating_sub(2).max(1);
        let (message, hint) = (message.to_owned(), Some(hint.to_owned()));
        BadExpression { message, line: self.line, column, hint }
    }
}

/// The byte of the `}` that ends an expression: braces inside it and its texts are passed over.
fn closing_brace(source: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut chars = source.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            '"' | '\'' | '`' => skip_text(&mut chars, c)?,
            _ => {}
        }
    }
    None
}

/// Passes over a text up to its closing quote; what a backslash stands before does not close it.
fn skip_text(chars: &mut std::str::CharIndices<'_>, quote: char) -> Option<()> {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => {
                chars.next();
            }
            c if c == quote => return Some(()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> String {
        let interpreter = Interpreter::new(&["trigger"]);
        let template = match Template::parse(text, &interpreter) {
            Ok(template) => template,
            Err(error) => return format!("refused {}:{} {error}", error.line, error.column),
        };
        let trigger = json!({ "name": "orders", "size": 5, "ratio": 2.0, "tags": ["a", null] });
        let mut frame = Frame::new();
        frame.set("trigger", &trigger);
        match template.render(&interpreter, &mut frame) {
            Ok(value) => value.to_string(),
            Err(failed) => format!("failed {}:{} {failed}", failed.line, failed.column),
        }
    }

    fn check(texts: &[&str], expected: Expect) {
        let lines: Vec<String> =
            texts.iter().map(|text| format!("{text} => {}", render(text))).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_text_that_is_one_expression_keeps_the_type() {
        check(
            &[
                "${trigger.size}",
                "${trigger}",
                "${ trigger.size + 1 }",
                "${trigger.tags}",
                "${null}",
            ],
            expect![[r#"
                ${trigger.size} => 5
                ${trigger} => {"name":"orders","ratio":2.0,"size":5,"tags":["a",null]}
                ${ trigger.size + 1 } => 6
                ${trigger.tags} => ["a",null]
                ${null} => null"#]],
        );
    }

    #[test]
    fn values_among_text_are_spliced() {
        check(
            &[
                "db-${trigger.name}",
                "${trigger.size} of ${trigger.ratio} ",
                "${trigger.name}${trigger.tags}",
                " ${trigger.size}",
                "${#{a: \"}\"}.a} and ${`}`} and ${'}'.to_string()}",
            ],
            expect![[r#"
                db-${trigger.name} => "db-orders"
                ${trigger.size} of ${trigger.ratio}  => "5 of 2.0 "
                ${trigger.name}${trigger.tags} => "orders[\"a\",null]"
                 ${trigger.size} => " 5"
                ${#{a: "}"}.a} and ${`}`} and ${'}'.to_string()} => "} and } and }""#]],
        );
    }

    #[test]
    fn a_doubled_dollar_is_a_literal() {
        check(
            &["$${trigger.size}", "a $${x} ${trigger.size}", "$5 $ {x} 100%", "", "$$"],
            expect![[r#"
            $${trigger.size} => "${trigger.size}"
            a $${x} ${trigger.size} => "a ${x} 5"
            $5 $ {x} 100% => "$5 $ {x} 100%"
             => ""
            $$ => "$$""#]],
        );
    }

    #[test]
    fn mistakes_stand_at_their_place_in_the_text() {
        check(
            &[
                "a ${triger.x}",
                "a\nb ${trigger.x +\n 1 +}",
                "a ${trigger.x",
                "${}",
                "x ${trigger.sise}",
                "x ${1 +\n trigger.a.b}",
            ],
            expect![[r#"
                a ${triger.x} => refused 1:5 `triger` is not known here
                a
                b ${trigger.x +
                 1 +} => refused 3:5 the expression is incomplete
                a ${trigger.x => refused 1:3 `${` has no closing `}`
                ${} => refused 1:1 `${}` holds no expression
                x ${trigger.sise} => failed 1:13 missing property `sise`: use get(…, "sise", default) where it may be absent
                x ${1 +
                 trigger.a.b} => failed 2:10 missing property `a`: use get(…, "a", default) where it may be absent"#]],
        );
    }

    #[test]
    fn a_filled_text_is_no_longer_than_any_other() {
        let interpreter = Interpreter::new(&["trigger"]);
        let template = Template::parse(&"${trigger}".repeat(6), &interpreter).unwrap();
        let trigger = Value::from("x".repeat(1024 * 1024));
        let mut frame = Frame::new();
        frame.set("trigger", &trigger);
        let failed = template.render(&interpreter, &mut frame).unwrap_err();
        assert_eq!(failed.message, "the text has more than 4194304 bytes");
    }
}
