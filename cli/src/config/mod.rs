//! `tripline.yaml`: what a server is started with. Every key has a default or may be left out;
//! a variable wins over the file, and a flag over both.

mod keys;
mod read;
mod schema;
mod shown;
mod traces;
pub(crate) mod variables;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use engine::Collector;
use engine::secrets::{KeySource, SecretSettings};
use model::{Duration, Size, Value};
use store::{Ages, Retention};

use crate::failure::{Exit, Failure};
use crate::input;

pub(crate) use read::{Origin, Settings};
pub(crate) use schema::schema;
pub(crate) use shown::lines;

/// The file that is read if it is there and no other is named.
const FILE: &str = "tripline.yaml";

/// What a server is started with, as flags say it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// The settings [default: ./tripline.yaml if it is there]
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    /// A pack's folder, or one whose sub-folders are packs; may be given more than once
    /// [default: ./packs]
    #[arg(long, value_name = "DIR")]
    packs: Vec<PathBuf>,
    /// Where everything is kept [default: ./state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The file with connections and the packs' configuration
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// Where the API listens [default: 127.0.0.1:7410]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<String>,
    /// Where webhooks are received, while a pack has any [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    webhooks_listen: Option<String>,
    /// How long steps under way may take to end [default: 30s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Duration>,
    /// How the log is written: text or json [default: text]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    log_format: Option<LogFormat>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

fn address(text: &str) -> Result<String, String> {
    keys::check_address(text).map(|()| text.to_owned())
}

/// A server's settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `host:port` of the API.
    pub(crate) listen: String,
    /// `host:port` of the webhooks' listener.
    pub(crate) webhooks_listen: String,
    /// Where programs in clusters reach the API.
    pub(crate) advertise: Option<String>,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// Folders of packs.
    pub(crate) packs: Vec<PathBuf>,
    /// The environment's file.
    pub(crate) environment: Option<PathBuf>,
    /// Steps performed at the same time.
    pub(crate) steps: usize,
    /// Programs run at the same time.
    pub(crate) programs: usize,
    /// What git may do.
    pub(crate) git: host::git::Options,
    /// Authorities that are trusted besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where the keys of secrets are found.
    pub(crate) keys: Vec<KeySource>,
    /// How long what has ended is kept.
    pub(crate) retention: Retention,
    /// Namespaces of clusters in which nothing is deleted.
    pub(crate) protected_namespaces: Option<Vec<String>>,
    /// How long steps under way may take to end.
    pub(crate) grace: Duration,
    /// Where spans are sent.
    pub(crate) traces: Option<Collector>,
    /// What is logged.
    pub(crate) log: String,
    /// How.
    pub(crate) log_format: LogFormat,
}

impl Config {
    /// The settings as file, variables and flags say them.
    pub(crate) fn load(flags: &Flags) -> Result<Self, Failure> {
        Ok(Self::of(&settings(flags)?))
    }

    /// Where the keys of secrets come from.
    pub(crate) fn secrets(&self) -> SecretSettings {
        SecretSettings { keys: self.keys.clone(), ..SecretSettings::beside(&self.state) }
    }

