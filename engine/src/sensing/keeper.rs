//! One task for each sensor: run, and after a failure run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use model::{Actor, Event, Timestamp, Value};
use sensors::{Context, Emission, HEALTHY, LeftOut, Memory, Sensor, SensorState, Sink, SinkError};
use tokio::sync::Mutex;

use super::catching_up;
use super::forgetting::{self, forget};
use super::status::{Turn, status};
use super::told::{self, Told};
use super::{Running, misses_nothing};
use crate::core::{Core, Trouble};
use crate::driver::Driver;
use crate::intake::{self, IntakeError};
use crate::notices;

/// The first and the longest delay before a failed sensor is started again.
const RESTART_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Keeps one sensor's task running.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) core: Arc<Core>,
    pub(super) driver: Driver,
    pub(super) source: String,
    pub(super) sensor: Arc<Running>,
    pub(super) anew: Arc<AtomicBool>,
    /// Held while an emission is being stored.
    pub(super) storing: Arc<Mutex<()>>,
    pub(super) turn: Arc<Mutex<()>>,
}

impl Keeper {
    pub(super) async fn keep(self, task: Arc<dyn Sensor>) {
        // Its predecessor may still be ending.
        let _turn = self.turn.lock().await;
        self.run(task).await;
        if self.sensor.unwanted.is_cancelled()
            && let Err(error) = self.forget().await
        {
            let sensor = &self.sensor.subscription.id;
            tracing::warn!(%sensor, %error, "what a sensor remembered that ended stays");
        }
    }

    async fn forget(&self) -> Result<(), Trouble> {
        let sensor = &self.sensor.subscription;
        if misses_nothing(sensor) {
            forget(&self.core, &sensor.id).await?;
        }
        let told = status(&self.sensor.status).told;
        if told != Told::default() {
            told::forget(&self.core, &sensor.id).await?;
        }
        Ok(())
    }

    async fn run(&self, task: Arc<dyn Sensor>) {
        let mut delay = RESTART_DELAYS.0;
        while !self.sensor.cancel.is_cancelled() {
            let begun = self.core.clock.stands().passed;
            match self.run_once(task.as_ref()).await {
                Ok(()) if self.sensor.cancel.is_cancelled() => return,
                Ok(()) => {
                    self.state(SensorState::Waiting("nothing will happen again".to_owned()));
                    self.wait(None).await;
                }
                Err(error) => {
                    let ran = self.core.clock.stands().passed.saturating_sub(begun);
                    // Events alone are no sign of health: it may tell one and fail each time.
                    if ran > HEALTHY.to_std() {
                        delay = RESTART_DELAYS.0;
                    }
                    let next_try = self.core.now().saturating_add(delay).unwrap_or(Timestamp::MAX);
                    tracing::warn!(sensor = %self.sensor.subscription.address(), %error, "the sensor failed");
                    self.state(SensorState::Failing { error, next_try });
                    self.wait(Some(delay)).await;
                    delay = (delay * 2).min(RESTART_DELAYS.1);
                    status(&self.sensor.status).restarts += 1;
                }
            }
        }
    }

    async fn run_once(&self, task: &dyn Sensor) -> Result<(), String> {
        let id = &self.sensor.subscription.id;
        let anew = self.anew.load(Ordering::Relaxed);
        let mut stood = match anew {
            true => None,
            false => self.core.store.cursor(id).await.map_err(|error| error.to_string())?,
        };
        if stood.as_ref().is_some_and(|row| forgetting::is_begun(&row.cursor)) {
            forget(&self.core, id).await.map_err(|error| error.to_string())?;
            stood = None;
        }
        let behind = !anew && catching_up::is_behind(&self.core, stood.as_ref());
        if behind && stood.is_none() {
            catching_up::begin(&self.core, id).await.map_err(|error| error.to_string())?;
        }
        self.sensor.behind.store(behind, Ordering::Relaxed);
        let cursor = stood.map(|row| row.cursor).filter(|cursor| !cursor.is_null());
        status(&self.sensor.status).begin(task.begins());
        let run = self.sensor.cancel.child_token();
        let context = Context {
            source: self.source.clone(),
            cursor,
            behind,
            sink: self,
            memory: self,
            clock: self.core.clock.clone(),
            cancel: run.clone(),
        };
        let ended = task.run(context).await;
        // One that ends may leave what it emitted last behind: the next begins where that leads.
        drop(self.storing.lock().await);
        ended.map_err(|error| error.to_string())
    }

