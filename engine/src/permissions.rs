//! What a pack may do, asked when a step's intent is made.
//!
//! A step is made for the pack whose chain calls it, or whose rule asks for it. That pack's
//! *current* `permissions` hold, also for executions that began under others, and no more of them
//! than its environment grants. A person who runs an action is governed by their role instead; the
//! chain that they run, by its pack. Named secrets are for packs alone: by hand they have commands of
//! their own. What is not asked for is denied. An action or a connection that another pack passed to a chain
//! as a parameter must be allowed to that pack too.

use std::collections::BTreeSet;
use std::sync::Arc;

use host::connection::{OWN_CLUSTER, used};
use host::guard::{self, HostPattern};
use model::fact::Passed;
use model::{ActionRef, ErrorKind, PackName, StepError, TriggerType, Value, token};
use serde_json::json;

use crate::environment::{Environment, PackEnvironment};
use crate::packs::{Generation, Pack, Place, Resolved, fits_pattern, fits_secret, is_built_in};
use crate::passed::{self, LEFT_OUT};

/// What may be done for one pack, or for a person.
pub(crate) struct Rights {
    generation: Arc<Generation>,
    environment: Arc<Environment>,
    caller: Caller,
    /// Who else must be allowed what has one of these names: they passed it on.
    behalf: Vec<(Self, BTreeSet<String>)>,
}

enum Caller {
    Person,
    Pack(Arc<Pack>),
    /// A pack that is not there any more: nothing says what it may do.
    Gone(PackName),
}

impl Rights {
    /// What may be done for `caller`, by its current content; where that is gone, by the one that
    /// is `pinned`. Without a caller, for a person.
    pub(crate) fn of(
        generation: Arc<Generation>,
        environment: Arc<Environment>,
        caller: Option<&PackName>,
        pinned: Option<&Arc<Pack>>,
    ) -> Self {
        let caller = caller.map_or(Caller::Person, |name| {
            let pinned = pinned.filter(|pack| pack.name == *name);
            let pack = generation.packs.get(name).or(pinned);
            pack.map_or_else(|| Caller::Gone(name.clone()), |pack| Caller::Pack(pack.clone()))
        });
        Self { generation, environment, caller, behalf: Vec::new() }
    }

    /// What may be done for another caller, at the same time.
    pub(crate) fn of_another(&self, caller: Option<&PackName>, pinned: Option<&Arc<Pack>>) -> Self {
        Self::of(self.generation.clone(), self.environment.clone(), caller, pinned)
    }

    /// The packs as they are.
    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The same, where these packs passed names on.
    pub(crate) fn on_behalf_of(self, passed: Vec<Passed>) -> Self {
        let behalf = passed.into_iter().map(|Passed { pack, names }| {
            let (generation, environment) = (self.generation.clone(), self.environment.clone());
            (Self::of(generation, environment, Some(&pack), None), names)
        });
        Self { behalf: behalf.collect(), ..self }
    }

    /// Whether this call may be made.
    pub(crate) fn check(
        &self,
        action: &ActionRef,
        resolved: &Resolved,
        parameters: &Value,
    ) -> Result<(), StepError> {
        self.exec(resolved)?;
        self.action(action)?;
        // A parameter of a pack's own action may be called `connection` too.
        let (named, connection) = if resolved.version().is_none() {
            named_openly(action, parameters)?;
            let named = parameters.get("connection").and_then(Value::as_str);
            (named, used(action.as_str(), named))
        } else {
            (None, None)
        };
        match (&self.caller, connection) {
            (Caller::Pack(pack), Some(name)) => connected(pack, name)?,
            (_, None) if action.as_str() == "http.request" => self.host(parameters)?,
            _ => {}
        }
        self.passed_on(action, named, connection)
    }

