//! Handlers that are registered after the step they undo.
//!
//! A step may be half done when it fails, and then a handler that was to be registered after it is
//! not there. What a handler undoes is not written anywhere, so only two cases are told: one after
//! which nothing is called any more, and one that uses the result of the step just before it while
//! the statement after it does not (which it may be there for).

use model::{ActionRef, Diagnostic, Effect};
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::{Catalog, Text};

/// What to do instead.
const HINT: &str = "register it before that step, with what is known by then, and let it bear that there is nothing to undo";

/// Handlers that come too late, as far as that can be seen.
pub(super) fn check(text: &Text<'_>, catalog: &dyn Catalog) -> Vec<Diagnostic> {
    let mut found = after_everything(text);
    let mut outermost = Siblings::new(catalog);
    text.walk(|path| {
        if let [ASTNode::Stmt(statement)] = path {
            outermost.feed(statement);
        }
        for block in path.last().map(blocks).unwrap_or_default() {
            let mut siblings = Siblings::new(catalog);
            for statement in block {
                siblings.feed(statement);
            }
            outermost.found.extend(siblings.end());
        }
    });
    for (at, action) in outermost.end() {
        let message = format!(
            "`undo` is registered after the step it undoes: it uses the result of `{action}`"
        );
        let finding = warning(text, at, message);
        if !found.iter().any(|other: &Diagnostic| other.at == finding.at) {
            found.push(finding);
        }
    }
    found
}

/// Handlers of the program itself after which it calls nothing.
fn after_everything(text: &Text<'_>) -> Vec<Diagnostic> {
    let idle = text.ast.statements().iter().rev();
    let mut found = Vec::new();
    for statement in idle {
        match undo(statement) {
            Some((_, at)) => {
                let message =
                    "`undo` is registered after every step: nothing is left that could fail";
                found.push(warning(text, at, message));
            }
            None if calls(statement) => break,
            None => {}
        }
    }
    found
}

fn warning(text: &Text<'_>, at: Position, message: impl Into<String>) -> Diagnostic {
    let error = text.error(at, message).with_hint(HINT);
    Diagnostic { severity: model::Severity::Warning, ..error }
}

/// Statements that follow one another, one at a time.
struct Siblings<'a> {
    catalog: &'a dyn Catalog,
    /// The statement before is `let <variable> = run(<action>, …)`, and that does not only read.
    step: Option<(String, ActionRef)>,
    /// The statement before is a handler that uses the result of the step before it.
    late: Option<(Position, String, ActionRef)>,
    found: Vec<(Position, ActionRef)>,
}

impl<'a> Siblings<'a> {
    fn new(catalog: &'a dyn Catalog) -> Self {
        Self { catalog, step: None, late: None, found: Vec::new() }
    }

    fn feed(&mut self, statement: &Stmt) {
        if let Some((at, variable, action)) = self.late.take()
            && !mentions(statement, &variable)
        {
            self.found.push((at, action));
        }
        let step = self.step.take();
        self.late = undo(statement).zip(step).and_then(|((call, at), (variable, action))| {
            captures(call, &variable).then_some((at, variable, action))
        });
        self.step = self.step_of(statement);
    }

    fn end(mut self) -> Vec<(Position, ActionRef)> {
        self.feed(&Stmt::Noop(Position::NONE));
        self.found
    }

    fn step_of(&self, statement: &Stmt) -> Option<(String, ActionRef)> {
        let Stmt::Var(declared, ..) = statement else { return None };
        let Expr::FnCall(call, _) = &declared.1 else { return None };
        let Some(Expr::StringConstant(name, _)) = call.args.first() else { return None };
        let action: ActionRef = name.parse().ok().filter(|_| call.name == "run")?;
        let effect = self.catalog.get(&action)?.effect;
        (effect != Some(Effect::Read)).then(|| (declared.0.name.to_string(), action))
    }
}

/// The statements that a node holds in blocks of its own.
fn blocks<'a>(node: &ASTNode<'a>) -> Vec<&'a [Stmt]> {
    match node {
        ASTNode::Stmt(
            Stmt::If(flow, _) | Stmt::TryCatch(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..),
        ) => vec![flow.body.statements(), flow.branch.statements()],
        ASTNode::Stmt(Stmt::For(parts, _)) => vec![parts.2.body.statements()],
        ASTNode::Stmt(Stmt::Block(block)) | ASTNode::Expr(Expr::Stmt(block)) => {
            vec![block.statements()]
        }
        _ => Vec::new(),
    }
}

/// The call of `undo` that a statement is.
fn undo(statement: &Stmt) -> Option<(&FnCallExpr, Position)> {
    let (call, at) = match statement {
        Stmt::FnCall(call, at) => (call, at),
        Stmt::Expr(expression) => match expression.as_ref() {
            Expr::FnCall(call, at) => (call, at),
            _ => return None,
        },
        _ => return None,
    };
    (call.name == "undo" && call.namespace.is_empty()).then_some((call, *at))
}

/// Whether a statement calls anything, or ends the program.
fn calls(statement: &Stmt) -> bool {
    any(statement, |node| match node {
        ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
            call.op_token.is_none()
        }
        ASTNode::Expr(Expr::MethodCall(..)) | ASTNode::Stmt(Stmt::Return(..)) => true,
        _ => false,
    })
}

fn mentions(statement: &Stmt, variable: &str) -> bool {
    any(statement, |node| match node {
        ASTNode::Expr(Expr::Variable(named, ..)) => named.1 == variable,
        _ => shares(node, variable),
    })
}

fn captures(call: &FnCallExpr, variable: &str) -> bool {
    call.args.iter().any(|argument| {
        let mut found = false;
        argument.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
            found |= path.last().is_some_and(|node| shares(node, variable));
            !found
        });
        found
    })
}

/// Whether a closure captures the variable here.
fn shares(node: &ASTNode<'_>, variable: &str) -> bool {
    match node {
        ASTNode::Stmt(Stmt::Share(captured)) => captured.iter().any(|(v, _)| v.name == variable),
        _ => false,
    }
}

fn any(statement: &Stmt, holds: impl Fn(&ASTNode<'_>) -> bool) -> bool {
    let mut found = false;
    statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
        found |= path.last().is_some_and(&holds);
        !found
    });
    found
}
