//! Parameters that a chain reads and does not declare: nobody can give them.

use model::{Diagnostic, Schema};
use rhai::{ASTNode, Expr, Position, Stmt};

use super::shapes::closure;
use super::{Text, hinted, meant};

const PARAMS: &str = "params";

/// Reads of `params.<name>` that always fail, in the chain's own file: a library is read for many
/// chains.
pub(super) fn check(text: &Text<'_>, declared: &Schema) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if is_changed(text) {
        return found;
    }
    text.walk(|path| {
        let Some(ASTNode::Expr(node)) = path.last() else { return };
        let Some((name, at)) = read(node) else { return };
        if !declared.properties().contains_key(name) {
            let hint = meant(name, declared.properties().keys().map(String::as_str));
            let declare = || format!("declare it: `parameters: {{ {name}: {{ type: … }} }}`");
            let finding = text.error(at, format!("the chain has no parameter `{name}`"));
            found.push(hinted(finding, Some(hint.unwrap_or_else(declare))));
        }
    });
    found
}

/// The name by which an expression reads from `params`; `params?.name` bears that `params` is null, and
/// not that there is no such name.
fn read(node: &Expr) -> Option<(&str, Position)> {
    let (Expr::Dot(parts, ..) | Expr::Index(parts, ..)) = node else { return None };
    if !is_params(&parts.lhs) {
        return None;
    }
    match (node, first(&parts.rhs)) {
        (Expr::Dot(..), Expr::Property(property, at)) => Some((property.2.as_str(), *at)),
        (Expr::Index(..), Expr::StringConstant(name, at)) => Some((name.as_str(), *at)),
        _ => None,
    }
}

/// What comes first after a dot or a bracket.
fn first(rest: &Expr) -> &Expr {
    match rest {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => first(&parts.lhs),
        other => other,
    }
}

fn is_params(expression: &Expr) -> bool {
    matches!(expression, Expr::Variable(variable, ..) if variable.1 == PARAMS)
}

/// Whether `params` may hold something else here: it is assigned, or the name of another variable.
fn is_changed(text: &Text<'_>) -> bool {
    let (mut changed, mut capturing) = (false, Vec::new());
    text.walk(|path| match path.last() {
        Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => changed |= variable.0.name == PARAMS,
        Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
            changed |= begins_with_params(&assignment.1.lhs);
        }
        Some(ASTNode::Stmt(Stmt::For(parts, _))) => changed |= parts.0.name == PARAMS,
        Some(ASTNode::Expr(node @ Expr::Stmt(_))) => {
            let own = closure(node).filter(|c| c.captured.iter().any(|name| name == PARAMS));
            capturing.extend(own.map(|closure| closure.function.fn_name().to_owned()));
        }
        _ => {}
    });
    // What a closure captures is one of its parameters.
    let renamed = text.ast.iter_fn_def().any(|function| {
        function.params.iter().any(|name| name == PARAMS)
            && !capturing.iter().any(|name| function.name == name)
    });
    changed || renamed
}

fn begins_with_params(target: &Expr) -> bool {
    match target {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => begins_with_params(&parts.lhs),
        other => is_params(other),
    }
}
