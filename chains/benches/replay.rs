//! What a replay costs: every evaluation of a chain begins at its start.

use chains::testing::Trial;
use divan::Bencher;

fn main() {
    divan::main();
}

/// A chain of `steps` answered calls whose next one waits.
fn answered(steps: usize) -> Trial {
    let text = format!(
        r#"
        let last = 0;
        for i in 0..{steps} {{
            let r = run("core.echo", #{{ text: `item ${{i}}`, number: i, tags: ["a", "b"] }});
            last = r.number;
        }}
        run("core.last", #{{ number: last }})
        "#
    );
    let mut trial = Trial::of(&text);
    for step in 1..=steps {
        trial.advance();
        let value =
            serde_json::json!({ "text": format!("item {step}"), "number": step, "ok": true });
        trial.done(&step.to_string(), value);
    }
    trial.advance();
    trial
}

#[divan::bench(args = [10, 100, 1_000])]
fn replay(bencher: Bencher<'_, '_>, steps: usize) {
    let mut trial = answered(steps);
    bencher.counter(divan::counter::ItemsCount::new(steps)).bench_local(|| trial.evaluate());
}

#[divan::bench]
fn compile_a_chain_of_a_hundred_lines(bencher: Bencher<'_, '_>) {
    let text =
        "let a = run(\"core.echo\", #{ text: `x ${params.y}` }).text ?? \"none\";\n".repeat(100);
    bencher.bench_local(|| {
        let libs = std::collections::BTreeMap::new();
        let source = chains::Source { file: "a.rhai".to_owned(), text: text.clone(), libs };
        chains::Program::compile(source)
    });
}
