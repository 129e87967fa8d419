//! Variables that look like ours and that nothing reads: a slip in a name would else be passed over
//! in silence.

use engine::secrets::KeySource;
use model::diagnostic::suggest;

use super::keys::{KEYS, Key};
use super::{Config, Settings};

const PREFIX: &str = "TRIPLINE_";

/// What is read besides the settings; the last five are what a step's program is given, and may pass
/// on to a command.
const OTHERS: [&str; 9] =
    ["CONFIG", "SERVER", "TOKEN", "CONTEXT", "KEY", "ATTEMPT", "API", "STEP_TOKEN", "ARTIFACTS"];

/// What there is to say of variables that are not read by a server with these settings.
pub(crate) fn unread(settings: &Settings) -> Vec<String> {
    let names = names();
    let keys = Config::of(settings).keys;
    let is_key =
        |name: &String| keys.iter().any(|key| matches!(key, KeySource::Env(own) if own == name));
    let unread = names.into_iter().filter(|name| !is_key(name));
    unread.filter_map(|name| told(&name).map(|(told, _)| told)).collect()
}

/// Those of them that are probably slips.
pub(crate) fn slips() -> Vec<String> {
    let told = names().into_iter().filter_map(|name| told(&name));
    told.filter_map(|(told, slip)| slip.then_some(told)).collect()
}

fn names() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    names.sort();
    names
}

/// That nothing reads the variable, and whether a known one was probably meant.
fn told(name: &str) -> Option<(String, bool)> {
    let own = name.strip_prefix(PREFIX)?;
    let settings: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let settings = settings.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let known: Vec<&str> = settings.chain(OTHERS).collect();
    if known.contains(&own) {
        return None;
    }
    let meant = suggest(own, known);
    let hint = match meant {
        Some(meant) => format!("did you mean `{PREFIX}{meant}`?"),
        None => "`tripline config show -o json` names those that are read".to_owned(),
    };
    Some((format!("the variable {name} is not read by Tripline: {hint}"), meant.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_variables_name_is_told_with_the_one_that_was_meant() {
        for (name, expected) in [
            ("TRIPLINE_LISTEN", None),
            ("TRIPLINE_TOKEN", None),
            ("TRIPLINE_KEY", None),
            ("PATH", None),
            ("TRIPLINE_LISTN", Some(("did you mean `TRIPLINE_LISTEN`?", true))),
            ("TRIPLINE_LIMIT_STEPS", Some(("did you mean `TRIPLINE_LIMITS_STEPS`?", true))),
            ("TRIPLINE_SEVER", Some(("did you mean `TRIPLINE_SERVER`?", true))),
            ("TRIPLINE_HOOK_SECRET", Some(("config show", false))),
        ] {
            let told = told(name);
            assert_eq!(told.is_some(), expected.is_some(), "{name}");
            if let (Some((told, slip)), Some((end, expected))) = (told, expected) {
                assert!(told.contains(name) && told.contains(end), "{told}");
                assert_eq!(slip, expected, "{name}");
            }
        }
    }
}
