//! Which parts of a value an expression reads: only these are converted for it.
//!
//! An event may be thousands of values of which a condition reads one. What is left out of the
//! converted value is what the expression cannot name, so no answer and no error differs.

use std::collections::BTreeMap;

use model::Value;
use rhai::{ASTNode, Dynamic, Expr, Map};

use crate::{NotJson, to_dynamic};

/// For each name that is read, the chains of properties that are asked of it; an empty chain is
/// all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reads(BTreeMap<&'static str, Vec<Vec<String>>>);

impl Reads {
    /// One chain of one name.
    pub(crate) fn of(name: &'static str, chain: &[String]) -> Self {
        Self(BTreeMap::from([(name, vec![chain.to_vec()])]))
    }

    /// Adds what the last of `nodes` reads, if it is one of `names`; the node before is its parent.
    pub(crate) fn note(&mut self, nodes: &[ASTNode], names: &[&'static str]) {
        let Some(ASTNode::Expr(node @ Expr::Variable(variable, ..))) = nodes.last() else { return };
        let Some(name) = names.iter().find(|name| variable.1 == **name) else { return };
        let parent = nodes.len().checked_sub(2).map(|before| &nodes[before]);
        let chain = match parent {
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if std::ptr::eq(&raw const dot.lhs, *node) => {
                chain(&dot.rhs)
            }
            _ => Vec::new(),
        };
        self.0.entry(name).or_default().push(chain);
    }

    /// The names, and what is read of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &[Vec<String>])> {
        self.0.iter().map(|(name, chains)| (*name, chains.as_slice()))
    }
}

/// Whether `chains` name all of a value.
pub(crate) fn is_whole(chains: &[Vec<String>]) -> bool {
    chains.iter().any(Vec::is_empty)
}

/// The properties asked for one after the other, up to the first other thing.
fn chain(mut rest: &Expr) -> Vec<String> {
    let mut chain = Vec::new();
    loop {
        let (first, next) = match rest {
            Expr::Dot(dot, ..) => (&dot.lhs, Some(&dot.rhs)),
            Expr::Index(index, ..) => (&index.lhs, None),
            other => (other, None),
        };
        let Expr::Property(property, _) = first else { return chain };
        chain.push(property.2.to_string());
        match next {
            Some(next) => rest = next,
            None => return chain,
        }
    }
}

/// The part of `value` that `chains` name.
pub(crate) fn part(value: &Value, chains: &[&[String]]) -> Result<Dynamic, NotJson> {
    let Value::Object(map) = value else { return to_dynamic(value) };
    let mut below: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for chain in chains {
        match chain.split_first() {
            Some((first, rest)) => below.entry(first).or_default().push(rest),
            None => return to_dynamic(value),
        }
    }
    let mut part = Map::new();
    for (key, chains) in below {
        if let Some(value) = map.get(key) {
            part.insert(key.into(), self::part(value, &chains)?);
        }
    }
    Ok(Dynamic::from_map(part))
}
