//! `/tokens`: who may use the API.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::Engine;
use engine::view::{MadeToken, TokenView};
use model::{Duration, Grant, Name, PackPattern, Role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::Table;
use super::{ByName, List, lasting};
use crate::access::Access;
use crate::answer::{Created, Done};
use crate::auth::Authenticated;
use crate::extract::{Asked, Body, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/tokens",
            Access::admin(),
            "Lists tokens, never the tokens themselves.",
            list,
        )
        .on(
            Method::POST,
            "/tokens",
            Access::admin(),
            "Makes a token, and tells it this once.",
            create,
        )
        .on(Method::DELETE, "/tokens/{name}", Access::admin(), "Ends a token at once.", revoke)
}

async fn list(
    State(engine): State<Engine>,
    Asked(asked): Asked<ByName>,
) -> Json<List<TokenView, String>> {
    List::by_name(engine.tokens(), asked, |token| token.name.to_string())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    name: Name,
    role: Role,
    /// Patterns of the packs it is limited to; none: the whole installation.
    #[serde(default)]
    packs: Vec<PackPattern>,
    /// How long it opens the API; without it, until it is revoked.
    #[schemars(with = "Option<Duration>")]
    ttl: Option<String>,
}

async fn create(
    State(engine): State<Engine>,
    who: Authenticated,
    Body(asked): Body<Create>,
) -> Result<Created<MadeToken>, Problem> {
    let (grant, ttl) = (Grant { role: asked.role, packs: asked.packs }, lasting(asked.ttl)?);
    Ok(Created(engine.create_token(who.actor(), asked.name, grant, ttl).await?))
}

async fn revoke(
    State(engine): State<Engine>,
    who: Authenticated,
    Named(name): Named<Name>,
) -> Result<Done, Problem> {
    engine.revoke_token(who.actor(), &name).await?;
    Ok(Done)
}
