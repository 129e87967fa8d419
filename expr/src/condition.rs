//! Expressions over named JSON values: checked when a file is loaded, compiled once per thread.
//!
//! An [`Expression`] is source text only, so it may cross threads; compiled programs stay in the
//! [`Interpreter`] of each thread.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use model::{Timestamp, Value};
use rhai::{AST, ASTNode, Dynamic, Engine, Expr, FnCallExpr, ParseError, Position, Scope, Stmt};

use crate::fault::{describe, miscounted, unknown_function};
use crate::reads::Reads;
use crate::{Limits, engine, to_value};

pub use crate::fault::{BadExpression, Failed};
pub use crate::frame::Frame;

/// Compiled programs kept at a time; beyond it all are let go and compiled again when needed.
const MAX_PROGRAMS: usize = 16_384;

/// Functions that rhai implements itself, without metadata.
const KEYWORDS: [&str; 6] = ["type_of", "call", "curry", "is_shared", "is_def_var", "Fn"];

/// An expression that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    source: Arc<str>,
    /// What it reads of the names in scope.
    reads: Reads,
    /// `trigger.a.b` as its parts.
    path: Option<Vec<String>>,
    /// Whether a closure in it captures a name in scope.
    captures: bool,
}

/// Checks and evaluates expressions; lives on one thread.
#[derive(Debug)]
pub struct Interpreter {
    engine: Engine,
    names: Vec<&'static str>,
    now: Rc<Cell<Timestamp>>,
    /// Whether the expression that runs gets a copy of its own for each name it reads.
    copies: Rc<Cell<bool>>,
    functions: OnceCell<BTreeMap<String, BTreeSet<usize>>>,
    programs: RefCell<HashMap<Arc<str>, Rc<AST>>>,
}

impl Interpreter {
    /// An interpreter of expressions that may read `names`.
    pub fn new(names: &[&'static str]) -> Self {
        let now = Rc::new(Cell::new(Timestamp::UNIX_EPOCH));
        let copies = Rc::new(Cell::new(false));
        let mut engine = engine(&Limits::CONDITION);
        engine.set_strict_variables(true);
        let told = Rc::clone(&now);
        engine.register_fn("now", move || told.get().to_string());
        copy_on_read(&mut engine, Rc::clone(&copies));
        Self {
            engine,
            names: names.to_vec(),
            now,
            copies,
            functions: OnceCell::new(),
            programs: RefCell::default(),
        }
    }

    /// The same, which may be told that it is enough: `over` is asked before each operation, in
    /// closures too, and ends the expression that runs.
    pub fn until(names: &[&'static str], over: impl Fn() -> bool + 'static) -> Self {
        let mut interpreter = Self::new(names);
        interpreter.engine.on_progress(move |_| over().then_some(Dynamic::UNIT));
        interpreter
    }

    /// What `now()` answers from here on.
    pub fn set_now(&self, now: Timestamp) {
        self.now.set(now);
    }

    /// Checks that `source` is one expression of known names and functions.
    pub fn check(&self, source: &str) -> Result<Expression, BadExpression> {
        let source = source.trim_end();
        if let Some(path) = self.plain_path(source) {
            let root = self.names.iter().find(|name| path[0] == **name);
            let reads = root.map(|root| Reads::of(root, &path[1..])).unwrap_or_default();
            let path = Some(path);
            return Ok(Expression { source: source.into(), reads, path, captures: false });
        }
        let program = self.compile(source).map_err(|error| describe(&error, &self.names))?;
        self.examine(source, &program)
    }

    fn examine(&self, source: &str, program: &AST) -> Result<Expression, BadExpression> {
        let mut reads = Reads::default();
        let mut captures = false;
        let mut refused = None;
        program.walk(&mut |nodes: &[ASTNode]| {
            reads.note(nodes, &self.names);
            match nodes.last() {
                Some(
                    ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)),
                ) => {
                    refused = self.refuse_call(call, *at, 0);
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, at))) => {
                    refused = self.refuse_call(call, *at, 1);
                }
                Some(ASTNode::Stmt(Stmt::Share(_))) => captures = true,
                _ => {}
            }
            refused.is_none()
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(Expression { source: source.into(), reads, path: None, captures }),
        }
    }

    /// The value of `expression` over the values of `frame`.
    pub fn evaluate(
        &self,
        expression: &Expression,
        frame: &mut Frame<'_>,
    ) -> Result<Value, Failed> {
        let found = expression.path.as_ref().and_then(|path| frame.find(path));
        if let Some(value) = found {
            return Ok(value.clone());
        }
        // Not all of it is maps: rhai answers, or knows the error.
        let value = self.run(expression, frame)?;
        to_value(&value).map_err(|error| Failed::whole(error.to_string()))
    }

    fn run(&self, expression: &Expression, frame: &mut Frame<'_>) -> Result<Dynamic, Failed> {
        let program = self.program(&expression.source)?;
        let kept = frame.convert(&expression.reads)?;
        self.copies.set(expression.captures);
        let result = self.engine.eval_ast_with_scope(&mut frame.converted, &program);
        frame.converted.rewind(kept);
        result.map_err(|error| Failed::from_rhai(*error))
    }

    fn program(&self, source: &Arc<str>) -> Result<Rc<AST>, Failed> {
        if let Some(program) = self.programs.borrow().get(source) {
            return Ok(Rc::clone(program));
        }
        let compiled = self.compile(source).map_err(|error| Failed::whole(error.to_string()))?;
        let mut programs = self.programs.borrow_mut();
        if programs.len() >= MAX_PROGRAMS {
            programs.clear();
        }
        let program = Rc::new(compiled);
        programs.insert(Arc::clone(source), Rc::clone(&program));
        Ok(program)
    }

    fn compile(&self, source: &str) -> Result<AST, ParseError> {
        let mut scope = Scope::new();
        for name in &self.names {
            // Not a constant: its value would be compiled in.
            scope.push(*name, ());
        }
        self.engine.compile_expression_with_scope(&scope, source)
    }

    /// `trigger.a.b` as its parts, where it begins with a name in scope.
    fn plain_path(&self, source: &str) -> Option<Vec<String>> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let parts: Vec<&str> = source.trim_start().split('.').collect();
        let known = self.names.contains(&parts[0]) && parts.iter().all(|part| is_word(part));
        known.then(|| parts.into_iter().map(ToOwned::to_owned).collect())
    }

    /// The error of a call to a function that does not exist: rhai finds out when it gets there.
    /// A method has `this` parameters before those in its parentheses.
    fn refuse_call(&self, call: &FnCallExpr, at: Position, this: usize) -> Option<BadExpression> {
        if call.is_operator_call() || KEYWORDS.contains(&call.name.as_str()) {
            return None;
        }
        let functions = self.functions.get_or_init(|| known_functions(&self.engine));
        let arguments = call.args.len() + this;
        match functions.get(call.name.as_str()) {
            Some(counts) if counts.contains(&arguments) => None,
            Some(counts) => Some(miscounted(call, at, counts.iter().map(|n| n - this.min(*n)))),
            None => Some(unknown_function(call, at, functions)),
        }
    }
}

