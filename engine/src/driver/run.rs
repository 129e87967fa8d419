//! One active execution: the only writer of its stream.
//!
//! ```text
//!  load ─▶ turn ─▶ store ─▶ begin ─▶ wait ──results, messages, time──▶ turn …
//!                                      └──nothing under way──▶ park
//! ```
//! A *turn* takes in what was learnt, advances the chain as far as it goes, and stores all of it
//! in one commit together with the intents of new steps; only then are those steps begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use chains::{Input, Program, Step};
use model::{
    Actor, Call, ErrorKind, ExecutionId, Fact, Journal, Outcome, StepError, StepPath, Stream,
    Timestamp, Value, Version,
};
use serde_json::json;
use store::{Recorded, StoreError};
use tokio::sync::mpsc::UnboundedReceiver;

use super::bounds;
use super::flight::Flight;
use super::page::{Page, Place};
use super::perform::Report;
use super::places::Places;
use super::{Driver, Exit, Message};
use crate::core::{Core, Trouble};
use crate::evaluators::Kept;
use crate::fair::Lane;
use crate::packs::{ActionKind, Pack};
use crate::secrets::Opened;

/// What runs: a script, or one action by itself.
pub(super) enum Runs {
    Chain(Program),
    Single,
    /// Its pack's content cannot be had any more.
    Nothing(StepError),
}

pub(super) struct Run {
    pub(super) driver: Driver,
    pub(super) core: Arc<Core>,
    pub(super) id: ExecutionId,
    pub(super) lane: Lane,
    pub(super) journal: Arc<Journal>,
    pub(super) runs: Runs,
    pub(super) pinned: Option<Arc<Pack>>,
    pub(super) input: Arc<Input>,
    /// The evaluation where it waits, of a chain that is long.
    pub(super) kept: Option<Kept>,
    pub(super) flight: Flight,
    /// What its tokens stand for, as far as that was asked for.
    pub(super) opened: Arc<Opened>,
    /// Where steps wait for room.
    pub(super) places: Places,
    /// What the chain asked for when it was last evaluated, until there is an answer it can see.
    pub(super) asked: Option<Vec<Step>>,
    /// Until when its end is held back: too many runs went on too fast.
    pub(super) paced: Option<Timestamp>,
    /// Steps whose intent this task stored and whose first attempt it has not begun.
    pub(super) fresh: BTreeSet<StepPath>,
    /// Children that may have ended: all of them after loading, later those that said so.
    pub(super) asked_children: BTreeSet<StepPath>,
    /// Children that were told to end.
    pub(super) told_children: BTreeSet<StepPath>,
    /// The version of its stream that is stored.
    pub(super) version: Version,
    /// Who asked for it, or for the first of the runs that went on as it.
    pub(super) asked_by: Actor,
    /// What the end of the stream says.
    pub(super) place: Place,
    /// The journal's size.
    pub(super) bytes: usize,
    /// Whether it was said that the journal comes near its bounds.
    pub(super) warned: bool,
}

/// Why an execution's task goes on.
enum Woke {
    Reports(Vec<Report>),
    Message(Message),
    Place,
    Time,
    Idle,
}

impl Run {
    pub(super) async fn load(
        driver: &Driver,
        id: &ExecutionId,
        lane: Lane,
    ) -> Result<Self, Trouble> {
        let core = driver.core.clone();
        let (facts, version) =
            core.store.read(&Stream::Execution(id.clone()), Version::NONE).await?;
        let journal = Journal::of(facts.iter().map(|recorded| &recorded.fact));
        let asked_by = asked_by(&facts, &journal);
        let place = Place::after(facts.last().map(|last| &last.fact));
        let (runs, pinned) = what_runs(&core, &journal).await;
        let input = Arc::new(input(id, &journal, pinned.as_deref()));
        let asked_children = journal.open().map(|(path, _)| path.clone()).collect();
        Ok(Self {
            driver: driver.clone(),
            core,
            id: id.clone(),
            lane,
            journal: Arc::new(journal),
            runs,
            pinned,
            input,
            kept: None,
            opened: Arc::default(),
            flight: Flight::default(),
            places: Places::default(),
            asked: None,
            paced: None,
            fresh: BTreeSet::new(),
            asked_children,
            told_children: BTreeSet::new(),
            version,
            asked_by,
            place,
            bytes: facts.iter().map(|recorded| model::json::length(&recorded.fact)).sum(),
            warned: false,
        })
    }

    pub(super) async fn drive(&mut self, messages: &mut UnboundedReceiver<Message>) -> Exit {
        match self.live(messages).await {
            Ok(exit) => exit,
            Err(Trouble::Store(StoreError::Refused(why))) => match self.hand_over(&why).await {
                Ok(()) => Exit::Done,
                Err(trouble) => Exit::Left(Some(trouble)),
            },
            Err(trouble) => Exit::Left(Some(trouble)),
        }
    }

    /// What the store refuses once it refuses always: a person decides, from what is stored.
    async fn hand_over(&self, why: &str) -> Result<(), Trouble> {
        tracing::error!(execution = %self.id, %why, "the store refuses what the execution came to");
        let mut stored = Self::load(&self.driver, &self.id, self.lane.clone()).await?;
        if stored.journal.outcome.is_some() || stored.journal.attention.is_some() {
            return Ok(());
        }
        let (mut page, at) = (Page::default(), self.core.now());
        let error = bounds::refused_by_the_store(why);
        stored.note(&mut page, Fact::AttentionNeeded { path: None, error, at });
        stored.store(&mut page, Actor::engine()).await
    }

