//! What a handler takes and answers, read off its signature for the API's description: nothing
//! that could say something else than the code does.

use std::future::Future;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::auth::{AtDesk, Authenticated};
use crate::extract::{Asked, Body, Named, Octets, Once, Traced};
use crate::problem::Problem;

/// The parts of an operation that its handler's signature decides.
#[derive(Debug, Default)]
pub(crate) struct Signature {
    /// The schema of the one thing that the path names.
    pub(crate) named: Option<Value>,
    /// Parameters in the query and in headers.
    pub(crate) parameters: Vec<Value>,
    /// The type and schema of the body.
    pub(crate) body: Option<(&'static str, Value)>,
    /// By status, what is answered.
    pub(crate) answers: Map<String, Value>,
}

impl Signature {
    /// An answer in JSON.
    pub(crate) fn answer<T: JsonSchema>(
        &mut self,
        status: u16,
        description: &str,
        schemas: &mut SchemaGenerator,
    ) {
        let schema = schemas.subschema_for::<T>();
        let content = json!({ "application/json": { "schema": schema } });
        let answer = json!({ "description": description, "content": content });
        self.answers.insert(status.to_string(), answer);
    }

    /// An answer without a body.
    pub(crate) fn empty(&mut self, status: u16, description: &str) {
        self.answers.insert(status.to_string(), json!({ "description": description }));
    }
}

/// What a handler takes.
pub(crate) trait Input {
    fn describe(_: &mut Signature, _: &mut SchemaGenerator) {}
}

/// What a handler answers.
pub(crate) trait Output {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator);
}

impl<S> Input for State<S> {}
impl Input for Authenticated {}
impl Input for AtDesk {}
impl Input for HeaderMap {}

impl<T: JsonSchema> Input for Named<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.named = Some(schemas.subschema_for::<T>().to_value());
    }
}

impl<T: JsonSchema> Input for Body<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.body = Some(("application/json", schemas.subschema_for::<T>().to_value()));
    }
}

impl Input for Octets {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        signature.body = Some(("application/octet-stream", json!({})));
    }
}

impl<T: JsonSchema> Input for Asked<T> {
    /// A parameter for each field.
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        let schema = T::json_schema(schemas).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(fields) = schema["properties"].as_object() else { return };
        signature.parameters.extend(fields.iter().map(|(name, field)| {
            let mut schema = field.clone();
            let description =
                schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({
                "name": name,
                "in": "query",
                "required": required.contains(&json!(name)),
                "description": description.unwrap_or_default(),
                "schema": schema,
            })
        }));
    }
}

impl Input for Once {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        signature.parameters.push(json!({
            "name": Once::HEADER,
            "in": "header",
            "required": false,
            "description": "Names this request: sent again with the same name, it starts nothing \
                            anew and is answered as the first time.",
            "schema": { "type": "string", "minLength": 1, "maxLength": Once::LONGEST },
        }));
    }
}

impl Input for Traced {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        signature.parameters.push(json!({
            "name": Traced::HEADER,
            "in": "header",
            "required": false,
            "description": "The place in a trace (W3C Trace Context) that the request comes from: \
                            what it starts goes on there. One that cannot be read is left out.",
            "schema": { "type": "string" },
        }));
        signature.parameters.push(json!({
            "name": Traced::STATE,
            "in": "header",
            "required": false,
            "description": "What tracing systems know of that trace: it is passed on with the place.",
            "schema": { "type": "string" },
        }));
    }
}

impl<T: JsonSchema> Output for Json<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.answer::<T>(200, "What was asked for.", schemas);
    }
}

impl<T: Output> Output for Result<T, Problem> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        T::describe(signature, schemas);
    }
}

/// A handler whose signature describes itself.
pub(crate) trait Described<Arguments> {
    fn signature(schemas: &mut SchemaGenerator) -> Signature;
}

macro_rules! described {
    ($($argument:ident),*) => {
        impl<F, Answer, Answered, $($argument),*> Described<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Answer,
            Answer: Future<Output = Answered>,
            Answered: Output,
            $($argument: Input,)*
        {
            fn signature(schemas: &mut SchemaGenerator) -> Signature {
                let mut signature = Signature::default();
                $($argument::describe(&mut signature, schemas);)*
                Answered::describe(&mut signature, schemas);
                signature
            }
        }
    };
}
described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);
