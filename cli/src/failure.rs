//! Failures: the one place where errors become a kind, a message, a hint and an exit code.

use std::fmt;
use std::process::ExitCode;

use model::Diagnostic;
use serde::Deserialize;

use crate::output;

/// How the program ends. The numbers are part of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for was done.
    Done,
    /// The work failed: an execution did, or a check found errors.
    Failed,
    /// The command was used wrongly.
    Usage,
    /// A rule does not select an event.
    NoMatch,
    /// No server was reached.
    Unreachable,
    /// The server does not know who asks, or does not allow it.
    Refused,
    /// An execution waits for a person.
    Attention,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The program that was run ended so.
    Program(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NoMatch => 3,
            Exit::Unreachable => 4,
            Exit::Refused => 5,
            Exit::Attention => 6,
            Exit::Interrupted => 130,
            Exit::Program(code) => code,
        })
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    told: Told,
}

#[derive(Debug)]
enum Told {
    Message {
        kind: String,
        message: String,
        hint: Option<String>,
    },
    Findings(Vec<Diagnostic>),
    /// Whoever reads the output has closed it: there is nobody to tell.
    Nothing,
}

/// What a command answers: how it went, with everything told, or what is still to be told.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, kind: impl Into<String>, message: impl Into<String>) -> Self {
        let (kind, message) = (kind.into(), message.into());
        Self { exit, told: Told::Message { kind, message, hint: None } }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A word that the documents know and this version does not.
    pub(crate) fn later(word: &str) -> Self {
        let message = format!("`{word}` is known, and not supported by this version of Tripline");
        Self::new(Exit::Usage, "unsupported", message)
    }

    /// A file cannot be read or written.
    pub(crate) fn file(path: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Usage, "file", format!("{path}: {error}"))
    }

    /// Files have errors.
    pub(crate) fn findings(exit: Exit, findings: Vec<Diagnostic>) -> Self {
        Self { exit, told: Told::Findings(findings) }
    }

    /// No server answers.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, "unreachable", message)
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Told::Message { hint, .. } = &mut self.told {
            *hint = Some(text.into());
        }
        self
    }

    /// The kind and the message, for who goes on all the same.
    pub(crate) fn in_short(&self) -> (&str, String) {
        match &self.told {
            Told::Message { kind, message, .. } => (kind, message.clone()),
            Told::Findings(findings) => ("findings", format!("{} findings", findings.len())),
            Told::Nothing => ("output", String::new()),
        }
    }

    /// Whether trying again later could help: nobody answered.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.exit == Exit::Unreachable
    }

    /// Tells it on stderr and gives the exit code.
    pub(crate) fn tell(&self) -> Exit {
        let red = |text: &str| output::coloured(output::Colour::Red, text);
        match &self.told {
            Told::Message { kind, message, hint } => {
                output::tell(&format!("{}: {message}", red(&format!("error[{kind}]"))));
                if let Some(hint) = hint {
                    output::tell(&format!("  hint: {hint}"));
                }
            }
            Told::Findings(findings) => {
                for finding in findings {
                    output::tell(&finding.to_string());
                }
            }
            Told::Nothing => {}
        }
        self.exit
    }
}

/// The problem document that the server sends for every error.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    kind: String,
    hint: Option<String>,
}

/// A server's answer that is not a success.
pub(crate) fn refused(status: u16, body: &[u8]) -> Failure {
    let exit = match status {
        401 | 403 => Exit::Refused,
        // It does not fit, or it names something that is not there.
        400 | 404 | 405 | 413 | 422 => Exit::Usage,
        _ => Exit::Failed,
    };
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail, kind, hint }) => {
            let failure = Failure::new(exit, kind, detail);
            match hint {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        }
        Err(_) => Failure::new(exit, "answer", format!("the server answered with status {status}"))
            .with_hint("is the address that of a Tripline server?"),
    }
}

/// Output that cannot be written: mostly because a pager or `head` ended.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self { exit: Exit::Done, told: Told::Nothing },
            _ => Self::new(Exit::Failed, "output", error.to_string()),
        }
    }
}

impl From<server::files::FileError> for Failure {
    fn from(error: server::files::FileError) -> Self {
        let failure = Self::file(error.path.display(), &error.source);
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_decides_the_exit_code_and_the_words() {
        for (status, exit) in [
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::Usage),
            (409, Exit::Failed),
            (422, Exit::Usage),
            (503, Exit::Failed),
        ] {
            let body = br#"{"detail":"no","kind":"denied","hint":"ask","status":0}"#;
            let failure = refused(status, body);
            assert_eq!(failure.exit, exit, "{status}");
            assert!(
                matches!(failure.told, Told::Message { kind, hint: Some(_), .. } if kind == "denied")
            );
        }
    }

    #[test]
    fn an_answer_of_something_else_than_tripline_is_told_as_such() {
        let failure = refused(502, b"<html>");
        assert!(matches!(failure.told, Told::Message { message, .. } if message.contains("502")));
    }
}
