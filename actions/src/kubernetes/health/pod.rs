//! Pods, and why one will never be ready.

use super::super::object::Object;
use super::{Health, degraded, healthy, progressing};
use model::Value;

pub(super) fn pod(pod: Object<'_>) -> Health {
    if let Some((reason, message)) = waiting(pod).find(|(reason, _)| is_trouble(reason)) {
        return degraded(words(reason, message));
    }
    match pod.text("/status/phase") {
        "Succeeded" => healthy(),
        "Failed" => degraded(failure(pod)),
        _ if pod.condition_is("Ready", "True").is_some() => healthy(),
        "Running" => progressing("its containers are not ready"),
        _ => progressing(not_started(pod)),
    }
}

/// Why this pod will not get better by itself, where its kubelet has tried more than once: an image
/// that cannot be had, a container that ends again and again.
pub(in crate::kubernetes) fn doomed(pod: &Value) -> Option<String> {
    let pod = Object(pod);
    let hopeless = |reason: &str| reason.ends_with("BackOff") || reason == "InvalidImageName";
    let (reason, message) = waiting(pod).find(|(reason, _)| hopeless(reason))?;
    Some(words(reason, message))
}

/// What its containers wait for: reason and message.
fn waiting(pod: Object<'_>) -> impl Iterator<Item = (&str, &str)> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists.into_iter().flat_map(move |list| pod.list(list));
    statuses
        .map(|status| status.at("/state/waiting"))
        .map(|waiting| (waiting.text("/reason"), waiting.text("/message")))
        .filter(|(reason, _)| !reason.is_empty())
}

fn is_trouble(reason: &str) -> bool {
    let named = reason.starts_with("Err") || reason.ends_with("Error");
    named || reason.ends_with("BackOff") || reason == "InvalidImageName"
}

fn words(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

/// Why a pod that failed did: its own words, or how its containers ended.
fn failure(pod: Object<'_>) -> String {
    let own = words(pod.text("/status/reason"), pod.text("/status/message"));
    if !own.is_empty() {
        return own;
    }
    let mut statuses = pod.list("/status/containerStatuses");
    let ended = statuses.find(|status| status.number("/state/terminated/exitCode") != 0);
    match ended {
        Some(status) => format!(
            "the container `{}` ended with exit code {}",
            status.text("/name"),
            status.number("/state/terminated/exitCode"),
        ),
        None => "it failed".to_owned(),
    }
}

fn not_started(pod: Object<'_>) -> String {
    match pod.condition_is("PodScheduled", "False") {
        Some(unscheduled) => unscheduled.message,
        None => "it has not started".to_owned(),
    }
}
