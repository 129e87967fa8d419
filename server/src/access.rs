//! What a route asks of who calls it: declared with the route, checked in one place.
//!
//! A token has a role, and may be limited to packs. A route says which role it takes and what it is
//! about; whatever the path names belongs to a pack, and the token must cover that pack.

use std::collections::BTreeSet;
use std::fmt::Display;

use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use model::{ErrorKind, Role, RuleRef};

use crate::App;
use crate::auth::{AtDesk, Authenticated};
use crate::owners;
use crate::problem::Problem;

/// What a route asks of who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// The least role.
    pub(crate) role: Role,
    /// What it is about.
    pub(crate) about: About,
}

/// What a route is about, by which a token that is limited to packs is let in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing that belongs to a pack.
    Nothing,
    /// Many things: the route leaves out what the token does not cover.
    Many,
    /// What the body names: the route asks whether the token covers it.
    Body,
    /// The installation: tokens that are limited to packs are refused.
    Installation,
    /// The thing that the path names.
    Thing(Thing),
    /// A step that is under way: its own token opens it, and no other one.
    Step,
}

/// A thing that a path names, and that belongs to a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// A pack, or what is addressed below one (`pack.name`, `pack/name`).
    OfPack,
    /// A datastore entry: `<pack>/<name>`.
    Key,
    Execution,
    Event,
    Sensor,
}

impl Access {
    pub(crate) const fn viewer(about: About) -> Self {
        Self { role: Role::Viewer, about }
    }

    pub(crate) const fn operator(about: About) -> Self {
        Self { role: Role::Operator, about }
    }

    /// For the program of a step, whoever started that.
    pub(crate) const fn step() -> Self {
        Self { role: Role::Viewer, about: About::Step }
    }

    /// The least role, where roles count.
    pub(crate) fn least(self) -> Option<Role> {
        (self.about != About::Step).then_some(self.role)
    }

    /// Administration concerns the installation as a whole.
    pub(crate) const fn admin() -> Self {
        Self { role: Role::Admin, about: About::Installation }
    }
}

impl About {
    /// What the documentation of the API calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Many => "many",
            Self::Body => "body",
            Self::Installation => "installation",
            Self::Thing(_) => "path",
            Self::Step => "step",
        }
    }
}

/// Lets a request pass whose token has the role and covers what the route is about.
pub(crate) async fn guard(
    State((app, access)): State<(App, Access)>,
    path: Option<Path<String>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if access.about == About::Step {
        AtDesk::of(request.extensions())?;
        return Ok(next.run(request).await);
    }
    let who = Authenticated::of(request.extensions())?;
    who.must_be(access.role)?;
    match (access.about, path) {
        (About::Installation, _) => who.must_be_whole()?,
        (About::Thing(thing), Some(Path(id))) if !who.grant.is_whole() => {
            // What belongs to nobody is built in, or does not exist, as the route says.
            if let Some(owners) = owners::of(&app, thing, &id).await?
                && !owners.iter().any(|pack| who.covers(pack))
            {
                return Err(who.beyond(&format!("`{id}` belongs to {}", told(&owners))));
            }
        }
        _ => {}
    }
    Ok(next.run(request).await)
}

fn told(owners: &[String]) -> String {
    if owners.is_empty() {
        return "the installation".to_owned();
    }
    quoted(owners)
}

/// Each once: several rules of a pack may listen to one thing.
fn quoted<T: Ord + Display>(names: &[T]) -> String {
    let names: BTreeSet<&T> = names.iter().collect();
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Authenticated {
    fn must_be(&self, role: Role) -> Result<(), Problem> {
        if self.grant.role >= role {
            return Ok(());
        }
        let (name, has) = (&self.token_name, self.grant.role);
        let detail = format!("this takes the role {role}; the token `{name}` has the role {has}");
        Err(Problem::new(ErrorKind::Denied, detail).with_hint(
            "ask an admin of this installation for `tripline token create NAME --role …`",
        ))
    }

    fn must_be_whole(&self) -> Result<(), Problem> {
        if self.grant.is_whole() {
            return Ok(());
        }
        Err(self.beyond("this concerns the whole installation"))
    }

    /// Whether the token holds for what belongs to `pack`.
    pub(crate) fn covers(&self, pack: &str) -> bool {
        self.grant.covers(pack)
    }

    /// Leaves those rules that belong to packs for which the token holds.
    pub(crate) fn keep_covered(&self, rules: &mut Vec<RuleRef>) {
        rules.retain(|rule| self.covers(rule.pack.as_str()));
    }

    /// Whether the token holds for what belongs to `owner`; `None` is the installation.
    pub(crate) fn covers_owner(&self, owner: Option<&str>) -> bool {
        owner.map_or_else(|| self.grant.is_whole(), |pack| self.covers(pack))
    }

    /// Refuses to run or tell `what` if the token does not cover its owner.
    pub(crate) fn must_cover(&self, what: &str, owner: Option<&str>) -> Result<(), Problem> {
        if self.covers_owner(owner) {
            return Ok(());
        }
        let told = owner.map_or_else(
            || format!("`{what}` is built in and belongs to no pack"),
            |pack| format!("`{what}` belongs to `{pack}`"),
        );
        Err(self.beyond(&told))
    }

    fn beyond(&self, what: &str) -> Problem {
        let packs = quoted(&self.grant.packs);
        let detail = format!("{what}; the token `{}` is limited to {packs}", self.token_name);
        // Who is limited to packs may not list tokens.
        Problem::new(ErrorKind::Denied, detail)
            .with_hint("use a token that covers it, or ask an admin of this installation for one")
    }
}
