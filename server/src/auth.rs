//! Who asks: bearer tokens, checked once for everything under `/api/`.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use model::{Actor, ErrorKind};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// The tokens that open the API.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<[Token]>);

struct Token {
    name: String,
    secret: String,
}

/// Without the secrets.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|token| &token.name)).finish()
    }
}

/// Whoever sent a request: the holder of the token of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authenticated {
    /// The token's name: stands in facts, and in the source of events that are emitted with it.
    pub(crate) token_name: String,
}

impl Tokens {
    /// The one token that there is so far.
    pub(crate) fn admin(secret: String) -> Self {
        Self(Arc::new([Token { name: "admin".to_owned(), secret }]))
    }

    /// The holder of `presented`. Each comparison takes a time that does not tell how far it fits.
    fn holder(&self, presented: &str) -> Option<Authenticated> {
        let fits = |token: &&Token| token.secret.as_bytes().ct_eq(presented.as_bytes()).into();
        let token = self.0.iter().find(fits)?;
        Some(Authenticated { token_name: token.name.clone() })
    }
}

impl Authenticated {
    /// As facts name it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::token(&self.token_name)
    }
}

/// Lets a request pass that carries a token, and none other.
pub(crate) async fn authenticate(
    State(tokens): State<Tokens>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let sent = request.headers().get(AUTHORIZATION).ok_or_else(no_token)?;
    let bearer = sent.to_str().ok().and_then(bearer).ok_or_else(no_token)?;
    let holder = tokens.holder(bearer).ok_or_else(|| {
        Problem::new(ErrorKind::Unauthenticated, "the token is not known")
            .with_hint("the current one is in the file `admin.token` of the server's state folder")
    })?;
    request.extensions_mut().insert(holder);
    Ok(next.run(request).await)
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

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    /// A route that was not put behind [`authenticate`] refuses everybody.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(no_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_whole_and_by_nothing_less() {
        let tokens = Tokens::admin("tripline_0123".to_owned());
        assert_eq!(tokens.holder("tripline_0123").unwrap().token_name, "admin");
        for wrong in ["", "tripline_012", "tripline_01234", "tripline_0124"] {
            assert_eq!(tokens.holder(wrong), None, "{wrong}");
        }
    }

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
