//! One active execution: the only writer of its stream.
//!
//! ```text
//!  load ─▶ turn ─▶ store ─▶ begin ─▶ wait ──results, messages, time──▶ turn …
//!                                      └──nothing under way──▶ park
//! ```
//! A *turn* takes in what was learnt, advances the chain as far as it goes, and stores all of it
//! in one commit together with the intents of new steps; only then are those steps begun.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chains::{Input, Program, Step};
use model::{
    Actor, BatchId, ErrorKind, Event, ExecutionId, Fact, Journal, PackName, StepError, StepPath,
    Stream, Timestamp, Value, Version,
};
use serde_json::json;
use store::{
    Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, MAX_SEALED_CHANGES, Sealing, StoreError,
    Write,
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::bounds;
use super::flight::Flight;
use super::perform::{Job, Report};
use super::places::Places;
use super::{Driver, Exit, Message};
use crate::core::{Core, Trouble};
use crate::decide::decide_under;
use crate::fair::{Lane, Permit};
use crate::notices;
use crate::packs::{ActionKind, Generation, Pack};
use crate::pages::{Begun, Room};
use crate::permissions::Rights;
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
    pub(super) flight: Flight,
    /// What its tokens stand for, as far as that was asked for.
    pub(super) opened: Arc<Opened>,
    /// Where steps wait for room.
    pub(super) places: Places,
    /// What the chain asked for when it was last evaluated, until there is an answer it can see.
    pub(super) asked: Option<Vec<Step>>,
    /// Steps whose intent this task stored and whose first attempt it has not begun.
    pub(super) fresh: BTreeSet<StepPath>,
    /// Children that may have ended: all of them after loading, later those that said so.
    pub(super) asked_children: BTreeSet<StepPath>,
    /// Children that were told to end.
    pub(super) told_children: BTreeSet<StepPath>,
    version: Version,
    place: Place,
    /// The journal's size.
    pub(super) bytes: usize,
    /// Whether it was said that the journal comes near its bounds.
    pub(super) warned: bool,
}

/// What the end of the stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is parked until then.
    Parked(Option<Timestamp>),
    /// It goes on.
    Open,
}

impl Place {
    fn after(last: Option<&Fact>) -> Self {
        match last {
            Some(Fact::ExecutionParked { until, .. }) => Self::Parked(*until),
            _ => Self::Open,
        }
    }
}

/// What a turn wants stored, and done once it is.
#[derive(Default)]
pub(super) struct Page {
    noted: VecDeque<Noted>,
    /// What the commit brings into being.
    pub(super) begun: Begun,
    pub(super) jobs: Vec<(Job, Permit)>,
}

/// A fact of the execution, and those of other streams that belong into the same commit.
struct Noted {
    fact: Fact,
    sides: Vec<Write>,
    sealing: Vec<Sealing>,
}

impl Noted {
    fn facts(&self) -> usize {
        1 + self.sides.iter().map(|side| side.facts.len()).sum::<usize>()
    }

    fn bytes(&self) -> usize {
        let sides = self.sides.iter().flat_map(|side| &side.facts);
        std::iter::once(&self.fact).chain(sides).map(|fact| fact.encode().len()).sum()
    }
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
            opened: Arc::default(),
            flight: Flight::default(),
            places: Places::default(),
            asked: None,
            fresh: BTreeSet::new(),
            asked_children,
            told_children: BTreeSet::new(),
            version,
            place,
            bytes: facts.iter().map(|recorded| recorded.fact.encode().len()).sum(),
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

    async fn park(&mut self, until: Option<Timestamp>) -> Result<Exit, Trouble> {
        if self.place != Place::Parked(until) {
            let mut page = Page::default();
            self.note(&mut page, Fact::ExecutionParked { until, at: self.core.now() });
            self.store(&mut page, Actor::engine()).await?;
        }
        Ok(Exit::Parked(until))
    }

    /// Takes a fact in and puts it on the page.
    pub(super) fn note(&mut self, page: &mut Page, fact: Fact) {
        self.note_with(page, fact, Vec::new());
    }

