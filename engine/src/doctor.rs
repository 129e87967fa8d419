//! What can be wrong with an installation besides its log: nothing is changed, and the server may be
//! running.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use host::Clock;
use model::{Severity, Timestamp};
use store::Sqlite;
use store::sqlite::{Finding, Needs, Returned};

use crate::backup::UNFINISHED;
use crate::folders::Folders;
use crate::packs::altered;
use crate::secrets::{Answer, KeyError, KeySource, SecretSettings, Vault, root};
use crate::tokens::valid;

const PUT_BACK: &str =
    "put the key back where `secrets.keys` in tripline.yaml says, or beside the state folder";

const READABLE: &str = "let the server's user read it";

/// Everything that is wrong with the state folder `state`, whose secrets the keys of `secrets` open.
pub async fn examine(state: &Path, secrets: SecretSettings) -> Vec<Finding> {
    let mut findings = Sqlite::verify(state);
    let damaged = findings.iter().any(|finding| finding.severity == Severity::Error);
    findings.extend(unfinished(state));
    findings.extend(open_to_others(state, &secrets));
    let vault = Vault::of_keys(secrets).await;
    findings.extend(vault.as_ref().err().and_then(no_key));
    // A damaged database is not opened again: SQLite would tidy up what may help to mend it.
    if !damaged && let Ok(needs) = Sqlite::needs(state) {
        findings.extend(missing_packs(state, &needs));
        findings.extend(altered_packs(state));
        findings.extend(needs.behind.iter().map(|sensor| behind(sensor)));
        findings.extend(returned(&needs, Clock::System.now()));
        if let Ok(vault) = &vault {
            findings.extend(shut_answers(vault, state, &needs));
        }
        findings.extend(shut(vault, &needs));
    }
    findings
}

/// What keeps the server from starting, too.
fn no_key(error: &KeyError) -> Option<Finding> {
    (!error.depends_on_who_asks()).then(|| finding(Severity::Error, error.to_string(), PUT_BACK))
}

fn finding(severity: Severity, what: String, to_do: impl Into<String>) -> Finding {
    Finding { severity, what, to_do: to_do.into() }
}

/// A restore that was cut off: the folder it began is no state, and what is there may be older.
fn unfinished(state: &Path) -> Option<Finding> {
    let left = state.join(UNFINISHED);
    left.exists().then(|| {
        let what = format!("a restore did not come to its end: {} is left of it", left.display());
        let to_do = "restore again, or, if the state is what it should be, remove that folder";
        finding(Severity::Warning, what, to_do)
    })
}

/// The state folder and the files of keys, where other users of the machine may read them.
fn open_to_others(state: &Path, secrets: &SecretSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if others_may_read(state) || others_may_read(&state.join("admin.token")) {
        let what = format!("other users may read what lies in {}", state.display());
        let to_do = format!("if that is not meant, `chmod -R go= {}`", state.display());
        findings.push(finding(Severity::Warning, what, to_do));
    }
    let configured = secrets.keys.iter().filter_map(|source| match source {
        KeySource::File(path) => Some(path),
        KeySource::Env(_) | KeySource::Command(_) => None,
    });
    for file in configured.chain([&secrets.fallback]).filter(|file| others_may_read(file)) {
        let what = format!("other users may read {}, which opens the secrets", file.display());
        findings.push(finding(Severity::Warning, what, format!("`chmod 600 {}`", file.display())));
    }
    findings
}

pub(crate) fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0)
}

/// A sensor that has not caught up since the state was restored. Of a program nobody else knows.
fn behind(sensor: &str) -> Finding {
    let what = format!("the sensor {sensor} has not caught up since the state was restored");
    let to_do = format!(
        "if it is a program, `tripline sensor confirm {sensor}` once it has told what happened since the backup; any other catches up when it next looks at its source"
    );
    finding(Severity::Warning, what, to_do)
}

/// Tokens that were made before the backup that the state was restored from: who revoked one of them
/// since finds it valid again.
fn returned(needs: &Needs, now: Timestamp) -> Option<Finding> {
    let Returned { restored, tokens } = needs.returned.as_ref()?;
    let tokens: Vec<String> = valid(tokens, now).iter().map(ToString::to_string).collect();
    let what = format!(
        "the state was restored from a backup of {:.0}; the tokens that were valid then are valid, also if they were revoked since: {}",
        restored.taken_at,
        tokens.join(", ")
    );
    let to_do = "`tripline token revoke NAME` ends one that nobody should have; one that is made anew after that is not told here";
    (!tokens.is_empty()).then(|| finding(Severity::Warning, what, to_do))
}

/// Contents of packs that are not what their names say: programs run from there.
pub(crate) fn altered_packs(state: &Path) -> Vec<Finding> {
    let packs = Folders::new(state.to_owned()).packs();
    let altered = match altered(&packs) {
        Ok(altered) => altered,
        Err(error) => {
            let what = format!("{} cannot be read: {error}", packs.display());
            return vec![finding(Severity::Error, what, READABLE)];
        }
    };
    let told = altered.into_iter().map(|(hash, why)| {
        let what = format!("the pack's content {hash} is not what was put there: {why}");
        let to_do = "stop the server and remove that folder of `packs/`: the next start copies a pack there again that is loaded with this content; for executions that began with another one, restore a backup, or cancel them";
        finding(Severity::Error, what, to_do)
    });
    told.collect()
}

/// Packs that unfinished executions go on with and whose files are gone.
fn missing_packs(state: &Path, needs: &Needs) -> Vec<Finding> {
    let folders = Folders::new(state.to_owned());
    let missing = needs.packs.iter().filter(|(hash, _)| !folders.pack(hash).is_dir());
    let told = missing.map(|(hash, execution)| {
        let what = format!(
            "the pack's content {hash} is gone from {}: `{execution}` and others that began with it cannot go on",
            folders.packs().display()
        );
        finding(Severity::Error, what, "restore a backup, or cancel them")
    });
    told.collect()
}

/// What programs of steps handed in that the configured keys do not open.
fn shut_answers(vault: &Vault, state: &Path, needs: &Needs) -> Vec<Finding> {
    let roots = needs.unfinished.iter().map(root).collect();
    let answers = match Answer::all(&Folders::new(state.to_owned()), &roots) {
        Ok(answers) => answers,
        Err(error) => return vec![finding(Severity::Error, error.to_string(), READABLE)],
    };
    let told = answers.iter().filter_map(|answer| answer.trouble(vault)).map(|error| {
        let what = format!("what the program of a step handed in is lost to it: {error}");
        finding(Severity::Error, what, PUT_BACK)
    });
    told.collect()
}

/// Encrypted records that the configured keys do not open.
fn shut(vault: Result<Vault, KeyError>, needs: &Needs) -> Vec<Finding> {
    let vault = match vault {
        Ok(vault) => vault,
        Err(error) if error.depends_on_who_asks() && !needs.keys.is_empty() => {
            return vec![finding(Severity::Warning, error.to_string(), PUT_BACK)];
        }
        Err(_) => return Vec::new(),
    };
    let mut findings = Vec::new();
    for (key, (records, one)) in &needs.keys {
        let Some((name, sealed)) = one else { continue };
        if let Err(error) = vault.unseal(name, sealed) {
            let what = format!("{records} encrypted secrets cannot be opened: {error}");
            let to_do = format!("{PUT_BACK}: its public half is {key}");
            findings.push(finding(Severity::Error, what, to_do));
        }
    }
    findings
}
