//! Which lines of chains and libraries can run, and which did: for the tests of packs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rhai::debugger::DebuggerCommand;
use rhai::{AST, ASTNode, Engine, Position, Stmt};

use crate::calls;
use crate::host::Host;
use crate::program::Program;

/// Lines, from 1, by the file they stand in: a chain's own as its user knows it, a library by the
/// name it is imported under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, BTreeSet<usize>>);

impl Lines {
    fn note(&mut self, file: &str, at: Position) {
        let Some(line) = at.line() else { return };
        match self.0.get_mut(file) {
            Some(lines) => {
                lines.insert(line);
            }
            None => {
                self.0.insert(file.to_owned(), BTreeSet::from([line]));
            }
        }
    }

    /// The lines of one file.
    pub fn of(&self, file: &str) -> BTreeSet<usize> {
        self.0.get(file).cloned().unwrap_or_default()
    }

    /// Takes those of `other` in.
    pub fn extend(&mut self, other: Self) {
        for (file, lines) in other.0 {
            self.0.entry(file).or_default().extend(lines);
        }
    }
}

impl IntoIterator for Lines {
    type Item = (String, BTreeSet<usize>);
    type IntoIter = std::collections::btree_map::IntoIter<String, BTreeSet<usize>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The lines on which a statement of the program, or of a library it could import, begins.
pub(crate) fn statements(program: &Program) -> Lines {
    let engine = calls::engine(&Rc::new(Host::default()));
    let source = program.source();
    let libs = source.libs.iter();
    let mut lines = Lines::default();
    for (file, text) in [(&source.file, &source.text)].into_iter().chain(libs) {
        // What does not compile is no program: there is none here.
        if let Ok(ast) = engine.compile(text) {
            note_statements(&mut lines, file, &ast);
        }
    }
    lines
}

fn note_statements(lines: &mut Lines, file: &str, ast: &AST) {
    ast.walk(&mut |nodes: &[ASTNode<'_>]| {
        match nodes.last() {
            Some(ASTNode::Stmt(Stmt::Noop(_) | Stmt::Block(_) | Stmt::Share(_))) => {}
            Some(ASTNode::Stmt(Stmt::Expr(expression))) => {
                lines.note(file, expression.start_position());
            }
            Some(ASTNode::Stmt(statement)) => lines.note(file, statement.position()),
            _ => {}
        }
        true
    });
}

/// Notes in `lines` what `engine` evaluates.
pub(crate) fn listen(engine: &mut Engine, host: &Rc<Host>, lines: &Rc<RefCell<Lines>>) {
    let (host, lines) = (host.clone(), lines.clone());
    #[expect(deprecated, reason = "rhai marks the callback as volatile; the version is pinned")]
    engine.register_debugger(
        |_, debugger| debugger,
        move |_, _, node, source, _| {
            let at = match node {
                ASTNode::Expr(expression) => expression.start_position(),
                node => node.position(),
            };
            // Only the program itself has no source of its own.
            let own = || host.with(|pass| pass.file.to_string()).unwrap_or_default();
            let file = source.map_or_else(own, ToOwned::to_owned);
            lines.borrow_mut().note(&file, at);
            Ok(DebuggerCommand::StepInto)
        },
    );
}

#[cfg(test)]
mod tests {
    use model::{Journal, Timestamp, Value};

    use super::*;
    use crate::{Evaluator, Input, Next, Source};

    const CHAIN: &str = "\
import \"lib/naming\" as naming;
let name = naming::instance(
    params.claim
);
if name == \"x\" {
    fail(\"never\");
} else {
    log(name);
}
on_exit(|outcome| {
    log(outcome.state);
    if outcome.error != null {
        log(\"failed\");
    }
});
// a remark
[1, 2].map(|n|
    n + 1)
";

    const NAMING: &str = "\
const PREFIX = \"db\";
fn instance(claim) {
    if claim == \"\" { throw \"no claim\"; }
    claim
}
fn unused() {
    1
}
";

    #[test]
    fn statements_that_did_not_run_are_told_apart_in_chains_closures_and_libraries() {
        let libs = BTreeMap::from([("lib/naming".to_owned(), NAMING.to_owned())]);
        let source = Source { file: "a.rhai".to_owned(), text: CHAIN.to_owned(), libs };
        let program = Program::compile(source).unwrap();
        let input = Input {
            execution: model::ExecutionId::random(&[0; 32]),
            parameters: serde_json::json!({ "claim": "orders" }),
            config: Value::Null,
            context: Value::Null,
        };
        let mut evaluator = Evaluator::covering();
        let now = Timestamp::UNIX_EPOCH;
        let advanced = evaluator.advance(&program, &input, &Journal::default(), now);
        assert!(matches!(advanced.next, Next::Finished(_)), "{advanced:?}");
        let (can, did) = (program.lines(), evaluator.covered());
        let missed = |file| can.of(file).difference(&did.of(file)).copied().collect::<Vec<_>>();
        assert_eq!(can.of("a.rhai"), BTreeSet::from([1, 2, 5, 6, 8, 10, 11, 12, 13, 17, 18]));
        assert_eq!(missed("a.rhai"), [6, 13]);
        assert_eq!(missed("lib/naming"), [7]);
    }
}
