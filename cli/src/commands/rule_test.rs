//! `tripline rule test`: a rule's file tried on an event, without a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{
    Envelope, Event, Map, PackName, RuleRef, Schema, Timestamp, TriggerType, Value, Violation,
};
use rules::{ActiveRule, Evaluator, Outcome as Decided, Rule};

use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{self, Format, Output};

const EXAMPLES: &str = "\
Examples:
  tripline rule test packs/web/rules/release.yaml --event push.yaml

The event is a CloudEvents object in YAML or JSON, of which `type` and `data` must be there:
  type: git.push
  data: { ref: refs/heads/main, after: 0a1b2c }
Trigger parameters and the event's source are not compared. `now` is the event's `time`, else the
clock. Exit codes: 0 it matches, 3 it does not, 1 the rule fails on it.";

/// Which rule, and which event.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The rule's file
    #[arg(value_name = "FILE")]
    rule: PathBuf,
    /// The event's file (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// A file with the pack's configuration [default: the defaults of its pack.yaml]
    #[arg(long, value_name = "FILE")]
    pack_config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let pack = Pack::around(&self.rule)?;
        let text = input::text(&self.rule)?;
        let rule = Rule::parse(&self.rule.display().to_string(), &text, self.reference(&pack)?);
        let rule = rule.map_err(|findings| Failure::findings(Exit::Failed, findings))?;
        let config = match &self.pack_config {
            Some(file) => pack.config(input::map(file)?, file)?,
            None => pack.defaults(),
        };
        let (event, now) = read_event(&self.event)?;
        let active =
            ActiveRule { rule: Arc::new(rule), listens: Vec::new(), config: Arc::new(config) };
        let explanation = rules::explain(&active, &mut Evaluator::new(), &event, now);
        match self.output.format {
            Format::Table => output::say(&explanation.to_string())?,
            format => output::value(format, &explanation)?,
        }
        Ok(match explanation.outcome {
            Decided::Match => Exit::Done,
            Decided::NoMatch => Exit::NoMatch,
            Decided::Error => Exit::Failed,
        })
    }

    fn reference(&self, pack: &Pack) -> Result<RuleRef, Failure> {
        let stem = self.rule.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = stem.parse().map_err(|error| Failure::usage(format!("{error}")))?;
        Ok(RuleRef::new(pack.name.clone(), name))
    }
}

/// What is known of the pack that the rule lies in.
struct Pack {
    name: PackName,
    config_schema: Schema,
}

impl Pack {
    /// Reads `../pack.yaml`, as far as it is there. What else is wrong with it, `check` tells.
    fn around(rule: &Path) -> Result<Self, Failure> {
        let folder = std::path::absolute(rule).ok();
        let folder = folder.as_deref().and_then(Path::parent).and_then(Path::parent);
        let manifest = folder.map(|folder| folder.join("pack.yaml")).filter(|file| file.exists());
        let manifest = manifest.map(|file| input::map(&file)).transpose()?.unwrap_or_default();
        let name = manifest.get("name").and_then(Value::as_str).unwrap_or("pack");
        let properties = manifest.get("config_schema").and_then(Value::as_object);
        let schema = properties.map_or_else(|| Ok(Schema::empty()), Schema::compile);
        Ok(Self {
            name: name.parse().map_err(|error| Failure::usage(format!("pack.yaml: {error}")))?,
            config_schema: schema
                .map_err(|error| Failure::usage(format!("pack.yaml: config_schema: {error}")))?,
        })
    }

    fn defaults(&self) -> Value {
        let mut config = Map::new();
        self.config_schema.fill(&mut config);
        Value::Object(config)
    }

    fn config(&self, mut given: Map, file: &Path) -> Result<Value, Failure> {
        self.config_schema.fill(&mut given);
        let config = Value::Object(given);
        let unknown = self.config_schema.properties().is_empty();
        match self.config_schema.violations(&config).into_iter().find(|_| !unknown) {
            None => Ok(config),
            Some(Violation { message, hint, .. }) => {
                let failure = Failure::usage(format!("{}: {message}", file.display()));
                Err(match hint {
                    Some(hint) => failure.with_hint(hint),
                    None => failure,
                })
            }
        }
    }
}

/// The event in a file, and the time at which rules see it.
fn read_event(file: &Path) -> Result<(Event, Timestamp), Failure> {
    let mut fields = input::map(file)?;
    let misses = |what: &str| {
        Failure::usage(format!("{}: {what}", file.display()))
            .with_hint("an event is a map with at least `type` and `data`")
    };
    let kind =
        fields.get("type").and_then(Value::as_str).ok_or_else(|| misses("`type` is missing"))?;
    let kind: TriggerType = kind.parse().map_err(|error| misses(&format!("`type`: {error}")))?;
    let time = match fields.get("time") {
        None => host::Clock::System.now(),
        Some(time) => {
            let time = time.as_str().unwrap_or_default().parse();
            time.map_err(|error| misses(&format!("`time`: {error}")))?
        }
    };
    let text = |name| fields.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let envelope = Envelope {
        id: text("id").unwrap_or_else(|| "test".to_owned()),
        source: text("source").unwrap_or_else(|| "test".to_owned()),
        kind,
        time,
        subject: text("subject"),
        cause: None,
        traceparent: None,
        tracestate: None,
    };
    let data = fields.remove("data").ok_or_else(|| misses("`data` is missing"))?;
    Ok((Event { envelope, data }, time))
}
