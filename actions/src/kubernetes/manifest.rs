//! What users hand over to be applied: one object, a list of them, or YAML of several documents.

use model::{ErrorKind, StepError, Value};

/// Most objects of one step.
const MAX_OBJECTS: usize = 500;

/// The annotation that says in which wave an object is applied: a whole number, 0 where nothing is said.
pub(super) const WAVE: &str = "tripline.dev/wave";

/// What names an object, besides the cluster it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// `None`: the default one, or the kind has none.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// An object as its author wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) identity: Identity,
    pub(super) object: Value,
    /// Those of a lower one are applied, and healthy, before.
    pub(super) wave: i64,
}

impl Manifest {
    /// What it is one of.
    pub(super) fn kind(&self) -> (&str, &str) {
        (&self.identity.api_version, &self.identity.kind)
    }
}

/// The objects of a parameter, in the order in which they are applied.
pub(super) fn manifests(parameter: &Value) -> Result<Vec<Manifest>, StepError> {
    let objects = match parameter {
        Value::String(yaml) => documents(yaml).map_err(|error| invalid(error.to_string()))?,
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut all = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        collect(object, &format!("object {}", index + 1), &mut all)?;
    }
    if all.is_empty() || all.len() > MAX_OBJECTS {
        return Err(invalid(format!("{} objects: expected 1 to {MAX_OBJECTS}", all.len())));
    }
    no_twins(&all)?;
    all.sort_by_key(rank);
    Ok(all)
}

fn invalid(message: String) -> StepError {
    StepError::new(ErrorKind::InvalidParameters, format!("`manifest`: {message}"))
}

/// The documents of a YAML text as `kubectl` reads them, to which `0400` is octal; empty ones between
/// separators are none.
pub(super) fn documents(yaml: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let octal = serde_saphyr::options! { legacy_octal_numbers: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, octal)?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// Adds an object, or those of a `List`.
fn collect(object: Value, place: &str, all: &mut Vec<Manifest>) -> Result<(), StepError> {
    let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    if let Some(items) = object["items"].as_array().filter(|_| is_list) {
        let items = items.iter().cloned().enumerate();
        let place = |index| format!("{place}, item {}", index + 1);
        return items.into_iter().try_for_each(|(index, item)| collect(item, &place(index), all));
    }
    let identity = identity(&object).map_err(|missing| {
        let expected = "expected an object with `apiVersion`, `kind` and `metadata.name`";
        invalid(format!("{place}: {missing} is missing or no text: {expected}"))
    })?;
    let wave = wave(&object).map_err(|found| {
        invalid(format!("{identity}: the annotation `{WAVE}` is {found}: expected a whole number, such as \"-1\""))
    })?;
    all.push(Manifest { identity, object, wave });
    Ok(())
}

/// What names an object, or the field that is missing.
pub(super) fn identity(object: &Value) -> Result<Identity, &'static str> {
    let text = |field: &'static str, value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(ToOwned::to_owned).ok_or(field)
    };
    let metadata = &object["metadata"];
    Ok(Identity {
        api_version: text("`apiVersion`", &object["apiVersion"])?,
        kind: text("`kind`", &object["kind"])?,
        namespace: metadata["namespace"].as_str().map(ToOwned::to_owned),
        name: text("`metadata.name`", &metadata["name"])?,
    })
}

/// The wave that an object is in, or what stands there instead.
fn wave(object: &Value) -> Result<i64, &Value> {
    let said = &object["metadata"]["annotations"][WAVE];
    match said {
        Value::Null => Ok(0),
        Value::String(text) => text.trim().parse().map_err(|_| said),
        other => other.as_i64().ok_or(said),
    }
}

/// Which of the two would win is nobody's guess.
fn no_twins(all: &[Manifest]) -> Result<(), StepError> {
    let mut identities: Vec<&Identity> = all.iter().map(|manifest| &manifest.identity).collect();
    identities.sort();
    match identities.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(format!("{} is there twice", pair[0]))),
        None => Ok(()),
    }
}