    async fn live(&mut self, messages: &mut UnboundedReceiver<Message>) -> Result<Exit, Trouble> {
        if self.journal.outcome.is_none() {
            // What was said to it before it was loaded comes first.
            while let Ok(message) = messages.try_recv() {
                self.hear(message).await?;
            }
            self.follow_those_above().await?;
        }
        let mut page = Page::default();
        loop {
            let next = self.turn(page).await?;
            if self.journal.outcome.is_some() {
                self.tell_parent();
                self.refuse(messages);
                return Ok(Exit::Done);
            }
            page = Page::default();
            match self.wait(next, messages).await {
                Woke::Reports(reports) => {
                    for report in reports {
                        self.learn(report, &mut page).await?;
                    }
                }
                Woke::Message(message) => self.hear(message).await?,
                Woke::Time | Woke::Place => {}
                Woke::Idle if self.core.stopping.is_cancelled() => return Ok(Exit::Left(None)),
                Woke::Idle if self.rests() => return Ok(Exit::Done),
                Woke::Idle => return self.park(next).await,
            }
        }
    }

    /// Waits for whatever comes first. Results that are at hand together come together.
    async fn wait(
        &mut self,
        next: Option<Timestamp>,
        messages: &mut UnboundedReceiver<Message>,
    ) -> Woke {
        let core = self.core.clone();
        // An active execution keeps its own time.
        while let Ok(message) = messages.try_recv() {
            if !matches!(message, Message::Wake) {
                return Woke::Message(message);
            }
        }
        let stopping = core.stopping.is_cancelled();
        let soon = next.filter(|at| !stopping && *at <= self.driver.hold.after(core.now()));
        if self.flight.is_empty() && self.places.is_empty() && soon.is_none() {
            return Woke::Idle;
        }
        let time = async {
            match next.filter(|_| !stopping) {
                Some(at) => core.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(message) = messages.recv() => Woke::Message(message),
            reports = self.flight.landed(), if !self.flight.is_empty() => Woke::Reports(reports),
            () = self.places.come(), if !self.places.is_empty() => Woke::Place,
            () = time => Woke::Time,
            () = core.stopping.cancelled(), if !stopping => Woke::Time,
        }
    }

    async fn park(&mut self, wake_at: Option<Timestamp>) -> Result<Exit, Trouble> {
        // A child may end and this process die before its parent has heard of it: the next start asks.
        let asks_children = self.journal.open().any(|(_, e)| matches!(e.call, Call::Child { .. }));
        let until = wake_at.filter(|_| !asks_children);
        if self.place != Place::Parked(until) {
            let mut page = Page::default();
            self.note(&mut page, Fact::ExecutionParked { until, at: self.core.now() });
            self.store(&mut page, Actor::engine()).await?;
        }
        Ok(Exit::Parked(wake_at))
    }

    /// Answers messages that came too late; what a parent says is for the run that goes on, if one does.
    fn refuse(&self, messages: &mut UnboundedReceiver<Message>) {
        let Some(Outcome { state, continued_as, .. }) = &self.journal.outcome else { return };
        while let Ok(message) = messages.try_recv() {
            if let Some(next) = continued_as
                && message.is_from_parent()
            {
                self.driver.send(next.clone(), self.lane.clone(), message);
            } else if let Message::Cancel { reply, .. }
            | Message::Pause { reply, .. }
            | Message::Resume { reply, .. }
            | Message::Resolve { reply, .. } = message
            {
                // Who asked may have gone.
                let _ = reply.send(Err(super::Refused::Ended(*state)));
            }
        }
    }
}

/// Who asked for the execution of this journal, or for the first of the runs that went on as it.
pub(crate) fn asked_by(facts: &[Recorded], journal: &Journal) -> Actor {
    let own = || facts.first().map_or_else(Actor::engine, |first| first.actor.clone());
    journal.first_by.clone().unwrap_or_else(own)
}

async fn what_runs(core: &Core, journal: &Journal) -> (Runs, Option<Arc<Pack>>) {
    let Some(request) = &journal.request else {
        let error = StepError::new(ErrorKind::Internal, "the execution's request is missing");
        return (Runs::Nothing(error), None);
    };
    let Some(hash) = request.pack else { return (Runs::Single, None) };
    match core.library.pack(&core.folders, hash).await {
        Ok(pack) => {
            let action = pack.actions.get(request.action.name());
            let runs = match action.map(|action| &action.kind) {
                Some(ActionKind::Chain(program)) => Runs::Chain(program.clone()),
                Some(ActionKind::Program(_)) | None => Runs::Single,
            };
            (runs, Some(pack))
        }
        Err(error) => (Runs::Nothing(error), None),
    }
}

pub(super) fn input(id: &ExecutionId, journal: &Journal, pack: Option<&Pack>) -> Input {
    let request = journal.request.as_ref();
    Input {
        execution: id.clone(),
        parameters: request.map(|r| r.parameters.clone()).unwrap_or_default(),
        config: pack.map_or_else(|| json!({}), |pack| pack.config_with(&journal.settings)),
        context: journal.inherited.first().map_or_else(
            || context(id, journal, pack),
            // What was taken over was asked for with what the first one saw.
            |first| first.context.clone(),
        ),
    }
}

/// What a chain sees as `execution`.
pub(crate) fn context(id: &ExecutionId, journal: &Journal, pack: Option<&Pack>) -> Value {
    let request = journal.request.as_ref();
    let origin = request.map(|request| &request.origin);
    json!({
            "id": id.as_str(),
            "action": request.map(|r| r.action.as_str()),
            "pack": pack.map(|pack| pack.name.as_str()),
            "rule": origin.and_then(|o| o.rule()).map(ToString::to_string),
            "event": origin.and_then(|o| o.event()).map(model::EventKey::as_str),
            "parent": id.parent().map(|(parent, _)| parent.to_string()),
            "depth": request.map_or(0, |r| r.depth),
            "requested_at": request.map(|r| r.at.to_string()),
    })
}
