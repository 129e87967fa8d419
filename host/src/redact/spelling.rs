//! How common encoders spell a text, where that is not the one way that their standards name.

use model::token::percent_encode;

/// What JavaScript's `encodeURI` leaves alone (RFC 3986, reserved), besides what all leave.
const RESERVED: &str = ";/?:@&=+$,#";

/// The spellings of `value`; `escaped` is its JSON, `encoded` its percent-encoding.
pub(super) fn spellings(value: &str, escaped: &str, encoded: &str) -> [String; 8] {
    let kept = |left_alone: &str| -> String {
        let spell = |c: char| match left_alone.contains(c) {
            true => c.to_string(),
            false => percent_encode(c.encode_utf8(&mut [0; 4])),
        };
        value.chars().map(spell).collect()
    };
    [
        // A host's name in an error.
        value.to_lowercase(),
        // Python's `quote`.
        kept("/"),
        kept(RESERVED),
        percent_encode(encoded),
        // Go's `json.Marshal`, PHP's `json_encode`.
        escaped.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"),
        escaped.replace('/', "\\/"),
        html(value, "&quot;", "&#x27;"),
        html(value, "&#34;", "&#39;"),
    ]
}

fn html(value: &str, quote: &str, apostrophe: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    value.replace('"', quote).replace('\'', apostrophe)
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;

    #[test]
    fn what_encoders_of_several_languages_make_of_a_value_is_found() {
        let value = r#"Sup3r/S"ecret&Value+42"#;
        let redactor = Redactor::new([(value, "[it]")]);
        for spelled in [
            r#"sup3r/s"ecret&value+42"#,
            "Sup3r/S%22ecret%26Value%2B42",
            "Sup3r/S%22ecret&Value+42",
            "Sup3r%252FS%2522ecret%2526Value%252B42",
            r#"Sup3r/S\"ecret\u0026Value+42"#,
            r#"Sup3r\/S\"ecret&Value+42"#,
            "Sup3r/S&quot;ecret&amp;Value+42",
            "Sup3r/S&#34;ecret&amp;Value+42",
        ] {
            assert_eq!(redactor.text(spelled), "[it]", "{spelled}");
        }
    }

    #[test]
    fn a_value_with_percent_signs_of_its_own_is_found_too() {
        let value = "100%a€ of %é and %";
        let redactor = Redactor::new([(value, "[it]")]);
        assert_eq!(redactor.text(value), "[it]");
    }
}