    /// The same, together with facts of other streams.
    pub(super) fn note_with(&mut self, page: &mut Page, fact: Fact, sides: Vec<Write>) {
        self.note_all(page, fact, sides, Vec::new());
    }

    /// The same, together with changes of encrypted records.
    pub(super) fn note_sealing(&mut self, page: &mut Page, fact: Fact, sealing: Vec<Sealing>) {
        self.note_all(page, fact, Vec::new(), sealing);
    }

    fn note_all(&mut self, page: &mut Page, fact: Fact, sides: Vec<Write>, sealing: Vec<Sealing>) {
        let fact = bounds::fitted(fact);
        if chain_sees(&fact) {
            self.asked = None;
        }
        Arc::make_mut(&mut self.journal).apply(&fact);
        page.noted.push_back(Noted { fact, sides, sealing });
    }

    /// Takes in facts that are stored already.
    pub(super) fn take_in(&mut self, facts: &[Fact]) {
        self.asked = None;
        let journal = Arc::make_mut(&mut self.journal);
        for fact in facts {
            journal.apply(fact);
        }
    }

    /// The same, together with what the engine tells of the fact, if it does.
    pub(super) async fn note_telling(
        &mut self,
        page: &mut Page,
        fact: Fact,
    ) -> Result<(), Trouble> {
        self.note_telling_with(page, fact, Vec::new()).await
    }

    /// The same, together with facts of other streams.
    pub(super) async fn note_telling_with(
        &mut self,
        page: &mut Page,
        fact: Fact,
        mut sides: Vec<Write>,
    ) -> Result<(), Trouble> {
        let generation = self.core.generation.load_full();
        let told = match &self.journal.request {
            Some(request) => {
                notices::of_execution(&self.core, &generation, &self.id, request, &fact)
            }
            None => Vec::new(),
        };
        for event in told {
            sides.extend(self.told(page, &generation, event).await?);
        }
        self.note_with(page, fact, sides);
        Ok(())
    }

    /// A notice of the engine's own, with what rules make of it.
    pub(super) async fn told(
        &self,
        page: &mut Page,
        generation: &Arc<Generation>,
        event: Event,
    ) -> Result<Vec<Write>, Trouble> {
        let decided = decide_under(&self.core, generation, event, None, Room::SHARE).await?;
        page.begun.add(&decided.writes);
        Ok(decided.writes)
    }

    /// Stores what is on the page; its jobs stay on it.
    pub(super) async fn store(&mut self, page: &mut Page, actor: Actor) -> Result<(), Trouble> {
        while let Some((facts, sides, sealing)) = next_part(&mut page.noted) {
            let place = Place::after(facts.last());
            match self.append_sealing(sides, facts, actor.clone(), sealing).await? {
                Appended::Committed { .. } => self.place = place,
                Appended::Conflict { stream, actual } => {
                    return Err(Trouble::Overtaken { stream, actual });
                }
            }
        }
        self.driver.take_up(std::mem::take(&mut page.begun));
        Ok(())
    }

    /// Appends facts of this execution and of others in one batch. This one's come last, so that
    /// the batch's position is its new version.
    pub(super) async fn append(
        &mut self,
        writes: Vec<Write>,
        facts: Vec<Fact>,
        actor: Actor,
    ) -> Result<Appended, Trouble> {
        self.append_sealing(writes, facts, actor, Vec::new()).await
    }

    /// The same, together with changes of encrypted records.
    pub(super) async fn append_sealing(
        &mut self,
        mut writes: Vec<Write>,
        facts: Vec<Fact>,
        actor: Actor,
        sealing: Vec<Sealing>,
    ) -> Result<Appended, Trouble> {
        let stream = Stream::Execution(self.id.clone());
        let id = BatchId::new(format!("{stream}@{}", self.version.0));
        self.bytes += facts.iter().map(|fact| fact.encode().len()).sum::<usize>();
        writes.push(Write { stream, expected: Some(self.version), facts });
        let batch = Batch { id, actor, at: self.core.now(), writes };
        let (appended, batch) = self.core.append_keeping(batch, sealing).await?;
        let told = batch.writes.last().map_or(&[][..], |own| &own.facts);
        if let Appended::Committed { position } = &appended {
            self.version = Version(position.0);
            self.observe(told);
        }
        Ok(appended)
    }

