//! `tripline.yaml`: what a server is started with. Every field has a default, and a flag may win.

use std::path::{Path, PathBuf};

use model::Diagnostic;
use syntax::{Fields, Node};

use crate::failure::{Exit, Failure};
use crate::input;

/// The file that is read if it is there and no other is named.
const FILE: &str = "tripline.yaml";
/// Steps, or programs, that may run at the same time.
const MAX_AT_ONCE: i64 = 100_000;

/// A server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `host:port` of the API.
    pub(crate) listen: String,
    /// `host:port` of the webhooks' listener.
    pub(crate) webhooks_listen: String,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// Folders of packs.
    pub(crate) packs: Vec<PathBuf>,
    /// Steps performed at the same time.
    pub(crate) steps: usize,
    /// Programs run at the same time.
    pub(crate) programs: usize,
    /// Whether git repositories may be local folders.
    pub(crate) allow_local_git: bool,
}

impl Config {
    /// The defaults, with paths that start from `folder`.
    fn of(folder: &Path) -> Self {
        Self {
            listen: "127.0.0.1:7410".to_owned(),
            webhooks_listen: "127.0.0.1:7411".to_owned(),
            state: folder.join("state"),
            packs: vec![folder.join("packs")],
            steps: 256,
            programs: 4,
            allow_local_git: false,
        }
    }

    /// The settings in `file`; without one those of ./tripline.yaml, else the defaults.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        match file {
            Some(file) => Self::read(file),
            None if Path::new(FILE).exists() => Self::read(Path::new(FILE)),
            None => Ok(Self::of(Path::new(""))),
        }
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let text = input::text(file)?;
        let name = file.display().to_string();
        let folder = file.parent().unwrap_or(Path::new(""));
        let read = syntax::parse(&name, &text).and_then(|document| {
            // A file of comments only says nothing: the defaults.
            match document.root().is_null() {
                true => Ok(Self::of(folder)),
                false => decode(document.root(), folder),
            }
        });
        read.map_err(|findings| Failure::findings(Exit::Usage, findings))
    }
}

/// Where client commands look for a server if nobody says.
pub(crate) fn state_folder() -> PathBuf {
    // A broken file is the server's to complain about.
    Config::load(None).map_or_else(|_| PathBuf::from("state"), |config| config.state)
}

fn decode(root: &Node, folder: &Path) -> Result<Config, Vec<Diagnostic>> {
    let known = ["listen", "webhooks", "state", "packs", "limits", "git"];
    let fields = Fields::new(root, &known, &["environment"]);
    let mut config = Config::of(folder);
    if let Some(listen) = address(&fields, "listen") {
        config.listen = listen;
    }
    if let Some(node) = fields.optional("webhooks").node()
        && let Some(Some(listen)) = fields.part(webhooks(node))
    {
        config.webhooks_listen = listen;
    }
    if let Some(state) = fields.optional("state").string() {
        config.state = folder.join(state);
    }
    if let Some(packs) = fields.optional("packs").list() {
        config.packs = packs.iter().filter_map(|node| pack(&fields, node, folder)).collect();
    }
    if let Some(node) = fields.optional("limits").node() {
        let limits = fields.part(limits(node));
        let (steps, programs) = limits.unwrap_or((None, None));
        config.steps = steps.unwrap_or(config.steps);
        config.programs = programs.unwrap_or(config.programs);
    }
    if let Some(node) = fields.optional("git").node() {
        config.allow_local_git = fields.part(git(node)).flatten().unwrap_or_default();
    }
    fields.finish(Some(config))
}

fn webhooks(node: &Node) -> Result<Option<String>, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["listen"], &[]);
    let listen = address(&fields, "listen");
    fields.finish(Some(listen))
}

type Limits = (Option<usize>, Option<usize>);

fn limits(node: &Node) -> Result<Limits, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["steps", "programs"], &[]);
    let count = |name| fields.optional(name).integer(1, MAX_AT_ONCE).map(|n| n as usize);
    let limits = (count("steps"), count("programs"));
    fields.finish(Some(limits))
}

fn git(node: &Node) -> Result<Option<bool>, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["allow_local"], &[]);
    let allow_local = fields.optional("allow_local").bool();
    fields.finish(Some(allow_local))
}

fn address(fields: &Fields<'_>, name: &str) -> Option<String> {
    let field = fields.optional(name);
    let text = field.string()?;
    if let Err(message) = check_address(&text) {
        fields.report(field.node()?.error(format!("`{name}`: {message}")));
        return None;
    }
    Some(text)
}

/// What is wrong with a text that should be `host:port`.
pub(crate) fn check_address(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(()),
        _ => Err(format!("`{text}` is not an address: expected host:port, such as 127.0.0.1:7410")),
    }
}

fn pack(fields: &Fields<'_>, node: &Node, folder: &Path) -> Option<PathBuf> {
    match node.as_str() {
        Some(text) if text.starts_with("builtin:") => {
            let message = format!(
                "`{text}`: packs that ship with Tripline are not supported by this version"
            );
            fields.report(node.error(message).with_hint("name a folder"));
            None
        }
        Some(text) => Some(folder.join(text)),
        None => {
            let message = format!("`packs`: expected a folder, found {}", node.describe());
            fields.report(node.error(message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn decoded(text: &str) -> Result<Config, Vec<Diagnostic>> {
        decode(syntax::parse("tripline.yaml", text)?.root(), Path::new("/srv/tripline"))
    }

    #[test]
    fn what_a_file_says_wins_over_the_defaults_and_paths_start_from_its_folder() {
        let config = decoded(
            "listen: 0.0.0.0:80\nwebhooks: { listen: '[::]:81' }\nstate: /var/lib/tripline\n\
             packs: [mine, /opt/packs]\nlimits: { programs: 2 }\ngit: { allow_local: true }\n",
        );
        let expected = Config {
            listen: "0.0.0.0:80".to_owned(),
            webhooks_listen: "[::]:81".to_owned(),
            state: "/var/lib/tripline".into(),
            packs: vec!["/srv/tripline/mine".into(), "/opt/packs".into()],
            programs: 2,
            allow_local_git: true,
            ..Config::of(Path::new("/srv/tripline"))
        };
        assert_eq!(config, Ok(expected));
    }

    fn check_refused(text: &str, expected: &Expect) {
        let findings = decoded(text).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        expected.assert_eq(&told.join("\n"));
    }

    #[test]
    fn slips_are_told_with_their_place() {
        check_refused(
            "lisen: 127.0.0.1:1\nenvironment: dev.yaml\nlimits: { steps: 0 }\n",
            &expect![[r#"
                error: unknown field `lisen`
                  at tripline.yaml:1:1
                  1 | lisen: 127.0.0.1:1
                      ^
                  hint: did you mean `listen`?
                error: `environment` is not supported by this version of Tripline
                  at tripline.yaml:2:1
                  2 | environment: dev.yaml
                      ^
                  hint: remove it
                error: `steps`: 0 is out of range: at least 1, at most 100000
                  at tripline.yaml:3:18
                  3 | limits: { steps: 0 }
                                       ^"#]],
        );
        check_refused(
            "listen: localhost\npacks: ['builtin:deploy']\n",
            &expect![[r#"
                error: `listen`: `localhost` is not an address: expected host:port, such as 127.0.0.1:7410
                  at tripline.yaml:1:9
                  1 | listen: localhost
                              ^
                error: `builtin:deploy`: packs that ship with Tripline are not supported by this version
                  at tripline.yaml:2:9
                  2 | packs: ['builtin:deploy']
                              ^
                  hint: name a folder"#]],
        );
    }
}
