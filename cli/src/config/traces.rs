//! Where spans are sent: as `telemetry` in tripline.yaml says, else as OpenTelemetry's own
//! variables do, so that a platform that sets these for every program need not say it again.

use engine::{Collector, Share};
use model::Value;

use super::Settings;

/// Where collectors take traces, below their address.
const PATH: &str = "/v1/traces";
/// What an installation is called where nobody says.
const SERVICE: &str = "tripline";

/// The collector; none where nobody names one, or OpenTelemetry is switched off.
pub(super) fn collector(
    settings: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Collector> {
    let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
    let is =
        |name: &str, text: &str| variable(name).is_some_and(|said| said.eq_ignore_ascii_case(text));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let said = |key| settings.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let url = said("telemetry.endpoint").map(|base| below(&base));
    let url = url.or_else(|| variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
    let url = url.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| below(&base)))?;
    let service = said("telemetry.service").or_else(|| variable("OTEL_SERVICE_NAME"));
    let sample = settings.get("telemetry.sample").and_then(Value::as_f64).and_then(Share::of);
    let sample = sample.unwrap_or_else(|| sampler(&variable));
    Some(Collector { url, service: service.unwrap_or_else(|| SERVICE.to_owned()), sample })
}

/// What OpenTelemetry's variables say of traces that begin here. As with its own SDKs, a sampler that is not
/// known is none, and a share that cannot be read is all.
fn sampler(variable: &impl Fn(&str) -> Option<String>) -> Share {
    let named = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
    let part = match named.strip_prefix("parentbased_").unwrap_or(&named) {
        "always_off" => Some(0.0),
        "traceidratio" => variable("OTEL_TRACES_SAMPLER_ARG").and_then(|part| part.parse().ok()),
        _ => None,
    };
    part.and_then(Share::of).unwrap_or(Share::ALL)
}

/// The URL of traces at a collector's address.
fn below(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(
        said: &[(&'static str, &str)],
        variables: &[(&str, &str)],
    ) -> Option<(String, String)> {
        read(said, variables).map(|found| (found.url, found.service))
    }

    fn read(said: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Option<Collector> {
        let mut settings = Settings::defaults(Path::new(""));
        for (key, text) in said {
            settings.flag(key, "--flag", Value::from(*text));
        }
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        collector(&settings, variable)
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        assert_eq!(found(&[], &[]), None);
        assert_eq!(
            found(&[], &[("OTEL_SERVICE_NAME", "a"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]),
            None
        );
    }

    #[test]
    fn the_file_wins_over_the_variables_of_opentelemetry() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:4318/");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/as-it-is");
        let service = ("OTEL_SERVICE_NAME", "ours");
        let said = ("telemetry.endpoint", "http://f:4318");
        for (file, variables, url, name) in [
            (&[][..], &[base][..], "http://b:4318/v1/traces", "tripline"),
            (&[], &[base, traces, service], "http://t/as-it-is", "ours"),
            (&[said], &[base, traces, service], "http://f:4318/v1/traces", "ours"),
            (&[said, ("telemetry.service", "x")], &[service], "http://f:4318/v1/traces", "x"),
            (
                &[("telemetry.endpoint", "http://f/v1/traces")],
                &[],
                "http://f/v1/traces",
                "tripline",
            ),
        ] {
            assert_eq!(found(file, variables), Some((url.to_owned(), name.to_owned())));
        }
    }

    #[test]
    fn the_share_of_traces_is_that_of_the_file_else_as_the_standard_s_sampler_says() {
        let said = ("telemetry.endpoint", "http://f:4318");
        let sampler = |name| ("OTEL_TRACES_SAMPLER", name);
        let arg = |part| ("OTEL_TRACES_SAMPLER_ARG", part);
        for (variables, part) in [
            (&[][..], 1.0),
            (&[sampler("parentbased_always_on")], 1.0),
            (&[sampler("always_off")], 0.0),
            (&[sampler("parentbased_traceidratio"), arg("0.25")], 0.25),
            (&[sampler("traceidratio"), arg("0.5")], 0.5),
            (&[sampler("traceidratio"), arg("much")], 1.0),
            (&[sampler("jaeger_remote"), arg("0.5")], 1.0),
            (&[arg("0.5")], 1.0),
        ] {
            let sample = |said: &[_]| read(said, variables).unwrap().sample;
            assert_eq!(Some(sample(&[said])), Share::of(part), "{variables:?}");
        }
        let mut settings = Settings::defaults(Path::new(""));
        settings.flag(said.0, "--flag", Value::from(said.1));
        settings.flag("telemetry.sample", "--flag", Value::from(0.125));
        let variable =
            |name: &str| (name == "OTEL_TRACES_SAMPLER").then(|| "always_off".to_owned());
        assert_eq!(Some(collector(&settings, variable).unwrap().sample), Share::of(0.125));
    }

    #[test]
    fn opentelemetry_is_switched_off_as_everywhere() {
        let said = [("telemetry.endpoint", "http://f:4318")];
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(found(&said, &[off]), None, "{off:?}");
        }
    }
}
