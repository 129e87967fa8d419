//! Programs as rhai runs them: a syntax tree and the libraries it imports.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{Diagnostic, Location};
use rhai::{
    AST, ASTNode, Engine, EvalAltResult, Expr, LexError, Module, ModuleResolver, ParseError,
    ParseErrorType, Position, Scope, Shared, Stmt,
};

use crate::calls;
use crate::direct::{self, Direct};
use crate::limits::SOURCE_BYTES;
use crate::program::Source;

/// A compiled program. Its libraries are evaluated once, when it is compiled.
pub(crate) struct Compiled {
    pub(crate) ast: AST,
    pub(crate) libs: Libs,
    direct: OnceCell<Rc<Direct>>,
}

/// Modules by the name they are imported under.
pub(crate) type Libs = BTreeMap<String, Shared<Module>>;

/// Resolves `import` to the libraries of the program that is being evaluated, and nothing else.
#[derive(Clone, Default)]
pub(crate) struct Imports(pub(crate) Rc<RefCell<Libs>>);

impl ModuleResolver for Imports {
    fn resolve(
        &self,
        _: &Engine,
        _: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let found = self.0.borrow().get(path).cloned();
        found.ok_or_else(|| EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into())
    }
}

impl Compiled {
    /// Compiles everything, or says all that is wrong. `imports` is what `engine` resolves modules
    /// with; it holds the program's libraries afterwards.
    pub(crate) fn new(
        engine: &Engine,
        imports: &Imports,
        source: &Source,
    ) -> Result<Self, Vec<Diagnostic>> {
        imports.0.borrow_mut().clear();
        let imports = imports.clone();
        let mut loader =
            Loader { engine, source, imports, asts: BTreeMap::new(), wrong: Vec::new() };
        let ast = loader.parse(&source.file, &source.text);
        for (name, text) in &source.libs {
            if let Some(ast) = loader.parse(name, text) {
                loader.asts.insert(name, ast);
            }
        }
        let ast = ast.filter(|_| loader.wrong.is_empty());
        let Some(ast) = ast else { return Err(loader.wrong) };
        loader.check_imports(&source.file, &source.text, &ast);
        let names: Vec<&str> = loader.asts.keys().copied().collect();
        for name in names {
            loader.load(name, &mut BTreeSet::new());
        }
        if !loader.wrong.is_empty() {
            return Err(loader.wrong);
        }
        let libs = loader.imports.0.borrow().clone();
        Ok(Self { ast, libs, direct: OnceCell::new() })
    }

    /// The calls whose results it looks at on the spot.
    pub(crate) fn direct(&self, engine: &Engine, source: &Source) -> Rc<Direct> {
        self.direct.get_or_init(|| Rc::new(direct::looks(engine, source))).clone()
    }
}

struct Loader<'a> {
    engine: &'a Engine,
    source: &'a Source,
    imports: Imports,
    asts: BTreeMap<&'a str, AST>,
    wrong: Vec<Diagnostic>,
}

impl<'a> Loader<'a> {
    fn parse(&mut self, file: &str, text: &str) -> Option<AST> {
        if text.len() > SOURCE_BYTES {
            let message = format!("the file has {} bytes, more than {SOURCE_BYTES}", text.len());
            self.wrong.push(Diagnostic::error(Location::file(file), message));
            return None;
        }
        match self.engine.compile(text) {
            Ok(mut ast) => {
                ast.set_source(file);
                self.refuse_shadows(file, text, &ast);
                Some(ast)
            }
            Err(error) => {
                self.wrong.push(unreadable(file, text, &error));
                None
            }
        }
    }

    /// A script's function would silently take the place of the host's.
    fn refuse_shadows(&mut self, file: &str, text: &str, ast: &AST) {
        for function in ast.iter_fn_def().filter(|f| calls::is_host_function(&f.name)) {
            let message =
                format!("`{}` is a function of chains and cannot be defined anew", function.name);
            let at = location(file, function.body.start_position());
            let hint = "give the function another name";
            self.wrong.push(Diagnostic::error(at, message).with_hint(hint).in_text(text));
        }
    }

