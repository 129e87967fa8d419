//! The description of the API (OpenAPI 3.1), made of the table of routes.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::routes::Operation;

/// Where schemas that are named lie in the document.
const COMPONENTS: &str = "/components/schemas";

/// Makes the schemas of an OpenAPI document.
pub(crate) fn schemas() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = COMPONENTS.into();
            settings.meta_schema = None;
        })
        .into_generator()
}

/// The document.
pub(crate) fn document(operations: &[Operation], mut schemas: SchemaGenerator) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(format!("/api/v1{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = described(operation);
    }
    let mut named = schemas.take_definitions(true);
    named.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tripline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of one Tripline installation. Errors are RFC 9457 problem \
                documents; an id that holds slashes is one segment of a path, each slash as `%2F`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let signature = &operation.signature;
    let mut answers = signature.answers.clone();
    answers.insert(
        "default".to_owned(),
        json!({
            "description": "A problem.",
            "content": { "application/problem+json": {
                "schema": { "$ref": format!("#{COMPONENTS}/Problem") },
            } },
        }),
    );
    let in_path = segment(operation.path).zip(signature.named.as_ref()).map(in_path);
    let parameters: Vec<_> =
        in_path.into_iter().chain(signature.parameters.iter().cloned()).collect();
    let mut described = json!({
        "operationId": id(operation),
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(1).unwrap_or_default()],
        "parameters": parameters,
        "responses": answers,
        "x-tripline-role": operation.access.least(),
        "x-tripline-about": operation.access.about.name(),
    });
    if let Some((kind, schema)) = &signature.body {
        let content = json!({ *kind: { "schema": schema } });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

/// `POST /executions/{id}/cancel` is `post_executions_id_cancel`.
fn id(operation: &Operation) -> String {
    let words = operation.path.replace(['/', '{', '}'], " ");
    let words = [operation.method.as_str()].into_iter().chain(words.split_whitespace());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

/// The name in braces: no path has two.
fn segment(path: &str) -> Option<&str> {
    path.split('/').find_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_path((name, schema): (&str, &Value)) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// As [`crate::problem`] writes it.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "kind"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What was wrong." },
            "kind": { "type": "string", "description": "Which of a closed list of kinds it is." },
            "hint": { "type": "string", "description": "What to do about it." },
            "violations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {
                        "path": { "type": "string" },
                        "message": { "type": "string" },
                        "hint": { "type": "string" },
                    },
                },
            },
        },
    })
}
