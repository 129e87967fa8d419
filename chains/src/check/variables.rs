//! Variables whose value stands in the text: declared once under their name, and never changed.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Expr, Stmt};

use super::Text;
use super::captures::assignments;

/// What each such variable is declared as.
pub(super) struct Variables(BTreeMap<String, Expr>);

impl Variables {
    /// Those of a program's file.
    pub(super) fn of(text: &Text<'_>) -> Self {
        let (mut declared, mut others) = (BTreeMap::new(), other_names(text));
        text.walk(|path| {
            if let Some(ASTNode::Stmt(Stmt::Var(variable, ..))) = path.last() {
                let name = variable.0.name.to_string();
                if declared.insert(name.clone(), variable.1.clone()).is_some() {
                    others.insert(name);
                }
            }
        });
        declared.retain(|name, _| !others.contains(name));
        Self(declared)
    }

    /// What `expression` stands for: of such a variable, what it is declared as.
    pub(super) fn resolved<'e>(&'e self, expression: &'e Expr) -> &'e Expr {
        match expression {
            Expr::Variable(variable, ..) => self.0.get(variable.1.as_str()).unwrap_or(expression),
            _ => expression,
        }
    }
}

/// Names that may stand for something else: of what is assigned, of parameters, of loops and of
/// caught errors.
fn other_names(text: &Text<'_>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        assignments(text).into_iter().map(|assigned| assigned.name).collect();
    for function in text.ast.iter_fn_def() {
        names.extend(function.params.iter().map(ToString::to_string));
    }
    names.extend(bound(text));
    names
}

/// The names of loops' variables and of caught errors.
pub(super) fn bound(text: &Text<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    text.walk(|path| match path.last() {
        Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
            names.insert(parts.0.name.to_string());
            names.extend(parts.1.as_ref().map(|counter| counter.name.to_string()));
        }
        Some(ASTNode::Stmt(Stmt::TryCatch(flow, _))) => {
            if let Expr::Variable(caught, ..) = &flow.expr {
                names.insert(caught.1.to_string());
            }
        }
        _ => {}
    });
    names
}
