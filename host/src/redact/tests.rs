//! Values in every form that output has them in.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::Token;
use model::token::percent_encode;
use serde_json::json;

use super::forms::escape;
use super::*;

const VALUE: &str = "p4ss \"wörd\"/+?";

fn redactor() -> Redactor {
    Redactor::new([(VALUE, "[it]"), ("short", "[short]"), ("another value", "[other]")])
}

fn forms() -> Vec<String> {
    let escaped = escape(VALUE);
    let base64 = |before: &str, after: &str| STANDARD.encode(format!("{before}{VALUE}{after}"));
    let mut forms = vec![
        VALUE.to_owned(),
        json!({ "nested": json!({ "value": VALUE }).to_string() }).to_string(),
        escaped.replace('ö', "\\u00f6"),
        percent_encode(VALUE),
        percent_encode(VALUE).replace("%20", "+"),
        "p4ss%20%22w%c3%b6rd%22%2f%2b%3f".to_owned(),
        VALUE.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    forms.extend(["", "u", "us", "use"].map(|before| base64(before, "")));
    forms.extend(["", "u", "us"].map(|before| base64(before, ":rest")));
    forms.push(URL_SAFE_NO_PAD.encode(format!("x{VALUE}")));
    let utf_16: Vec<u8> = VALUE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    forms.push(STANDARD.encode(utf_16));
    let json = json!([VALUE]).to_string();
    forms.push(json!({ "a": json!({ "b": json }).to_string() }).to_string());
    forms.extend(["", "u", "us"].map(|before| percent_encode(&base64(before, ":rest"))));
    forms
}

/// As `base64` and others wrap: after so many characters.
fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join(end)
}

#[test]
fn base64_is_found_over_line_breaks_wherever_they_fall() {
    let redactor = redactor();
    for before in ["", "a", "ab", &"longer than a line ".repeat(9)] {
        let text = STANDARD.encode(format!("{before}{VALUE} and more\n"));
        for (width, end) in [(76, "\n"), (64, "\r\n"), (5, "\n  "), (1, "\n"), (20, "\\n")] {
            let text = wrapped(&text, width, end);
            let clean = redactor.text(&text).into_owned();
            assert!(clean.contains("[it]"), "{text:?}");
            let mut stream = redactor.stream();
            let pieces = text.as_bytes().chunks(3);
            let mut out: Vec<u8> = pieces.flat_map(|piece| stream.push(piece)).collect();
            out.extend(stream.finish());
            assert_eq!(String::from_utf8(out).unwrap(), clean, "{text:?} in pieces");
        }
    }
    for text in ["another\nvalue", "p4ss\n", "cDRz\n\nfile\n"] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn every_form_is_found_and_nothing_else() {
    let redactor = redactor();
    for form in forms() {
        let clean = redactor.text(&form).into_owned();
        assert!(clean.contains("[it]"), "{form}");
        assert!(!clean.contains(VALUE), "{clean}");
    }
    for text in ["", "short", "p4ss", "p4ss \"wörd\"", "nothing to see here, at all"] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn what_comes_in_pieces_is_found_across_their_boundaries() {
    let redactor = redactor();
    let text = format!("a {VALUE} b {} c p4ss another valu{VALUE}", STANDARD.encode(VALUE));
    let whole = redactor.text(&text).into_owned();
    for size in 1..text.len() {
        let mut stream = redactor.stream();
        let pieces = text.as_bytes().chunks(size);
        let mut out: Vec<u8> = pieces.flat_map(|piece| stream.push(piece)).collect();
        out.extend(stream.finish());
        assert_eq!(String::from_utf8(out).unwrap(), whole, "in pieces of {size}");
    }
}

#[test]
fn only_what_may_become_a_value_is_held_back() {
    let redactor = redactor();
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"a line\nanother val"), b"a line\n");
    assert_eq!(stream.push(b"ley\n"), b"another valley\n");
}

#[test]
fn values_are_found_in_names_and_numbers_too() {
    let redactor = Redactor::new([("1234567890", "[n]"), (VALUE, "[it]")]);
    let value = json!({ VALUE: [1_234_567_890, 12, null, { "a": format!("<{VALUE}>") }] });
    let clean = json!({ "[it]": ["[n]", 12, null, { "a": "<[it]>" }] });
    assert_eq!(redactor.value(value), clean);
}

#[test]
fn what_a_token_stands_for_can_be_worked_out_again() {
    let token = Token::random(&[3; 32]);
    let redactor = Redactor::new([(VALUE, token.as_str())]);
    let base64 = STANDARD.encode(VALUE);
    let encoded = format!("{base64} {} {}", percent_encode(VALUE), percent_encode(&base64));
    let clean = redactor.text(&encoded).into_owned();
    let again = model::token::substitute(&clean, &|_| Some(VALUE.to_owned()));
    assert_eq!(again.as_deref(), Some(encoded.as_str()));
}

#[test]
fn lines_of_a_long_value_are_found_alone_but_not_what_every_key_has() {
    let key =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDcN\nshort\n-----END PRIVATE KEY-----\n";
    let redactor = Redactor::new([(key, "[key]")]);
    assert_eq!(redactor.text("x MC4CAQAwBQYDK2VwBCIEIDcN y"), "x [key] y");
    let ordinary = "-----BEGIN PRIVATE KEY-----";
    assert_eq!(redactor.text(ordinary), ordinary);
    assert_eq!(redactor.text(&escape(key)), "[key]");
}
