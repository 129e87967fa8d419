//! How a built-in action says what it is.

use model::{Effect, Schema, Value};

use crate::Metadata;

/// The schema of a literal `{ name: property }`.
///
/// Only for literals of this crate: a test builds every one of them, so what does not compile
/// never leaves the house.
pub(crate) fn schema(properties: &Value) -> Schema {
    let compiled = properties.as_object().map(Schema::compile);
    match compiled {
        Some(Ok(schema)) => schema,
        Some(Err(error)) => unreachable!("a built-in schema does not compile: {error}"),
        None => unreachable!("a built-in schema is not a map: {properties}"),
    }
}

/// The metadata of a built-in action; `reference` is a literal too.
pub(crate) fn metadata(
    reference: &str,
    description: &str,
    effect: Option<Effect>,
    parameters: &Value,
    result: &Value,
) -> Metadata {
    Metadata {
        reference: reference
            .parse()
            .unwrap_or_else(|error| unreachable!("a built-in action's name: {error}")),
        description: description.to_owned(),
        parameters: schema(parameters),
        result: schema(result),
        effect,
        timeout: None,
    }
}
