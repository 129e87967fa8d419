//! The strict engine: what rhai offers here, what it refuses, what bounds it.

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LogicPackage, MoreStringPackage,
    Package,
};
use rhai::{Engine, Module, OptimizationLevel, Shared};

use crate::{lookup, order, words};

/// Bounds on one evaluation; rhai's own default for nearly all of them is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most operations. rhai counts anew inside closures that a native function calls, so this
    /// bounds straight code only; chains count across closures themselves.
    pub operations: u64,
    /// Deepest nesting of function calls.
    pub call_levels: usize,
    /// Deepest nesting of an expression, in the program and in its functions.
    pub expression_depth: usize,
    /// Most bytes of all the strings of one value together.
    pub string_bytes: usize,
    /// Most items of all the lists of one value together, and of all its maps.
    pub items: usize,
    /// Most variables of one function.
    pub variables: usize,
    /// Most functions, closures included.
    pub functions: usize,
    /// Most modules that may be imported.
    pub modules: usize,
    /// Whether `loop`, `while`, `do` and `for` exist.
    pub loops: bool,
}

impl Limits {
    /// For a rule's condition and `${…}`: safe on a stack of 2 MiB.
    pub const CONDITION: Self = Self {
        operations: 50_000,
        call_levels: 16,
        expression_depth: 64,
        // Event data is read whole, so its strings may be as long as it is.
        string_bytes: model::value::MAX_EVENT_BYTES,
        items: 1_000_000,
        variables: 64,
        functions: 64,
        modules: 0,
        loops: false,
    };
}

/// Names that rhai implements itself and that would break determinism or escape the journal.
const DISABLED: [&str; 3] = ["eval", "print", "debug"];

/// An engine that offers rhai's pure functions only, with rhai's leniencies turned into errors.
///
/// Making one costs well below a microsecond after the first on a thread.
pub fn engine(limits: &Limits) -> Engine {
    fix_hashing();
    let mut engine = Engine::new_raw();
    engine.register_global_module(LIBRARY.with(Shared::clone));
    engine.register_global_module(STRICTNESS.with(Shared::clone));
    for symbol in DISABLED {
        engine.disable_symbol(symbol);
    }
    engine.set_module_resolver(DummyModuleResolver::new());
    engine.set_fail_on_invalid_map_property(true);
    // A registered function for `"200" <= 500` is asked only without the shortcut.
    engine.set_fast_operators(false);
    // `Full` would call host functions while compiling.
    engine.set_optimization_level(OptimizationLevel::Simple);
    engine.set_allow_looping(limits.loops);
    words::register(&mut engine);
    bound(&mut engine, limits);
    engine
}

fn bound(engine: &mut Engine, limits: &Limits) {
    engine
        .set_max_operations(limits.operations)
        .set_max_call_levels(limits.call_levels)
        .set_max_expr_depths(limits.expression_depth, limits.expression_depth)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.items)
        .set_max_map_size(limits.items)
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .set_max_modules(limits.modules);
}

/// Names of closures come out of rhai's hashes: fixed, they are the same in every process.
fn fix_hashing() {
    const SEED: [u64; 4] = [0x7472_6970, 0x6c69_6e65, 0x2e64_6576, 1];
    // Fails where it is set already, which is what is wanted.
    let _ = rhai::config::hashing::set_hashing_seed(Some(SEED));
}

thread_local! {
    static LIBRARY: Shared<Module> = Shared::new(library());
    static STRICTNESS: Shared<Module> = Shared::new(strictness());
}

/// rhai's pure packages. Left out: the language core (it sleeps, exits and reflects), time and
/// byte strings.
fn library() -> Module {
    let mut module = Module::new();
    ArithmeticPackage::init(&mut module);
    BasicArrayPackage::init(&mut module);
    BasicFnPackage::init(&mut module);
    BasicIteratorPackage::init(&mut module);
    BasicMapPackage::init(&mut module);
    BasicMathPackage::init(&mut module);
    BasicStringPackage::init(&mut module);
    BitFieldPackage::init(&mut module);
    LogicPackage::init(&mut module);
    MoreStringPackage::init(&mut module);
    // Left lazy, each operator of each evaluation would hash every function's name to find none.
    module.register_lazy_functions();
    module.build_index();
    module
}