    /// The settings as they are used.
    pub(crate) fn of(settings: &Settings) -> Self {
        let text = |path| settings.get(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let path = |path| settings.get(path).and_then(Value::as_str).map(PathBuf::from);
        let count = |path| settings.get(path).and_then(Value::as_u64).unwrap_or(1) as usize;
        let bytes = |path, default| text(path).parse::<Size>().map_or(default, Size::bytes);
        let time = |path, default| text(path).parse::<Duration>().unwrap_or(default);
        let defaults = host::git::Options::default();
        let packs = settings.get("packs").and_then(Value::as_array).into_iter().flatten();
        Self {
            listen: text("listen"),
            webhooks_listen: text("webhooks.listen"),
            advertise: settings.get("advertise").and_then(Value::as_str).map(str::to_owned),
            state: path("state").unwrap_or_default(),
            packs: packs.filter_map(Value::as_str).map(PathBuf::from).collect(),
            environment: path("environment"),
            steps: count("limits.steps"),
            programs: count("limits.programs"),
            git: host::git::Options {
                allow_local: local(settings.get("git.allow_local")),
                known_hosts: path("git.known_hosts"),
                fetch_timeout: time("git.fetch_timeout", defaults.fetch_timeout),
                max_mirror_bytes: bytes("git.max_mirror", defaults.max_mirror_bytes),
                max_export_bytes: bytes("git.max_export", defaults.max_export_bytes),
                ..defaults
            },
            protected_namespaces: settings
                .get("kubernetes.protected_namespaces")
                .and_then(Value::as_array)
                .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            ca_file: path("tls.ca_file"),
            keys: sources(settings.get("secrets.keys")),
            retention: retention(settings),
            grace: time("grace", Duration::from_secs(30)),
            traces: traces::collector(settings, |name| std::env::var(name).ok()),
            log: text("log"),
            log_format: match text("log_format").as_str() {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
        }
    }
}

/// Which folders may be repositories.
fn local(value: Option<&Value>) -> host::git::Local {
    match value {
        Some(Value::Bool(true)) => host::git::Local::Anywhere,
        Some(Value::Array(folders)) => {
            let folders = folders.iter().filter_map(Value::as_str);
            host::git::Local::Below(folders.map(PathBuf::from).collect())
        }
        _ => host::git::Local::None,
    }
}

/// Where keys are found.
fn sources(value: Option<&Value>) -> Vec<KeySource> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    let source = |item: &Value| {
        let text = |name: &str| item[name].as_str().map(ToOwned::to_owned);
        let words = || {
            let words = item["command"].as_array()?.iter().filter_map(Value::as_str);
            Some(KeySource::Command(words.map(ToOwned::to_owned).collect()))
        };
        let file = text("file").map(|file| KeySource::File(file.into()));
        file.or_else(|| text("env").map(KeySource::Env)).or_else(words)
    };
    items.filter_map(source).collect()
}

/// How long what has ended is kept; a pack that says nothing of one thing has it from all.
fn retention(settings: &Settings) -> Retention {
    let time = |value: Option<&Value>| value?.as_str()?.parse::<Duration>().ok();
    let all = Ages::default();
    let default = Ages {
        events: time(settings.get("retention.events")).unwrap_or(all.events),
        executions: time(settings.get("retention.executions")).unwrap_or(all.executions),
    };
    let packs = settings.get("retention.packs").and_then(Value::as_object).into_iter().flatten();
    let packs = packs.filter_map(|(name, ages)| {
        let events = time(ages.get("events")).unwrap_or(default.events);
        let executions = time(ages.get("executions")).unwrap_or(default.executions);
        Some((name.parse().ok()?, Ages { events, executions }))
    });
    Retention { default, packs: packs.collect() }
}

/// The value of each key and where it came from.
pub(crate) fn settings(flags: &Flags) -> Result<Settings, Failure> {
    settings_with(flags, |name| std::env::var(name).ok())
}

fn settings_with(
    flags: &Flags,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Settings, Failure> {
    let named = flags.config.as_deref();
    let file = named.or_else(|| Some(Path::new(FILE)).filter(|file| file.exists()));
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut settings = Settings::defaults(folder);
    if let Some(file) = file {
        let text = input::text(file)?;
        let read = syntax::parse(&file.display().to_string(), &text);
        let read = read.and_then(|document| match document.root().is_null() {
            // A file of comments only says nothing: the defaults.
            true => Ok(()),
            false => settings.read(document.root(), folder),
        });
        read.map_err(|findings| Failure::findings(Exit::Usage, findings))?;
    }
    settings.read_variables(variable).map_err(Failure::usage)?;
    take(flags, &mut settings);
    Ok(settings)
}

fn take(flags: &Flags, settings: &mut Settings) {
    let shown = |path: &PathBuf| Value::from(path.to_string_lossy());
    if !flags.packs.is_empty() {
        let packs = flags.packs.iter().map(shown).collect();
        settings.flag("packs", "--packs", Value::Array(packs));
    }
    let texts = [
        ("state", "--state", flags.state.as_ref().map(shown)),
        ("environment", "--environment", flags.environment.as_ref().map(shown)),
        ("listen", "--listen", flags.listen.clone().map(Value::from)),
        ("webhooks.listen", "--webhooks-listen", flags.webhooks_listen.clone().map(Value::from)),
        ("grace", "--grace", flags.grace.map(|time| Value::from(time.to_string()))),
        ("log_format", "--log-format", flags.log_format.map(|format| word(format).into())),
    ];
    for (path, flag, value) in texts {
        if let Some(value) = value {
            settings.flag(path, flag, value);
        }
    }
}

const fn word(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// What a server would be started with by this file and this environment, where they are named.
pub(crate) fn served(
    config: Option<PathBuf>,
    environment: Option<PathBuf>,
) -> Result<Config, Failure> {
    Config::load(&Flags { config, environment, ..Flags::default() })
}

/// Where client commands look for a server if nobody says.
pub(crate) fn state_folder() -> PathBuf {
    // A broken file is the server's to complain about.
    Config::load(&Flags::default()).map_or_else(|_| PathBuf::from("state"), |config| config.state)
}

/// The state folder to look at, and where the keys of its secrets come from: as the settings say that are
/// named. Those in the current folder count where they are of the server that runs on it.
pub(crate) fn examined(
    config: Option<PathBuf>,
    state: Option<PathBuf>,
) -> Result<(PathBuf, SecretSettings), Failure> {
    let named = config.is_some();
    let config = match Config::load(&Flags { config, ..Flags::default() }) {
        Err(failure) if named => return Err(failure),
        config => config.ok(),
    };
    let own = || config.as_ref().map_or_else(|| PathBuf::from("state"), |it| it.state.clone());
    let state = state.unwrap_or_else(own);
    let same = |other: &Path| std::path::absolute(other).ok() == std::path::absolute(&state).ok();
    let keys = config.filter(|config| named || same(&config.state)).map(|config| config.keys);
    let beside = SecretSettings::beside(&state);
    Ok((state, SecretSettings { keys: keys.unwrap_or_default(), ..beside }))
}

#[cfg(test)]
mod tests;