    /// Whether who passed these on may use them: the action and the connection, which was named or not.
    fn passed_on(
        &self,
        action: &ActionRef,
        named: Option<&str>,
        used: Option<&str>,
    ) -> Result<(), StepError> {
        let chosen = named.filter(|name| !self.is_configured(name));
        for (rights, names) in &self.behalf {
            let is_theirs = names.contains(action.as_str());
            if is_theirs {
                rights.action(action)?;
            }
            let connection = match named {
                Some(_) => chosen.filter(|name| names.contains(*name)),
                // Whoever chose the action, or the connection, left it out.
                None => used.filter(|_| is_theirs || names.contains(LEFT_OUT)),
            };
            connection.map_or(Ok(()), |name| rights.lent(name))?;
        }
        Ok(())
    }

    /// Whether the pack has this text among its settings: then it is no choice of who passed it too.
    fn is_configured(&self, text: &str) -> bool {
        matches!(&self.caller, Caller::Pack(pack) if passed::holds(&pack.config, text))
    }

    /// Whether the connection may be used, and is lent.
    fn lent(&self, name: &str) -> Result<(), StepError> {
        match &self.caller {
            Caller::Person => Ok(()),
            Caller::Gone(pack) => Err(denied(pack, "connections", name)),
            Caller::Pack(pack) => {
                connected(pack, name)?;
                let spec = self.environment.connections.get(name);
                let kept = spec.filter(|spec| !spec.admits(&pack.name));
                kept.map_or(Ok(()), |spec| Err(not_lent(&pack.name, name, &spec.at)))
            }
        }
    }

    /// Whether the host of a request may be reached, as far as its URL says by itself. The address
    /// behind a name is looked at when the request is made.
    fn host(&self, parameters: &Value) -> Result<(), StepError> {
        let url = parameters.get("url").and_then(Value::as_str).unwrap_or_default();
        // What stands for a secret, or is no such URL, is judged when it is performed.
        let read = actions::http_url(url).ok();
        let Some(url) = read.filter(|url| !token::is_in(url.as_str())) else {
            return Ok(());
        };
        let hosts = self.hosts();
        let Err(blocked) = guard::permit(&hosts, &url) else { return Ok(()) };
        let pack = match &self.caller {
            Caller::Person => None,
            Caller::Gone(name) => Some(name),
            Caller::Pack(pack) => Some(&pack.name),
        };
        let asks =
            |pack: &Arc<Pack>| guard::permit(&patterns(&pack.permissions.hosts), &url).is_ok();
        match &self.caller {
            Caller::Pack(pack) if asks(pack) => {
                Err(self.not_granted(&pack.name, "hosts", &guard::shown(&url)))
            }
            _ => Err(actions::host_denied(pack, &hosts, &url, &blocked)),
        }
    }

    /// Whether this action may be run at all.
    pub(crate) fn action(&self, action: &ActionRef) -> Result<(), StepError> {
        let asked = action.as_str();
        let pack = match &self.caller {
            Caller::Person => return Ok(()),
            Caller::Gone(name) => return Err(denied(name, "actions", asked)),
            // `secret(path)`: the path decides.
            Caller::Pack(_) if asked == "secrets.get" => return Ok(()),
            Caller::Pack(pack) if action.pack() == pack.name.as_str() => return Ok(()),
            Caller::Pack(pack) => pack,
        };
        if !pack.permissions.allows_action(action) {
            return Err(denied(&pack.name, "actions", asked));
        }
        let granted = self.granted(&pack.name).and_then(|env| env.grants.actions.as_ref());
        match granted {
            Some(granted) if !granted.iter().any(|pattern| fits_pattern(pattern, asked)) => {
                Err(self.not_granted(&pack.name, "actions", asked))
            }
            _ => Ok(()),
        }
    }

