//! Closures that would see another value than the one their author meant.
//!
//! rhai shares captured variables. A closure that is called, or handed over, where it is written
//! sees what stands there. One that is *kept* (in a variable, a list, a map) sees what its variables
//! hold when it is called: the last value of a loop's variable, or of one assigned later.

use model::Diagnostic;
use rhai::{ASTNode, Expr, Position, Stmt};

use super::Text;

/// Methods that keep what they are given.
const KEEPING: [&str; 7] = ["push", "insert", "append", "set", "pad", "fill_with", "splice"];

/// Closures that capture what changes, and those that read the list they are called for.
pub(super) fn check(text: &Text<'_>) -> Vec<Diagnostic> {
    let assigned = assignments(text);
    let mut found = Vec::new();
    text.walk(|path| {
        let Some((ASTNode::Stmt(Stmt::Share(captured)), around)) = path.split_last() else {
            return;
        };
        for (variable, _) in captured.iter() {
            let capture = Capture { name: &variable.name, at: variable.pos, around };
            found.extend(capture.own_list(text));
            found.extend(capture.changing(text, &assigned));
        }
    });
    found
}

/// A variable that a closure captures, and the nodes around the closure.
struct Capture<'a, 'n> {
    name: &'a str,
    at: Position,
    around: &'a [ASTNode<'n>],
}

/// An assignment, and the innermost function it stands in.
pub(super) struct Assigned {
    pub(super) name: String,
    at: Position,
    loops: Vec<Position>,
}

pub(super) fn assignments(text: &Text<'_>) -> Vec<Assigned> {
    let mut found = Vec::new();
    text.walk(|path| {
        let Some((ASTNode::Stmt(Stmt::Assignment(assignment)), around)) = path.split_last() else {
            return;
        };
        if let Some(name) = changed(&assignment.1.lhs) {
            let at = assignment.1.lhs.position();
            found.push(Assigned { name: name.to_owned(), at, loops: loops(around) });
        }
    });
    found
}

/// The positions of the loops around a node, outermost first.
fn loops(around: &[ASTNode<'_>]) -> Vec<Position> {
    let position = |node: &ASTNode<'_>| match node {
        ASTNode::Stmt(
            Stmt::For(_, position) | Stmt::While(_, position) | Stmt::Do(_, _, position),
        ) => Some(*position),
        _ => None,
    };
    around.iter().filter_map(position).collect()
}

impl Capture<'_, '_> {
    fn own_list(&self, text: &Text<'_>) -> Option<Diagnostic> {
        let dot = self.around.iter().rev().find_map(|node| match node {
            ASTNode::Expr(Expr::Dot(dot, ..)) => Some(dot),
            _ => None,
        })?;
        let own = plain_variable(&dot.lhs) == Some(self.name);
        let method = self
            .around
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|node| matches!(node, ASTNode::Expr(Expr::MethodCall(..))));
        (own && method).then(|| {
            let message = format!("the closure reads `{}`, whose own method calls it", self.name);
            let hint = format!("take what it needs before: `let n = {}.len;`", self.name);
            text.error(self.at, message).with_hint(hint)
        })
    }

    fn changing(&self, text: &Text<'_>, assigned: &[Assigned]) -> Option<Diagnostic> {
        if !self.is_kept() || self.is_own_target() {
            return None;
        }
        if self.is_loop_variable() {
            let message = format!(
                "the closure captures the loop's variable `{}` and is called after it has changed",
                self.name
            );
            let hint = format!(
                "use `parallel_map(list, |{0}| …)`, or capture a copy: `let y = {0};`",
                self.name
            );
            return Some(text.error(self.at, message).with_hint(hint));
        }
        let later = assigned.iter().find(|assigned| self.is_changed_by(assigned))?;
        let line = later.at.line().unwrap_or_default();
        let message = format!(
            "the closure captures `{}`, which is assigned again in line {line}: it will see the last value",
            self.name
        );
        let hint = format!("capture a copy: `let y = {};`", self.name);
        Some(text.error(self.at, message).with_hint(hint))
    }

    /// Whether the closure outlives the expression it stands in.
    fn is_kept(&self) -> bool {
        // Innermost first, after the block that rhai makes around a capturing closure.
        for node in self.around.iter().rev().skip(1) {
            match node {
                ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
                | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                    return KEEPING.contains(&call.name.as_str());
                }
                // A list may still be the argument of a call.
                ASTNode::Expr(Expr::Array(..) | Expr::Map(..)) => {}
                _ => return true,
            }
        }
        true
    }

    /// Whether the closure is assigned to the very variable that it captures.
    fn is_own_target(&self) -> bool {
        self.around.iter().rev().any(|node| match node {
            ASTNode::Stmt(Stmt::Assignment(assignment)) => {
                changed(&assignment.1.lhs) == Some(self.name)
            }
            _ => false,
        })
    }

    fn is_loop_variable(&self) -> bool {
        let mut declared = false;
        for node in self.around.iter().rev() {
            match node {
                ASTNode::Stmt(Stmt::For(parts, _)) => {
                    let counter = parts.1.as_ref().is_some_and(|c| c.name == self.name);
                    if parts.0.name == self.name || counter {
                        let body = parts.2.body.statements();
                        declared |= body.iter().any(|statement| declares(statement, self.name));
                        return !declared;
                    }
                }
                ASTNode::Expr(Expr::Stmt(block)) => {
                    declared |= block.statements().iter().any(|s| declares(s, self.name));
                }
                _ => {}
            }
        }
        false
    }

    /// Later in the text, or in the next round of a loop around both.
    fn is_changed_by(&self, assigned: &Assigned) -> bool {
        if assigned.name != self.name {
            return false;
        }
        let shared_loop = loops(self.around).iter().any(|at| assigned.loops.contains(at));
        assigned.at > self.at || (shared_loop && !self.is_declared_in_loop())
    }

    /// Whether each round of the innermost loop has a variable of its own.
    fn is_declared_in_loop(&self) -> bool {
        let innermost = self.around.iter().rev().find_map(|node| match node {
            ASTNode::Stmt(Stmt::For(parts, _)) => Some(parts.2.body.statements()),
            ASTNode::Stmt(Stmt::While(parts, _) | Stmt::Do(parts, _, _)) => {
                Some(parts.body.statements())
            }
            _ => None,
        });
        innermost.is_some_and(|body| body.iter().any(|statement| declares(statement, self.name)))
    }
}

fn plain_variable(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(variable, ..) => Some(variable.1.as_str()),
        _ => None,
    }
}

/// The variable that an assignment changes, in whole or in part.
pub(super) fn changed(target: &Expr) -> Option<&str> {
    match target {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => changed(&parts.lhs),
        other => plain_variable(other),
    }
}

fn declares(statement: &Stmt, name: &str) -> bool {
    matches!(statement, Stmt::Var(variable, ..) if variable.0.name == name)
}
