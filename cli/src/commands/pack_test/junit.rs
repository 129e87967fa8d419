//! The report that build servers read: JUnit's XML, one suite a file of tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Ran, report};

/// The whole document.
pub(super) fn document(ran: &[Ran<'_>]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for ran in ran {
        for (file, tests) in by_file(ran) {
            // Writing to a string does not fail.
            let _ = suite(&mut text, ran, file, &tests);
        }
        let _ = findings(&mut text, ran);
    }
    text + "</testsuites>\n"
}

type Tests<'a> =
    Vec<&'a (&'a engine::packtest::Case, engine::packtest::Verdict, std::time::Duration)>;

fn by_file<'a>(ran: &'a Ran<'a>) -> BTreeMap<&'a str, Tests<'a>> {
    let mut files: BTreeMap<&str, Tests<'a>> = BTreeMap::new();
    for test in &ran.tests {
        files.entry(test.0.at.file.as_str()).or_default().push(test);
    }
    files
}

fn suite(text: &mut String, ran: &Ran<'_>, file: &str, tests: &Tests<'_>) -> std::fmt::Result {
    let failed = tests.iter().filter(|(_, verdict, _)| !verdict.passed()).count();
    let time: f64 = tests.iter().map(|(_, _, took)| took.as_secs_f64()).sum();
    writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{time:.3}\">",
        escaped(file),
        tests.len(),
    )?;
    for (case, verdict, took) in tests {
        let (class, name) = (escaped(&ran.suite.pack), escaped(&case.name));
        let (file, line, time) = (escaped(&case.at.file), case.at.line, took.as_secs_f64());
        write!(
            text,
            "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{file}\" line=\"{line}\" time=\"{time:.3}\""
        )?;
        if verdict.passed() {
            writeln!(text, "/>")?;
            continue;
        }
        writeln!(text, ">")?;
        let message = verdict.misfits.first().map(|misfit| misfit.message.as_str());
        let message = escaped(message.unwrap_or_default());
        let body: String = verdict.misfits.iter().map(report::plain).collect();
        writeln!(text, "      <failure message=\"{message}\">{}</failure>", escaped(&body))?;
        writeln!(text, "    </testcase>")?;
    }
    writeln!(text, "  </testsuite>")
}

/// What keeps files from being used, as tests that ended in an error.
fn findings(text: &mut String, ran: &Ran<'_>) -> std::fmt::Result {
    let findings = &ran.suite.findings;
    if findings.is_empty() {
        return Ok(());
    }
    let (name, count) = (escaped(&ran.suite.shown), findings.len());
    writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{count}\" failures=\"0\" errors=\"{count}\" time=\"0\">"
    )?;
    for finding in findings {
        let (at, message) = (escaped(&finding.at.to_string()), escaped(&finding.message));
        let body = escaped(&finding.to_string());
        writeln!(text, "    <testcase classname=\"{name}\" name=\"{at}\" time=\"0\">")?;
        writeln!(text, "      <error message=\"{message}\">{body}</error>\n    </testcase>")?;
    }
    writeln!(text, "  </testsuite>")
}

/// `text` as XML may hold it: control characters have no form there at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_written_otherwise() {
        assert_eq!(escaped("a<b> & \"c\"\u{1b}[0m"), "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}[0m");
    }
}
