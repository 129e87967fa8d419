//! Names that mean nothing: functions, methods, variables.

use std::collections::{BTreeMap, BTreeSet};

use model::Diagnostic;
use model::diagnostic::instead;
use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, ImmutableString, Position, Stmt};

use super::{Text, hinted, meant};
use crate::calls::{PROVIDED, UNSUPPORTED};
use crate::program::Source;

/// Names that rhai implements itself, closures included.
const BUILT_IN: [&str; 7] =
    ["Fn", "call", "curry", "type_of", "is_shared", "is_def_var", "is_def_fn"];

/// What users of other languages, or of rhai alone, write for a function of chains.
const TRANSLATED: [(&str, &str); 6] = [
    ("timestamp", "write `now()`"),
    ("exit", "use `return` at the top of the chain, or `fail(message)`"),
    ("rand", "chains have no random numbers; `uuid()` makes a unique text"),
    ("println", "write `log(…)`"),
    ("console", "write `log(…)`"),
    ("wait", "write `sleep(\"5s\")`, or `poll(…)` for a condition"),
];

/// Names of functions and the numbers of arguments they take.
type Functions = BTreeMap<String, BTreeSet<usize>>;

/// Calls of functions and uses of variables that do not exist.
pub(super) fn check(engine: &Engine, source: &Source, text: &Text<'_>) -> Vec<Diagnostic> {
    let names = Names {
        text,
        native: native(engine),
        own: own(text),
        libs: libs(engine, source, text),
        declared: declared(text),
    };
    let mut found = Vec::new();
    text.walk(|path| found.extend(names.call(path)));
    names.variables(|variable, at| found.extend(names.unknown_variable(variable, at)));
    found
}

fn native(engine: &Engine) -> Functions {
    let signature =
        |info: rhai::FuncInfo<'_>| Some((info.metadata.name.to_string(), info.metadata.num_params));
    grouped(engine.collect_fn_metadata(None, signature, true))
}

fn own(text: &Text<'_>) -> Functions {
    grouped(text.ast.iter_fn_def().map(|f| (f.name.to_string(), f.params.len())))
}

fn grouped(all: impl IntoIterator<Item = (String, usize)>) -> Functions {
    let mut functions = Functions::new();
    for (name, arguments) in all {
        functions.entry(name).or_default().insert(arguments);
    }
    functions
}

/// The functions of each library under the name it is imported by.
fn libs(engine: &Engine, source: &Source, text: &Text<'_>) -> BTreeMap<String, Functions> {
    let mut found = BTreeMap::new();
    text.walk(|path| {
        let Some(ASTNode::Stmt(Stmt::Import(import, _))) = path.last() else { return };
        let Expr::StringConstant(name, _) = &import.0 else { return };
        let ast = source.libs.get(name.as_str()).and_then(|text| engine.compile(text).ok());
        if let Some(ast) = ast {
            let all = ast.iter_fn_def().map(|f| (f.name.to_string(), f.params.len()));
            found.insert(import.1.name.to_string(), grouped(all));
        }
    });
    found
}

/// Every variable that is declared anywhere, for suggestions.
fn declared(text: &Text<'_>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = PROVIDED.iter().map(|name| (*name).to_owned()).collect();
    text.walk(|path| {
        if let Some(ASTNode::Stmt(Stmt::Var(variable, ..))) = path.last() {
            found.insert(variable.0.name.to_string());
        }
    });
    found
}

struct Names<'a> {
    text: &'a Text<'a>,
    native: Functions,
    own: Functions,
    libs: BTreeMap<String, Functions>,
    declared: BTreeSet<String>,
}

