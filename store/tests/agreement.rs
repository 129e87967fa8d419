//! Both stores make the same of the same facts, whatever these are.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use model::{
    ExecutionState, Fact, Hash, Origin, Resolution, Sequence, Stream, Timestamp, UndoReason,
    Version,
};
use store::sqlite::Options;
use store::{EventFilter, ExecutionFilter, Memory, Position, Retention, Sqlite, Store};

/// Numbers that look random and are the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's MMIX constants.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

fn execution_fact(dice: &mut Dice) -> Fact {
    let child = Origin::Step { parent: execution_id(0), path: path("2.0.1") };
    let resolution = dice.pick(&[Resolution::Retry, Resolution::Fail("no".into())]);
    let resolved = |step| Fact::StepResolved { path: Some(path(step)), resolution, at: at(40) };
    let reason = UndoReason::Failed(error("no"));
    let undo = Fact::UndoBegan { position: Sequence(1), reason, at: at(41) };
    let attention = Fact::AttentionNeeded { path: None, error: error("unknown"), at: at(30) };
    let origins = [by_rule("app.a"), by_rule("app.b"), Origin::Manual, child];
    let ends = [ExecutionState::Succeeded, ExecutionState::Failed, ExecutionState::TimedOut];
    let step = dice.pick(&["1", "2.0.1", "undo.1.1"]);
    let facts = [
        request(dice.pick(&origins)),
        intended(step, 11),
        finished(step, 12),
        parked(dice.pick(&[None, Some(90)])),
        attention,
        resolved(step),
        undo,
        Fact::CancelRequested { reason: None, at: at(50) },
        ended(dice.pick(&ends), 60),
    ];
    dice.pick(&facts)
}

fn event_fact(dice: &mut Dice, id: &str) -> Fact {
    let matched = dice.pick(&[&[][..], &[("app.a", 1)], &[("app.a", 1), ("app.b", 2)]]);
    let failed = Fact::RuleFailed { rule: "app.b".parse().unwrap(), error: "no".into() };
    let differs = Fact::DuplicateDiffers { payload: Hash::of(b"x"), at: at(7) };
    let facts = [accepted(id, matched), Fact::EventRepeated { at: at(6) }, differs, failed];
    dice.pick(&facts)
}

fn writes(dice: &mut Dice) -> (Stream, Fact) {
    let n = dice.roll(8);
    match dice.roll(6) {
        0..3 => (execution(n as u8), execution_fact(dice)),
        3 => {
            let id = format!("e{n}");
            (Stream::Event(event_key(&id)), event_fact(dice, &id))
        }
        4 => {
            let value =
                Fact::KeySet { value: n.into(), expires_at: dice.pick(&[None, Some(at(9))]) };
            (key(&format!("k/{n}")), dice.pick(&[value.clone(), value, Fact::KeyDeleted]))
        }
        _ => {
            let enabled = dice.pick(&[None, Some(true), Some(false)]);
            (
                Stream::Rule(dice.pick(&["app.a", "app.b"]).parse().unwrap()),
                Fact::RuleSwitched { enabled },
            )
        }
    }
}

/// Everything that can be asked, as text.
async fn picture(store: &dyn Store) -> String {
    let executions = ExecutionFilter { children: true, limit: 100, ..ExecutionFilter::default() };
    let events = EventFilter { limit: 100, ..EventFilter::default() };
    format!(
        "{:#?}",
        (
            store.log(Position(0), usize::MAX).await.unwrap(),
            store.read(&execution(1), Version(20)).await.unwrap(),
            store.executions(&executions).await.unwrap(),
            store.unfinished(None, 100).await.unwrap(),
            store.counts().await.unwrap(),
            store.events(&events).await.unwrap(),
            store.event(&event_key("e1")).await.unwrap(),
            store.keys("k/", "", at(10), 100).await.unwrap(),
            store.rule_switches().await.unwrap(),
            store.rule_counts().await.unwrap(),
        )
    )
}

#[tokio::test]
async fn memory_and_sqlite_agree_on_any_facts() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), &Options::default()).unwrap();
        let memory = Memory::new();
        let mut dice = Dice(seed);
        for n in 0..60 {
            let mut one = batch(&format!("b{}", dice.roll(1_000)), vec![]);
            for _ in 0..=dice.roll(4) {
                let (stream, fact) = writes(&mut dice);
                let expected = (dice.roll(9) == 0).then_some(Version(n));
                match one.writes.iter_mut().find(|write| write.stream == stream) {
                    Some(write) => write.facts.push(fact.into()),
                    None => one.writes.push(store::Write::new(stream, expected, [fact])),
                }
            }
            let (left, right) = (sqlite.append(one.clone()).await, memory.append(one).await);
            assert_eq!(left.unwrap(), right.unwrap(), "seed {seed}, batch {n}");
        }
        agree(seed, &sqlite, &memory).await;
        assert_eq!(Sqlite::verify(folder.path()), [], "seed {seed}");
        // Events go first, then everything that has ended.
        for days in [8, 31, 90] {
            let now = at(200 + days * 24 * 60 * 60);
            prune(&sqlite, now).await;
            prune(&memory, now).await;
            agree(seed, &sqlite, &memory).await;
            assert_eq!(Sqlite::verify(folder.path()), [], "seed {seed}, {days} days");
        }
    }
}

async fn agree(seed: u64, sqlite: &dyn Store, memory: &dyn Store) {
    let (left, right) = (picture(sqlite).await, picture(memory).await);
    for (n, (left, right)) in left.lines().zip(right.lines()).enumerate() {
        assert_eq!(left, right, "seed {seed}, line {n}");
    }
    assert_eq!(left.len(), right.len(), "seed {seed}");
}

async fn prune(store: &dyn Store, now: Timestamp) {
    let (keep, mut next) = (Retention::default(), Some(Position(0)));
    while let Some(after) = next {
        next = store.prune(&keep, after, now).await.unwrap().next;
    }
    while store.tidy(&keep, now).await.unwrap() {}
}
