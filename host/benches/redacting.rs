//! What a line of the server's log costs while many executions with secrets are open, and what it costs to
//! open one more.

use std::sync::Arc;

use divan::Bencher;
use host::redact::{Redactor, known};

/// Secrets of an execution.
const SECRETS: usize = 5;
const LINE: &str = "2026-11-22T05:00:00.123456Z  WARN engine::driver::perform: a step failed and is tried again \
    execution=ex_0af7651916cd43dd8448eb211c80319c step=3.1 action=http.request attempt=2 \
    error=\"the server at https://api.example.com/v1/orders/1742 answered 503: \\\"try again later\\\"\"\n";

fn main() {
    divan::main();
}

/// What the execution `n` looks for: values of 32 characters, with what stands for them.
fn opened(n: usize) -> Arc<Redactor> {
    let secret = |i: usize| {
        // Multiplied by an odd number each is another one, and all look random.
        let mixed =
            ((n * SECRETS + i + 1) as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (format!("{mixed:032x}"), format!("tok_{mixed:032x}"))
    };
    let secrets: Vec<_> = (0..SECRETS).map(secret).collect();
    known()
        .hold(Redactor::new(secrets.iter().map(|(value, label)| (value.as_str(), label.as_str()))))
}

#[divan::bench(args = [0, 1, 100, 1_000])]
fn a_line_while_executions_are_open(bencher: Bencher<'_, '_>, executions: usize) {
    let _held: Vec<_> = (0..executions).map(opened).collect();
    bencher.bench_local(|| known().bytes(divan::black_box(LINE.as_bytes())).len());
}

#[divan::bench(args = [0, 1_000])]
fn open_and_close_one_more(bencher: Bencher<'_, '_>, executions: usize) {
    let _held: Vec<_> = (0..executions).map(opened).collect();
    bencher.bench_local(|| opened(executions));
}
