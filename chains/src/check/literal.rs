//! Values that stand in a program's text.

use model::{Map, Value};
use rhai::{Expr, Position};

/// The value of `expression`, where it is plain text. A map keeps the entries that are plain, so
/// that these can be checked.
pub(super) fn value(expression: &Expr) -> Option<Value> {
    match expression {
        Expr::Map(..) => map(expression).map(|entries| {
            let plain = entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
            Value::Object(plain.collect::<Map>())
        }),
        Expr::Array(items, _) => items.iter().map(value).collect::<Option<_>>().map(Value::Array),
        other => expr::to_value(&other.get_literal_value(None)?).ok(),
    }
}

fn partial(expression: &Expr) -> bool {
    match expression {
        Expr::Map(entries, _) => {
            entries.0.iter().any(|(_, entry)| value(entry).is_none() || partial(entry))
        }
        Expr::Array(items, _) => items.iter().any(partial),
        _ => false,
    }
}

/// The text of a string constant.
pub(super) fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::StringConstant(text, _) => Some(text.as_str()),
        _ => None,
    }
}

/// How a text with computed parts begins.
pub(super) fn beginning(expression: &Expr) -> Option<String> {
    let Expr::InterpolatedString(parts, _) = expression else { return None };
    parts.first().and_then(text).map(ToOwned::to_owned)
}

/// An entry of a map that is written out.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) position: Position,
    /// Its value, where that is plain.
    pub(super) value: Option<Value>,
    /// Whether a map in it has entries that are computed, which its value lacks.
    pub(super) partial: bool,
    /// How it begins, where it is a text with computed parts.
    pub(super) beginning: Option<String>,
}

/// The entries of a map that is written out.
pub(super) fn map(expression: &Expr) -> Option<Vec<Entry>> {
    let Expr::Map(entries, _) = expression else { return None };
    let entry = |(name, value): &(rhai::Ident, Expr)| Entry {
        name: name.name.to_string(),
        position: name.pos,
        value: self::value(value),
        partial: partial(value),
        beginning: beginning(value),
    };
    Some(entries.0.iter().map(entry).collect())
}
