//! What the decoder says of a request that does not fit, without the names of our types.

/// `message` in the words of whoever wrote the request.
pub(crate) fn plain(message: &str) -> String {
    let (text, place) = message.rfind(" at line ").map_or((message, ""), |at| message.split_at(at));
    let misfit = text.strip_prefix("invalid type: ").or(text.strip_prefix("invalid value: "));
    let told = misfit.and_then(|rest| rest.rsplit_once(", expected "));
    match told {
        Some((found, expected)) => {
            format!("expected {}, found {}{place}", wanted(expected), met(found))
        }
        None if text == "invalid digit found in string" => "expected a whole number".to_owned(),
        None => message.to_owned(),
    }
}

/// What the decoder wanted. A type of ours is an object, or one name of a few.
fn wanted(expected: &str) -> &str {
    match expected.split(' ').collect::<Vec<_>>()[..] {
        ["struct", ..] | ["a", "map"] | ["map"] => "an object",
        ["enum", ..] | [.., "enum", _] | ["string", "or", "map"] => {
            "one of the names that are known"
        }
        ["tuple", ..] | ["a", "sequence"] | ["sequence"] => "a list",
        ["a", "borrowed", "string"] => "a string",
        ["f32" | "f64"] => "a number",
        ["u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize"] => {
            "a whole number"
        }
        ["a", "boolean"] => "true or false",
        ["unit"] => "nothing",
        _ => expected,
    }
}

/// What it found: `string "x"`, ``integer `7` ``, `map`.
fn met(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => text.to_owned(),
        Some(("integer" | "boolean", text)) => text.trim_matches('`').to_owned(),
        Some(("floating", text)) => text.trim_start_matches("point ").trim_matches('`').to_owned(),
        _ => match found {
            "map" => "an object".to_owned(),
            "sequence" => "a list".to_owned(),
            "unit" | "null" => "null".to_owned(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misfits_are_told_without_names_of_types() {
        for (said, told) in [
            (
                "invalid type: string \"a\", expected struct Run at line 1 column 3",
                "expected an object, found \"a\" at line 1 column 3",
            ),
            (
                "invalid type: integer `7`, expected a string at line 1 column 12",
                "expected a string, found 7 at line 1 column 12",
            ),
            ("invalid type: map, expected u64", "expected a whole number, found an object"),
            ("invalid type: sequence, expected a map", "expected an object, found a list"),
            ("invalid type: null, expected a boolean", "expected true or false, found null"),
            (
                "invalid type: floating point `1.5`, expected usize",
                "expected a whole number, found 1.5",
            ),
            (
                "invalid type: unit, expected enum Resolution",
                "expected one of the names that are known, found null",
            ),
            ("invalid digit found in string", "expected a whole number"),
            (
                "missing field `action` at line 1 column 2",
                "missing field `action` at line 1 column 2",
            ),
        ] {
            assert_eq!(plain(said), told);
        }
    }
}
