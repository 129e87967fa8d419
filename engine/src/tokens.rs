//! API tokens: made, looked up, revoked. The token itself is told once and never stored.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::access::TokenCreated;
use model::{
    Actor, BatchId, Duration, ExecutionId, Fact, Grant, Hash, Name, Role, Stream, Timestamp,
    Version, Violation,
};
use store::{Appended, AuditFilter, Batch, Recorded, Store, StoreError, TokenRow, Write};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::random;
use crate::view::{MadeToken, TokenView};

/// The name under which the token in the state folder acts; no other token can have it.
pub const ADMIN: &str = "admin";

/// What every token begins with, so that a scanner finds one that leaked.
pub const PREFIX: &str = "tripline_";

/// The tokens that there are, as the store last told.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: ArcSwap<Known>,
    /// Held while they are read again, so that what is read later is not overwritten with less.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    rows: BTreeMap<Name, TokenRow>,
    names: HashMap<Hash, Name>,
}

impl Known {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let rows = store.tokens().await?;
        let names = rows.iter().map(|(name, row)| (row.hash, name.clone())).collect();
        Ok(Self { rows, names })
    }

    fn of(&self, hash: Hash) -> Option<(&Name, &TokenRow)> {
        self.rows.get_key_value(self.names.get(&hash)?)
    }
}

impl Tokens {
    pub(crate) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let known = ArcSwap::from_pointee(Known::read(store).await?);
        Ok(Self { known, ..Self::default() })
    }

    /// What tells `actor` from others, also from whoever had a token of his name before.
    pub(crate) fn asker(&self, actor: &Actor) -> String {
        let known = self.known.load();
        let name = actor.token_name().and_then(|name| name.parse::<Name>().ok());
        match name.and_then(|name| known.rows.get(&name)) {
            Some(token) => format!("{}@{}", actor.as_str(), token.hash.short()),
            None => actor.as_str().to_owned(),
        }
    }

    async fn reload(&self, store: &dyn Store) -> Result<(), StoreError> {
        let _alone = self.reading.lock().await;
        self.known.store(Arc::new(Known::read(store).await?));
        Ok(())
    }
}

/// A token that somebody showed, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// It opens the API.
    Known {
        /// Its name.
        name: Name,
        /// What it allows.
        grant: Grant,
    },
    /// It did, until it was revoked.
    Revoked(Timestamp),
    /// It did, until then.
    Expired(Timestamp),
}

impl Engine {
    /// Whose token has this hash. Hashes of random tokens tell nothing by the time a look-up takes.
    pub fn holder(&self, hash: Hash) -> Option<Holder> {
        let tokens = self.core.tokens.known.load();
        let (name, row) = tokens.of(hash)?;
        let grant = row.grant.as_ref().filter(|_| !row.revoked);
        Some(match (grant, row.expires_at) {
            (None, _) => Holder::Revoked(row.at),
            (_, Some(end)) if end <= self.now() => Holder::Expired(end),
            (Some(grant), _) => Holder::Known { name: name.clone(), grant: grant.clone() },
        })
    }

    /// The execution that `actor` asks for by a request of this name.
    pub(crate) fn requested(&self, actor: &Actor, name: &str) -> ExecutionId {
        ExecutionId::for_request(&self.core.tokens.asker(actor), name)
    }

    /// Every token, by name.
    pub fn tokens(&self) -> Vec<TokenView> {
        let (tokens, now) = (self.core.tokens.known.load(), self.now());
        tokens.rows.iter().map(|(name, row)| token_view(name, row, now)).collect()
    }