impl Names<'_> {
    fn call(&self, path: &[ASTNode<'_>]) -> Option<Diagnostic> {
        match path.last()? {
            ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => {
                if call.namespace.is_empty() {
                    self.function(call, *at)
                } else {
                    self.qualified(call, *at)
                }
            }
            ASTNode::Expr(Expr::MethodCall(call, at)) => self.method(call, *at),
            _ => None,
        }
    }

    fn function(&self, call: &FnCallExpr, at: Position) -> Option<Diagnostic> {
        let name = call.name.as_str();
        let skipped = call.op_token.is_some()
            || BUILT_IN.contains(&name)
            || UNSUPPORTED.contains(&name)
            || name.contains('$');
        if skipped {
            return None;
        }
        let given = call.args.len();
        match self.takes(name) {
            Some(takes) if takes.contains(&given) => None,
            Some(takes) => Some(self.text.error(at, wrong_number(name, given, &takes))),
            None if self.declared.contains(name) => {
                let finding =
                    self.text.error(at, format!("`{name}` is a variable, not a function"));
                Some(finding.with_hint(format!("write `{name}.call(…)`")))
            }
            None => {
                let finding = self.text.error(at, format!("there is no function `{name}`"));
                let define =
                    || format!("define it: `fn {name}(…) {{ … }}`; an action is run by `run`");
                Some(finding.with_hint(self.instead(name).unwrap_or_else(define)))
            }
        }
    }

    /// A method may also be a closure in a map, so an unknown one only surprises.
    fn method(&self, call: &FnCallExpr, at: Position) -> Option<Diagnostic> {
        let name = call.name.as_str();
        if BUILT_IN.contains(&name) || self.takes(name).is_some() {
            return None;
        }
        let mut finding = self.text.error(at, format!("there is no method `{name}`"));
        finding.severity = model::Severity::Warning;
        Some(hinted(finding, self.instead(name)))
    }

    fn qualified(&self, call: &FnCallExpr, at: Position) -> Option<Diagnostic> {
        let root = call.namespace.root();
        let (name, given) = (call.name.as_str(), call.args.len());
        // Libraries within libraries are left to the run.
        if call.namespace.path.len() != 1 || root == "global" {
            return None;
        }
        let Some(functions) = self.libs.get(root) else {
            let known = self.libs.keys().map(String::as_str);
            let finding = self.text.error(at, format!("nothing is imported as `{root}`"));
            let import = || format!("write `import \"lib/name\" as {root};`");
            return Some(finding.with_hint(meant(root, known).unwrap_or_else(import)));
        };
        match functions.get(name) {
            Some(takes) if takes.contains(&given) => None,
            Some(takes) => Some(self.text.error(at, wrong_number(name, given, takes))),
            None => {
                let hint = instead(name, functions.keys().map(String::as_str));
                let finding = self.text.error(at, format!("`{root}` has no function `{name}`"));
                Some(finding.with_hint(hint))
            }
        }
    }

    /// Calls `look` with every variable that is declared nowhere around it. What a closure captures
    /// is one of its parameters.
    fn variables(&self, mut look: impl FnMut(&str, Position)) {
        let ast = &self.text.ast;
        unbound(&ast.clone_statements_only(), &[], &mut look);
        for function in ast.iter_fn_def() {
            let mut alone = ast.clone_functions_only();
            alone.retain_functions(|_, _, name, parameters| {
                name == function.name.as_str() && parameters == function.params.len()
            });
            unbound(&alone, &function.params, &mut look);
        }
    }

    fn unknown_variable(&self, name: &str, at: Position) -> Option<Diagnostic> {
        if PROVIDED.contains(&name) {
            return None;
        }
        let finding = self.text.error(at, format!("there is no variable `{name}` here"));
        if self.declared.contains(name) {
            let hint = "a function sees only its parameters, `params`, `config` and `execution`: pass it on";
            return Some(finding.with_hint(hint));
        }
        let declare = || format!("declare it: `let {name} = …;`");
        let meant = meant(name, self.declared.iter().map(String::as_str));
        Some(finding.with_hint(meant.unwrap_or_else(declare)))
    }

    /// The numbers of arguments that functions of this name take.
    fn takes(&self, name: &str) -> Option<BTreeSet<usize>> {
        let all = [self.native.get(name), self.own.get(name)];
        let takes: BTreeSet<usize> = all.into_iter().flatten().flatten().copied().collect();
        (!takes.is_empty()).then_some(takes)
    }

    fn instead(&self, name: &str) -> Option<String> {
        let translated = TRANSLATED.iter().find(|(word, _)| *word == name);
        if let Some((_, hint)) = translated {
            return Some((*hint).to_owned());
        }
        let words = self.native.keys().chain(self.own.keys()).map(String::as_str);
        meant(name, words.filter(|word| !word.contains('$')))
    }
}

fn unbound(ast: &AST, parameters: &[ImmutableString], look: &mut impl FnMut(&str, Position)) {
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::Variable(variable, None, at))) = path.last()
            && let (None, name, namespace, _) = &**variable
            && namespace.is_empty()
            && !parameters.contains(name)
        {
            look(name, *at);
        }
        true
    });
}

fn wrong_number(name: &str, given: usize, takes: &BTreeSet<usize>) -> String {
    let takes: Vec<String> = takes.iter().map(ToString::to_string).collect();
    let noun = if takes == ["1"] { "argument" } else { "arguments" };
    format!("`{name}` takes {} {noun}, not {given}", takes.join(" or "))
}
