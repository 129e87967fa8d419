//! What a watch has to be allowed to do.

use host::kubernetes::{Place, Right};
use model::{Foreseen, Map, Value};

use super::ObjectConfig;
use crate::BuildError;
use crate::build::fit;

/// What a subscription of this type needs; none: it watches no cluster.
///
/// Errors: the parameters do not fit the type.
pub fn rights(trigger: &str, parameters: &Map) -> Result<Option<Vec<Right>>, Vec<BuildError>> {
    if !trigger.starts_with("kubernetes.") {
        return Ok(None);
    }
    let config = ObjectConfig::read(trigger, &fit(trigger, parameters)?, trigger);
    Ok(Some(config.map_err(|error| vec![error])?.rights()))
}

impl ObjectConfig {
    fn rights(&self) -> Vec<Right> {
        let name = Value::from(self.only_name());
        // Which objects left a selection is seen by looking at each.
        let verbs: &[&str] =
            if self.selective() { &["get", "list", "watch"] } else { &["list", "watch"] };
        let places: Vec<Place> = match self.namespaces.as_slice() {
            [] => vec![Place::Everywhere],
            names => names.iter().cloned().map(Place::Namespace).collect(),
        };
        let name = Foreseen::Value(name);
        let objects = places
            .into_iter()
            .map(|place| Right::new(&self.api_version, &self.kind, verbs, place).named(&name));
        objects.collect()
    }

    /// The name of the only object that the selector of fields can choose.
    fn only_name(&self) -> Option<&str> {
        let mut fields = self.fields.as_deref()?.split(',');
        fields.find_map(|field| {
            let (name, value) = field.trim().split_once('=')?;
            (name.trim() == "metadata.name").then(|| value.trim_start_matches('=').trim())
        })
    }
}

/// What tells a cluster from one that was restored from a backup: another uid of this namespace.
pub fn history() -> Right {
    let name = Foreseen::Value("kube-system".into());
    Right::new("v1", "Namespace", &["get"], Place::Everywhere).named(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needed(trigger: &str, parameters: Value) -> Vec<Right> {
        rights(trigger, parameters.as_object().unwrap()).unwrap().unwrap()
    }

    #[test]
    fn a_watch_needs_to_list_and_to_watch_and_where_a_selector_chooses_to_get() {
        let all =
            needed("kubernetes.object", json!({ "api_version": "apps/v1", "kind": "Deployment" }));
        let everywhere = Right::new("apps/v1", "Deployment", &["list", "watch"], Place::Everywhere);
        assert_eq!(all, [everywhere]);
        let some = json!({ "api_version": "v1", "kind": "Pod", "namespaces": ["b", "a"], "labels": "x=y" });
        let of = |name: &str| {
            let place = Place::Namespace(name.to_owned());
            Right::new("v1", "Pod", &["get", "list", "watch"], place)
        };
        assert_eq!(needed("kubernetes.condition", some), [of("a"), of("b")]);
        let one =
            json!({ "namespaces": ["a"], "fields": "metadata.name=web,metadata.namespace!=b" });
        let [event] = needed("kubernetes.event", one).try_into().unwrap();
        let kind = ("v1".to_owned(), "Event".to_owned());
        assert_eq!((event.kind, event.name.as_deref()), (Some(kind), Some("web")));
        assert_eq!(rights("timer.cron", &Map::new()).unwrap(), None);
    }
}