    /// The pack on whose behalf steps are performed: the chain's own, or that of the rule that
    /// asks for the action.
    pub(super) fn owner(&self) -> Option<PackName> {
        let rule = || self.journal.request.as_ref()?.origin.rule().map(|rule| rule.pack.clone());
        self.pinned.as_ref().map(|pack| pack.name.clone()).or_else(rule)
    }

    /// The pack that a step is made for: the chain's own, or that of the rule that asks for the
    /// action. None: a person does.
    fn caller(&self) -> Option<PackName> {
        match &self.runs {
            Runs::Chain(_) | Runs::Nothing(_) => self.pinned.as_ref().map(|pack| pack.name.clone()),
            Runs::Single => self.rule_pack(),
        }
    }

    fn rule_pack(&self) -> Option<PackName> {
        self.journal.request.as_ref()?.origin.rule().map(|rule| rule.pack.clone())
    }

    /// What the steps of this execution may do now.
    pub(super) fn rights(&self) -> Rights {
        self.rights_of(self.caller().as_ref())
    }

    pub(super) fn rights_of(&self, caller: Option<&PackName>) -> Rights {
        let (generation, environment) =
            (self.core.generation.load_full(), self.core.environment.load_full());
        Rights::of(generation, environment, caller, self.pinned.as_ref())
    }

    /// Why a rule may not run this chain of another pack; asked before it begins.
    pub(super) fn forbidden(&self) -> Option<StepError> {
        let journal = &self.journal;
        let begun =
            journal.undo.is_some() || !journal.entries.is_empty() || !journal.records.is_empty();
        let (Runs::Chain(_), Some(rule_pack), false) = (&self.runs, self.rule_pack(), begun) else {
            return None;
        };
        let action = &self.journal.request.as_ref()?.action;
        self.rights_of(Some(&rule_pack)).action(action).err()
    }

    /// Answers messages that came too late.
    fn refuse(&self, messages: &mut UnboundedReceiver<Message>) {
        let Some(state) = self.journal.outcome.as_ref().map(|outcome| outcome.state) else {
            return;
        };
        while let Ok(message) = messages.try_recv() {
            if let Message::Cancel { reply, .. }
            | Message::Pause { reply, .. }
            | Message::Resume { reply, .. }
            | Message::Resolve { reply, .. } = message
            {
                // Who asked may have gone.
                let _ = reply.send(Err(super::Refused::Ended(state)));
            }
        }
    }
}

/// Whether a chain that is evaluated again may go on otherwise because of `fact`.
const fn chain_sees(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::StepIntended { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptCutOff { .. }
            | Fact::AttemptFailed { .. }
            | Fact::ExecutionParked { .. }
    )
}

/// As much from the front as fits into one batch, at least one fact with its sides.
fn next_part(noted: &mut VecDeque<Noted>) -> Option<(Vec<Fact>, Vec<Write>, Vec<Sealing>)> {
    let first = noted.pop_front()?;
    let (mut count, mut bytes) = (first.facts(), first.bytes());
    let (mut facts, mut sides, mut sealing) = (vec![first.fact], first.sides, first.sealing);
    while let Some(next) = noted.front() {
        count += next.facts();
        bytes += next.bytes();
        let records = sealing.len() + next.sealing.len();
        if count > MAX_BATCH_FACTS || bytes > MAX_BATCH_BYTES / 2 || records > MAX_SEALED_CHANGES {
            break;
        }
        let next = noted.pop_front()?;
        facts.push(next.fact);
        sides.extend(next.sides);
        sealing.extend(next.sealing);
    }
    Some((facts, sides, sealing))
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

fn input(id: &ExecutionId, journal: &Journal, pack: Option<&Pack>) -> Input {
    let request = journal.request.as_ref();
    Input {
        execution: id.clone(),
        parameters: request.map(|r| r.parameters.clone()).unwrap_or_default(),
        config: pack.map_or_else(|| json!({}), |pack| (*pack.config).clone()),
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