    /// Whether a chain may emit an event of this type: one of its own pack's, or another pack's that
    /// it asks for. What is built in is told by sensors and by the engine alone.
    pub(crate) fn event(&self, kind: &TriggerType) -> Result<(), StepError> {
        let asked = kind.as_str();
        let pack = match &self.caller {
            Caller::Person => return Ok(()),
            Caller::Gone(name) => return Err(denied(name, "events", asked)),
            Caller::Pack(pack) => pack,
        };
        if is_built_in(kind) && kind.pack() != pack.name.as_str() {
            let message = format!(
                "`{asked}` is not emitted by chains: sensors and the engine tell it; declare a type of the pack's own in its folder `triggers`"
            );
            return Err(error(message, &pack.name, "events", asked));
        }
        if !pack.permissions.allows_event(&pack.name, kind) {
            return Err(denied(&pack.name, "events", asked));
        }
        let granted = self.granted(&pack.name).and_then(|env| env.grants.events.as_ref());
        match granted.filter(|_| kind.pack() != pack.name.as_str()) {
            Some(granted) if !granted.iter().any(|pattern| fits_pattern(pattern, asked)) => {
                Err(self.not_granted(&pack.name, "events", asked))
            }
            _ => Ok(()),
        }
    }

    /// Whether the secret that is called so, by a path or as outside of the store, may be used. By a person never: whoever may run actions may
    /// not therefore use or change every secret, which takes an admin and has commands of its own.
    pub(crate) fn secret(&self, path: &str) -> Result<(), StepError> {
        let pack = match &self.caller {
            Caller::Person => return Err(by_hand(path)),
            Caller::Gone(name) => return Err(denied(name, "secrets", path)),
            Caller::Pack(pack) => pack,
        };
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| fits_secret(pattern, path));
        if !fits(&pack.permissions.secrets) {
            return Err(denied(&pack.name, "secrets", path));
        }
        match self.granted(&pack.name).and_then(|env| env.grants.secrets.as_ref()) {
            Some(granted) if !fits(granted) => Err(self.not_granted(&pack.name, "secrets", path)),
            _ => Ok(()),
        }
    }

    /// A program runs on this machine, or in a cluster: its own pack must be allowed that, whoever
    /// calls it.
    fn exec(&self, resolved: &Resolved) -> Result<(), StepError> {
        let Resolved::Program { pack, action, place, .. } = resolved else { return Ok(()) };
        if action.metadata().effect.is_none() {
            // What stands for a chain in a test of its pack: programs declare their effect.
            return Ok(());
        }
        let current = self.generation.packs.get(&pack.name).unwrap_or(pack);
        if let Place::Cluster { connection, .. } = place {
            return self.job(current, connection.as_deref());
        }
        self.programs(current)
    }

    /// Whether programs of `pack` may run on this machine.
    pub(crate) fn programs(&self, pack: &Pack) -> Result<(), StepError> {
        if !pack.permissions.exec {
            return Err(denied(&pack.name, "exec", "true"));
        }
        match self.granted(&pack.name).and_then(|env| env.grants.exec) {
            Some(false) => Err(self.not_granted(&pack.name, "exec", "true")),
            _ => Ok(()),
        }
    }

    /// Whether programs of `pack` may run as Jobs: it is what `kubernetes.run_job` does.
    fn job(&self, pack: &Arc<Pack>, connection: Option<&str>) -> Result<(), StepError> {
        let rights = Self {
            generation: self.generation.clone(),
            environment: self.environment.clone(),
            caller: Caller::Pack(pack.clone()),
            behalf: Vec::new(),
        };
        rights.action(&run_job())?;
        connected(pack, connection.unwrap_or(OWN_CLUSTER))
    }

    /// The hosts that may be reached over HTTP: public ones for a person, for a pack those that it
    /// asks for.
    pub(crate) fn hosts(&self) -> Vec<HostPattern> {
        match &self.caller {
            Caller::Person => patterns(&["*".to_owned()]),
            Caller::Pack(pack) => self.granted_hosts(pack),
            Caller::Gone(_) => Vec::new(),
        }
    }

    /// What it asks for, and no farther than its environment lets it.
    fn granted_hosts(&self, pack: &Pack) -> Vec<HostPattern> {
        let asked = patterns(&pack.permissions.hosts);
        let granted = self.granted(&pack.name).and_then(|env| env.grants.hosts.as_ref());
        match granted {
            Some(granted) => guard::granted(&asked, granted),
            None => asked,
        }
    }

    fn granted(&self, pack: &PackName) -> Option<&PackEnvironment> {
        self.environment.packs.get(pack)
    }

    fn not_granted(&self, pack: &PackName, permission: &str, asked: &str) -> StepError {
        let at = self.granted(pack).map(|env| format!("{}:{}", env.at.file, env.at.line));
        let message = format!(
            "the environment does not grant `{pack}` what it asks for, {}: see `packs.{pack}.permissions.{permission}` ({})",
            shown(permission, asked),
            at.unwrap_or_default()
        );
        error(message, pack, permission, asked)
    }
}

