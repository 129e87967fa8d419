//! Ordering operators between different kinds of values: an error each, where rhai says `false`.

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, ImmutableString, Map, Module, Variant};

/// Makes `<`, `<=`, `>` and `>=` an error for each pair of kinds that has no order.
///
/// A single function of two `Dynamic` would also take `1 <= 2.5`, so each pair is named.
pub(crate) fn register(module: &mut Module) {
    macro_rules! refuse {
        ($($left:ty, $a:literal => $($right:ty, $b:literal);+ .)+) => {
            $($(refuse_order::<$left, $right>(module, $a, $b);)+)+
        };
    }
    refuse! {
        bool, "a boolean" => i64, "a whole number"; f64, "a number"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        i64, "a whole number" => bool, "a boolean"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        f64, "a number" => bool, "a boolean"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        ImmutableString, "a string" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        char, "a character" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        (), "null" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; ImmutableString, "a string"; char, "a character"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        Array, "a list" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        Map, "a map" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
        FnPtr, "a function" => bool, "a boolean"; i64, "a whole number"; f64, "a number"; ImmutableString, "a string"; char, "a character"; (), "null"; Array, "a list"; Map, "a map"; FnPtr, "a function".
    }
}

fn refuse_order<A: Variant + Clone, B: Variant + Clone>(
    module: &mut Module,
    left: &'static str,
    right: &'static str,
) {
    for operator in ["<", "<=", ">", ">="] {
        module.set_native_fn(operator, move |_: A, _: B| -> Result<bool, Box<EvalAltResult>> {
            let hint = match (left, right) {
                ("a list" | "a map" | "a function", "a list" | "a map" | "a function") => {
                    "lists, maps and functions have no order"
                }
                _ => "convert one of them, or test the type first",
            };
            Err(format!("`{operator}` cannot compare {left} with {right}: {hint}").into())
        });
    }
}

/// What a rhai value is called in messages.
pub(crate) fn kind_of(value: &Dynamic) -> &'static str {
    match value.type_name() {
        "()" => "null",
        "bool" => "a boolean",
        "i64" => "a whole number",
        "f64" => "a number",
        "string" => "a string",
        "char" => "a character",
        "array" => "a list",
        "map" => "a map",
        "Fn" => "a function",
        "blob" => "a byte string",
        _ => "a value of another kind",
    }
}
