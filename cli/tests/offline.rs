//! Commands that need no server, or do not get to one: what they print, word for word, and the
//! exit code. `TRYCMD=overwrite cargo test -p tripline-cli --test offline` rewrites them.

#[test]
fn commands_print_what_is_written_down() {
    // The contexts of whoever runs the tests are their own.
    let cases = trycmd::TestCases::new();
    cases.env("XDG_CONFIG_HOME", "/nonexistent").case("tests/cmd/*.trycmd");
}
