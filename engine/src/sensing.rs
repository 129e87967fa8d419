//! Sensors under supervision: one task each, started and ended as rules come and go.
//!
//! A sensor that fails is started again from its stored cursor, after a delay that grows; it never
//! takes another with it, and it always says how it stands.

mod catching_up;
mod forgetting;
mod keeper;
mod rights;
mod status;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::connection::{Connection, used};
use host::git::{Git, Mirrors};
use host::guard::HostPattern;
use host::secret::SecretRef;
use model::{EventSource, Hash, Name, Schema, Timestamp, Value};
use sensors::{BuildContext, Built, PackContext, SensorState};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use self::forgetting::forget;
use self::keeper::Keeper;
use self::rights::{lookup, permit};
use self::status::{Status, status};
use crate::core::{Core, Trouble};
use crate::driver::Driver;
use crate::packs::{Generation, Pack, Subscription};

/// Runs the sensors that the active packs need.
pub(crate) struct Sensing {
    core: Arc<Core>,
    driver: Driver,
    git: Git,
    mirrors: Mirrors,
    running: Mutex<BTreeMap<String, Running>>,
    /// Whether a generation was followed: what begins later begins anew, not after a downtime.
    followed: AtomicBool,
    /// Held by the task of the sensor with this id: two never run at the same time.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Secrets that somebody asked for.
type Asked = Arc<Mutex<BTreeSet<String>>>;

/// One sensor under supervision.
#[derive(Clone)]
struct Running {
    subscription: Subscription,
    /// What of its pack it was made from, where it uses files of it: another is another sensor.
    made_from: Option<Hash>,
    /// The pack content in whose copy these files lie.
    content: Option<Hash>,
    /// The connection it uses: a changed one is another sensor.
    connection: Option<Arc<Connection>>,
    /// Whether its pack may run programs: one that may not any more ends.
    exec: Result<(), String>,
    /// The hosts that its pack may reach: others are another sensor.
    hosts: Vec<HostPattern>,
    built: Result<Built, String>,
    /// What was asked for on its behalf, there or not, as `permissions.secrets` calls it.
    secrets: Asked,
    /// Those of them that its pack may not use: others are another sensor.
    denied: BTreeSet<String>,
    status: Arc<Mutex<Status>>,
    /// Whether it has yet to catch up since the state was restored: what it tells, the server that was
    /// lost may have told too.
    behind: Arc<AtomicBool>,
    cancel: CancellationToken,
    /// Fires when no rule needs it any more.
    unwanted: CancellationToken,
}

impl Sensing {
    /// Which sensor watches which repository.
    pub(crate) fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The packs' contents in whose copies sensors' files lie: an earlier one than is active, where
    /// nothing that a program sees has changed since.
    pub(crate) fn contents(&self) -> BTreeSet<Hash> {
        self.lock().values().filter_map(|sensor| sensor.content).collect()
    }

    /// No sensors yet. `git` and `mirrors` are shared with the actions.
    pub(crate) fn new(core: Arc<Core>, driver: Driver, git: Git, mirrors: Mirrors) -> Self {
        let (running, followed, turns) =
            (Mutex::default(), AtomicBool::new(false), Mutex::default());
        Self { core, driver, git, mirrors, running, followed, turns }
    }

    /// Follows the first generation. Timers that it does not want have ended before, even if nobody
    /// was there to see it: should they be wanted again, they begin anew.
    pub(crate) async fn begin(&self, generation: &Arc<Generation>) -> Result<(), Trouble> {
        for id in self.core.store.cursors().await?.into_keys() {
            // No pack has a dot in its name: these are no named sensors.
            if id.starts_with("timer.") && !generation.subscriptions.contains_key(&id) {
                forget(&self.core, &id).await?;
            }
        }
        let told = told::before(&self.core, generation).await?;
        let stood =
            told.into_iter().map(|(id, told)| (id, Status::new(SensorState::Running, told)));
        self.change(generation, stood.collect());
        Ok(())
    }