    fn check_imports(&mut self, file: &str, text: &str, ast: &AST) -> Vec<(String, Position)> {
        let mut names = Vec::new();
        for (name, position) in imports(ast) {
            let known = self.source.libs.keys().map(String::as_str);
            let found = name.as_ref().filter(|name| self.source.libs.contains_key(*name));
            if let Some(name) = found {
                names.push((name.clone(), position));
                continue;
            }
            let at = location(file, position);
            let finding = match &name {
                None => Diagnostic::error(at, "`import` needs a plain string")
                    .with_hint("write `import \"lib/name\" as name;`"),
                Some(name) => {
                    let hint = match model::diagnostic::suggest(name, known) {
                        Some(known) => format!("did you mean `{known}`?"),
                        None => "libraries are the files of the pack's folder `lib`, imported as `lib/name`".to_owned(),
                    };
                    Diagnostic::error(at, format!("there is no library `{name}`")).with_hint(hint)
                }
            };
            self.wrong.push(finding.in_text(text));
        }
        names
    }

    /// Evaluates a library after those that it imports.
    fn load(&mut self, name: &'a str, above: &mut BTreeSet<String>) {
        if self.imports.0.borrow().contains_key(name) {
            return;
        }
        let Some(text) = self.source.libs.get(name) else { return };
        let Some(ast) = self.asts.get(name).cloned() else { return };
        above.insert(name.to_owned());
        for (import, position) in self.check_imports(name, text, &ast) {
            if above.contains(&import) {
                let (message, hint) = if import == name {
                    (
                        format!("the library `{name}` imports itself"),
                        "call its functions as they are",
                    )
                } else {
                    let message =
                        format!("the libraries `{name}` and `{import}` import one another");
                    (message, "move what both need into a third one")
                };
                let finding = Diagnostic::error(location(name, position), message);
                self.wrong.push(finding.with_hint(hint).in_text(text));
                continue;
            }
            let known: Option<&'a str> = self.asts.keys().copied().find(|known| *known == import);
            if let Some(import) = known {
                self.load(import, above);
            }
        }
        above.remove(name);
        if self.wrong.is_empty() {
            self.evaluate(name, text, &ast);
        }
    }

    fn evaluate(&mut self, name: &str, text: &str, ast: &AST) {
        match Module::eval_ast_as_new(Scope::new(), ast, self.engine) {
            Ok(mut module) => {
                module.set_id(name);
                module.build_index();
                self.imports.0.borrow_mut().insert(name.to_owned(), Shared::new(module));
            }
            Err(error) => {
                let at = location(name, error.position());
                let message = crate::raise::uncaught(error, name).message;
                self.wrong.push(Diagnostic::error(at, message).in_text(text));
            }
        }
    }
}

/// What `ast` imports; no name where it is not a plain string.
fn imports(ast: &AST) -> Vec<(Option<String>, Position)> {
    let mut found = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, position))) = path.last() {
            let name = match &import.0 {
                Expr::StringConstant(text, _) => Some(text.to_string()),
                _ => None,
            };
            found.push((name, *position));
        }
        true
    });
    found
}

/// A place in a file.
pub(crate) fn location(file: &str, position: Position) -> Location {
    let (line, column) = (position.line().unwrap_or(0), position.position().unwrap_or(0));
    Location { file: file.to_owned(), line, column }
}

fn unreadable(file: &str, text: &str, error: &ParseError) -> Diagnostic {
    let mut at = location(file, error.position());
    if at.line > text.lines().count() {
        // What is missing at the end is missing after the last line.
        at.line = text.lines().count().max(1);
        at.column = text.lines().last().map_or(1, |line| line.chars().count() + 1);
    }
    let message = error.err_type().to_string();
    let hint = match error.err_type() {
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) => match word.as_str() {
            "print" | "debug" => Some("write `log(…)`"),
            "eval" => Some("a chain cannot evaluate text; write a function"),
            _ => None,
        },
        ParseErrorType::BadInput(LexError::UnexpectedInput(_)) => {
            Some("a value or an operator is missing before it, or a bracket is closed too early")
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => Some("close it with a quote"),
        ParseErrorType::MissingToken(token, _) if token == ";" => {
            Some("end the statement before it with `;`")
        }
        ParseErrorType::MissingToken(..) | ParseErrorType::UnexpectedEOF => {
            Some("end the last statement, and close every bracket that is open above")
        }
        _ => None,
    };
    let finding = Diagnostic::error(at, message).in_text(text);
    match hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}
