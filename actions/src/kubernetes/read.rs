//! `kubernetes.get`, `kubernetes.list`, `kubernetes.logs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host::kubernetes::{Cluster, Failure, Path, Request, Selected, is_secret};
use model::{ErrorKind, Map, StepError, Value};
use serde_json::json;

use super::asked::{Asked, Target, Trouble, duration, refused, shown};

/// Objects of one page.
const PAGE: usize = 500;
/// Most bytes of a log that are answered.
const MAX_LOG: usize = 256 << 10;
/// The annotation that names a pod's main container.
pub(super) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

pub(super) async fn get(asked: &Asked<'_>) -> Result<Value, Trouble> {
    let target = asked.target().await?;
    let object = match asked.text("missing") {
        "null" => target.find().await?,
        _ => Some(target.get(None).await?),
    };
    let Some(object) = object else {
        return Ok(json!({ "object": null, "found": false }));
    };
    let mut result = json!({ "found": true });
    if is_secret(&object) {
        result["values"] = values(&object);
    }
    result["object"] = shown(object);
    Ok(result)
}

/// What a Secret holds, as far as it is text.
fn values(secret: &Value) -> Value {
    let data = secret["data"].as_object().into_iter().flatten();
    let text = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?;
        String::from_utf8(bytes).ok().map(Value::from)
    };
    data.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect::<Map>().into()
}

pub(super) async fn list(asked: &Asked<'_>) -> Result<Value, Trouble> {
    let paths = asked.parameters()["select"].as_array().map(|paths| read(paths)).transpose()?;
    let resource = asked.cluster.resource(asked.text("api_version"), asked.text("kind")).await?;
    let labels = labels(&asked.parameters()["labels"]);
    let selected = Selected {
        namespace: asked.option("namespace"),
        labels: labels.as_deref(),
        fields: asked.option("fields"),
        ..Selected::all(&resource)
    };
    let limit = asked.parameters()["limit"].as_u64().unwrap_or(PAGE as u64) as usize;
    let (mut objects, mut next) = (Vec::new(), None);
    loop {
        let page = asked.cluster.list(&selected, PAGE.min(limit + 1), next.as_deref()).await?;
        if page.pruned {
            let message = "an object is nested deeper than can be read: select others";
            return Err(refused(ErrorKind::TooLarge, message.to_owned()));
        }
        objects.extend(page.objects);
        next = page.next;
        if objects.len() > limit {
            let message =
                format!("there are more than {limit} objects: select fewer, or raise `limit`");
            return Err(refused(ErrorKind::TooLarge, message));
        }
        if next.is_none() {
            break;
        }
    }
    let items = objects.into_iter().map(shown).map(|object| match &paths {
        Some(paths) => picked(&object, paths),
        None => object,
    });
    Ok(json!({ "items": items.collect::<Vec<_>>() }))
}

/// A label selector, of text or of a map.
pub(super) fn labels(parameter: &Value) -> Option<String> {
    match parameter {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => {
            // `version: 2` means the text that YAML makes a number of.
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let pairs: Vec<String> =
                map.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            Some(pairs.join(","))
        }
        _ => None,
    }
}

/// The paths of `select`, each with how it is written.
fn read(paths: &[Value]) -> Result<Vec<(&str, Path)>, StepError> {
    let all = paths.iter().filter_map(Value::as_str).map(|text| Ok((text, text.parse()?)));
    all.collect::<Result<_, String>>()
        .map_err(|why| StepError::new(ErrorKind::InvalidParameters, format!("`select`: {why}")))
}

/// What names an object, and what stands at these paths, under the paths.
fn picked(object: &Value, paths: &[(&str, Path)]) -> Value {
    let metadata = &object["metadata"];
    let mut picked = json!({
        "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
    });
    for (text, path) in paths {
        picked[*text] = path.find(object).cloned().unwrap_or_default();
    }
    picked
}