/// What a program does that runs as a Job.
pub(crate) fn run_job() -> ActionRef {
    "kubernetes.run_job".parse().unwrap_or_else(|error| unreachable!("{error}"))
}

/// These entries of `hosts`.
pub(crate) fn patterns(texts: &[String]) -> Vec<HostPattern> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

const CONNECTIONS: &str = "names of connections";

/// What a built-in action is judged by before secrets are put in must stand there as it is meant: as a
/// secret, a name would be judged by its token and used as what that stands for.
fn named_openly(action: &ActionRef, parameters: &Value) -> Result<(), StepError> {
    let judged: &[(&str, &str)] = match action.pack() {
        "secrets" => &[("path", "paths of secrets")],
        "http" => &[("connection", CONNECTIONS), ("secrets", "places in an answer")],
        _ => &[("connection", CONNECTIONS)],
    };
    let holds = |name: &str| parameters.get(name).is_some_and(token::is_within);
    let Some((name, what)) = judged.iter().find(|(name, _)| holds(name)) else { return Ok(()) };
    let message = format!(
        "the parameters of `{action}` don't fit: `{name}` holds a secret's token, and {what} are no secrets: give it as plain text, and take `secret: true` from the parameter or the result that it comes from"
    );
    Err(StepError::new(ErrorKind::InvalidParameters, message))
}

fn connected(pack: &Pack, name: &str) -> Result<(), StepError> {
    let asked = &pack.permissions.connections;
    match asked.iter().any(|pattern| fits_pattern(pattern, name)) {
        true => Ok(()),
        false => Err(denied(&pack.name, "connections", name)),
    }
}

fn denied(pack: &PackName, permission: &str, asked: &str) -> StepError {
    let (what, line) = match permission {
        "exec" => ("run programs on the server".to_owned(), "exec: true".to_owned()),
        "events" => (format!("emit `{asked}`"), format!("events: [{asked}]")),
        "connections" if asked == OWN_CLUSTER => {
            ("use the server's own cluster".to_owned(), format!("connections: [{OWN_CLUSTER}]"))
        }
        "connections" => {
            (format!("use the connection `{asked}`"), format!("connections: [{asked}]"))
        }
        _ => (format!("use `{asked}`"), format!("{permission}: [{asked}]")),
    };
    let message =
        format!("the pack `{pack}` may not {what}: add `{line}` to `permissions` in its pack.yaml");
    error(message, pack, permission, asked)
}

fn not_lent(pack: &PackName, name: &str, at: &str) -> StepError {
    let message = format!(
        "the connection `{name}` is not lent to the pack `{pack}`: add `{pack}` to its `packs` at {at}"
    );
    error(message, pack, "connections", name)
}

fn by_hand(path: &str) -> StepError {
    let message = format!(
        "the secret `{path}` cannot be used by an action that is run by hand: an admin gives it a value with `tripline secret set {path}`; a chain uses it as its pack's `permissions.secrets` allow"
    );
    StepError::new(ErrorKind::Denied, message)
        .with_details(json!({ "permission": "secrets", "asked": path }))
}

fn shown(permission: &str, asked: &str) -> String {
    match permission {
        "exec" => "`exec: true`".to_owned(),
        _ => format!("`{asked}`"),
    }
}

fn error(message: String, pack: &PackName, permission: &str, asked: &str) -> StepError {
    let details = json!({ "pack": pack, "permission": permission, "asked": asked });
    StepError::new(ErrorKind::Denied, message).with_details(details)
}