/// rhai shares what a closure captures, and `trigger.list.some(|x| x == trigger.y)` would read a
/// value that its own method call holds. Answered by a resolver, a name is captured by value.
fn copy_on_read(engine: &mut Engine, copies: Rc<Cell<bool>>) {
    #[expect(deprecated, reason = "rhai marks the callback as volatile; the version is pinned")]
    engine.on_var(move |name, _, context| {
        if !copies.get() || context.call_level() > 0 {
            return Ok(None);
        }
        // Shared with the calls of one closure only, so that they don't copy it each.
        Ok(context.scope().get(name).map(|value| value.flatten_clone().into_shared()))
    });
}

fn known_functions(engine: &Engine) -> BTreeMap<String, BTreeSet<usize>> {
    let mut known: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let found = engine.collect_fn_metadata(
        None,
        |info| Some((info.metadata.name.to_string(), info.metadata.num_params)),
        true,
    );
    for (name, count) in found {
        known.entry(name).or_default().insert(count);
    }
    known
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn interpreter() -> Interpreter {
        Interpreter::new(&["event", "trigger", "config"])
    }

    fn data() -> Value {
        json!({
            "kind": "MysqlDb", "size": 5, "none": null, "list": [1, 2, 3],
            "items": [{ "a": 1 }, { "a": 2 }], "in": { "match": true }, "big": u64::MAX.to_string(),
        })
    }

    fn evaluate(source: &str, trigger: &Value) -> String {
        let interpreter = interpreter();
        let expression = match interpreter.check(source) {
            Ok(expression) => expression,
            Err(error) => {
                let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                return format!("refused {}:{} {}{hint}", error.line, error.column, error.message);
            }
        };
        let (event, config) = (json!({ "type": "a.b" }), json!({ "limit": 5 }));
        let mut frame = Frame::new();
        frame.set("trigger", trigger);
        frame.set("event", &event);
        frame.set("config", &config);
        match interpreter.evaluate(&expression, &mut frame) {
            Ok(value) => value.to_string(),
            Err(failed) => format!("failed {}:{} {}", failed.line, failed.column, failed.message),
        }
    }

    fn check(sources: &[&str], expected: Expect) {
        let lines: Vec<String> = sources
            .iter()
            .map(|source| format!("{source} => {}", evaluate(source, &data())))
            .collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn expressions_read_the_names_in_scope() {
        check(
            &[
                "trigger.size <= config.limit && event.type == \"a.b\"",
                "trigger.kind",
                "trigger.none",
                "trigger.list[0] + trigger.list.len()",
                "trigger.list.len",
                "trigger.items.some(|x| x.a == trigger.size - 3)",
                "trigger.items.filter(|x| trigger.list.contains(x.a) && x.a < config.limit).len",
                "trigger.items.some(|x| trigger.list.some(|y| x.a == y))",
                "\"size\" in trigger && !(\"sise\" in trigger)",
                "2 in trigger.list",
                "trigger.none ?? 7",
                "get(trigger, \"spec.size\", 10)",
                "trigger.in.match",
                "`kind is ${trigger.kind}`",
                "if trigger.size > 3 { \"big\" } else { \"small\" }",
                "now()",
                "#{ a: [trigger.size, null] }",
            ],
            expect![[r#"
                trigger.size <= config.limit && event.type == "a.b" => true
                trigger.kind => "MysqlDb"
                trigger.none => null
                trigger.list[0] + trigger.list.len() => 4
                trigger.list.len => 3
                trigger.items.some(|x| x.a == trigger.size - 3) => true
                trigger.items.filter(|x| trigger.list.contains(x.a) && x.a < config.limit).len => 2
                trigger.items.some(|x| trigger.list.some(|y| x.a == y)) => true
                "size" in trigger && !("sise" in trigger) => true
                2 in trigger.list => true
                trigger.none ?? 7 => 7
                get(trigger, "spec.size", 10) => 10
                trigger.in.match => true
                `kind is ${trigger.kind}` => "kind is MysqlDb"
                if trigger.size > 3 { "big" } else { "small" } => "big"
                now() => "1970-01-01T00:00:00Z"
                #{ a: [trigger.size, null] } => {"a":[5,null]}"#]],
        );
    }

    #[test]
    fn what_is_missing_or_has_no_order_is_an_error() {
        check(
            &[
                "trigger.sise <= 5",
                "trigger.sise",
                "trigger.none.a",
                "trigger.kind.a.b",
                "trigger.kind <= 5",
                "trigger.list[7]",
                "trigger.items.some(|x| x.b == 1)",
                "trigger.list.push(4)",
                "1 / 0",
                "'a'",
            ],
            expect![[r#"
                trigger.sise <= 5 => failed 1:9 missing property `sise`: use get(…, "sise", default) where it may be absent
                trigger.sise => failed 1:9 missing property `sise`: use get(…, "sise", default) where it may be absent
                trigger.none.a => failed 1:14 `a` of null: use `??` where it may be null
                trigger.kind.a.b => failed 1:14 `a` of a string, which has no properties
                trigger.kind <= 5 => failed 1:14 `<=` cannot compare a string with a whole number: convert one of them, or test the type first
                trigger.list[7] => failed 1:14 Array index 7 out of bounds: only 3 elements in array
                trigger.items.some(|x| x.b == 1) => failed 1:26 missing property `b`: use get(…, "b", default) where it may be absent
                trigger.list.push(4) => failed 1:14 `push` would change an event: an expression only reads
                1 / 0 => failed 1:3 Division by zero: 1 / 0
                'a' => failed 1:1 the value is a character: write it in double quotes, or append `.to_string()`"#]],
        );
    }

    #[test]
    fn mistakes_are_found_without_evaluating() {
        check(
            &[
                "",
                "trigger.size =",
                "trigger.size = 5",
                "trigger.size and true",
                "triger.size",
                "mysql == trigger.kind",
                "gett(trigger, \"a\", 1)",
                "get()",
                "trigger.list.some(|x| nope(x))",
                "trigger.list.some(|x| y == 1)",
                "let x = 1; x",
                "eval(\"1\")",
                "trigger.kind.len(1)",
                "trigger.kind == 'MysqlDb'",
                "trigger.kind == \"a",
                "trigger.size <=\n  (5",
            ],
            expect![[r#"
                 => refused 1:1 the expression is incomplete (a value or a closing bracket is missing at its end)
                trigger.size = => refused 1:14 unexpected `=` (`==` compares)
                trigger.size = 5 => refused 1:14 unexpected `=` (`==` compares)
                trigger.size and true => refused 1:14 unexpected `and` (write `&&`, `||`, `!`)
                triger.size => refused 1:1 `triger` is not known here (did you mean `trigger`?)
                mysql == trigger.kind => refused 1:1 `mysql` is not known here (known here: event, trigger, config; a text stands in quotes)
                gett(trigger, "a", 1) => refused 1:1 unknown function `gett` (did you mean `get`?)
                get() => refused 1:1 `get` takes 2 or 3 parameters, not 0
                trigger.list.some(|x| nope(x)) => refused 1:23 unknown function `nope` (here are `get`, `now` and what rhai has for texts, numbers, lists and maps)
                trigger.list.some(|x| y == 1) => refused 1:23 `y` is not known here (known here: event, trigger, config; a text stands in quotes)
                let x = 1; x => refused 1:1 unexpected `let` (one expression may stand here, no statements)
                eval("1") => refused 1:1 reserved keyword 'eval' is disabled
                trigger.kind.len(1) => refused 1:14 `len` takes 0 parameters, not 1
                trigger.kind == 'MysqlDb' => refused 1:17 'MysqlDb' is not a text (texts stand in double quotes)
                trigger.kind == "a => refused 1:17 a text has no closing quote (close the text; in YAML ` #` begins a comment, unless the whole is quoted)
                trigger.size <=
                  (5 => refused 2:5 Expecting ')' for a matching ( in this expression"#]],
        );
    }

    #[test]
    fn a_plain_path_answers_what_rhai_would() {
        let interpreter = interpreter();
        let data = data();
        for path in ["trigger", "trigger.kind", "trigger.none", "trigger.in", "trigger.items"] {
            let plain = interpreter.check(path).unwrap();
            assert!(plain.path.is_some());
            let slow = Expression { path: None, ..plain.clone() };
            let mut frame = Frame::new();
            frame.set("trigger", &data);
            let answer = interpreter.evaluate(&plain, &mut frame);
            assert_eq!(answer, interpreter.evaluate(&slow, &mut frame), "{path}");
        }
    }

    #[test]
    fn a_plain_path_passes_what_rhai_could_not_hold() {
        let data = json!({ "n": u64::MAX, "other": 1 });
        assert_eq!(evaluate("trigger.n", &data), "18446744073709551615");
        assert_eq!(evaluate("trigger.other + 1", &data), "2");
        assert_eq!(
            evaluate("trigger.n + 1", &data),
            "failed 1:1 `trigger` cannot be read: the value holds the number 18446744073709551615, which does not fit into 64 bits with a sign"
        );
    }

    #[test]
    fn a_part_that_cannot_be_read_leaves_nothing_behind() {
        let interpreter = interpreter();
        let (config, trigger) = (json!({ "a": 1, "b": 2 }), json!({ "n": u64::MAX, "m": 3 }));
        let mut frame = Frame::new();
        frame.set("config", &config);
        frame.set("trigger", &trigger);
        let mut evaluate = |source| {
            let expression = interpreter.check(source).unwrap();
            interpreter.evaluate(&expression, &mut frame)
        };
        assert!(evaluate("config.a + trigger.n").is_err());
        assert_eq!(evaluate("config.b + trigger.m"), Ok(json!(5)));
    }

    /// What an expression does not name is not there for it: nothing may tell.
    #[test]
    fn reading_a_part_answers_what_reading_all_would() {
        let interpreter = interpreter();
        let data = data();
        for source in [
            "trigger.in.match",
            "trigger.in.nope == 1",
            "trigger.nope.deeper == 1",
            "trigger.kind.nope == 1",
            "trigger.none?.nope ?? 3",
            "trigger.list[1] + trigger.size",
            "trigger.items[0].a + trigger.items.len()",
            "trigger.items[0].b",
            "trigger.in.keys()",
            "trigger.in == #{ \"match\": true } && trigger.in.match",
            "trigger.keys().len()",
            "trigger[\"size\"] + trigger.list.len",
            "\"kind\" in trigger && trigger.kind.len == 7",
            "trigger.items.some(|x| x.a == trigger.size - 3)",
            "[trigger.in, trigger.in.match, get(trigger.in, \"match\", 1)]",
        ] {
            let part = interpreter.check(source).unwrap();
            let whole = Expression { reads: Reads::of("trigger", &[]), ..part.clone() };
            let evaluate = |expression| {
                let mut frame = Frame::new();
                frame.set("trigger", &data);
                interpreter.evaluate(expression, &mut frame)
            };
            assert_eq!(evaluate(&part), evaluate(&whole), "{source}");
        }
    }

    #[test]
    fn a_name_may_be_set_anew() {
        let interpreter = interpreter();
        let expression = interpreter.check("config.a + trigger.a").unwrap();
        let (one, two) = (json!({ "a": 1 }), json!({ "a": 2 }));
        let mut frame = Frame::new();
        frame.set("trigger", &one);
        frame.set("config", &one);
        assert_eq!(interpreter.evaluate(&expression, &mut frame), Ok(json!(2)));
        frame.set("config", &two);
        assert_eq!(interpreter.evaluate(&expression, &mut frame), Ok(json!(3)));
    }
}
