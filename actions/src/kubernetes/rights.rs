//! What each of these actions has to be allowed to do, as far as its parameters are known before it
//! runs. Whoever changes what an action asks of a cluster changes it here.

use std::collections::BTreeSet;

use host::kubernetes::{Naming, Place, Right, kind_of};
use model::foreseen::HOLE;
use model::{Foreseen, Value};

use super::Verb;
use super::event::UNPLACED;
use super::manifest::{WAVE, documents};

/// Kinds whose pods are looked at, to tell early why they do not get on.
const WORKLOADS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"];

/// A kind by its API version and name.
type Kind = (String, String);

/// What the action called `action` needs with these parameters; none: it asks no cluster. `kinds` are
/// those that it may be for where its kind is computed; without them it is a right on no kind.
pub fn rights(action: &str, parameters: &Foreseen, kinds: &[Kind]) -> Option<Vec<Right>> {
    let verb = Verb::ALL.into_iter().find(|verb| verb.name() == action)?;
    Some(Step { parameters, kinds }.rights(verb))
}

/// What a pack's own program needs that runs as a Job in this namespace.
pub fn program_rights(namespace: Option<&str>) -> Vec<Right> {
    let place = namespace.map_or(Place::Default, |name| Place::Namespace(name.to_owned()));
    // The Secret holds the step's token.
    job(&place, true)
}

/// What a Job needs, with a Secret of its own or without: that one is written, and never read.
fn job(place: &Place, has_secret: bool) -> Vec<Right> {
    let jobs = ["get", "create", "patch", "delete"];
    let jobs = Right::new("batch/v1", "Job", &jobs, place.clone());
    let secret = Right::new("v1", "Secret", &["create", "patch"], place.clone());
    let secret = has_secret.then_some(secret);
    std::iter::once(jobs).chain(secret).chain(pods(place)).collect()
}

/// A step that may come to be.
struct Step<'a> {
    parameters: &'a Foreseen,
    kinds: &'a [Kind],
}

