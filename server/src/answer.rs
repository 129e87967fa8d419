//! Answers that are not simply 200: each type is one status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use crate::describe::{Output, Signature};

/// 201: it was made.
pub(crate) struct Created<T>(pub(crate) T);

/// 202: it will be done.
pub(crate) struct Accepted;

/// 202: it will be done, and this is known of it.
pub(crate) struct Begun<T>(pub(crate) T);

/// 204: it was done, and there is nothing to say.
pub(crate) struct Done;

/// 202 for what is new, 200 for what was there already: both are success.
pub(crate) enum Told<T> {
    New(T),
    Known(T),
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl<T: Serialize> IntoResponse for Begun<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(told) => (StatusCode::ACCEPTED, Json(told)).into_response(),
            Self::Known(told) => (StatusCode::OK, Json(told)).into_response(),
        }
    }
}

impl<T: JsonSchema> Output for Created<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.answer::<T>(201, "It was made.", schemas);
    }
}

impl Output for Accepted {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        signature.empty(202, "It will be done.");
    }
}

impl<T: JsonSchema> Output for Begun<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.answer::<T>(202, "It will be done.", schemas);
    }
}

impl Output for Done {
    fn describe(signature: &mut Signature, _: &mut SchemaGenerator) {
        signature.empty(204, "It was done.");
    }
}

impl<T: JsonSchema> Output for Told<T> {
    fn describe(signature: &mut Signature, schemas: &mut SchemaGenerator) {
        signature.answer::<T>(202, "It is new, and durable.", schemas);
        signature.answer::<T>(200, "It was there already.", schemas);
    }
}