    /// Starts what `generation` needs and does not run, ends what it does not need.
    pub(crate) fn follow(&self, generation: &Arc<Generation>) {
        self.change(generation, BTreeMap::new());
    }

    /// `former`: how those stood that an engine before this one ran.
    fn change(&self, generation: &Arc<Generation>, mut former: BTreeMap<String, Status>) {
        let mut running = self.lock();
        running.retain(|id, sensor| {
            let wanted = generation.subscriptions.get(id);
            let keep = wanted.is_some_and(|wanted| *wanted == sensor.subscription)
                && made_from(generation, &sensor.subscription) == sensor.made_from
                && self.same_connection(sensor)
                && self.may_exec(generation, &sensor.subscription) == sensor.exec
                && self.hosts(generation, &sensor.subscription) == sensor.hosts
                && self.denied(generation, &sensor.subscription, &sensor.secrets) == sensor.denied;
            if !keep {
                if wanted.is_none() {
                    sensor.unwanted.cancel();
                }
                self.end(sensor);
                former.insert(id.clone(), status(&sensor.status).clone());
            }
            keep
        });
        let downtime = !self.followed.swap(true, Ordering::Relaxed);
        for (id, subscription) in &generation.subscriptions {
            if !running.contains_key(id) {
                let anew = !downtime && misses_nothing(subscription);
                let before = former.get(id);
                let started = self.start(generation, subscription.clone(), anew, before);
                running.insert(id.clone(), started);
            }
        }
    }

    /// `anew`: its stored cursor is of a former life and does not count. `before`: how the one stood
    /// whose place it takes.
    fn start(
        &self,
        generation: &Arc<Generation>,
        subscription: Subscription,
        anew: bool,
        before: Option<&Status>,
    ) -> Running {
        let secrets = Asked::default();
        let connection = self.connection(&subscription);
        let stored =
            connection.as_ref().and_then(|connection| match &connection.spec.credentials {
                Some(SecretRef::Stored(path)) => Some(path.clone()),
                _ => None,
            });
        secrets.lock().unwrap_or_else(PoisonError::into_inner).extend(stored);
        let built = self.build(generation, &subscription, &secrets);
        let state = match &built {
            Ok(Built::Task(task)) => task.begins(),
            Ok(_) => SensorState::Running,
            Err(error) => SensorState::Waiting(error.clone()),
        };
        let sensor = Running {
            made_from: made_from(generation, &subscription),
            content: of_pack(generation, &subscription).map(|pack| pack.hash),
            exec: self.may_exec(generation, &subscription),
            hosts: self.hosts(generation, &subscription),
            denied: self.denied(generation, &subscription, &secrets),
            connection,
            subscription,
            built,
            secrets,
            status: Arc::new(Mutex::new(Status::after(before, state))),
            behind: Arc::default(),
            cancel: self.core.stopping.child_token(),
            unwanted: CancellationToken::new(),
        };
        if let Ok(Built::Task(task)) = &sensor.built {
            let keeper = Keeper {
                core: self.core.clone(),
                driver: self.driver.clone(),
                source: self.source(&sensor.subscription.id),
                sensor: Arc::new(sensor.clone()),
                anew: Arc::new(AtomicBool::new(anew)),
                storing: Arc::default(),
                turn: self.turn(&sensor.subscription.id),
            };
            self.core.tasks.spawn(keeper.keep(task.clone()));
        }
        sensor
    }

    /// Tells it to end. From here on no action finds its repository, nor the credentials with it:
    /// the one that takes its place brings its own, if it may.
    fn end(&self, sensor: &Running) {
        sensor.cancel.cancel();
        if let Some(reference) = &sensor.subscription.sensor {
            self.mirrors.remove(reference);
        }
    }

    fn turn(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(id.to_owned()).or_default().clone()
    }

    fn source(&self, id: &str) -> String {
        format!("tripline:{}/{id}", self.core.installation)
    }

