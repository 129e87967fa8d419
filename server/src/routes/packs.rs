//! `/packs`: which content is active, what is wrong with the files, reading them again.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use engine::view::PackView;
use engine::{AskError, Engine};
use model::Fact;
use schemars::JsonSchema;
use serde::Serialize;

use super::table::Table;
use super::{ByName, List};
use crate::access::{About, Access, Thing};
use crate::auth::Authenticated;
use crate::extract::{Asked, Named};
use crate::problem::Problem;

pub(super) fn routes(table: Table) -> Table {
    table
        .on(
            Method::GET,
            "/packs",
            Access::viewer(About::Many),
            "Lists packs with what was found wrong with them.",
            list,
        )
        .on(
            Method::GET,
            "/packs/{pack}",
            Access::viewer(About::Thing(Thing::OfPack)),
            "A pack.",
            one,
        )
        .on(
            Method::POST,
            "/reload",
            Access::operator(About::Installation),
            "Reads the packs' files again.",
            reload,
        )
}

/// They go by their folders: of two that give themselves one name both are told.
async fn list(
    State(engine): State<Engine>,
    who: Authenticated,
    Asked(asked): Asked<ByName>,
) -> Json<List<PackView, String>> {
    let mut packs = engine.pack_views();
    packs.retain(|pack| who.covers(&pack.name));
    List::by_name(packs, asked, |pack| pack.folder.clone())
}

async fn one(
    State(engine): State<Engine>,
    Named(name): Named<String>,
) -> Result<Json<PackView>, Problem> {
    Ok(Json(engine.pack(&name)?))
}

#[derive(Serialize, JsonSchema)]
struct Reloaded {
    changed: bool,
}

/// Packs reload by themselves when their files change; this does not wait for that.
async fn reload(
    State(engine): State<Engine>,
    who: Authenticated,
) -> Result<Json<Reloaded>, Problem> {
    engine.note(who.actor(), Fact::PacksReloaded { at: engine.now() }).await?;
    let changed = engine.reload().await.map_err(AskError::from)?;
    Ok(Json(Reloaded { changed }))
}
