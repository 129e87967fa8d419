//! Every key of `tripline.yaml`, once: from this table follow how it is read, its variable, its
//! default, its JSON Schema and what `config show` prints.

use std::path::Path;

use model::{Duration, Size, Value};
use serde_json::json;

/// One key: `state`, or `limits.steps` for `steps` in the map `limits`.
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// As it would be written; none where it is unset unless somebody sets it.
    pub(crate) default: Option<&'static str>,
    /// What it means, in a sentence.
    pub(crate) about: &'static str,
}

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `host:port`.
    Address,
    /// A file or folder. In a file, relative paths start from its folder.
    Path,
    /// A list of folders; in a variable, with commas between.
    Paths,
    /// A list of names; in a variable, with commas between.
    Names,
    /// A whole number from 1.
    Count(u32),
    /// `false`, `true` for anywhere, or a list of folders; in a variable, with commas between.
    Folders,
    /// A length of time such as `30s`.
    Time,
    /// A number from 0 to 1.
    Share,
    /// A number of bytes such as `4MiB`.
    Bytes,
    /// `http://host:port` or `https://…`.
    Url,
    /// Any text.
    Text,
    /// Where keys are found: files, variables, commands.
    Keys,
    /// For each pack how long its own is kept; in a variable, `web.executions=90d` with commas
    /// between.
    Ages,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Steps, or programs, that may run at the same time.
const MAX_AT_ONCE: u32 = 100_000;

const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    about: &'static str,
) -> Key {
    Key { path, kind, default, about }
}

/// The keys, those of one map together.
pub(crate) const KEYS: &[Key] = &[
    key(
        "listen",
        Kind::Address,
        Some("127.0.0.1:7410"),
        "Where the API listens: host:port; port 0 takes a free one.",
    ),
    key(
        "webhooks.listen",
        Kind::Address,
        Some("127.0.0.1:7411"),
        "Where webhooks are received, while a pack has any.",
    ),
    key(
        "advertise",
        Kind::Url,
        None,
        "Where programs in clusters reach the API, such as https://tripline.example.com: for actions with `runner: kubernetes_job`.",
    ),
    key("state", Kind::Path, Some("state"), "The folder in which everything is kept."),
    key(
        "packs",
        Kind::Paths,
        Some("packs"),
        "Folders: one with a pack.yaml is a pack, else its sub-folders that have one are.",
    ),
    key(
        "environment",
        Kind::Path,
        None,
        "The file that gives connections and the packs' configuration their values.",
    ),
    key("limits.steps", Kind::Count(MAX_AT_ONCE), Some("256"), "Steps performed at the same time."),
    key("limits.programs", Kind::Count(MAX_AT_ONCE), Some("4"), "Programs run at the same time."),
    key(
        "git.allow_local",
        Kind::Folders,
        Some("false"),
        "Whether git repositories may be local folders: none (`false`), all (`true`), or those below listed folders. Nothing in the state folder ever may.",
    ),
    key(
        "git.known_hosts",
        Kind::Path,
        None,
        "The known hosts for ssh; else those of the user who runs the server.",
    ),
    key("git.fetch_timeout", Kind::Time, Some("10m"), "Longest time of one fetch."),
    key("git.max_mirror", Kind::Bytes, Some("4GiB"), "Largest mirror of a repository."),
    key("git.max_export", Kind::Bytes, Some("1GiB"), "Largest export of a commit."),
    key(
        "kubernetes.protected_namespaces",
        Kind::Names,
        None,
        "Namespaces that are not deleted, nor anything in them. If none is named: kube-system, kube-public, kube-node-lease.",
    ),
    key(
        "tls.ca_file",
        Kind::Path,
        None,
        "Authorities trusted besides the system's, in PEM: a company's own.",
    ),
    key(
        "secrets.keys",
        Kind::Keys,
        None,
        "Keys (age identities) that open secrets; the first one encrypts. If none is named: a file beside the state folder.",
    ),
    key(
        "grace",
        Kind::Time,
        Some("30s"),
        "How long steps under way may take to end when the server is stopped.",
    ),
    key(
        "retention.events",
        Kind::Time,
        Some("7d"),
        "How long an event's data is kept, since it was accepted.",
    ),
    key(
        "retention.executions",
        Kind::Time,
        Some("30d"),
        "How long an execution is kept with its journal and logs, since it ended.",
    ),
    key(
        "retention.packs",
        Kind::Ages,
        None,
        "The same for what belongs to a pack, by its name: `web: { executions: 90d }`.",
    ),
    key(
        "telemetry.endpoint",
        Kind::Url,
        None,
        "Where spans of traces are sent: a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318. If none is named: as OTEL_EXPORTER_OTLP_ENDPOINT says, else nowhere.",
    ),
    key(
        "telemetry.service",
        Kind::Text,
        None,
        "What this installation is called in traces; else as OTEL_SERVICE_NAME says, else tripline.",
    ),
    key(
        "telemetry.sample",
        Kind::Share,
        None,
        "Which share of the traces that begin here are sent, from 0 to 1; else as OTEL_TRACES_SAMPLER says, else all. Of a trace that others began, they decide.",
    ),
    key("log", Kind::Text, Some("info"), "What is logged: info, debug, engine=trace, …"),
    key("log_format", Kind::Word(&["text", "json"]), Some("text"), "How the log is written."),
];