    /// Makes a token. One that was revoked leaves its name free.
    pub async fn create_token(
        &self,
        actor: Actor,
        name: Name,
        grant: Grant,
        ttl: Option<Duration>,
    ) -> Result<MadeToken, AskError> {
        if ttl == Some(Duration::from_secs(0)) {
            return Err(AskError::Invalid(vec![Violation {
                path: "ttl".to_owned(),
                message: "a token that lives for 0s opens nothing".to_owned(),
                hint: Some("leave `ttl` out for one that is good until it is revoked".to_owned()),
            }]));
        }
        if grant.role == Role::Admin && !grant.is_whole() {
            return Err(AskError::Invalid(vec![Violation {
                path: "packs".to_owned(),
                message: "an admin's token holds for the whole installation: limited to packs it would allow what an operator's does".to_owned(),
                hint: Some("leave the packs out, or take the role operator".to_owned()),
            }]));
        }
        let stream = Stream::Token(name.clone());
        let (facts, version) = self.core.store.read(&stream, Version::NONE).await?;
        let lives = matches!(facts.last().map(|last| &last.fact), Some(Fact::TokenCreated(_)));
        if lives || name.as_str() == ADMIN {
            return Err(AskError::Conflict(format!(
                "there is a token `{name}`: revoke it first, or take another name"
            )));
        }
        let (token, at) = (format!("{PREFIX}{}", random::secret()), self.now());
        let expires_at = ttl.map(|ttl| ttl.after(at));
        let hash = Hash::of(token.as_bytes());
        let fact = Fact::TokenCreated(TokenCreated { hash, grant, expires_at, at });
        self.put_token(actor, stream, version, fact).await?;
        Ok(MadeToken { name, token, expires_at })
    }

    /// Ends a token at once.
    pub async fn revoke_token(&self, actor: Actor, name: &Name) -> Result<(), AskError> {
        let stream = Stream::Token(name.clone());
        let (facts, version) = self.core.store.read(&stream, Version::NONE).await?;
        let Some(Fact::TokenCreated(TokenCreated { hash, grant, expires_at, .. })) =
            facts.into_iter().last().map(|last| last.fact)
        else {
            // Whatever kept it from being known here: from now on it opens nothing.
            self.core.tokens.reload(&*self.core.store).await?;
            return Err(self.no_token(name));
        };
        let fact = Fact::TokenRevoked { hash, grant: Some(grant), expires_at, at: self.now() };
        self.put_token(actor, stream, version, fact).await
    }

    fn no_token(&self, name: &Name) -> AskError {
        if name.as_str() == ADMIN {
            let why = "the token `admin` lies in the state folder: delete `admin.token` and start \
                       the server again for a new one";
            return AskError::Conflict(why.to_owned());
        }
        let living = self.tokens().into_iter().filter(|token| token.state != "revoked");
        let known: Vec<String> = living.map(|token| token.name.to_string()).collect();
        AskError::unknown("token", name.as_str(), known.iter().map(String::as_str))
    }

    async fn put_token(
        &self,
        actor: Actor,
        stream: Stream,
        expected: Version,
        fact: Fact,
    ) -> Result<(), AskError> {
        let batch = Batch {
            id: BatchId::new(format!("token/{}", random::name())),
            actor,
            at: self.now(),
            writes: vec![Write::new(stream, Some(expected), [fact])],
        };
        let core = self.core.clone();
        let put = self.core.impatient(async move {
            if let Appended::Conflict { stream, .. } = core.append(batch).await? {
                return Err(AskError::Conflict(format!("somebody else changed {stream} just now")));
            }
            Ok(core.tokens.reload(&*core.store).await?)
        });
        put.await
    }

    /// What people and programs did, newest first.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<Recorded>, AskError> {
        Ok(self.core.store.audit(filter).await?)
    }
}

/// Those that open the API at this time.
pub(crate) fn valid(tokens: &BTreeMap<Name, TokenRow>, now: Timestamp) -> Vec<TokenView> {
    let views = tokens.iter().map(|(name, row)| token_view(name, row, now));
    views.filter(|view| view.state == "active").collect()
}

impl fmt::Display for TokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.map_or("unknown", Role::as_str);
        let packs: Vec<String> = self.packs.iter().map(|pack| format!("`{pack}`")).collect();
        let of = if packs.is_empty() { String::new() } else { format!(" of {}", packs.join(", ")) };
        write!(f, "{} ({role}{of}, made {:.0})", self.name, self.at)
    }
}

fn token_view(name: &Name, row: &TokenRow, now: Timestamp) -> TokenView {
    let expired = row.expires_at.is_some_and(|end| end <= now);
    TokenView {
        name: name.clone(),
        state: match (row.revoked, expired) {
            (true, _) => "revoked",
            (_, true) => "expired",
            _ => "active",
        },
        role: row.grant.as_ref().map(|grant| grant.role),
        packs: row.grant.as_ref().map(|grant| grant.packs.clone()).unwrap_or_default(),
        expires_at: row.expires_at,
        at: row.at,
    }
}