impl Step<'_> {
    fn rights(&self, verb: Verb) -> Vec<Right> {
        let place = self.place();
        match verb {
            Verb::Get => self.target(&["get"]),
            Verb::List => {
                let everywhere = Place::of(self.parameters.at("namespace"), Place::Everywhere);
                let right = |kind| Right::of(kind, &["list"], everywhere.clone());
                self.target_kinds().into_iter().map(right).collect()
            }
            Verb::Logs => {
                let pod = Right::new("v1", "Pod", &["get"], place);
                let pod = pod.named(self.parameters.at("pod"));
                // It may say which of its containers is meant.
                let named = self.parameters.at("container").is_given();
                let whole = (!named).then(|| pod.clone());
                whole.into_iter().chain([pod.on("log")]).collect()
            }
            Verb::Wait => self.target(&["get", "watch"]).iter().flat_map(waited).collect(),
            Verb::Apply | Verb::Diff => self.applied(verb),
            Verb::Patch => self.patched(),
            Verb::PatchStatus => [self.target(&["get"]), self.part(&["patch"], "status")].concat(),
            Verb::Delete if self.waits() => self.target(&["get", "delete", "watch"]),
            Verb::Delete => self.target(&["get", "delete"]),
            Verb::Scale => self.part(&["get", "patch"], "scale"),
            Verb::Restart
            | Verb::Label
            | Verb::Annotate
            | Verb::AddFinalizer
            | Verb::RemoveFinalizer => self.target(&["get", "patch"]),
            // What is computed may hold a secret.
            Verb::RunJob => job(&place, !self.parameters.at("env").is_whole()),
            Verb::CreateEvent => {
                let about = self.target(&["get"]);
                let events = about.iter().map(|it| told_where(it, &place));
                let events: BTreeSet<Place> = events.collect();
                let events = events.into_iter();
                let events = events.map(|place| Right::new("v1", "Event", &["create"], place));
                about.into_iter().chain(events).collect()
            }
        }
    }

    /// Whether it may wait for what it changes.
    fn waits(&self) -> bool {
        let wait = self.parameters.at("wait");
        wait.is_given() && !matches!(wait, Foreseen::Value(Value::Bool(false)))
    }

    fn place(&self) -> Place {
        Place::of(self.parameters.at("namespace"), Place::Default)
    }

    /// The kinds that `value` may be of; none: it is computed.
    fn kinds(&self, value: &Foreseen, keys: [&str; 2]) -> Vec<Option<Kind>> {
        match kind_of(value, keys) {
            Some(kind) => vec![Some(kind)],
            None if self.kinds.is_empty() => vec![None],
            None => self.kinds.iter().cloned().map(Some).collect(),
        }
    }

    fn target_kinds(&self) -> Vec<Option<Kind>> {
        self.kinds(self.parameters, ["api_version", "kind"])
    }

    /// The object that the parameters name.
    fn target(&self, verbs: &[&'static str]) -> Vec<Right> {
        let (place, name) = (self.place(), self.parameters.at("name"));
        let right = |kind| Right::of(kind, verbs, place.clone()).named(name);
        self.target_kinds().into_iter().map(right).collect()
    }

    /// A part of it.
    fn part(&self, verbs: &[&'static str], part: &'static str) -> Vec<Right> {
        self.target(verbs).into_iter().map(|right| right.on(part)).collect()
    }

    fn patched(&self) -> Vec<Right> {
        let part = self.parameters.at("subresource");
        let (read, whole) = (self.target(&["get"]), || self.target(&["patch"]));
        let part_of = |part| self.part(&["patch"], part);
        let patched = match part.text() {
            Some("status") => part_of("status"),
            Some("scale") => part_of("scale"),
            None if part.is_given() => [whole(), part_of("status"), part_of("scale")].concat(),
            _ => whole(),
        };
        [read, patched].concat()
    }

    fn applied(&self, verb: Verb) -> Vec<Right> {
        let mut all = Vec::new();
        let objects = objects(self.parameters.at("manifest"));
        let waits_for = |object: &Foreseen| {
            verb == Verb::Apply
                && (self.waits() || objects.iter().any(|next| follows(next, object)))
        };
        for object in &objects {
            let metadata = object.at("metadata");
            let waits = waits_for(object);
            let place = Place::of(metadata.at("namespace"), self.place());
            for kind in self.kinds(object, ["apiVersion", "kind"]) {
                let of = |verbs| Right::of(kind.clone(), verbs, place.clone());
                let known = of(&["get", "patch"]).named(metadata.at("name"));
                if waits {
                    all.extend(waited(&Right { verbs: vec!["get", "watch"], ..known.clone() }));
                }
                // Rights to make an object don't go by its name.
                all.extend([known, of(&["create"])]);
            }
        }
        all
    }
}

/// Where an event of this object lies; `place` is that of the object where it lies in a namespace.
fn told_where(about: &Right, place: &Place) -> Place {
    let known = about.kind.as_ref().and_then(|(version, kind)| Naming::builtin(version, kind));
    match known {
        Some(naming) if !naming.namespaced => Place::Namespace(UNPLACED.to_owned()),
        _ => place.clone(),
    }
}

/// What a wait looks at: the object, and of a workload its pods and what they wrote.
fn waited(object: &Right) -> Vec<Right> {
    let mut all = vec![object.clone()];
    let kind = object.kind.as_ref().map(|(_, kind)| kind.as_str());
    if kind.is_some_and(|kind| WORKLOADS.contains(&kind)) {
        all.extend(pods(&object.place));
    }
    // Which pods are of the newest version.
    let versions = match kind {
        Some("Deployment") => Some("ReplicaSet"),
        Some("DaemonSet") => Some("ControllerRevision"),
        _ => None,
    };
    let versions =
        versions.map(|kind| Right::new("apps/v1", kind, &["list"], object.place.clone()));
    all.extend(versions);
    all
}

/// Whether `next` may be of a later wave than `object`, which is waited for then.
fn follows(next: &Foreseen, object: &Foreseen) -> bool {
    match (wave(next), wave(object)) {
        (Some(next), Some(object)) => next > object,
        _ => true,
    }
}

/// The wave of an object; none: it is computed.
fn wave(object: &Foreseen) -> Option<i64> {
    if *object == Foreseen::Computed {
        return Some(0);
    }
    match object.at("metadata").at("annotations").at(WAVE) {
        Foreseen::Value(Value::Null) => Some(0),
        Foreseen::Value(Value::Number(number)) => number.as_i64(),
        said => said.text()?.trim().parse().ok(),
    }
}

/// Pods, and what they wrote.
fn pods(place: &Place) -> [Right; 2] {
    let pods = |verbs| Right::new("v1", "Pod", verbs, place.clone());
    [pods(&["list"]), pods(&["get"]).on("log")]
}

/// The objects of a manifest; one that is computed stands for those that are not known.
fn objects(manifest: &Foreseen) -> Vec<Foreseen> {
    match manifest {
        Foreseen::List(items) => items.iter().flat_map(objects).collect(),
        Foreseen::Value(Value::String(_)) | Foreseen::Text(_) => {
            let text = manifest.text_with_holes().unwrap_or_default();
            written(&text).unwrap_or_else(|| vec![Foreseen::Computed])
        }
        Foreseen::Map(entries) => {
            let is_list = manifest.at("kind").text().is_some_and(|kind| kind.ends_with("List"));
            match entries.get("items").filter(|_| is_list) {
                Some(items) => objects(items),
                None => vec![manifest.clone()],
            }
        }
        _ => vec![Foreseen::Computed],
    }
}

/// The documents of a YAML text in which computed parts are holes.
fn written(text: &str) -> Option<Vec<Foreseen>> {
    let all = documents(text).ok()?;
    Some(all.into_iter().map(|document| opened(document.into())).collect())
}

/// The same, where a text with a hole is computed.
fn opened(value: Foreseen) -> Foreseen {
    match value {
        Foreseen::Value(Value::String(text)) if text.contains(HOLE) => Foreseen::Computed,
        Foreseen::List(items) => Foreseen::List(items.into_iter().map(opened).collect()),
        Foreseen::Map(entries) => {
            Foreseen::Map(entries.into_iter().map(|(key, it)| (key, opened(it))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The rights as lines, each `place: verbs resource name`.
    fn told(action: &str, parameters: Foreseen) -> Vec<String> {
        let rights = rights(action, &parameters, &[]).unwrap();
        let line = |right: &Right| {
            let place = match &right.place {
                Place::Namespace(name) => name.clone(),
                other => format!("{other:?}").to_lowercase(),
            };
            let kind = right.kind.as_ref().map_or("?", |(_, kind)| kind);
            let part = right.part.map(|part| format!("/{part}")).unwrap_or_default();
            let name = right.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            format!("{place}: {} {kind}{part}{name}", right.verbs.join(","))
        };
        rights.iter().map(line).collect()
    }

    fn check(action: &str, parameters: Value, expected: &[&str]) {
        assert_eq!(told(action, parameters.into()), expected, "{action}");
    }

    fn of(kind: &str, more: Value) -> Value {
        let mut all =
            json!({ "api_version": "apps/v1", "kind": kind, "name": "web", "namespace": "a" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    #[test]
    fn an_action_needs_what_it_asks_the_cluster_for() {
        let web = of("Deployment", json!({}));
        let patch = |part| of("Deployment", json!({ "subresource": part }));
        check("kubernetes.get", web.clone(), &["a: get Deployment web"]);
        check("kubernetes.restart", web.clone(), &["a: get,patch Deployment web"]);
        check("kubernetes.scale", web.clone(), &["a: get,patch Deployment/scale web"]);
        check("kubernetes.delete", web.clone(), &["a: get,delete Deployment web"]);
        check(
            "kubernetes.patch_status",
            web.clone(),
            &["a: get Deployment web", "a: patch Deployment/status web"],
        );
        check(
            "kubernetes.patch",
            patch("status"),
            &["a: get Deployment web", "a: patch Deployment/status web"],
        );
        check(
            "kubernetes.patch",
            web.clone(),
            &["a: get Deployment web", "a: patch Deployment web"],
        );
        check("kubernetes.create_event", web, &["a: get Deployment web", "a: create Event"]);
        let node = json!({ "api_version": "v1", "kind": "Node", "name": "n", "namespace": "a" });
        check("kubernetes.create_event", node, &["a: get Node n", "default: create Event"]);
        check(
            "kubernetes.list",
            json!({ "api_version": "v1", "kind": "Pod" }),
            &["everywhere: list Pod"],
        );
        let logs = json!({ "pod": "p", "container": "c" });
        check("kubernetes.logs", logs, &["default: get Pod/log p"]);
        let either = ["default: get Pod p", "default: get Pod/log p"];
        check("kubernetes.logs", json!({ "pod": "p" }), &either);
        check(
            "kubernetes.run_job",
            json!({ "image": "x" }),
            &["default: get,create,patch,delete Job", "default: list Pod", "default: get Pod/log"],
        );
        let env = [("A".to_owned(), Foreseen::Computed)].into();
        let env = Foreseen::Map([("env".to_owned(), Foreseen::Map(env))].into());
        let jobs = "default: get,create,patch,delete Job";
        assert_eq!(
            told("kubernetes.run_job", env),
            [jobs, "default: create,patch Secret", "default: list Pod", "default: get Pod/log"]
        );
        assert!(rights("core.noop", &Foreseen::Computed, &[]).is_none());
    }

    #[test]
    fn a_wait_for_a_workload_looks_at_its_pods() {
        let pods = ["a: list Pod", "a: get Pod/log"];
        let deployment = ["a: get,watch Deployment web", pods[0], pods[1], "a: list ReplicaSet"];
        check("kubernetes.wait", of("Deployment", json!({})), &deployment);
        let daemons =
            ["a: get,watch DaemonSet web", pods[0], pods[1], "a: list ControllerRevision"];
        check("kubernetes.wait", of("DaemonSet", json!({})), &daemons);
        let set = ["a: get,watch StatefulSet web", pods[0], pods[1]];
        check("kubernetes.wait", of("StatefulSet", json!({})), &set);
        check("kubernetes.wait", of("ConfigMap", json!({})), &["a: get,watch ConfigMap web"]);
    }

    #[test]
    fn what_others_come_after_is_waited_for_whether_the_step_says_so_or_not() {
        let object = |kind: &str, wave: Foreseen| {
            let map = |all: Vec<(&str, Foreseen)>| {
                Foreseen::Map(all.into_iter().map(|(key, it)| (key.to_owned(), it)).collect())
            };
            let metadata = map(vec![("annotations", map(vec![(WAVE, wave)]))]);
            let (version, kind) = (json!("apps/v1").into(), json!(kind).into());
            map(vec![("apiVersion", version), ("kind", kind), ("metadata", metadata)])
        };
        let waits_for = |action: &str, all: Vec<Foreseen>| {
            let manifest = [("manifest".to_owned(), Foreseen::List(all))].into();
            let told = told(action, Foreseen::Map(manifest));
            let kinds = [("DaemonSet", "ControllerRevision"), ("Deployment", "ReplicaSet")];
            let looked_at = kinds
                .iter()
                .filter(|(_, of)| told.iter().any(|line| line.ends_with(&format!("list {of}"))));
            looked_at.map(|(kind, _)| *kind).collect::<Vec<_>>()
        };
        let wave = |wave: Value| Foreseen::from(wave);
        let two = |first, second| vec![object("DaemonSet", first), object("Deployment", second)];
        for (first, second, expected) in [
            (json!(null), json!("0"), &[][..]),
            (json!("-1"), json!(null), &["DaemonSet"]),
            (json!(2), json!("1"), &["Deployment"]),
        ] {
            let all = two(wave(first.clone()), wave(second.clone()));
            assert_eq!(waits_for("kubernetes.apply", all.clone()), expected, "{first} {second}");
            assert_eq!(
                waits_for("kubernetes.diff", all),
                [""; 0],
                "a comparison waits for nothing"
            );
        }
        let computed = two(Foreseen::Computed, wave(json!(null)));
        assert_eq!(waits_for("kubernetes.apply", computed), ["DaemonSet", "Deployment"]);
        let beside = vec![object("Deployment", wave(json!(null))), Foreseen::Computed];
        assert_eq!(waits_for("kubernetes.apply", beside), [""; 0]);
    }

    #[test]
    fn each_object_of_a_manifest_is_counted_however_it_is_written() {
        let expected = ["a: get,patch ConfigMap m", "a: create ConfigMap"];
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } });
        let yaml = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\n";
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [map] });
        for manifest in [map.clone(), json!([map]), json!(yaml), list] {
            check("kubernetes.apply", json!({ "manifest": manifest, "namespace": "a" }), &expected);
        }
        let elsewhere =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "namespace": "b" } });
        check(
            "kubernetes.diff",
            json!({ "manifest": elsewhere, "namespace": "a" }),
            &["b: get,patch ConfigMap", "b: create ConfigMap"],
        );
    }

    #[test]
    fn what_is_computed_is_not_taken_for_something_else() {
        let text = |parts: &[Option<&str>]| {
            Foreseen::Text(parts.iter().map(|part| part.map(ToOwned::to_owned)).collect())
        };
        let map = |entries: Vec<(&str, Foreseen)>| {
            Foreseen::Map(entries.into_iter().map(|(key, it)| (key.to_owned(), it)).collect())
        };
        let yaml = text(&[
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "),
            None,
            Some("-x\n  namespace: "),
            None,
        ]);
        assert_eq!(
            told("kubernetes.apply", map(vec![("manifest", yaml)])),
            ["computed: get,patch ConfigMap", "computed: create ConfigMap"]
        );
        for manifest in [Foreseen::Computed, text(&[Some("kind: {"), None])] {
            let told = told("kubernetes.apply", map(vec![("manifest", manifest)]));
            assert!(told.iter().all(|line| line.ends_with(" ?")), "{told:?}");
        }
        assert_eq!(told("kubernetes.get", Foreseen::Computed), ["computed: get ?"]);
        let kinds = [("v1".to_owned(), "Pod".to_owned()), ("v1".to_owned(), "Secret".to_owned())];
        let all = rights("kubernetes.get", &Foreseen::Computed, &kinds).unwrap();
        let named: Vec<_> = all.into_iter().filter_map(|right| right.kind).collect();
        assert_eq!(named, kinds, "who knows better says so");
    }
}
