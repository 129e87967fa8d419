//! Numbers as the API server means them: whole ones of 64 bits with a sign, and floats. What is larger
//! is a float to it, and is written by it without a point.

use model::Value;

/// Reads what the API server says.
pub(super) fn read(text: &[u8]) -> serde_json::Result<Value> {
    let mut value = serde_json::from_slice(text)?;
    round(&mut value);
    Ok(value)
}

fn round(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(map) => map.values_mut().for_each(round),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            if let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = float;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_that_the_api_server_holds_as_a_float_is_one() {
        let text = br#"{ "a": [9223372036854775807, 9223372036854775808, 18446744073709552000] }"#;
        let read = read(text).unwrap();
        let expected = json!({ "a": [i64::MAX, 9_223_372_036_854_775_808_f64, 18_446_744_073_709_552_000_f64] });
        assert_eq!(read, expected);
        assert_eq!(model::value::fits(&read), Ok(()));
    }
}
