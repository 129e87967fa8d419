//! What is refused, and how it is told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use syntax::{parse, parse_bytes};

fn refuse(text: &str, expected: Expect) {
    let shown: Vec<String> = match parse("a.yaml", text) {
        Ok(document) => vec![format!("accepted: {}", document.root().to_value())],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    refuse(
        "a: 1\nb: 2\na: 3\n",
        expect![[r#"
        error: the key `a` stands twice in this map
          at a.yaml:3:1
          3 | a: 3
              ^
          hint: a key stands once: join the two, or rename one"#]],
    );
    refuse(
        "a:\n  - {x: 1, x: 2}\n",
        expect![[r#"
        error: the key `x` stands twice in this map
          at a.yaml:2:12
          2 |   - {x: 1, x: 2}
                         ^
          hint: a key stands once: join the two, or rename one"#]],
    );
}

#[test]
fn a_tab_is_told_at_its_own_place() {
    for (text, line, column) in [
        ("a:\n\tb: 1\n", 2, 1),
        ("a: 1\n\tb: 2\n", 2, 1),
        ("a:\n  b: 1\n\n \t\n\tc: 2\n", 5, 1),
        ("a:\n  b:\n    c: 1\n  \td: 1\n", 4, 3),
        ("a:\n  - b\n\t- c\n", 3, 1),
        ("a: |\n\tx\n", 2, 1),
        ("a: \"x\n\ty\"\n", 2, 1),
    ] {
        let problems = parse("a.yaml", text).unwrap_err();
        assert_eq!(problems[0].message, "a tab cannot stand here", "{text:?}");
        assert_eq!((problems[0].at.line, problems[0].at.column), (line, column), "{text:?}");
    }
}

#[test]
fn bad_layout_says_where() {
    refuse(
        "a:\n\tb: 1\n",
        expect![[r#"
            error: a tab cannot stand here
              at a.yaml:2:1
              2 | 	b: 1
                  ^
              hint: YAML is indented with spaces, not with tabs"#]],
    );
    refuse(
        "a:\n    b: 1\n  c: 2\n",
        expect![[r#"
            error: this line belongs to no map above it
              at a.yaml:3:3
              3 |   c: 2
                    ^
              hint: indent the fields of one map alike"#]],
    );
    refuse(
        "a: [1, 2\nb: 3\n",
        expect![[r#"
            error: a `:` cannot stand here
              at a.yaml:2:2
              2 | b: 3
                   ^
              hint: close every `{` and `[` that is open above"#]],
    );
    refuse(
        "a: b: c\n",
        expect![[r#"
            error: a `:` cannot stand here
              at a.yaml:1:5
              1 | a: b: c
                      ^
              hint: quote a value that holds `: `, and indent the fields of one map alike"#]],
    );
    refuse(
        "a: \"x\n",
        expect![[r#"
            error: a quoted text goes on here, indented less than where it begins
              at a.yaml:2:1
              hint: close its quote above"#]],
    );
    refuse(
        "a: ${trigger.x}\nb: @x\n",
        expect![[r#"
            error: a value cannot begin with this character
              at a.yaml:2:4
              2 | b: @x
                     ^
              hint: quote a value that begins with a character YAML reserves"#]],
    );
    refuse(
        "a: \"size\" in trigger\n",
        expect![[r#"
            error: a value ended with its quote, and more of it follows
              at a.yaml:1:11
              1 | a: "size" in trigger
                            ^
              hint: quote a value that begins with a quote as a whole: '"size" in trigger'"#]],
    );
    refuse(
        "a: 1\n---\nb: 2\n",
        expect![[r#"
            error: the file holds several documents
              at a.yaml:3:1
              3 | b: 2
                  ^
              hint: one file, one document: remove the `---`"#]],
    );
    refuse(
        "- a\nb: 1\n",
        expect![[r#"
        error: while parsing a block collection, did not find expected '-' indicator
          at a.yaml:2:1
          2 | b: 1
              ^"#]],
    );
    refuse(
        "a: {trigger.x[\"y\"]: 1}\n",
        expect![[r#"
            error: a `,` or `}` is expected here
              at a.yaml:1:14
              1 | a: {trigger.x["y"]: 1}
                               ^
              hint: inside { … } a key with brackets must be quoted: { 'trigger.labels["a.b"]': x }"#]],
    );
    refuse(
        "a:\n  - { trigger.object.metadata.labels[\"app.io/x\"]: mysql }\n",
        expect![[r#"
            error: a `,` or `}` is expected here
              at a.yaml:2:37
              2 |   - { trigger.object.metadata.labels["app.io/x"]: mysql }
                                                      ^
              hint: inside { … } a key with brackets must be quoted: { 'trigger.labels["a.b"]': x }"#]],
    );
}

#[test]
fn merge_keys_tags_and_unknown_aliases_are_refused() {
    refuse(
        "a: &x {b: 1}\nc:\n  <<: *x\n",
        expect![[r#"
        error: the merge key `<<` is not supported
          at a.yaml:3:3
          3 |   <<: *x
                ^
          hint: write the fields out"#]],
    );
    refuse(
        "a: !thing 1\n",
        expect![[r#"
        error: the tag `!thing` is not supported
          at a.yaml:1:11
          1 | a: !thing 1
                        ^
          hint: remove it; quote a value that must be a string"#]],
    );
    refuse(
        "a: *x\n",
        expect![[r#"
        error: reference to unknown value
          at a.yaml:1:4
          1 | a: *x
                 ^"#]],
    );
    refuse(
        "a: &x [*x]\n",
        expect![[r#"
        error: Recursive reference not allowed here
          at a.yaml:1:8
          1 | a: &x [*x]
                     ^"#]],
    );
    refuse(
        "? [a]\n: 1\n",
        expect![[r#"
            error: a list or a map cannot be a key
              at a.yaml:1:3
              1 | ? [a]
                    ^
              hint: a key is a text"#]],
    );
}

#[test]
fn numbers_that_programs_read_differently_are_refused_all_at_once() {
    refuse(
        "a: 010\nb: 1_000\nc: [-007, 1__0.5]\nd: 99999999999999999999\n",
        expect![[r#"
            error: `010` is a number with a leading zero, which some programs read as octal
              at a.yaml:1:4
              1 | a: 010
                     ^
              hint: write it without the zero, or quote it if it is a text: "010"
            error: `1_000` is a number with `_`, which some programs read as a text
              at a.yaml:2:4
              2 | b: 1_000
                     ^
              hint: write 1000, or quote it if it is a text: "1_000"
            error: `-007` is a number with a leading zero, which some programs read as octal
              at a.yaml:3:5
              3 | c: [-007, 1__0.5]
                      ^
              hint: write it without the zero, or quote it if it is a text: "-007"
            error: `99999999999999999999` does not fit into a whole number of 64 bits with a sign
              at a.yaml:4:4
              4 | d: 99999999999999999999
                     ^
              hint: quote it if it is a text: "99999999999999999999""#]],
    );
    refuse(
        "a: .nan\n",
        expect![[r#"
        error: value `.nan` is not a finite number
          at a.yaml:1:4
          1 | a: .nan
                 ^"#]],
    );
    refuse(
        "a: 1e999\n",
        expect![[r#"
        error: value `1e999` is not a finite number
          at a.yaml:1:4
          1 | a: 1e999
                 ^"#]],
    );
    refuse(
        "a: &n 010\nb: *n\nc: *n\n",
        expect![[r#"
        error: `010` is a number with a leading zero, which some programs read as octal
          at a.yaml:1:7
          1 | a: &n 010
                    ^
          hint: write it without the zero, or quote it if it is a text: "010""#]],
    );
    refuse(
        "a: 0x1F\nb: 0o17\nc: 0\nd: 0.5\ne: -0\nf: 1e3\ng: \"010\"\nh: '1_000'\ni: 08:30\nj: +5\nk: 1.0\nl: 9223372036854775807\nm: -9223372036854775808\n",
        expect![[
            r#"accepted: {"a":31,"b":15,"c":0,"d":0.5,"e":0,"f":1000.0,"g":"010","h":"1_000","i":"08:30","j":5,"k":1.0,"l":9223372036854775807,"m":-9223372036854775808}"#
        ]],
    );
    refuse(
        "a: 18446744073709551615\nb: 0xFFFFFFFFFFFFFFFF\nc: -9223372036854775809\n",
        expect![[r#"
            error: `18446744073709551615` does not fit into a whole number of 64 bits with a sign
              at a.yaml:1:4
              1 | a: 18446744073709551615
                     ^
              hint: quote it if it is a text: "18446744073709551615"
            error: `0xFFFFFFFFFFFFFFFF` does not fit into a whole number of 64 bits with a sign
              at a.yaml:2:4
              2 | b: 0xFFFFFFFFFFFFFFFF
                     ^
              hint: quote it if it is a text: "0xFFFFFFFFFFFFFFFF"
            error: `-9223372036854775809` does not fit into a whole number of 64 bits with a sign
              at a.yaml:3:4
              3 | c: -9223372036854775809
                     ^
              hint: quote it if it is a text: "-9223372036854775809""#]],
    );
}

#[test]
fn bombs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb = format!("{bomb}a{n}: &a{n} [{before}]\n");
    }
    refuse(
        &bomb,
        expect![[r#"
            error: the file holds too many values, or its aliases (`*name`) repeat too many
              at a.yaml:5:30
              5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
                                               ^
              hint: split it, or keep the values in a file that steps read themselves"#]],
    );
    refuse(
        &"[".repeat(10_000),
        expect![[r#"
            error: brackets are nested too deep: 64 levels are read
              at a.yaml:1:256
              hint: bring what is nested so deep further up, or pass it on as a text"#]],
    );
    let nested = (0..100).map(|n| " ".repeat(n) + "a:\n").collect::<String>();
    refuse(
        &nested,
        expect![[r#"
            error: the file is nested deeper than 64 levels
              at a.yaml:65:65
              65 |                                                                 a:
                                                                                   ^
              hint: bring what is nested so deep further up, or pass it on as a text"#]],
    );
    refuse(
        &"x".repeat(9 * 1024 * 1024),
        expect![[r#"
        error: the file has 9437184 bytes, more than 8388608
          at a.yaml"#]],
    );
}

#[test]
fn what_is_not_utf8_is_refused_at_its_place() {
    let problems = parse_bytes("a.yaml", b"a: 1\nb: \xc3\xa4\xff\n").unwrap_err();
    expect![[r#"
        error: the file is not UTF-8 text
          at a.yaml:2:5
          2 | b: ä�
                  ^
          hint: save it as UTF-8"#]]
    .assert_eq(&problems[0].to_string());
}
