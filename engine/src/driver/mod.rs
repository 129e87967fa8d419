//! The driver: owns executions that have not ended.
//!
//! ```text
//!  submit ──▶ queue (fair by rule) ──▶ active: one task each (run.rs)
//!                 ▲                        │ nothing under way
//!                 └── wakes (time) ◀── parked: in the store only
//! ```
//!
//! A parked execution costs an entry in `wakes`, nothing else: its journal is read again when its
//! time comes. One task per execution is the only writer of that execution's stream.

mod answers;
pub(crate) mod ask;
mod begin;
pub(crate) mod bounds;
mod children;
mod continuing;
mod datastore;
mod flight;
pub(crate) mod handing;
mod hear;
mod holding;
mod learn;
mod observe;
mod page;
mod perform;
mod places;
mod restored;
mod result;
mod rights;
pub(crate) mod run;
mod schedule;
mod secrets;
mod settings;
pub(crate) mod single;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Actor, ExecutionId, ExecutionState, Resolution, StepPath, Timestamp};
use store::{StoreError, Unfinished};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Instrument;

use self::holding::By;
use crate::core::{Core, Trouble};
use crate::fair::{FairQueue, Lane};
use crate::going_on::latest_run;
use crate::pages::{Begun, store_pages};

pub(crate) use perform::within;

/// Executions that are advanced at the same time. Each holds its journal in memory, at most 16 MiB
/// and usually some kilobytes; steps have bounds of their own.
const MAX_ACTIVE: usize = 1_024;

/// An execution stays active for a time that is this near, instead of being parked.
const HOLD: model::Duration = model::Duration::from_secs(1);

/// When an execution is tried again that the store's trouble has interrupted.
const TRY_AGAIN: model::Duration = model::Duration::from_secs(5);

/// Executions read at a time when the engine starts.
const RECOVERY_PAGE: usize = 1_000;

/// Runs executions.
#[derive(Clone)]
pub struct Driver {
    core: Arc<Core>,
    board: Arc<Mutex<Board>>,
    wakes_changed: Arc<Notify>,
    hold: model::Duration,
    /// Whether what a chain continues as is begun that nobody waits for.
    continues: bool,
}

#[derive(Default)]
struct Board {
    queue: FairQueue<ExecutionId>,
    queued: BTreeSet<ExecutionId>,
    active: HashMap<ExecutionId, mpsc::UnboundedSender<Message>>,
    /// Messages for executions that are not active yet.
    letters: HashMap<ExecutionId, Vec<Message>>,
    wakes: BTreeMap<(Timestamp, ExecutionId), Lane>,
    wake_of: HashMap<ExecutionId, Timestamp>,
}