impl Key {
    /// The variable that overrides it: `TRIPLINE_LIMITS_STEPS` for `limits.steps`.
    pub(crate) fn variable(&self) -> String {
        format!("TRIPLINE_{}", self.path.to_ascii_uppercase().replace('.', "_"))
    }

    /// The map it stands in, and its name there.
    pub(crate) fn place(&self) -> (Option<&'static str>, &'static str) {
        match self.path.split_once('.') {
            Some((group, name)) => (Some(group), name),
            None => (None, self.path),
        }
    }
}

/// The key with this path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// What is wrong with a text that should be `host:port`.
pub(crate) fn check_address(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(()),
        _ => Err(format!("`{text}` is not an address: expected host:port, such as 127.0.0.1:7410")),
    }
}

/// What is wrong with a text that should be a URL.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host.is_some_and(|host| !host.is_empty()) {
        true => Ok(()),
        false => Err(format!("`{text}` is not a URL: expected such as http://127.0.0.1:4318")),
    }
}

/// What is wrong with the text of a length of time or a size.
pub(crate) fn check_time(text: &str) -> Result<(), String> {
    text.parse::<Duration>().map(drop).map_err(|error| error.to_string())
}

/// What `web.executions=90d` says: pack, what is kept, how long.
pub(crate) fn age(text: &str) -> Result<(String, &str, String), String> {
    let parts = text.split_once('=').and_then(|(what, time)| {
        let (pack, what) = what.trim().split_once('.')?;
        AGES.contains(&what).then_some((pack, what, time.trim()))
    });
    let Some((pack, what, time)) = parts else {
        return Err(format!("expected such as web.executions=90d, found `{text}`"));
    };
    check_pack_name(pack)?;
    check_time(time)?;
    Ok((pack.to_owned(), what, time.to_owned()))
}

/// What is kept for a time.
pub(crate) const AGES: [&str; 2] = ["events", "executions"];

/// What is wrong with the name of a pack.
pub(crate) fn check_pack_name(text: &str) -> Result<(), String> {
    text.parse::<model::PackName>().map(drop).map_err(|error| error.to_string())
}

/// The same for a size.
pub(crate) fn check_bytes(text: &str) -> Result<(), String> {
    text.parse::<Size>().map(drop).map_err(|error| error.to_string())
}

/// Where a key is found, as a variable says it: `file:PATH`, `env:NAME` or `command:PROGRAM ARG…`.
pub(crate) fn key_source(text: &str, folder: &Path) -> Result<Value, String> {
    match text.split_once(':') {
        Some((kind @ ("file" | "env"), rest)) if !rest.is_empty() => key_from(kind, rest, folder),
        Some(("command", rest)) if !rest.trim().is_empty() => {
            Ok(json!({ "command": rest.split_whitespace().collect::<Vec<_>>() }))
        }
        _ => Err(format!(
            "`{text}` does not say where a key is: expected file:PATH, env:NAME or command:PROGRAM"
        )),
    }
}

/// A key in a file or a variable.
pub(crate) fn key_from(kind: &str, name: &str, folder: &Path) -> Result<Value, String> {
    match kind {
        "file" => Ok(json!({ "file": folder.join(name).to_string_lossy() })),
        "env" => Ok(json!({ "env": name })),
        _ => Err(KEY_FORMS.to_owned()),
    }
}

/// What may stand for a key in the file.
pub(crate) const KEY_FORMS: &str =
    "expected where a key is found: { file: PATH }, { env: NAME } or { command: [PROGRAM, ARG…] }";
