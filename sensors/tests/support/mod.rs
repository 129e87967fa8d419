//! A sink that remembers, and a sensor that runs beside the test.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::Clock;
use model::{Event, Value};
use sensors::{Context, Emission, Memory, Sensor, SensorError, SensorState, Sink, SinkError};
use tokio_util::sync::CancellationToken;

/// Remembers what was emitted, and the cursor stored last.
#[derive(Default)]
pub struct Recorder(Mutex<Recorded>);

/// What a recorder remembers.
#[derive(Default)]
pub struct Recorded {
    pub emissions: Vec<Emission>,
    pub cursor: Option<Value>,
    pub seen: BTreeMap<String, Value>,
    pub states: Vec<SensorState>,
    /// The next emissions that are not stored.
    pub refuse: usize,
    /// From so many emissions on, each is stored and nobody is told, until this is none.
    pub held: Option<usize>,
    /// Whether the state was restored from a backup since the cursor was stored.
    pub behind: bool,
}

impl Recorder {
    pub fn look<T>(&self, at: impl FnOnce(&mut Recorded) -> T) -> T {
        at(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every event, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.look(|recorded| recorded.emissions.iter().flat_map(|e| e.events.clone()).collect())
    }

    pub fn cursor(&self) -> Option<Value> {
        self.look(|recorded| recorded.cursor.clone())
    }

    /// Waits until `wanted` holds.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Recorded) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !self.look(|recorded| wanted(recorded)) {
            assert!(tokio::time::Instant::now() < deadline, "waited too long: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Sink for Recorder {
    fn emit(&self, emission: Emission) -> BoxFuture<'_, Result<(), SinkError>> {
        let stored = self.look(|recorded| {
            if recorded.refuse > 0 {
                recorded.refuse -= 1;
                return Err(SinkError("the store is closed".to_owned()));
            }
            recorded.cursor = emission.cursor.clone().or(recorded.cursor.take());
            assert!(emission.seen.len() <= sensors::MAX_SEEN, "{}", emission.seen.len());
            for (object, entry) in emission.seen.clone() {
                match entry {
                    Some(entry) => recorded.seen.insert(object, entry),
                    None => recorded.seen.remove(&object),
                };
            }
            recorded.emissions.push(emission);
            Ok(())
        });
        async move {
            let free = |it: &Recorded| it.held.is_none_or(|held| it.emissions.len() < held);
            self.until("it is let go", free).await;
            stored
        }
        .boxed()
    }

    fn state(&self, state: SensorState) {
        self.look(|recorded| recorded.states.push(state));
    }
}

impl Memory for Recorder {
    fn seen<'a>(
        &'a self,
        objects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>, SinkError>> {
        let entry = |recorded: &mut Recorded, object| recorded.seen.get(object).cloned();
        let found = self.look(|it| objects.iter().map(|object| entry(it, object)).collect());
        futures::future::ready(Ok(found)).boxed()
    }

    fn all<'a>(
        &'a self,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>, SinkError>> {
        let found = self.look(|recorded| {
            let later = recorded.seen.iter().filter(|(object, _)| object.as_str() > after);
            later.take(limit).map(|(object, entry)| (object.clone(), entry.clone())).collect()
        });
        futures::future::ready(Ok(found)).boxed()
    }
}

/// A sensor that runs until it is stopped.
pub struct Running {
    sensor: Arc<dyn Sensor>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), SensorError>>,
}

impl Running {
    /// Starts `sensor` from the cursor that `recorder` holds.
    pub fn start(sensor: Arc<dyn Sensor>, recorder: Arc<Recorder>, clock: Clock) -> Self {
        let cancel = CancellationToken::new();
        let (token, told) = (cancel.clone(), sensor.clone());
        let task = tokio::spawn(async move {
            let context = Context {
                source: "tripline:test/app/sensor".to_owned(),
                cursor: recorder.cursor(),
                behind: recorder.look(|recorded| recorded.behind),
                sink: recorder.as_ref(),
                memory: recorder.as_ref(),
                clock,
                cancel: token,
            };
            sensor.run(context).await
        });
        Self { sensor: told, cancel, task }
    }

    /// Says that what it found is right.
    pub fn confirm(&self) {
        self.sensor.confirm();
    }

    /// Has it look now.
    pub fn poke(&self) {
        self.sensor.poke();
    }

    /// Tells it to end and waits for that.
    pub async fn stop(self) -> Result<(), SensorError> {
        self.cancel.cancel();
        self.task.await.unwrap()
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> Result<(), SensorError> {
        self.task.await.unwrap()
    }
}

/// The event's data holds what its trigger type says.
pub fn assert_fits(event: &Event) {
    let kinds = sensors::trigger_types();
    let kind = kinds.iter().find(|kind| kind.name == event.envelope.kind.as_str()).unwrap();
    let schema = model::Schema::compile(&kind.payload).unwrap();
    assert_eq!(schema.violations(&event.data), [], "{}", event.data);
    let names: Vec<&String> = event.data.as_object().unwrap().keys().collect();
    assert_eq!(names, kind.payload.keys().collect::<Vec<_>>(), "each name, and no other");
}
