//! Tokens of secrets in what the API server is asked to judge without doing it.

use model::{Value, token};

/// Stands where a token would be no value that a Secret's `data` takes: `tripline` in base64.
const PLACEHOLDER: &str = "dHJpcGxpbmU=";

/// An object whose `data` the API server can read though tokens stand for its values.
pub(super) fn fitting(mut object: Value) -> Value {
    if object["kind"] != "Secret" {
        return object;
    }
    if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
        for value in data.values_mut().filter(|value| token::is_within(value)) {
            *value = PLACEHOLDER.into();
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_tokens_among_a_secrets_data_are_stood_in_for() {
        let token = token::Token::random(&[7; 32]);
        let data = json!({ "a": token.as_str(), "b": "aGk=" });
        let secret = json!({ "kind": "Secret", "data": data });
        assert_eq!(fitting(secret)["data"], json!({ "a": PLACEHOLDER, "b": "aGk=" }));
        let map = json!({ "kind": "ConfigMap", "data": data });
        assert_eq!(fitting(map.clone()), map);
    }
}
