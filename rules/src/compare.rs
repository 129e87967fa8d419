//! Comparing JSON values: numbers by their value, letters with or without their case.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::Value;
use serde_json::Number;

/// Whether two values are the same; `1` and `1.0` are.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            // Both are ordered by key.
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && equal(a, b))
        }
        _ => a == b,
    }
}

/// The order of two numbers or two texts; other pairs have none.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Exact also where a float cannot hold the whole number it is compared with.
fn order_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => order_whole_and_float(a, b.as_f64()?),
        (None, Some(b)) => order_whole_and_float(b, a.as_f64()?).map(Ordering::reverse),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn order_whole_and_float(whole: i128, float: f64) -> Option<Ordering> {
    // `as` saturates, far outside of what 64 bits hold.
    match whole.cmp(&(float.trunc() as i128)) {
        Ordering::Equal => 0.0.partial_cmp(&float.fract()),
        order => Some(order),
    }
}

/// A scalar by which equal values are found: equal keys for equal scalars, and only for them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ScalarKey {
    Null,
    Bool(bool),
    Whole(i128),
    /// The bits of a number with a fraction, or beyond whole numbers.
    Float(u64),
    Text(String),
}

impl ScalarKey {
    /// `None` for a list or a map.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::of_number(number)?,
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    fn of_number(number: &Number) -> Option<Self> {
        if let Some(whole) = whole(number) {
            return Some(Self::Whole(whole));
        }
        let float = number.as_f64()?;
        let saturated = float as i128;
        if float.fract() == 0.0 && saturated != i128::MAX && saturated != i128::MIN {
            Some(Self::Whole(saturated))
        } else {
            Some(Self::Float(float.to_bits()))
        }
    }
}

/// The text with its case taken away: each letter through upper to lower case, so that `ß` meets
/// `SS` and the two small sigmas meet each other.
pub(crate) fn fold_text(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
    }
}

/// The value with the case of all its texts taken away; keys keep theirs.
pub(crate) fn fold(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::String(text) => Cow::Owned(Value::String(fold_text(text))),
        Value::Array(items) => {
            Cow::Owned(items.iter().map(|item| fold(item).into_owned()).collect())
        }
        Value::Object(map) => Cow::Owned(Value::Object(
            map.iter().map(|(key, value)| (key.clone(), fold(value).into_owned())).collect(),
        )),
        _ => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_ordered_by_value_exactly() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1: no float holds it
        for (a, b, expected) in [
            (json!(1), json!(1.0), Ordering::Equal),
            (json!(1), json!(1.5), Ordering::Less),
            (json!(-1), json!(-1.5), Ordering::Greater),
            (json!(big), json!(9_007_199_254_740_992.0), Ordering::Greater),
            (json!(u64::MAX), json!(-1), Ordering::Greater),
            (json!(u64::MAX), json!(1e300), Ordering::Less),
            (json!(i64::MIN), json!(-1e300), Ordering::Greater),
            (json!(0.0), json!(-0.0), Ordering::Equal),
        ] {
            assert_eq!(order(&a, &b), Some(expected), "{a} {b}");
            assert_eq!(order(&b, &a), Some(expected.reverse()), "{b} {a}");
            assert_eq!(equal(&a, &b), expected == Ordering::Equal);
            assert_eq!(ScalarKey::of(&a) == ScalarKey::of(&b), expected == Ordering::Equal);
        }
        assert!(equal(&json!({ "a": [1] }), &json!({ "a": [1.0] })));
        assert_eq!(order(&json!("1"), &json!(1)), None);
    }

    #[test]
    fn case_is_taken_away_from_any_alphabet() {
        for (a, b) in [("ÄÖ", "äö"), ("STRASSE", "straße"), ("ΟΔΟΣ", "οδος"), ("ЖУК", "жук")]
        {
            assert_eq!(fold_text(a), fold_text(b));
        }
    }
}