/// Kinds in the order in which they are needed by those that follow; all others come last, as they
/// may be of a kind that was defined just before.
const ORDER: [&str; 27] = [
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Job",
    "CronJob",
    "Ingress",
];

/// Where a manifest stands among others; equals keep their author's order.
fn rank(manifest: &Manifest) -> (i64, usize) {
    let kind = manifest.identity.kind.as_str();
    let place = ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
    (manifest.wave, place)
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { api_version, kind, namespace, name } = self;
        match namespace {
            Some(namespace) => write!(f, "{api_version} {kind} {namespace}/{name}"),
            None => write!(f, "{api_version} {kind} {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } })
    }

    fn names(parameter: &Value) -> Vec<String> {
        manifests(parameter).unwrap().iter().map(|one| one.identity.to_string()).collect()
    }

    #[test]
    fn one_object_a_list_and_yaml_are_the_same_thing() {
        let one = object("ConfigMap", "a");
        let yaml = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n---\n";
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [one.clone()] });
        for parameter in [one.clone(), json!([one]), json!(yaml), list] {
            assert_eq!(manifests(&parameter).unwrap()[0].object, one);
        }
    }

    #[test]
    fn numbers_are_what_kubectl_takes_them_for() {
        for (written, meant) in [
            ("0400", json!(256)),
            ("0644", json!(420)),
            ("-0400", json!(-256)),
            ("0o400", json!(256)),
            ("00", json!(0)),
            ("0", json!(0)),
            ("400", json!(400)),
            ("08", json!(8.0)),
            ("0.5", json!(0.5)),
            ("\"0400\"", json!("0400")),
        ] {
            let yaml =
                format!("apiVersion: v1\nkind: X\nmetadata: {{ name: a }}\nmode: {written}\n");
            assert_eq!(manifests(&json!(yaml)).unwrap()[0].object["mode"], meant, "{written}");
        }
    }

    #[test]
    fn what_others_need_comes_first_and_kinds_nobody_knows_last() {
        let all = json!([
            object("MysqlDb", "m"),
            object("Deployment", "d"),
            object("Service", "s"),
            object("ConfigMap", "b"),
            object("ConfigMap", "a"),
            object("CustomResourceDefinition", "c"),
            object("Namespace", "n"),
        ]);
        let kinds = ["Namespace n", "CustomResourceDefinition c", "ConfigMap b", "ConfigMap a"];
        let rest = ["Service s", "Deployment d", "MysqlDb m"];
        let expected: Vec<String> =
            kinds.into_iter().chain(rest).map(|name| format!("v1 {name}")).collect();
        assert_eq!(names(&all), expected);
    }

    #[test]
    fn waves_come_before_kinds_and_what_names_none_is_in_wave_zero() {
        let wave = |kind: &str, wave: Value| {
            let mut object = object(kind, "x");
            object["metadata"]["annotations"] = json!({ WAVE: wave });
            object
        };
        let all = json!([
            wave("Namespace", json!("1")),
            object("Deployment", "d"),
            wave("Job", json!("-1")),
            object("Service", "s"),
        ]);
        assert_eq!(names(&all), ["v1 Job x", "v1 Service s", "v1 Deployment d", "v1 Namespace x"]);
        let wrong = manifests(&wave("Job", json!("first"))).unwrap_err();
        assert!(wrong.message.contains("is \"first\": expected a whole number"), "{wrong:?}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (parameter, expected) in [
            (json!([]), "`manifest`: 0 objects: expected 1 to 500"),
            (
                json!([object("ConfigMap", "a"), { "kind": "X" }]),
                "`manifest`: object 2: `apiVersion` is missing or no text: expected an object with \
                 `apiVersion`, `kind` and `metadata.name`",
            ),
            (
                json!([object("ConfigMap", "a"), object("ConfigMap", "a")]),
                "`manifest`: v1 ConfigMap a is there twice",
            ),
        ] {
            assert_eq!(manifests(&parameter).unwrap_err().message, expected);
        }
        let broken = manifests(&json!("kind: X\nkind: Y\n")).unwrap_err();
        assert!(broken.message.contains("line 2"), "{broken:?}");
    }
}