    fn build(
        &self,
        generation: &Arc<Generation>,
        subscription: &Subscription,
        asked: &Asked,
    ) -> Result<Built, String> {
        let sensor = subscription.sensor.clone();
        let pack = sensor.as_ref().and_then(|sensor| generation.packs.get(&sensor.pack));
        let folder =
            pack.map_or_else(|| self.core.folders.root().to_owned(), |pack| pack.folder.clone());
        let mut context = BuildContext::new(self.source(&subscription.id), folder);
        let shares = subscription.shares.iter().map(|(hash, own)| {
            (self.source(&format!("{}/{hash}", subscription.kind)), own.clone())
        });
        context.shares = shares.collect();
        context.sensor = sensor;
        context.users = subscription.users.iter().cloned().collect();
        context.pack = pack.map(|pack| PackContext {
            name: pack.name.clone(),
            types: own_types(pack),
            exec: self.may_exec(generation, subscription),
            programs: self.core.library.context().programs.clone(),
            log: self.core.folders.sensor_log(&subscription.id),
        });
        context.mirrors_folder = self.core.folders.git();
        context.mirrors = self.mirrors.clone();
        context.git = self.git.clone();
        context.connections = self.core.connections.clone();
        context.secret = lookup(&self.core);
        context.hosts = Some(self.hosts(generation, subscription));
        context.asked_hosts = Self::asked_hosts(generation, subscription);
        context.permit = permit(&self.core, self.rights(generation, subscription), asked);
        sensors::build(&subscription.kind, &subscription.parameters, &context).map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(String::new, |error| {
                let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}{hint}", error.message)
            })
        })
    }

    fn connection(&self, subscription: &Subscription) -> Option<Arc<Connection>> {
        let named = subscription.parameters.get("connection").and_then(Value::as_str);
        self.core.connections.get(used(&subscription.kind, named)?)
    }

    fn same_connection(&self, sensor: &Running) -> bool {
        match (self.connection(&sensor.subscription), &sensor.connection) {
            (Some(now), Some(before)) => Arc::ptr_eq(&now, before),
            (now, before) => now.is_none() && before.is_none(),
        }
    }

    /// Lets sensors follow the secrets they asked for, until the engine stops.
    pub(crate) async fn follow_secrets(&self, mut changes: Receiver<String>) {
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = self.core.stopping.cancelled() => return,
            };
            match change {
                Ok(path) => self.secret_changed(Some(&path)),
                Err(RecvError::Lagged(_)) => self.secret_changed(None),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Makes sensors anew that asked for the secret `path`; without one, all that asked for any.
    fn secret_changed(&self, path: Option<&str>) {
        let asked = |sensor: &Running| {
            let asked = sensor.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            path.map_or(!asked.is_empty(), |path| asked.contains(path))
        };
        let generation = self.core.generation.load();
        let mut running = self.lock();
        for sensor in running.values_mut().filter(|sensor| asked(sensor)) {
            self.end(sensor);
            let before = status(&sensor.status).clone();
            *sensor = self.start(&generation, sensor.subscription.clone(), false, Some(&before));
        }
    }

    /// Starts a sensor again at once. False if none is called so.
    pub(crate) fn restart(&self, name: &str, generation: &Arc<Generation>) -> bool {
        let mut running = self.lock();
        let sensor = running.values().find(|sensor| sensor.subscription.is_called(name));
        let Some(sensor) = sensor.cloned() else { return false };
        // Made anew, so that its secrets are read again too.
        self.end(&sensor);
        let before = status(&sensor.status).clone();
        let again = self.start(generation, sensor.subscription.clone(), false, Some(&before));
        running.insert(again.subscription.id.clone(), again);
        true
    }

    /// Tells a sensor that what it found is right, and that it has caught up. False if none is called
    /// so.
    pub(crate) async fn confirm(&self, name: &str) -> Result<bool, Trouble> {
        let sensor = {
            let running = self.lock();
            running.values().find(|sensor| sensor.subscription.is_called(name)).cloned()
        };
        let Some(sensor) = sensor else { return Ok(false) };
        if let Ok(Built::Task(task)) = &sensor.built {
            task.confirm();
        }
        if sensor.behind.swap(false, Ordering::Relaxed) {
            catching_up::over(&self.core, &sensor.subscription.id).await?;
        }
        Ok(true)
    }

    /// Whether the sensor that `name` means is a program that has yet to catch up since the state was
    /// restored: it does not say itself when it has.
    pub(crate) fn is_behind(&self, name: &str) -> bool {
        let running = self.lock();
        let mut called = running.values().filter(|sensor| sensor.subscription.is_called(name));
        called.any(|sensor| {
            sensor.subscription.kind == "process" && sensor.behind.load(Ordering::Relaxed)
        })
    }

    /// What people call the sensor that `name` means.
    pub(crate) fn address(&self, name: &str) -> Option<String> {
        let running = self.lock();
        let mut subscriptions = running.values().map(|sensor| &sensor.subscription);
        subscriptions.find(|subscription| subscription.is_called(name)).map(Subscription::address)
    }

    /// Every sensor with how it stands.
    pub(crate) fn list(&self) -> Vec<(Subscription, Status)> {
        let running = self.lock();
        running.values().map(|s| (s.subscription.clone(), status(&s.status).clone())).collect()
    }

    /// The next firings of a timer.
    pub(crate) fn upcoming(
        &self,
        id: &str,
        cursor: Option<&Value>,
        count: usize,
    ) -> Vec<Timestamp> {
        match self.lock().get(id).map(|sensor| &sensor.built) {
            Some(Ok(Built::Task(task))) => task.upcoming(cursor, self.core.now(), count),
            _ => Vec::new(),
        }
    }

    /// The verifier of a webhook sensor, or why there is none.
    pub(crate) fn webhook(
        &self,
        id: &str,
    ) -> Option<Result<Arc<sensors::webhook::Webhook>, String>> {
        match &self.lock().get(id)?.built {
            Ok(Built::Webhook(webhook)) => Some(Ok(webhook.clone())),
            Ok(Built::Task(_)) => None,
            Err(error) => Some(Err(error.clone())),
        }
    }

    /// Lets the sensor with this id look at its source now. One that cannot be built has said so.
    pub(crate) fn poke(&self, id: &str) {
        if let Some(Ok(Built::Task(task))) = self.lock().get(id).map(|sensor| &sensor.built) {
            task.poke();
        }
    }

    /// Whether any webhook sensor exists.
    pub(crate) fn has_webhooks(&self) -> bool {
        self.lock().values().any(|sensor| sensor.subscription.kind == "webhook")
    }

    /// Counts an event of a sensor that is no task.
    pub(crate) fn count(&self, id: &str, happened: Timestamp) {
        if let Some(sensor) = self.lock().get(id) {
            status(&sensor.status).count(1, Some(happened), self.core.now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what happens while no rule needs the sensor is nothing that it missed: the times of a
/// timer. They count again once somebody wants them.
fn misses_nothing(subscription: &Subscription) -> bool {
    subscription.kind.starts_with("timer")
}

fn of_pack<'a>(generation: &'a Generation, subscription: &Subscription) -> Option<&'a Arc<Pack>> {
    generation.packs.get(&subscription.sensor.as_ref()?.pack)
}

fn made_from(generation: &Generation, subscription: &Subscription) -> Option<Hash> {
    // Programs, and relative paths in parameters, lie in the pack's folder.
    let within = subscription.kind == "process"
        || subscription.parameters.values().any(|value| value.to_string().contains("\"file\""));
    of_pack(generation, subscription).filter(|_| within).map(|pack| pack.material)
}

/// The event types that the pack's files in `triggers/` make.
fn own_types(pack: &Pack) -> BTreeMap<Name, Schema> {
    pack.triggers.iter().map(|(name, spec)| (name.clone(), spec.payload.clone())).collect()
}

/// The source of what a person emits through the API.
pub(crate) fn api_source(core: &Core, token: &str) -> String {
    let emitter = model::source::Emitter::Api(token.to_owned());
    EventSource { installation: core.installation.clone(), emitter }.to_string()
}
