//! One pack's folder → its content, or everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use actions::desk::Desk;
use host::connection::Connections;
use host::git::Git;
use host::process::Programs;
use model::diagnostic::of_one_file;
use model::{Diagnostic, Location, Name, PackName, RuleRef, Schema, Severity, Value};
use rules::Rule;
use syntax::{Document, Fields, Node};

use super::actions_file::{self, Surroundings};
use super::broken::Broken;
use super::manifest::{self, Manifest, schema};
use super::pin::Snapshot;
use super::sensors_file;
use super::together::name_of;
use super::{Findings, Pack, TriggerSpec};
use crate::environment::Environment;
use crate::secrets::{SecretSettingsOf, settings};

/// What packs are read with.
#[derive(Clone)]
pub struct LoadContext {
    /// Runs their programs.
    pub programs: Programs,
    /// What their git sensors may do.
    pub git: Git,
    /// Clusters in which their programs run.
    pub connections: Connections,
    /// Where such programs ask what they are to do.
    pub desk: Desk,
}

/// What was read of a pack.
pub(super) struct Read {
    /// As much of it as could be read; none where it is not known which files it has.
    pub(super) pack: Option<Pack>,
    /// What could not.
    pub(super) broken: Broken,
    /// What was found about it.
    pub(super) findings: Findings,
}

impl Read {
    /// The content, if all of it can be used, and what was found.
    pub(super) fn usable(self) -> (Option<Pack>, Findings) {
        let usable = !self.findings.iter().any(Diagnostic::is_error);
        (self.pack.filter(|_| usable), self.findings)
    }
}

/// Reads the pack in `folder`: its content if it can be used, and what was found.
pub fn load(folder: &Path, context: &LoadContext) -> (Option<Pack>, Findings) {
    load_in(folder, context, None).usable()
}

/// The same with the configuration that `environment` gives it.
pub(super) fn load_in(
    folder: &Path,
    context: &LoadContext,
    environment: Option<&Environment>,
) -> Read {
    let mut read = Snapshot::read(folder);
    if let Some(environment) = environment {
        read.0.configure(environment);
    }
    load_snapshot(&read, folder, folder, context)
}

/// Reads the pack whose content is pinned in `folder`, with the configuration it was pinned with. Its
/// files are called by the pack's name: that of the folder says nothing to people.
pub(crate) fn load_pinned(folder: &Path, context: &LoadContext) -> (Option<Pack>, Findings) {
    let read = Snapshot::read_pinned(folder);
    let shown = read.0.name().map_or_else(|| folder.to_owned(), |name| name.as_str().into());
    load_snapshot(&read, &shown, folder, context).usable()
}

/// Reads a pack from its files and what was found about these; `shown` is its folder as the user
/// knows it, `folder` where its programs run from.
pub(super) fn load_snapshot(
    (snapshot, found): &(Snapshot, Findings),
    shown: &Path,
    folder: &Path,
    context: &LoadContext,
) -> Read {
    let (findings, broken) = (found.clone(), Broken::default());
    let mut reader = Reader { snapshot, shown: shown.display().to_string(), broken, findings };
    let pack = reader.manifest(shown).map(|manifest| {
        reader.unknown_places();
        reader.pack(manifest, folder, context)
    });
    // Of a content that is not known in whole it cannot be said what it lacks.
    let whole = found.is_empty();
    Read { pack: pack.filter(|_| whole), broken: reader.broken, findings: reader.findings }
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    shown: String,
    broken: Broken,
    findings: Findings,
}