/// What is said to an execution from outside.
#[derive(Debug)]
enum Message {
    /// Go on: the time it waited for has come, or it is new.
    Wake,
    /// The child that runs as this step has ended.
    ChildEnded(StepPath),
    /// End it, running its undo handlers.
    Cancel { by: By, reason: Option<String>, reply: oneshot::Sender<Result<(), Refused>> },
    /// Hold it: steps under way end, nothing new begins.
    Pause { by: By, reason: Option<String>, reply: oneshot::Sender<Result<(), Refused>> },
    /// Let it go on.
    Resume { by: By, reply: oneshot::Sender<Result<(), Refused>> },
    /// What a person says of a step whose outcome is unknown.
    Resolve {
        actor: Actor,
        path: Option<StepPath>,
        resolution: Resolution,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// Why an execution does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none with this id.
    #[error("there is no execution `{0}`")]
    Unknown(ExecutionId),
    /// It has ended.
    #[error("the execution has ended: it {0}")]
    Ended(ExecutionState),
    /// It has ended, and went on as another one.
    #[error("the execution has ended and went on: it is `{id}` now, {}", told(*.state))]
    WentOn {
        /// The last run.
        id: ExecutionId,
        /// How that one stands.
        state: ExecutionState,
    },
    /// It is undoing already.
    #[error("the execution is being undone already")]
    Undoing,
    /// Nobody holds it.
    #[error("the execution is not paused")]
    NotPaused,
    /// One that runs it is held.
    #[error("`{0}`, which runs it, is paused: resume that one")]
    Held(ExecutionId),
    /// It is to end.
    #[error("the execution is being cancelled")]
    Ending,
    /// It does not need attention (at that step).
    #[error("the execution waits for no decision{0}")]
    NothingToResolve(String),
    /// The result does not fit the action's schema.
    #[error("the result does not fit the action's schema: {0}")]
    BadResult(String),
    /// The engine is ending.
    #[error("the engine is stopping")]
    Stopping,
    /// The store failed.
    #[error("{0}")]
    Store(String),
}

/// How a run stands, in words.
fn told(state: ExecutionState) -> String {
    match state {
        ExecutionState::NeedsAttention => "which needs attention".to_owned(),
        state if state.is_end() => format!("which has ended too: it {state}"),
        state => format!("which is {state}"),
    }
}

/// What an active execution's task ends with.
enum Exit {
    /// It has ended, or needs a person: nothing to wake it for.
    Done,
    /// Wake it at this time, or when somebody writes.
    Parked(Option<Timestamp>),
    /// The engine is stopping or the store is gone: the next start goes on.
    Left(Option<Trouble>),
}

impl Message {
    /// Whether it comes from the execution that runs this one, and is meant for the run that this is now.
    const fn is_from_parent(&self) -> bool {
        match self {
            Self::Cancel { by, .. } | Self::Pause { by, .. } | Self::Resume { by, .. } => {
                by.is_parent()
            }
            Self::Wake | Self::ChildEnded(_) | Self::Resolve { .. } => false,
        }
    }
}

impl Driver {
    /// A driver without executions.
    pub fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            board: Arc::default(),
            wakes_changed: Arc::default(),
            hold: HOLD,
            continues: true,
        }
    }

    /// The same, which parks nothing that waits for a time: under a clock that skips, reading the
    /// journal again at each would be all there is to do. Nor does it begin what a chain continues
    /// as, which may have no end.
    pub(crate) fn holding(core: Arc<Core>) -> Self {
        let hold = model::Duration::from_millis(u64::MAX);
        Self { hold, continues: false, ..Self::new(core) }
    }

    /// Takes over what has not ended: parked executions by their time alone, the others at once.
    /// Executions under suspicion of ending the process come last.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let mut after: Option<ExecutionId> = None;
        let mut suspects = Vec::new();
        let mut count = 0;
        loop {
            let page = self.core.store.unfinished(after.as_ref(), RECOVERY_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            count += page.len();
            for row in page {
                if self.core.suspects.suspects(&row.id) {
                    suspects.push(row);
                } else {
                    self.recover_one(row);
                }
            }
        }
        for row in suspects {
            self.recover_one(row);
        }
        let deferred = self.core.store.deferred().await?;
        self.take_up(Begun { deferred, ..Begun::default() });
        Ok(count)
    }

    fn recover_one(&self, row: Unfinished) {
        match (row.state, row.wake_at) {
            // A child may have been held with what runs it, and that one been resumed.
            (ExecutionState::Paused, None) if row.id.parent().is_some() => {
                self.submit(row.id, row.rule);
            }
            (ExecutionState::NeedsAttention, _) | (ExecutionState::Paused, None) => {}
            (_, Some(at)) => self.wake_at(row.id, row.rule, at),
            (_, None) => self.submit(row.id, row.rule),
        }
    }

    /// Lets an execution begin or go on, when it is its rule's turn.
    pub fn submit(&self, id: ExecutionId, lane: Lane) {
        self.send(id, lane, Message::Wake);
    }

    /// Takes up what a commit brought into being.
    pub(crate) fn take_up(&self, begun: Begun) {
        for (id, lane) in begun.executions {
            self.submit(id, lane);
        }
        for event in begun.deferred {
            self.core.tasks.spawn(store_pages(self.core.clone(), self.clone(), event));
        }
    }

    /// Wakes executions as their times come, until the engine stops.
    pub async fn keep_time(&self) {
        loop {
            let changed = self.wakes_changed.notified();
            let next = self.wake_due();
            let due = async {
                match next {
                    Some(at) => self.core.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
                () = self.core.stopping.cancelled() => return,
            }
        }
    }

    /// Submits what is due and answers when the next one will be.
    fn wake_due(&self) -> Option<Timestamp> {
        loop {
            let (id, lane) = {
                let mut board = self.lock();
                let entry = board.wakes.first_entry()?;
                if entry.key().0 > self.core.now() {
                    return Some(entry.key().0);
                }
                let ((_, id), lane) = entry.remove_entry();
                board.wake_of.remove(&id);
                (id, lane)
            };
            self.submit(id, lane);
        }
    }

    fn wake_at(&self, id: ExecutionId, lane: Lane, at: Timestamp) {
        let mut board = self.lock();
        board.wake_of.insert(id.clone(), at);
        board.wakes.insert((at, id), lane);
        let soonest = board.wakes.first_key_value().is_some_and(|((first, _), _)| *first == at);
        drop(board);
        if soonest {
            self.wakes_changed.notify_one();
        }
    }

    /// Ends an execution: steps under way are given time to settle, then its undo handlers run.
    pub async fn cancel(
        &self,
        id: &ExecutionId,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refused> {
        self.ask(id, |reply| Message::Cancel { by: By::Actor(actor), reason, reply }).await
    }

    /// Holds an execution: steps under way end and are stored, nothing new begins.
    pub async fn pause(
        &self,
        id: &ExecutionId,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refused> {
        self.ask(id, |reply| Message::Pause { by: By::Actor(actor), reason, reply }).await
    }

    /// Lets a paused execution go on.
    pub async fn resume(&self, id: &ExecutionId, actor: Actor) -> Result<(), Refused> {
        self.ask(id, |reply| Message::Resume { by: By::Actor(actor), reply }).await
    }

    /// Decides about a step (or, with `None`, the chain itself) that needs attention.
    pub async fn resolve(
        &self,
        id: &ExecutionId,
        actor: Actor,
        path: Option<StepPath>,
        resolution: Resolution,
    ) -> Result<(), Refused> {
        self.ask(id, |reply| Message::Resolve { actor, path, resolution, reply }).await
    }

    async fn ask<F>(&self, id: &ExecutionId, message: F) -> Result<(), Refused>
    where
        F: FnOnce(oneshot::Sender<Result<(), Refused>>) -> Message,
    {
        let row = self.core.store.execution(id).await.map_err(|e| Refused::Store(e.to_string()))?;
        let row = row.ok_or_else(|| Refused::Unknown(id.clone()))?;
        if row.state.is_end() {
            return Err(self.ended(id, row.state).await);
        }
        let (reply, answer) = oneshot::channel();
        self.send(id.clone(), row.origin.rule().cloned(), message(reply));
        match answer.await.unwrap_or(Err(Refused::Stopping)) {
            Err(Refused::Ended(state)) => Err(self.ended(id, state).await),
            answer => answer,
        }
    }

    /// Why an execution that has ended does nothing more, and which one does.
    async fn ended(&self, id: &ExecutionId, state: ExecutionState) -> Refused {
        match latest_run(&*self.core.store, id).await {
            Ok(Some(latest)) => Refused::WentOn { id: latest.id, state: latest.state },
            Ok(None) => Refused::Ended(state),
            Err(error) => Refused::Store(error.to_string()),
        }
    }

    /// How many executions are active, and how many wait for their turn.
    pub fn load(&self) -> (usize, usize) {
        let board = self.lock();
        (board.active.len(), board.queue.len())
    }

    fn send(&self, id: ExecutionId, lane: Lane, message: Message) {
        let mut board = self.lock();
        if let Some(at) = board.wake_of.remove(&id) {
            board.wakes.remove(&(at, id.clone()));
        }
        let undelivered = match board.active.get(&id) {
            Some(mailbox) => mailbox.send(message).map_err(|unsent| unsent.0).err(),
            None => Some(message),
        };
        if let Some(message) = undelivered {
            board.letters.entry(id.clone()).or_default().push(message);
            if board.queued.insert(id.clone()) {
                board.queue.push(lane, id);
            }
        }
        self.fill(&mut board);
    }

    /// Activates queued executions while there is room.
    fn fill(&self, board: &mut Board) {
        while board.active.len() < MAX_ACTIVE && !self.core.stopping.is_cancelled() {
            let Some((lane, id)) = board.queue.pop() else { return };
            board.queued.remove(&id);
            let (mailbox, messages) = mpsc::unbounded_channel();
            for letter in board.letters.remove(&id).unwrap_or_default() {
                // The receiver is held right here.
                let _ = mailbox.send(letter);
            }
            board.active.insert(id.clone(), mailbox);
            self.core.tasks.spawn(self.clone().live(id, lane, messages));
        }
    }

    /// One active execution, from its journal's reading to its end or parking.
    async fn live(
        self,
        id: ExecutionId,
        lane: Lane,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) {
        loop {
            let exit = match run::Run::load(&self, &id, lane.clone()).await {
                Ok(mut run) => {
                    let place = run.logged();
                    run.drive(&mut messages).instrument(place).await
                }
                Err(trouble) => Exit::Left(Some(trouble)),
            };
            if let Exit::Left(trouble) = &exit
                && let Some(trouble) = trouble
            {
                tracing::error!(execution = %id, error = %trouble, "interrupted; tried again later");
            }
            if self.retire(&id, &lane, &exit, &mut messages) {
                return;
            }
        }
    }

    /// Removes an execution from the active ones, unless somebody has written to it meanwhile.
    fn retire(
        &self,
        id: &ExecutionId,
        lane: &Lane,
        exit: &Exit,
        messages: &mut mpsc::UnboundedReceiver<Message>,
    ) -> bool {
        let mut board = self.lock();
        if !messages.is_empty() && !matches!(exit, Exit::Left(_)) {
            return false;
        }
        board.active.remove(id);
        self.fill(&mut board);
        drop(board);
        match exit {
            Exit::Parked(Some(at)) => self.wake_at(id.clone(), lane.clone(), *at),
            Exit::Left(Some(_)) => {
                self.wake_at(id.clone(), lane.clone(), TRY_AGAIN.after(self.core.now()));
            }
            Exit::Done | Exit::Parked(None) | Exit::Left(None) => {}
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
