//! Tokens, and what was done with them.

use model::access::TokenCreated;
use model::{Actor, Fact, Grant, Hash, Stream};
use store::{AuditFilter, Batch, Position, Store};

use crate::common::*;

contract!(
    a_token_is_known_by_its_hash_even_when_it_is_revoked,
    the_audit_lists_what_was_not_the_engines_own_doing,
);

fn made(token: &str) -> Fact {
    let hash = Hash::of(token.as_bytes());
    Fact::TokenCreated(TokenCreated { hash, grant: Grant::ADMIN, expires_at: None, at: at(1) })
}

async fn a_token_is_known_by_its_hash_even_when_it_is_revoked(store: &dyn Store) {
    let token = |name: &str| Stream::Token(name.parse().unwrap());
    put(store, token("ci"), vec![made("a")]).await;
    put(store, token("ops"), vec![made("b")]).await;
    put(store, token("old"), vec![made("c")]).await;
    let revoked = |token: &str, grant: Option<Grant>| {
        let hash = Hash::of(token.as_bytes());
        Fact::TokenRevoked { hash, grant, expires_at: None, at: at(2) }
    };
    put(store, token("ci"), vec![revoked("a", Some(Grant::ADMIN))]).await;
    put(store, token("old"), vec![revoked("c", None)]).await;
    let found = store.tokens().await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|(name, row)| (name.as_str(), row.hash, row.revoked, row.grant.is_some()))
        .collect();
    let expected = [
        ("ci", Hash::of(b"a"), true, true),
        ("old", Hash::of(b"c"), true, false),
        ("ops", Hash::of(b"b"), false, true),
    ];
    assert_eq!(told, expected);
}

async fn the_audit_lists_what_was_not_the_engines_own_doing(store: &dyn Store) {
    for (n, who) in [Actor::engine(), Actor::token("ann"), Actor::token("bob"), Actor::token("ann")]
        .into_iter()
        .enumerate()
    {
        let switch = Stream::Rule("app.a".parse().unwrap());
        let facts = vec![write(switch, vec![Fact::RuleSwitched { enabled: Some(n % 2 == 0) }])];
        let batch = Batch { actor: who, at: at(n as i64), ..batch(&n.to_string(), facts) };
        store.append(batch).await.unwrap();
    }
    let limit = 10;
    for (filter, positions) in [
        (AuditFilter { limit, ..AuditFilter::default() }, &[4, 3, 2][..]),
        (AuditFilter { limit: 1, ..AuditFilter::default() }, &[4]),
        (AuditFilter { limit, before: Some(Position(4)), ..AuditFilter::default() }, &[3, 2]),
        (AuditFilter { limit, since: Some(at(2)), ..AuditFilter::default() }, &[4, 3]),
        (
            AuditFilter { limit, actor: Some(Actor::token("ann")), ..AuditFilter::default() },
            &[4, 2],
        ),
        (AuditFilter { limit, name: Some("KeySet".to_owned()), ..AuditFilter::default() }, &[]),
    ] {
        let found = store.audit(&filter).await.unwrap();
        let found: Vec<_> = found.iter().map(|recorded| recorded.position.0).collect();
        assert_eq!(found, positions, "{filter:?}");
    }
}