impl Reader<'_> {
    /// What `pack.yaml` says: where it is wrong, nothing but a name.
    fn manifest(&mut self, shown: &Path) -> Option<Manifest> {
        if !self.snapshot.files.contains_key("pack.yaml") {
            // What could not be read is told already, and may be why.
            if !self.findings.is_empty() {
                return None;
            }
            let message = "there is no pack.yaml in the folder: it is not a pack";
            let finding = Diagnostic::error(Location::file(self.shown.clone()), message);
            self.findings.push(finding.with_hint("add one that says `name:` and `version:`"));
            return None;
        }
        let document = self.document("pack.yaml");
        let said = document.and_then(|document| self.take(manifest::parse(document.root())));
        said.or_else(|| {
            self.broken.manifest = true;
            let folder = || name_of(shown)?.parse().ok();
            let name = self.snapshot.name().or_else(folder).or_else(|| "unnamed".parse().ok())?;
            let at = Location::file(format!("{}/pack.yaml", self.shown));
            Some(Manifest::unread(name, at))
        })
    }

    fn pack(&mut self, manifest: Manifest, folder: &Path, context: &LoadContext) -> Pack {
        let name = manifest.name.clone();
        let (config, settings) = self.config(&manifest.config_schema);
        Pack {
            rules: self.rules(&name),
            actions: self.actions(&name, folder, context),
            sensors: self.sensors(context),
            triggers: self.each("triggers", |file, node| trigger(&name, file, node)),
            name,
            at: manifest.at,
            version: manifest.version,
            description: manifest.description,
            team: manifest.team,
            requires: manifest.requires,
            hash: self.snapshot.hash(),
            material: self.snapshot.material(),
            folder: folder.to_owned(),
            config: Arc::new(config),
            settings,
            config_schema: manifest.config_schema,
            permissions: manifest.permissions,
            texts: self.texts(),
        }
    }

    /// What the environment gives, and the defaults of what it does not. Whether it fits is asked
    /// where the environment is known.
    fn config(&self, schema: &Schema) -> (Value, SecretSettingsOf) {
        let mut config = self.snapshot.configuration();
        schema.fill(&mut config);
        let mut config = Value::Object(config);
        let settings = settings::take(&mut config, schema);
        (config, settings)
    }

    fn rules(&mut self, pack: &PackName) -> BTreeMap<Name, Arc<Rule>> {
        let mut rules = BTreeMap::new();
        for (name, path) in self.yaml_files("rules") {
            let Some(text) = self.text(&path) else { continue };
            let reference = RuleRef::new(pack.clone(), name.clone());
            let parsed = Rule::parse(&format!("{}/{path}", self.shown), &text, reference);
            if let Some(rule) = self.take(parsed) {
                rules.insert(name, Arc::new(rule));
            }
        }
        rules
    }

    fn actions(
        &mut self,
        pack: &PackName,
        folder: &Path,
        context: &LoadContext,
    ) -> BTreeMap<String, super::PackAction> {
        let libs = self.libs();
        let (snapshot, shown) = (self.snapshot, self.shown.clone());
        let read = self.each("actions", |file, node| {
            let reference = format!("{pack}.{file}").parse();
            let reference = reference
                .map_err(|error: model::name::BadName| vec![node.error(error.to_string())])?;
            let around = Surroundings {
                reference,
                shown: &shown,
                folder: folder.to_owned(),
                snapshot,
                libs: &libs,
                context,
            };
            actions_file::parse(node, &around)
        });
        read.into_iter().map(|(name, action)| (name.to_string(), action)).collect()
    }

    fn sensors(&mut self, context: &LoadContext) -> BTreeMap<Name, super::SensorSpec> {
        let (snapshot, shown) = (self.snapshot, self.shown.clone());
        self.each("sensors", |_, node| sensors_file::parse(node, &context.git, &shown, snapshot))
    }

    /// `lib/naming.rhai` is imported as `lib/naming`.
    fn libs(&mut self) -> BTreeMap<String, String> {
        let files = self.snapshot.files.keys();
        let paths: Vec<String> = files
            .filter(|path| path.starts_with("lib/") && path.ends_with(".rhai"))
            .cloned()
            .collect();
        let read = paths.into_iter().filter_map(|path| {
            let text = self.text(&path)?;
            Some((path.trim_end_matches(".rhai").to_owned(), text))
        });
        read.collect()
    }

    /// Decodes each YAML file of one of the pack's folders.
    fn each<T>(
        &mut self,
        kind: &str,
        mut decode: impl FnMut(&Name, &Node) -> Result<T, Vec<Diagnostic>>,
    ) -> BTreeMap<Name, T> {
        let mut decoded = BTreeMap::new();
        for (name, path) in self.yaml_files(kind) {
            let document = self.document(&path);
            let read = document.and_then(|document| self.take(decode(&name, document.root())));
            match read {
                Some(one) => drop(decoded.insert(name, one)),
                None => self.broken.object(kind, name),
            }
        }
        decoded
    }

    /// The YAML files of one of the pack's folders, each with the name its stem gives.
    fn yaml_files(&mut self, kind: &str) -> Vec<(Name, String)> {
        let mut files: Vec<(Name, String)> = Vec::new();
        for path in self.snapshot.files.keys() {
            let Some(file) = path.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"));
            let Some(stem) = stem.filter(|stem| !stem.contains('/')) else { continue };
            match stem.parse::<Name>() {
                Ok(name) => match files.iter().find(|(other, _)| *other == name) {
                    Some((_, other)) => {
                        let message = format!("{other} has the same name");
                        self.findings.push(self.whole(path, message, "rename or remove one"));
                    }
                    None => files.push((name, path.clone())),
                },
                Err(error) => {
                    let hint = "the file's name is the object's name: rename the file";
                    self.findings.push(self.whole(path, error.to_string(), hint));
                }
            }
        }
        files
    }

    /// An error about a file as a whole.
    fn whole(&self, path: &str, message: String, hint: &str) -> Diagnostic {
        let at = Location::file(format!("{}/{path}", self.shown));
        Diagnostic::error(at, message).with_hint(hint)
    }

    /// What would be passed over in silence: folders with a slip in their name, folders in folders.
    fn unknown_places(&mut self) {
        self.unknown_folders();
        let files = self.snapshot.files.keys();
        let nested = files.filter(|path| is_yaml(path)).filter_map(|path| {
            let (folder, rest) = path.split_once('/')?;
            let flat = ["rules", "sensors", "triggers"].contains(&folder);
            (flat && rest.contains('/')).then_some((path, folder))
        });
        let told = nested.map(|(path, folder)| {
            let message = format!("the file is not read: it lies below a folder of `{folder}`");
            let hint = format!("move it to {folder}/");
            Diagnostic { severity: Severity::Warning, ..self.whole(path, message, &hint) }
        });
        let told: Vec<Diagnostic> = told.collect();
        self.findings.extend(told);
    }

    fn unknown_folders(&mut self) {
        const FOLDERS: [&str; 8] =
            ["rules", "actions", "sensors", "triggers", "lib", "tests", "templates", "docs"];
        let files = self.snapshot.files.keys();
        let mut unknown: Vec<&str> = files
            .filter(|path| is_yaml(path))
            .filter_map(|path| path.split_once('/').map(|(folder, _)| folder))
            .filter(|folder| !FOLDERS.contains(folder))
            .collect();
        unknown.dedup();
        for folder in unknown {
            if let Some(meant) = model::diagnostic::suggest(folder, FOLDERS) {
                let at = Location::file(format!("{}/{folder}", self.shown));
                let finding =
                    Diagnostic::warning(at, format!("nothing is read from the folder `{folder}`"));
                self.findings.push(finding.with_hint(format!("did you mean `{meant}`?")));
            }
        }
    }

    fn document(&mut self, path: &str) -> Option<Document> {
        let bytes = &self.snapshot.files.get(path)?.bytes;
        let parsed = syntax::parse_bytes(&format!("{}/{path}", self.shown), bytes);
        self.take(parsed)
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let bytes = &self.snapshot.files.get(path)?.bytes;
        let text = syntax::text(&format!("{}/{path}", self.shown), bytes).map(ToOwned::to_owned);
        self.take(text)
    }

    fn texts(&self) -> BTreeMap<String, String> {
        let files = self.snapshot.files.iter();
        let texts = files.filter(|(path, _)| is_yaml(path) || path.ends_with(".rhai"));
        texts
            .filter_map(|(path, file)| {
                let text = String::from_utf8(file.bytes.clone()).ok()?;
                Some((format!("{}/{path}", self.shown), text))
            })
            .collect()
    }

    fn take<T>(&mut self, decoded: Result<T, Vec<Diagnostic>>) -> Option<T> {
        let wrong = match decoded {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        for finding in of_one_file(wrong) {
            // A library is read with every chain, and wrong only once.
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        None
    }
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

fn trigger(pack: &PackName, name: &Name, node: &Node) -> Result<TriggerSpec, Vec<Diagnostic>> {
    let fields = Fields::new(node, &["description", "payload"], &["parameters"]);
    let description = fields.optional("description").string().unwrap_or_default();
    let payload = fields.part(schema(fields.optional("payload").node()));
    if let Some(name) = payload.as_ref().and_then(Schema::some_secret) {
        let message = format!("`{name}` cannot be secret: events are stored and shown as they are");
        let hint = "put the secret into the store and its path into the event: a chain reads it with `secret(path)`";
        fields.report(node.error_at(&format!("payload.{name}"), message).with_hint(hint));
    }
    let kind = format!("{pack}.{name}").parse();
    let kind = kind.map_err(|error: model::name::BadName| vec![node.error(error.to_string())]);
    let kind = fields.part(kind);
    let spec = kind.zip(payload).map(|(kind, payload)| TriggerSpec { kind, description, payload });
    fields.finish(spec)
}
