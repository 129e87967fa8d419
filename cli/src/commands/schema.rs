//! `tripline schema`: JSON Schemas by which editors complete and check YAML files.

use clap::ValueEnum;

use crate::config;
use crate::failure::{Exit, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tripline schema rule > rule.schema.json
  # and at the top of a rule, for editors with a YAML language server:
  # yaml-language-server: $schema=rule.schema.json";

/// Of which file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The kind of file
    #[arg(value_name = "KIND")]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// tripline.yaml
    Config,
    /// environments/*.yaml
    Environment,
    /// pack.yaml
    Pack,
    /// rules/*.yaml
    Rule,
    /// actions/*.yaml
    Action,
    /// sensors/*.yaml
    Sensor,
    /// triggers/*.yaml
    Trigger,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        output::say(&text(self.kind))?;
        Ok(Exit::Done)
    }
}

fn text(kind: Kind) -> String {
    let written = match kind {
        Kind::Config => return format!("{:#}", config::schema()),
        Kind::Environment => include_str!("../../schemas/environment.json"),
        Kind::Pack => include_str!("../../schemas/pack.json"),
        Kind::Rule => include_str!("../../schemas/rule.json"),
        Kind::Action => include_str!("../../schemas/action.json"),
        Kind::Sensor => include_str!("../../schemas/sensor.json"),
        Kind::Trigger => include_str!("../../schemas/trigger.json"),
    };
    written.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_json_that_says_which_file_it_is_for() {
        for kind in Kind::value_variants() {
            let schema: serde_json::Value = serde_json::from_str(&text(*kind)).unwrap();
            assert!(schema["title"].as_str().unwrap().contains(".yaml"), "{kind:?}");
            assert_eq!(schema["additionalProperties"], false, "{kind:?}");
        }
    }

    #[test]
    fn the_schema_of_sensors_knows_every_type_and_parameter() {
        let schema: serde_json::Value = serde_json::from_str(&text(Kind::Sensor)).unwrap();
        let types = sensors::sensor_types();
        let names: Vec<&str> = types.iter().map(|kind| kind.name).collect();
        assert_eq!(schema["properties"]["type"]["enum"], serde_json::json!(names));
        for (kind, branch) in types.iter().zip(schema["allOf"].as_array().unwrap()) {
            assert_eq!(branch["if"]["properties"]["type"]["const"], kind.name);
            let told = &branch["then"]["properties"]["parameters"]["properties"];
            let told: Vec<&String> = told.as_object().unwrap().keys().collect();
            assert_eq!(told, kind.parameters.keys().collect::<Vec<_>>(), "{}", kind.name);
        }
    }
}
