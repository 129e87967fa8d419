//! `limits` of a program that runs on this machine: bounds that the kernel keeps.

use host::process::Limits;
use model::{Diagnostic, Duration, Size};
use syntax::{Field, Fields, Node};

/// Less is not enough to start anything.
const LEAST_MEMORY: Size = Size::from_bytes(16 << 20);
const LEAST_FILES: i64 = 16;

/// What the file says of them; nothing is bounded of which it says nothing.
pub(super) fn limits(fields: &Fields<'_>) -> Option<Limits> {
    match fields.optional("limits").node() {
        Some(node) => fields.part(read(node)),
        None => Some(Limits::default()),
    }
}

fn read(node: &Node) -> Result<Limits, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["memory", "cpu", "files"], &[]);
    let memory = fields.optional("memory").parsed::<Size>();
    let cpu = fields.optional("cpu").duration();
    let at_least = |field: Field<'_, '_>, good: bool, least: &str| {
        if let Some(node) = field.node().filter(|_| !good) {
            let message = format!("too little to run anything: expected at least {least}");
            fields.report(node.error(message));
        }
    };
    at_least(fields.optional("memory"), memory.is_none_or(|it| it >= LEAST_MEMORY), "16MiB");
    at_least(fields.optional("cpu"), cpu.is_none_or(|it| it >= Duration::from_secs(1)), "1s");
    let files = fields.optional("files").integer(LEAST_FILES, i64::from(u32::MAX));
    let limits = Limits {
        memory: memory.map(Size::bytes),
        cpu: cpu.map(|time| time.to_std().as_secs()),
        files: files.and_then(|files| u64::try_from(files).ok()),
    };
    fields.finish(Some(limits))
}
