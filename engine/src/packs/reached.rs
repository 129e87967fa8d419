//! URLs that stand in a pack's files, against the hosts that it asks for: a request that would be
//! denied whenever it was made is told when the pack is loaded.

use chains::{NamedCall, Written};
use host::guard::{HostPattern, permit, shown};
use host::http::Url;
use model::{Location, Value};
use rules::Action;

use super::Pack;

/// A host that the pack does not ask for, as an entry of `hosts` would name it, and where it stands.
pub(super) type Unlisted = (String, Location);

/// What a chain's call of `http.request` writes out.
pub(super) fn by_call(pack: &Pack, call: &NamedCall) -> Option<Unlisted> {
    let named = |name: &str| call.parameters.iter().find(|(own, ..)| own == name);
    // With a connection, what is below its address is allowed by who declared it.
    if !is_request(call.action.as_str()) || named("connection").is_some() {
        return None;
    }
    let (_, written, at) = named("url")?;
    let url = match written {
        Written::Value(value) => whole(value.as_str()?),
        Written::Beginning(text) => beginning(text),
        Written::Computed => None,
    };
    Some((unlisted(pack, &url?)?, at.clone()))
}

/// The same of a rule's action.
pub(super) fn by_rule(pack: &Pack, action: &Action) -> Option<Unlisted> {
    let parameters = &action.parameters;
    let given = |name: &str| parameters.names().any(|own| own == name);
    if !is_request(action.reference.as_str()) || given("connection") {
        return None;
    }
    let literals = parameters.literals();
    let url = match literals.get("url").and_then(Value::as_str) {
        Some(text) => whole(text),
        None => parameters.beginning("url").and_then(beginning),
    };
    let at = parameters.location_of("url").unwrap_or_else(|| action.location.clone());
    Some((unlisted(pack, &url?)?, at))
}

fn is_request(action: &str) -> bool {
    action == "http.request"
}

fn whole(text: &str) -> Option<Url> {
    Url::parse(text).ok()
}

/// A text that a computed part follows names a host only if it goes on behind it.
fn beginning(text: &str) -> Option<Url> {
    let (_, rest) = text.split_once("://")?;
    rest.contains(['/', '?', '#']).then(|| whole(text))?
}

fn unlisted(pack: &Pack, url: &Url) -> Option<String> {
    let hosts = pack.permissions.hosts.iter().filter_map(|host| host.parse::<HostPattern>().ok());
    permit(&hosts.collect::<Vec<_>>(), url).is_err().then(|| shown(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_url_names_its_host_only_where_that_is_whole() {
        for (text, expected) in [
            ("https://api.example.com/items/", Some("api.example.com")),
            ("https://api.example.com:8443/", Some("api.example.com:8443")),
            ("https://api.example.com?x=", Some("api.example.com")),
            ("https://api.example.com", None),
            ("https://api.", None),
            ("https://", None),
            ("", None),
        ] {
            let host = beginning(text).map(|url| shown(&url));
            assert_eq!(host.as_deref(), expected, "{text}");
        }
    }
}
