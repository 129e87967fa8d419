//! `/secrets`: named secrets. Values come in and never go out.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::secrets::{Plain, SecretError, SecretRow, check_path};
use model::ErrorKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::Table;
use super::{ByName, List};
use crate::access::Access;
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/secrets",
            Access::admin(),
            "Lists secrets: paths and versions, never values.",
            list,
        )
        .on(
            Method::POST,
            "/secrets/rekey",
            Access::admin(),
            "Encrypts every secret with the first configured key.",
            rekey,
        )
        .on(Method::PUT, "/secrets/{path}", Access::admin(), "Gives a secret a new value.", set)
        .on(
            Method::DELETE,
            "/secrets/{path}",
            Access::admin(),
            "Deletes a secret, all its versions.",
            delete,
        )
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<ByName>,
) -> Json<List<SecretRow, String>> {
    List::by_name(engine.secrets(), asked, |secret| secret.path.clone())
}

/// Where a secret is: parts of letters, digits, `_`, `.` and `-` with slashes between, none of them
/// dots alone.
#[derive(JsonSchema)]
#[schemars(extend("pattern" = PATH, "maxLength" = 200))]
struct SecretPath(String);

const PATH: &str = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*(/\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$";

impl FromStr for SecretPath {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        check_path(text).map(|()| Self(text.to_owned()))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// From 8 characters to 64 KiB of UTF-8.
    #[schemars(extend("minLength" = 2, "maxLength" = 65_536))]
    value: String,
}

#[derive(Serialize, JsonSchema)]
struct WasSet {
    path: String,
    version: u64,
}

async fn set(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(SecretPath(path)): Named<SecretPath>,
    Body(asked): Body<Set>,
) -> Result<Json<WasSet>, Problem> {
    let version = engine.set_secret(who.actor(), &path, Plain::new(asked.value)).await?;
    Ok(Json(WasSet { path, version }))
}

#[derive(Serialize, JsonSchema)]
struct Deleted {
    path: String,
    /// How many versions there were.
    versions: u64,
}

async fn delete(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(SecretPath(path)): Named<SecretPath>,
) -> Result<Json<Deleted>, Problem> {
    let versions = engine.delete_secret(who.actor(), &path).await?;
    Ok(Json(Deleted { path, versions }))
}

#[derive(Serialize, JsonSchema)]
struct Rekeyed {
    records: u64,
}

async fn rekey(State(engine): State<Engine>, who: Authenticated) -> Result<Json<Rekeyed>, Problem> {
    let records = engine.rekey(&who.actor()).await?;
    Ok(Json(Rekeyed { records }))
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        let detail = error.to_string();
        match error {
            SecretError::BadPath(_) => Self::malformed(detail),
            // How many bytes a text has, the description cannot say.
            SecretError::Short(_) | SecretError::Long(_) => Self::unfit(detail),
            SecretError::Missing(_) => Self::new(ErrorKind::NotFound, detail),
            SecretError::Store(_) => Self::unavailable(detail),
            SecretError::Key(_) | SecretError::Sealed { .. } => {
                Self::new(ErrorKind::Internal, detail)
            }
        }
    }
}
