//! Where a program looks at the result of a call right where it makes the call: `switch run(…)`.
//!
//! Most uses of a [result that nobody has](crate::unseen) show while the program runs, for a value
//! of that kind fits nowhere. Some don't: `switch` takes its default branch, `for` fails as if the
//! action had answered a number, and `try` hides both. These are known from the program's text.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt, StmtBlock};

use crate::program::Source;

/// The calls whose results the program looks at on the spot, by file.
pub(crate) type Direct = BTreeMap<String, BTreeSet<Position>>;

/// Those of `source`, its libraries included.
pub(crate) fn looks(engine: &Engine, source: &Source) -> Direct {
    let files = std::iter::once((&source.file, &source.text)).chain(&source.libs);
    // What does not compile is not run either.
    let asts: Vec<(&str, AST)> = files
        .filter_map(|(file, text)| Some((file.as_str(), engine.compile(text).ok()?)))
        .collect();
    let mut found = Finder { functions: BTreeMap::new(), calls: Direct::new() };
    for (file, ast) in &asts {
        for (name, last) in lasts(ast) {
            found.functions.entry(name).or_default().push(((*file).to_owned(), last));
        }
    }
    for (file, ast) in &asts {
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            if let Some(node) = path.last() {
                found.node(file, node);
            }
            true
        });
    }
    found.calls
}

/// The last statement of each function of `ast`: what rhai shows of functions has no names, but
/// places.
fn lasts(ast: &AST) -> Vec<(String, Stmt)> {
    let bodies: Vec<_> = ast
        .iter_fn_def()
        .map(|function| (function.body.start_position(), function.body.end_position(), function))
        .collect();
    let mut lasts: BTreeMap<Position, (String, Stmt)> = BTreeMap::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let [ASTNode::Stmt(statement)] = path {
            let at = statement.position();
            let around = bodies.iter().filter(|(start, end, _)| *start <= at && at <= *end);
            // A closure's body lies within that of the function around it.
            if let Some((start, _, function)) = around.max_by_key(|(start, ..)| *start) {
                lasts.insert(*start, (function.name.to_string(), (*statement).clone()));
            }
        }
        true
    });
    lasts.into_values().collect()
}

struct Finder {
    /// The last statements of functions by their name: they may be called from any file.
    functions: BTreeMap<String, Vec<(String, Stmt)>>,
    calls: Direct,
}

impl Finder {
    /// The values that `node` looks at.
    fn node(&mut self, file: &str, node: &ASTNode<'_>) {
        match node {
            ASTNode::Stmt(Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..)) => {
                self.value(file, &flow.expr);
            }
            ASTNode::Stmt(Stmt::For(each, _)) => self.value(file, &each.2.expr),
            ASTNode::Stmt(Stmt::Switch(switch, _)) => {
                self.value(file, &switch.0);
                switch.1.expressions.iter().for_each(|case| self.value(file, &case.lhs));
            }
            ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _)) => {
                self.arguments(file, call);
            }
            ASTNode::Expr(Expr::Dot(both, ..) | Expr::Index(both, ..)) => {
                self.value(file, &both.lhs);
            }
            ASTNode::Expr(Expr::And(all, _) | Expr::Or(all, _) | Expr::Coalesce(all, _)) => {
                all.iter().for_each(|one| self.value(file, one));
            }
            ASTNode::Expr(Expr::InterpolatedString(all, _)) => {
                all.iter().for_each(|one| self.value(file, one));
            }
            _ => {}
        }
    }

    /// A script's own function may leave its arguments alone; any other uses them.
    fn arguments(&mut self, file: &str, call: &FnCallExpr) {
        if !self.functions.contains_key(call.name.as_str()) {
            call.args.iter().for_each(|argument| self.value(file, argument));
        }
    }

    /// The calls whose results `expression` is, or holds.
    fn value(&mut self, file: &str, expression: &Expr) {
        match expression {
            Expr::FnCall(call, position) => self.call(file, call, *position),
            Expr::Stmt(block) => self.last(file, block),
            Expr::Array(items, _) => items.iter().for_each(|item| self.value(file, item)),
            Expr::Map(map, _) => map.0.iter().for_each(|(_, item)| self.value(file, item)),
            Expr::Coalesce(all, _) => all.iter().for_each(|one| self.value(file, one)),
            _ => {}
        }
    }

    fn call(&mut self, file: &str, call: &FnCallExpr, position: Position) {
        let known = self.calls.entry(file.to_owned()).or_default();
        // One that was seen before also ends functions that call themselves.
        if !known.insert(position) {
            return;
        }
        for (file, last) in self.functions.get(call.name.as_str()).cloned().unwrap_or_default() {
            self.statement(&file, &last);
        }
    }

    fn last(&mut self, file: &str, block: &StmtBlock) {
        if let Some(statement) = block.statements().last() {
            self.statement(file, statement);
        }
    }

    /// The same of the value of a statement, which is that of the block it ends.
    fn statement(&mut self, file: &str, statement: &Stmt) {
        match statement {
            Stmt::Expr(value) | Stmt::Return(Some(value), ..) => self.value(file, value),
            Stmt::FnCall(call, position) => self.call(file, call, *position),
            Stmt::Block(inner) => self.last(file, inner),
            Stmt::If(flow, _) => {
                self.last(file, &flow.body);
                self.last(file, &flow.branch);
            }
            Stmt::Switch(switch, _) => {
                switch.1.expressions.iter().for_each(|case| self.value(file, &case.rhs));
            }
            _ => {}
        }
    }
}
