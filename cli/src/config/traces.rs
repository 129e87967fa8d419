//! Where spans are sent: as `telemetry` in tripline.yaml says, else as OpenTelemetry's own
//! variables do, so that a platform that sets these for every program need not say it again.

use engine::Collector;
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
    Some(Collector { url, service: service.unwrap_or_else(|| SERVICE.to_owned()) })
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
        let mut settings = Settings::defaults(Path::new(""));
        for (key, text) in said {
            settings.flag(key, "--flag", Value::from(*text));
        }
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        collector(&settings, variable).map(|found| (found.url, found.service))
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
    fn opentelemetry_is_switched_off_as_everywhere() {
        let said = [("telemetry.endpoint", "http://f:4318")];
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(found(&said, &[off]), None, "{off:?}");
        }
    }
}
