//! What somebody may run by hand.

use engine::Engine;
use model::{ActionRef, ErrorKind, Map, Role};

use crate::auth::Authenticated;
use crate::owners;
use crate::problem::Problem;

/// Refuses an action that the token does not cover, and a connection that no pack here may use: who
/// runs the packs uses by hand what is lent to them, an admin any.
pub(crate) fn check(
    engine: &Engine,
    who: &Authenticated,
    action: &ActionRef,
    parameters: &Map,
) -> Result<(), Problem> {
    who.must_cover(action.as_str(), owners::of_prefix(engine, action.pack()))?;
    match engine.connection_of(action, parameters) {
        Some(name) if who.grant.role < Role::Admin && !engine.is_lent(name) => {
            let detail = format!(
                "no pack here may use the connection `{name}`: by hand it takes the role {}",
                Role::Admin
            );
            let hint = "the environment names the packs of a connection in its `packs`";
            Err(Problem::new(ErrorKind::Denied, detail).with_hint(hint))
        }
        _ => Ok(()),
    }
}
