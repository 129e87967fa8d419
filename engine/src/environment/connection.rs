//! One entry of `connections:`.

use std::path::Path;

use host::connection::{Auth, ConnectionSpec, OWN_CLUSTER, Target};
use host::git::{Credentials, Git, Options};
use host::http::Url;
use host::secret::{FORMS, SecretRef};
use model::diagnostic::suggest;
use model::{Diagnostic, Name};
use syntax::{Entry, Fields, Kind, Node};

/// Fields of every connection.
const COMMON: [&str; 5] = ["type", "description", "credentials", "requests_per_second", "packs"];
/// Types with somebody who uses them, and the fields of their own.
const TYPES: [(&str, &[&str]); 3] = [
    ("git", &["url"]),
    ("http", &["base_url", "auth"]),
    ("kubernetes", &["server", "ca", "context", "burst"]),
];
/// Types that the documents know and this version does not.
const LATER: [&str; 9] =
    ["argocd", "aws", "consul", "github", "gitlab", "nats", "slack", "smtp", "vault"];

/// Reads a connection; relative paths in it start from `folder`.
pub(super) fn parse(entry: &Entry, folder: &Path) -> Result<ConnectionSpec, Vec<Diagnostic>> {
    let name = entry.key.name().parse::<Name>();
    let name = name.map_err(|error| vec![entry.key.error(error.to_string())])?;
    let own = own_fields(&entry.value)?;
    let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    let fields = Fields::new(&entry.value, &known, &[]);
    fields.optional("description").string();
    let kind = fields.required("type").string();
    let credentials = fields.optional("credentials").node();
    let credentials = match credentials.map(|node| reference("credentials", node, folder)) {
        Some(read) => fields.part(read).map(Some),
        None => Some(None),
    };
    let target = match kind.as_deref() {
        Some("git") => git(&fields, folder),
        Some("http") => http(&fields, credentials.as_ref().is_some_and(Option::is_some)),
        Some("kubernetes") => {
            kubernetes(&fields, credentials.as_ref().is_none_or(Option::is_some), folder)
        }
        _ => None,
    };
    if let (OWN_CLUSTER, Some(at), Some(kind)) = (
        name.as_str(),
        entry.value.get("type"),
        kind.as_deref().filter(|kind| *kind != "kubernetes"),
    ) {
        let message =
            format!("`{OWN_CLUSTER}` is the cluster of those who name none, not of type `{kind}`");
        fields.report(at.error(message).with_hint("write `type: kubernetes`, or rename it"));
    }
    let packs = fields.required("packs").strings();
    let rate = fields.optional("requests_per_second").node();
    let rate = rate.and_then(|node| fields.part(self::rate(node)));
    let at = entry.key.location();
    let spec = target.zip(credentials).zip(packs).map(|((target, credentials), packs)| {
        let at = format!("{}:{}", at.file, at.line);
        ConnectionSpec {
            name: name.to_string(),
            target,
            credentials,
            requests_per_second: rate,
            packs,
            at,
        }
    });
    fields.finish(spec)
}

