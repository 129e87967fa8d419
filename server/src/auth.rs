//! Who asks: bearer tokens, checked once for everything under `/api/`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::Extensions;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use engine::{Engine, Holder, OpenStep, STEP_TOKEN, StepBearer};
use model::{Actor, ErrorKind, Grant, Hash};

use crate::problem::Problem;
use crate::throttle::{Peer, Throttle};

/// The tokens that open the API: the one in the state folder, and those that admins made.
#[derive(Clone)]
pub(crate) struct Tokens {
    admin: Hash,
    engine: Engine,
    wrong: Throttle,
}

/// Whoever sent a request: the holder of the token of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authenticated {
    /// The token's name: stands in facts, and in the source of events that are emitted with it.
    pub(crate) token_name: String,
    /// What it allows.
    pub(crate) grant: Grant,
    /// The token's hash, unless it is the one in the state folder, which nobody can revoke.
    hash: Option<Hash>,
}

impl Tokens {
    /// `admin` is the token in the state folder.
    pub(crate) fn new(admin: &str, engine: Engine) -> Self {
        Self { admin: Hash::of(admin.as_bytes()), engine, wrong: Throttle::default() }
    }

    /// The holder of `presented`. Hashes are compared, so the time that it takes tells nothing of
    /// the tokens there are.
    fn holder(&self, presented: &str) -> Result<Authenticated, Problem> {
        let hash = Hash::of(presented.as_bytes());
        if hash == self.admin {
            let token_name = engine::ADMIN.to_owned();
            return Ok(Authenticated { token_name, grant: Grant::ADMIN, hash: None });
        }
        match self.engine.holder(hash) {
            Some(Holder::Known { name, grant }) => {
                Ok(Authenticated { token_name: name.to_string(), grant, hash: Some(hash) })
            }
            Some(Holder::Revoked(at)) => Err(refused(format!("the token was revoked at {at}"))),
            Some(Holder::Expired(at)) => Err(refused(format!("the token expired at {at}"))),
            None => Err(unknown()),
        }
    }
}

/// Whoever sent a request: the program of this step.
#[derive(Clone)]
pub(crate) struct AtDesk(pub(crate) Arc<OpenStep>);

impl Tokens {
    /// The step whose token `presented` is, where that is under way. One that was made here is no
    /// guess, so it is looked at whoever else shows wrong ones.
    async fn step(&self, presented: &str, from: Option<Peer>) -> Result<AtDesk, Problem> {
        match self.engine.step_bearer(presented).await? {
            StepBearer::Open(step) => Ok(AtDesk(step)),
            StepBearer::NotNow => {
                Err(Problem::unavailable("the step is not under way here yet: ask again"))
            }
            StepBearer::Over => {
                let detail = "the step is over, and its token with it";
                Err(Problem::new(ErrorKind::Unauthenticated, detail))
            }
            StepBearer::Unknown => Err(self.foreign(presented, from)),
        }
    }

    /// A token that was not made here.
    fn foreign(&self, presented: &str, from: Option<Peer>) -> Problem {
        let too_many = from.and_then(|Peer(from)| {
            let seconds = self.wrong.failed(from, presented, self.engine.now())?;
            Some(too_many(from, seconds))
        });
        let detail = "no step of this installation has this token";
        too_many.unwrap_or_else(|| Problem::new(ErrorKind::Unauthenticated, detail))
    }

    /// The holder of `presented`, which comes from this address: unless too many that begin like it
    /// were wrong.
    fn admit(&self, presented: &str, from: Option<Peer>) -> Result<Authenticated, Problem> {
        let Some(Peer(from)) = from else { return self.holder(presented) };
        let too_many = |seconds| too_many(from, seconds);
        let now = self.engine.now();
        if let Some(seconds) = self.wrong.held_up(from, presented, now) {
            return Err(too_many(seconds));
        }
        self.holder(presented)
            .map_err(|refused| self.wrong.failed(from, presented, now).map_or(refused, too_many))
    }
}

impl Authenticated {
    /// As facts name it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::token(&self.token_name)
    }

    /// Whether the token still opens the API: for answers that go on for a long time.
    pub(crate) fn still_holds(&self, engine: &Engine) -> bool {
        let known = |hash| matches!(engine.holder(hash), Some(Holder::Known { .. }));
        self.hash.is_none_or(known)
    }
}

fn too_many(from: IpAddr, seconds: u32) -> Problem {
    let detail = format!("too many wrong tokens from {from}");
    Problem::new(ErrorKind::RateLimited, detail).retry_after(Some(seconds))
}

fn refused(detail: String) -> Problem {
    Problem::new(ErrorKind::Unauthenticated, detail)
        .with_hint("an admin makes a new one with `tripline token create NAME`")
}

fn unknown() -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "the token is not known").with_hint(
        "the admin's is in the file `admin.token` of the server's state folder; others are told \
         once, when they are made",
    )
}

/// Lets a request pass that carries a token, and none other.
pub(crate) async fn authenticate(
    State(tokens): State<Tokens>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let sent = request.headers().get(AUTHORIZATION).ok_or_else(no_token)?;
    let bearer = sent.to_str().ok().and_then(bearer).ok_or_else(no_token)?;
    let from = request.extensions().get().copied();
    if bearer.starts_with(STEP_TOKEN) {
        let step = tokens.step(bearer, from).await?;
        request.extensions_mut().insert(step);
        return Ok(next.run(request).await);
    }
    let holder = tokens.admit(bearer, from)?;
    request.extensions_mut().insert(holder.clone());
    let mut response = next.run(request).await;
    // For whoever notes what became of the request.
    response.extensions_mut().insert(holder);
    Ok(response)
}

/// The scheme's name is the same in any case (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn no_token() -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "the request carries no token")
        .with_hint("send `Authorization: Bearer <token>`")
}

impl Authenticated {
    /// A route that was not put behind [`authenticate`] refuses everybody.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Problem> {
        let beyond = || {
            let detail = "the token of a step opens nothing but what that step's program is to ask";
            Problem::new(ErrorKind::Denied, detail).with_hint(
                "see what is under /api/v1/step, or use a token of `tripline token create`",
            )
        };
        match extensions.get::<Self>() {
            Some(holder) => Ok(holder.clone()),
            None if extensions.get::<AtDesk>().is_some() => Err(beyond()),
            None => Err(no_token()),
        }
    }
}

impl AtDesk {
    /// The step whose program asks.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Problem> {
        let beyond = || {
            let detail = "this takes the token of a step that runs in a cluster";
            Problem::new(ErrorKind::Denied, detail)
                .with_hint("its program finds it in the variable TRIPLINE_STEP_TOKEN")
        };
        extensions.get().cloned().ok_or_else(beyond)
    }
}

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions)
    }
}

impl<S: Sync> FromRequestParts<S> for AtDesk {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_carries_a_token() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
        ] {
            assert_eq!(bearer(header), token, "{header}");
        }
    }
}
