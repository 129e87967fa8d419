//! How common encoders spell a text, where that is not the one way that their standards name.

use model::token::percent_encode;

/// What JavaScript's `encodeURI` leaves alone (RFC 3986, reserved), besides what all leave.
const RESERVED: &str = ";/?:@&=+$,#";
/// What `printf %q` of a shell leaves alone, besides letters, digits and what is not ASCII.
const PLAIN: &str = "_-./:@%+,=";

/// The spellings of `value`; `escaped` is its JSON, `encoded` its percent-encoding.
pub(super) fn spellings(value: &str, escaped: &str, encoded: &str) -> Vec<String> {
    let json = [
        escaped.to_owned(),
        // Go's `json.Marshal`, PHP's `json_encode`.
        escaped.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"),
        escaped.replace('/', "\\/"),
    ];
    let mut all = vec![
        // A host's name in an error, a name of the environment.
        value.to_lowercase(),
        value.to_uppercase(),
        // Python's `quote`.
        percent(value, "/"),
        percent(value, RESERVED),
        percent_encode(encoded),
        value.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        html(value, "&quot;", "&#x27;"),
        html(value, "&#34;", "&#39;"),
        every(value, lower),
        every(value, upper),
    ];
    all.extend(json.iter().flat_map(|json| [ascii(json, lower), ascii(json, upper)]));
    all.extend(json);
    all.extend(quoted(value));
    all.extend([":", " "].iter().flat_map(|between| hexadecimal(value, between)));
    all
}

/// Percent-encoding that leaves some characters alone.
fn percent(value: &str, left_alone: &str) -> String {
    let spell = |c: char| match left_alone.contains(c) {
        true => c.to_string(),
        false => percent_encode(c.encode_utf8(&mut [0; 4])),
    };
    value.chars().map(spell).collect()
}

fn html(value: &str, quote: &str, apostrophe: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    value.replace('"', quote).replace('\'', apostrophe)
}

/// As shells, YAML and Python quote it.
fn quoted(value: &str) -> [String; 8] {
    let after_backslash = |special: &dyn Fn(char) -> bool| -> String {
        value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
    };
    let plain = |c: char| c.is_alphanumeric() || !c.is_ascii() || PLAIN.contains(c);
    let python = value.replace('\\', "\\\\").replace('\n', "\\n");
    let byte = |byte: u8| match byte.is_ascii() {
        true => char::from(byte).to_string(),
        false => format!("\\x{byte:02x}"),
    };
    [
        value.replace('\'', r"'\''"),
        value.replace('\'', r#"'"'"'"#),
        value.replace('\'', "''"),
        after_backslash(&|c| !plain(c)),
        after_backslash(&|c| "\"\\$`".contains(c)),
        python.replace('\'', r"\'"),
        python.bytes().map(byte).collect(),
        python.replace('\'', r"\'").bytes().map(byte).collect(),
    ]
}

/// As `openssl` and `od` write bytes.
fn hexadecimal(value: &str, between: &str) -> [String; 2] {
    let digits: Vec<String> = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let text = digits.join(between);
    [text.to_uppercase(), text]
}

type Unit = fn(u16) -> String;

/// `\u00e4`.
pub(super) fn lower(unit: u16) -> String {
    format!("\\u{unit:04x}")
}

/// `\u00E4`.
fn upper(unit: u16) -> String {
    format!("\\u{unit:04X}")
}

fn every(value: &str, unit: Unit) -> String {
    value.encode_utf16().map(unit).collect()
}

/// JSON as by those who write ASCII only.
fn ascii(json: &str, unit: Unit) -> String {
    let spell = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => every(c.encode_utf8(&mut [0; 4]), unit),
    };
    json.chars().map(spell).collect()
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
            r#"SUP3R/S"ECRET&VALUE+42"#,
            r#"Sup3r/S\"ecret\&Value+42"#,
            r#"Sup3r/S\"ecret&Value+42"#,
            "53:75:70:33:72:2F:53:22:65:63:72:65:74:26:56:61:6C:75:65:2B:34:32",
            "53 75 70 33 72 2f 53 22 65 63 72 65 74 26 56 61 6c 75 65 2b 34 32",
            "%53%75%70%33%72%2f%53%22%65%63%72%65%74%26%56%61%6c%75%65%2b%34%32",
        ] {
            assert_eq!(redactor.text(spelled), "[it]", "{spelled}");
        }
    }

    #[test]
    fn what_shells_yaml_python_and_ascii_json_make_of_a_value_is_found() {
        let redactor = Redactor::new([("it's a wörd$/", "[it]")]);
        for spelled in [
            r"it'\''s a wörd$/",
            r#"it'"'"'s a wörd$/"#,
            "it''s a wörd$/",
            r"it\'s\ a\ wörd\$/",
            r"it's a wörd\$/",
            r"it\'s a wörd$/",
            r"it\'s a w\xc3\xb6rd$/",
            r"it's a w\xc3\xb6rd$/",
            r"it's a w\u00F6rd$/",
            r"it's a w\u00f6rd$\/",
            r"\u0069\u0074\u0027\u0073\u0020\u0061\u0020\u0077\u00F6\u0072\u0064\u0024\u002F",
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