/// Our own functions, in a module apart: an operator in a module that rhai takes for its standard
/// library does not stand in the way of the built-in one.
fn strictness() -> Module {
    let mut module = Module::new();
    order::register(&mut module);
    lookup::register(&mut module);
    module.build_index();
    module
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use rhai::Dynamic;

    use super::*;

    fn check(source: &str, expected: Expect) {
        let shown = match engine(&Limits::CONDITION).eval::<Dynamic>(source) {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn an_order_between_different_kinds_is_an_error() {
        check("1 <= 2.5 && 'a' < \"b\" && \"a\" < \"b\"", expect![["true"]]);
        check(
            "\"200\" <= 500",
            expect![[
                r#"error: Runtime error: `<=` cannot compare a string with a whole number: convert one of them, or test the type first (line 1, position 7)"#
            ]],
        );
        check(
            "null <= 500",
            expect![[
                "error: Runtime error: `<=` cannot compare null with a whole number: convert one of them, or test the type first (line 1, position 6)"
            ]],
        );
        check(
            "[1] > 2",
            expect![[
                "error: Runtime error: `>` cannot compare a list with a whole number: convert one of them, or test the type first (line 1, position 5)"
            ]],
        );
        check(
            "[1] > [2]",
            expect![[
                "error: Runtime error: `>` cannot compare a list with a list: lists, maps and functions have no order (line 1, position 5)"
            ]],
        );
        check("\"200\" == 200", expect![["false"]]);
    }

    #[test]
    fn a_missing_property_is_an_error_and_get_is_the_way_out() {
        check(
            "let m = #{a: 1}; m.b",
            expect!["error: Property not found: b (line 1, position 20)"],
        );
        check(
            "let m = #{a: 1}; m?.b",
            expect!["error: Property not found: b (line 1, position 21)"],
        );
        check("get(#{a: #{b: 2}}, \"a.b\", 3)", expect![["2"]]);
        check("get(#{a: #{b: 2}}, \"a.c\", 3)", expect![["3"]]);
        check("get(#{a: 1}, \"a.c.d\", 3)", expect![["3"]]);
        check("get(null, \"a\", 3)", expect![["3"]]);
        check("get(#{a: [#{b: 4}]}, \"a[0].b\", 3)", expect![["4"]]);
        check("get(#{a: [1]}, \"a[7]\", 3)", expect![["3"]]);
        check("get(#{l: #{\"x.dev/part-of\": 5}}, `l[\"x.dev/part-of\"]`, 3)", expect![["5"]]);
        check("get(#{\"x.dev/part-of\": 5}, \"x.dev/part-of\", 3)", expect![["5"]]);
        check("get(#{}, \"a\")", expect![["()"]]);
    }

    #[test]
    fn reserved_words_are_plain_names_and_null_is_a_value() {
        check(
            "let x = #{default: 1, match: 2, new: 3, static: 4, with: 5, use: 6}; x.default + x.match + x.new + x.static + x.with + x.use",
            expect![["21"]],
        );
        check(
            "let x = #{case: 1, public: 2, module: 3, sync: 4}; x.case + x.public + x.module + x.sync",
            expect![["10"]],
        );
        check(
            "let x = #{\"in\": 1, \"for\": 2, \"import\": 3, \"type\": 4}; x.in + x.for + x.import + x.type",
            expect![["10"]],
        );
        check("let x = #{a: null}; x.a == null && (x.a ?? 7) == 7", expect![["true"]]);
    }

    #[test]
    fn what_escapes_the_journal_is_not_there() {
        for source in [
            "eval(\"1\")",
            "print(1)",
            "debug(1)",
            "sleep(1)",
            "timestamp()",
            "rand()",
            "exit()",
            "get_fn_metadata_list()",
            "import \"x\" as y;",
        ] {
            let result = engine(&Limits::CONDITION).eval::<Dynamic>(source);
            assert!(result.is_err(), "{source}: {result:?}");
        }
        let called = engine(&Limits::CONDITION).eval::<Dynamic>("Fn(\"eval\").call(\"1 + 1\")");
        assert!(called.is_err(), "{called:?}");
    }

    #[test]
    fn evaluation_is_bounded() {
        check("fn f(x) { f(x) } f(1)", expect![["error: Stack overflow (line 1, position 18)"]]);
        check("loop {}", expect![["error: Syntax error: Unexpected 'loop' (line 1, position 1)"]]);
    }

    #[test]
    fn digits_that_no_whole_number_holds_are_no_float_unasked() {
        check("-9223372036854775808 + 9223372036854775807", expect!["-1"]);
        check("9223372036854775808.0", expect!["9.223372036854776e18"]);
        check(
            "1 + 9223372036854775808",
            expect![
                "error: Syntax error: 9223372036854775808 does not fit into 64 bits with a sign: write 9223372036854775808.0 for a float, or a text in quotes (line 1, position 5)"
            ],
        );
    }

    #[test]
    fn json_text_is_read_and_written_with_our_rules() {
        check("parse_json(`{\"a\": [1, 2.5, null]}`).a[0]", expect![["1"]]);
        check(
            "parse_json(\"18446744073709551615\")",
            expect![
                "error: Runtime error: the text cannot be read: the whole number at line 1, column 1 does not fit into 64 bits with a sign: write it as a text, in quotes (line 1, position 1)"
            ],
        );
        check(
            "parse_json(\"18446744073709551616\")",
            expect![
                "error: Runtime error: the text cannot be read: the whole number at line 1, column 1 does not fit into 64 bits with a sign: write it as a text, in quotes (line 1, position 1)"
            ],
        );
        check("to_json(#{a: [1, null]})", expect![[r#""{\"a\":[1,null]}""#]]);
        check(
            "to_json([|| 1])",
            expect![[
                "error: Runtime error: `[0]` is a function, which JSON cannot hold (line 1, position 1)"
            ]],
        );
    }
}