    /// Stores what the sensor has emitted.
    async fn store(&self, emission: Emission) -> Result<(), IntakeError> {
        let count = emission.events.len() as u64;
        let happened = emission.events.last().map(|event| event.envelope.time);
        let Emission { mut events, cursor, seen, left_out, dated } = emission;
        events.extend(left_out.iter().map(|one| self.left_out(one)));
        let sensor = self.sensor.subscription.id.clone();
        let behind = self.sensor.behind.load(Ordering::Relaxed);
        let told_until = behind.then(|| catching_up::told_until(&self.core, dated)).flatten();
        let standing = Some(intake::Standing { sensor, cursor, seen, behind, told_until });
        let actor = Actor::engine();
        intake::accept(&self.core, &self.driver, &actor, events, standing).await?;
        self.anew.store(false, Ordering::Relaxed);
        let turn = {
            let mut status = status(&self.sensor.status);
            status.count(count, happened, self.core.now());
            status.left_out += left_out.len() as u64;
            status.works()
        };
        self.tell(turn, &SensorState::Running);
        Ok(())
    }

    /// Tells of a sensor that begins to fail or to wait for a person, and of one that works again.
    fn tell(&self, turn: Option<Turn>, state: &SensorState) {
        let sensor = &self.sensor.subscription;
        let event = match (turn, state) {
            (Some(Turn::Failing), SensorState::Failing { error, next_try }) => {
                notices::sensor_failing(&self.core, sensor, error, *next_try)
            }
            (Some(Turn::Guarded), SensorState::Guarded { missing, of }) => {
                notices::sensor_needs_confirmation(&self.core, sensor, (*missing, *of), state)
            }
            (Some(Turn::Recovered), _) => notices::sensor_recovered(&self.core, sensor),
            _ => return,
        };
        let told = status(&self.sensor.status).told.of(&sensor.id);
        let (core, driver) = (self.core.clone(), self.driver.clone());
        self.core.tasks.spawn(async move {
            let (actor, events) = (Actor::engine(), vec![event]);
            if let Err(error) = intake::accept(&core, &driver, &actor, events, Some(told)).await {
                tracing::warn!(%error, "how a sensor stands could not be told as an event");
            }
        });
    }

    fn left_out(&self, one: &LeftOut) -> Event {
        let sensor = &self.sensor.subscription;
        let LeftOut { subject, operation, reason, .. } = one;
        tracing::warn!(sensor = %sensor.address(), subject, operation, reason, "no rule can be told of it");
        notices::sensor_left_out(&self.core, sensor, one)
    }

    /// Waits for the delay to pass or the end.
    async fn wait(&self, delay: Option<Duration>) {
        let passed = async {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = passed => {}
            () = self.sensor.cancel.cancelled() => {}
        }
    }
}

impl Memory for Keeper {
    fn seen<'a>(
        &'a self,
        objects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>, SinkError>> {
        let asked = self.core.store.seen(&self.sensor.subscription.id, objects);
        asked.map_err(|error| SinkError(error.to_string())).boxed()
    }

    fn all<'a>(
        &'a self,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>, SinkError>> {
        let asked = self.core.store.all_seen(&self.sensor.subscription.id, after, limit);
        asked.map_err(|error| SinkError(error.to_string())).boxed()
    }
}

impl Sink for Keeper {
    fn emit(&self, emission: Emission) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            let (keeper, one) = (self.clone(), self.storing.clone().lock_owned().await);
            let stored = self.core.whole(async move {
                let _one = one;
                keeper.store(emission).await
            });
            stored.await.map_err(|error| SinkError(error.to_string()))
        }
        .boxed()
    }

    fn state(&self, state: SensorState) {
        // A sensor runs once its first look is over. Of a program nobody knows when that is.
        if matches!(state, SensorState::Running) && self.sensor.subscription.kind != "process" {
            self.sensor.behind.store(false, Ordering::Relaxed);
        }
        let turn = status(&self.sensor.status).stand(&state);
        self.tell(turn, &state);
    }
}