/// The fields that belong to the connection's type, or what is wrong with the type.
fn own_fields(node: &Node) -> Result<&'static [&'static str], Vec<Diagnostic>> {
    // Without a type any field may be right: only what is missing is told.
    const ANY: &[&str] = &["url", "base_url", "auth", "server", "ca", "context", "burst"];
    let Some(at) = node.get("type") else { return Ok(ANY) };
    let Some(kind) = at.as_str() else { return Ok(ANY) };
    if let Some((_, own)) = TYPES.iter().find(|(name, _)| *name == kind) {
        return Ok(own);
    }
    let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let finding = if LATER.contains(&kind) {
        let message =
            format!("connections of type `{kind}` are not supported by this version of Tripline");
        at.error(message).with_hint(format!("known here: {}", known.join(", ")))
    } else {
        let hint = match suggest(kind, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        at.error(format!("there is no connection type `{kind}`")).with_hint(hint)
    };
    Err(vec![finding])
}

/// A reference to a secret. What is none may be the secret itself.
fn reference(name: &str, node: &Node, folder: &Path) -> Result<SecretRef, Vec<Diagnostic>> {
    match SecretRef::read(&node.to_value()) {
        Some(SecretRef::File(path)) => Ok(SecretRef::File(folder.join(path))),
        Some(reference) => Ok(reference),
        None => {
            let message =
                format!("`{name}`: expected a reference to a secret, found {}", node.describe());
            Err(vec![node.error(message).with_hint(FORMS)])
        }
    }
}

fn rate(node: &Node) -> Result<f64, Vec<Diagnostic>> {
    let rate = match node.kind() {
        Kind::Number(number) => number.as_f64(),
        _ => None,
    };
    rate.filter(|rate| (0.001..=10_000.0).contains(rate)).ok_or_else(|| {
        let message = "`requests_per_second`: expected a number from 0.001 to 10000";
        vec![node.error(message).with_hint("write it as 5, or 0.5 for one in two seconds")]
    })
}

fn git(fields: &Fields<'_>, folder: &Path) -> Option<Target> {
    let field = fields.required("url");
    let (url, node) = (field.string()?, field.node()?);
    // Whether local repositories are allowed is a matter of the server's settings.
    let git = Git::new(Options { allow_local: host::git::Local::Anywhere, ..Options::default() });
    let is_path = !url.contains(':') && !url.starts_with('-');
    let url = if is_path { folder.join(&url).to_string_lossy().into_owned() } else { url };
    if let Err(error) = git.remote(&url, Credentials::None) {
        fields.report(node.error(format!("`url`: {error}")));
        return None;
    }
    Some(Target::Git { url })
}

fn http(fields: &Fields<'_>, has_credentials: bool) -> Option<Target> {
    let field = fields.required("base_url");
    let (text, node) = (field.string()?, field.node()?);
    let base_url = match base(&text) {
        Ok(url) => url,
        Err(message) => {
            fields.report(node.error(format!("`base_url`: {message}")));
            return None;
        }
    };
    let auth = match fields.optional("auth").node() {
        None => Auth::Bearer,
        Some(node) => {
            if !has_credentials {
                let finding =
                    node.error("`auth` says how credentials are sent, and there are none");
                fields.report(finding.with_hint("add `credentials: { env: NAME }`"));
            }
            fields.part(auth(node))?
        }
    };
    Some(Target::Http { base_url, auth })
}

/// A cluster: by the address of its API and a token, by a kubeconfig, or as the server gets in.
fn kubernetes(fields: &Fields<'_>, has_credentials: bool, folder: &Path) -> Option<Target> {
    let server = fields.optional("server").node();
    let context = fields.optional("context");
    let (context_at, context) = (fields.optional("context").node(), context.string());
    let ca_at = fields.optional("ca").node();
    let ca = ca_at.map(|node| fields.part(reference("ca", node, folder)));
    if let (Some(node), false) = (server, has_credentials) {
        let finding = node.error("`server` is asked with a token, and there is none");
        fields.report(finding.with_hint("add `credentials: { env: NAME }`, or leave `server` out to get in as Tripline itself does"));
    }
    if let (Some(_), Some(node)) = (server, context_at) {
        let finding = node.error("`context` is one of a kubeconfig, and here is a `server`");
        fields.report(finding.with_hint("remove one of the two"));
    }
    if let (None, Some(node)) = (server, ca_at) {
        let finding = node.error("`ca` is for a `server`: a kubeconfig brings its own");
        fields.report(finding.with_hint("add `server: https://…`, or remove `ca`"));
    }
    let burst = fields.optional("burst").integer(1, 100_000);
    let server = match fields.optional("server").string() {
        Some(text) => Some(api_server(fields, &text, server?)?),
        None => None,
    };
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    Some(Target::Kubernetes { server, ca: ca.flatten(), context, burst })
}

fn api_server(fields: &Fields<'_>, text: &str, node: &Node) -> Option<String> {
    match base(text) {
        Ok(url) if url.scheme() == "https" => return Some(url.to_string()),
        Ok(_) => {
            let message = "`server`: a token is sent over https alone".to_owned();
            fields.report(node.error(message).with_hint("write it as https://host:6443"));
        }
        Err(message) => fields.report(node.error(format!("`server`: {message}"))),
    }
    None
}

/// What URLs begin with: its path ends with a slash.
fn base(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme is `{}`: expected http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a user: put it into `credentials` instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a base has neither `?` nor `#`".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn auth(node: &Node) -> Result<Auth, Vec<Diagnostic>> {
    let hint = "write `bearer`, `basic`, or `{ header: X-Api-Key }`";
    match node.as_str() {
        Some("bearer") => return Ok(Auth::Bearer),
        Some("basic") => return Ok(Auth::Basic),
        // The credentials themselves may stand here: they are not shown.
        Some(_) => return Err(vec![node.error("`auth`: unknown value").with_hint(hint)]),
        None => {}
    }
    let fields = Fields::new(node, &["header"], &[]);
    let header = fields.required("header").string();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if header.as_ref().is_some_and(|name| name.is_empty() || !name.bytes().all(token)) {
        fields.report(node.error("`header` is not the name of a header").with_hint(hint));
    }
    fields.finish(header.map(Auth::Header))
}
