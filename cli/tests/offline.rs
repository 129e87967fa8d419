//! Commands that need no server, or do not get to one: what they print, word for word, and the
//! exit code. `TRYCMD=overwrite cargo test -p tripline-cli --test offline` rewrites them.

#[test]
fn commands_print_what_is_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
