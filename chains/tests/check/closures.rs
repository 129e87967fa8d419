//! Closures: what they may capture, how they are called, what they may call.

use super::*;

#[test]
fn a_kept_closure_that_captures_what_changes_is_refused() {
    finds(
        "let all = [];\nfor x in [1, 2] {\n  all.push(|| run(\"core.echo\", #{ text: x }));\n}\nparallel(all)",
        expect![
            "3:41 the closure captures the loop's variable `x` and is called after it has changed -- use `parallel_map(list, |x| …)`, or capture a copy: `let y = x;`"
        ],
    );
    finds(
        "let all = []; for (x, i) in [1] { all += || i; } parallel(all)",
        expect![
            "1:45 the closure captures the loop's variable `i` and is called after it has changed -- use `parallel_map(list, |i| …)`, or capture a copy: `let y = i;`"
        ],
    );
    finds("let all = []; for x in [1] { let y = x; all.push(|| y); } parallel(all)", expect![]);
    finds(
        "let n = 1; let f = || n; n = 2; f.call()",
        expect![
            "1:23 the closure captures `n`, which is assigned again in line 1: it will see the last value -- capture a copy: `let y = n;`"
        ],
    );
    finds(
        "let n = 0; let all = []; while n < 3 { n += 1; all.push(|| n); } parallel(all)",
        expect![
            "1:60 the closure captures `n`, which is assigned again in line 1: it will see the last value -- capture a copy: `let y = n;`"
        ],
    );
    finds(
        "let x = [1]; x.map(|v| x.len)",
        expect![
            "1:24 the closure reads `x`, whose own method calls it -- take what it needs before: `let n = x.len;`"
        ],
    );
    finds("let x = [1]; let n = x.len; x.map(|v| n)", expect![]);
    finds("for x in [1] { parallel([|| log(x)]); }", expect![]);
}

#[test]
fn a_closure_that_cannot_be_called_as_it_will_be_is_refused() {
    finds(
        "let n = 1; undo(|| log(n)); undo(|e, f| log(f)); on_exit(|| log(\"over\"));",
        expect![[r#"
            1:17 `undo` calls its closure with 1 argument, and this one takes 0 -- write `|error| …`
            1:34 `undo` calls its closure with 1 argument, and this one takes 2 -- write `|error| …`
            1:58 `on_exit` calls its closure with 1 argument, and this one takes 0 -- write `|outcome| …`"#]],
    );
    finds(
        "undo(\"x\"); on_exit(#{}); parallel([1, |x| x, || 2]); parallel(|| 1); parallel_map([1], |a, b| a + b)",
        expect![[r#"
            1:6 `undo` needs a closure, found a string -- write `|error| …`
            1:20 `on_exit` needs a closure, found a map -- write `|outcome| …`
            1:36 `parallel` needs a closure, found a whole number -- write `|| …`
            1:39 `parallel` calls its closure without arguments, and this one takes 1 -- write `|| …`
            1:63 `parallel` needs a list of closures, found a closure -- write `[|| run(…), || run(…)]`
            1:88 `parallel_map` calls its closure with 1 argument, and this one takes 2 -- write `|item| …`"#]],
    );
    finds(
        "parallel_map(#{}, 1, 2); poll(\"core.echo\", #{}, || true)",
        expect![[r#"
        1:14 `parallel_map` needs a list, found a map -- write it as `[one, two]`
        1:19 `parallel_map` needs a closure, found a whole number -- write `|item| …`
        1:22 `parallel_map` needs the options as a map, found a whole number -- write it as `#{ name: value }`
        1:49 `poll` calls its closure with 1 argument, and this one takes 0 -- write `|answer| …`"#]],
    );
    finds(
        "fn f(e) {} let n = 1; undo(|e| log(n)); undo(Fn(\"f\")); on_exit(params.f); parallel(params.all); parallel_map(params.all, |x| x + n);",
        expect![""],
    );
}

#[test]
fn a_closure_in_a_variable_is_looked_at_where_it_is_used() {
    finds(
        "let f = || 1; undo(f); let n = 2; let g = |e, x| log(n); on_exit(g); let five = 5; parallel_map([1], five);",
        expect![[r#"
            1:20 `undo` calls its closure with 1 argument, and this one takes 0 -- write `|error| …`
            1:66 `on_exit` calls its closure with 1 argument, and this one takes 2 -- write `|outcome| …`
            1:102 `parallel_map` needs a closure, found a whole number -- write `|item| …`"#]],
    );
    finds(
        "let all = [|| 1, |x| x]; parallel(all)",
        expect![
            "1:18 `parallel` calls its closure without arguments, and this one takes 1 -- write `|| …`"
        ],
    );
}

#[test]
fn a_variable_that_may_hold_something_else_is_left_alone() {
    for text in [
        "let f = || 1; f = |e| e; undo(f);",
        "let f = || 1; if params.x { let f = |e| e; undo(f); }",
        "fn later(f) { undo(f) } let f = || 1; later(|e| e);",
        "let f = || 1; for f in params.all { undo(f); }",
        "let f = || 1; try { run(\"core.echo\") } catch (f) { undo(f); }",
        "let f = |e| e; undo(f); let all = [|| 1]; parallel(all);",
    ] {
        let found = check(&program(text), &parameters(), &Actions);
        let errors: Vec<_> = found.into_iter().filter(Diagnostic::is_error).collect();
        assert_eq!(errors, [], "{text}");
    }
}

#[test]
fn the_condition_of_a_poll_calls_nothing_that_is_journaled() {
    finds(
        "fn ready(r) { log(r); r.ok } poll(\"core.echo\", #{}, |r| ready(r) && [1].all(|x| run(\"core.echo\").ok)); ready(params)",
        expect![[r#"
            1:15 `log` cannot be called in the condition of `poll`, which only looks at an answer -- call it before `poll`, or after it
            1:81 `run` cannot be called in the condition of `poll`, which only looks at an answer -- call it before `poll`, or after it"#]],
    );
    finds("poll(\"core.echo\", #{}, |r| get(r, \"a\", 1) == 1)", expect![""]);
}