pub(super) async fn logs(asked: &Asked<'_>) -> Result<Value, Trouble> {
    let pod = pod(asked, asked.text("pod")).await?;
    let parameters = asked.parameters();
    let since = asked.option("since").map(|since| duration("since", since)).transpose()?;
    let request = Request::get(&pod.path(Some("log")))
        .with_some("container", asked.option("container"))
        .with("tailLines", parameters["tail"].as_u64().unwrap_or(100))
        .with("previous", parameters["previous"] == true)
        .with_some(
            "sinceSeconds",
            since.map(|since| since.to_std().as_secs().max(1).to_string()).as_deref(),
        );
    let text = match asked.cluster.text(&request).await {
        // The pod has several containers, and may say which one is meant.
        Err(failure) if failure.status == Some(400) && asked.option("container").is_none() => {
            let default = default_container(&pod).await.ok_or(failure)?;
            asked.cluster.text(&request.with("container", default)).await?
        }
        text => text?,
    };
    let (text, truncated) = newest(&text);
    Ok(json!({ "text": text, "truncated": truncated }))
}

/// The container that a pod's author means where nobody names one, as `kubectl` reads it.
async fn default_container(pod: &Target) -> Option<String> {
    let pod = pod.find().await.ok()??;
    pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().map(ToOwned::to_owned)
}

/// A request for what a pod has written.
pub(super) async fn log(cluster: &Cluster, pod: &Value) -> Result<Request, Failure> {
    let resource = cluster.resource("v1", "Pod").await?;
    let [namespace, name] = ["namespace", "name"].map(|part| pod["metadata"][part].as_str());
    Ok(Request::get(&resource.object(namespace, name.unwrap_or_default(), Some("log"))))
}

/// The pod of this name, in the step's namespace.
pub(super) async fn pod(asked: &Asked<'_>, name: &str) -> Result<Target, Trouble> {
    let resource = asked.cluster.resource("v1", "Pod").await?;
    Ok(asked.target_of(resource, None, name.to_owned()).await?)
}

/// The end of a text, from the beginning of a line.
fn newest(text: &str) -> (&str, bool) {
    if text.len() <= MAX_LOG {
        return (text, false);
    }
    let mut start = text.len() - MAX_LOG;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let line = text[start..].find('\n').map_or(start, |end| start + end + 1);
    (&text[line..], true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_long_log_is_left_out_by_lines() {
        let line = "é".repeat(50);
        let log = format!("{line}\n").repeat(4_000);
        let (text, truncated) = newest(&log);
        assert!(truncated && text.len() <= MAX_LOG && text.len() > MAX_LOG - 102);
        assert!(text.starts_with('é') && text.ends_with('\n'));
        assert_eq!(newest("short"), ("short", false));
    }

    #[test]
    fn labels_are_text_or_a_map() {
        assert_eq!(labels(&json!("a in (b,c)")).unwrap(), "a in (b,c)");
        assert_eq!(labels(&json!({ "a": "b", "c": 2, "d": true })).unwrap(), "a=b,c=2,d=true");
        assert_eq!(labels(&Value::Null), None);
    }

    #[test]
    fn paths_pick_what_is_asked_for() {
        let object =
            json!({ "metadata": { "name": "a", "labels": { "x.y/z": "1" } }, "spec": { "n": 2 } });
        let paths = [json!("spec.n"), json!("/metadata/labels/x.y~1z"), json!("status.no")];
        let picked = picked(&object, &read(&paths).unwrap());
        assert_eq!(picked["spec.n"], 2);
        assert_eq!(picked["/metadata/labels/x.y~1z"], "1");
        assert_eq!(picked["status.no"], Value::Null);
        assert_eq!(picked["name"], "a");
        let wrong = read(&[json!("spec[n]")]).unwrap_err();
        assert!(wrong.message.starts_with("`select`: `spec[n]` is no path"), "{wrong:?}");
    }
}
