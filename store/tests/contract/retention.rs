//! What is forgotten, when, and what outlives it.

use model::{
    BlobRef, Body, Call, Effect, ExecutionState, Fact, Hash, Origin, Stream, Timestamp, Version,
};
use store::{
    Ages, Appended, EventFilter, ExecutionFilter, Position, Retention, Sealed, Sealing, Store,
    of_execution,
};

use crate::common::*;

contract!(
    an_execution_goes_with_its_journal_when_it_ended_long_ago,
    an_execution_that_has_not_ended_is_kept_whole_however_old,
    what_is_sealed_for_an_execution_goes_with_it,
    what_is_sealed_for_an_execution_that_nobody_knows_goes_in_the_end,
    a_child_is_kept_as_long_as_its_parent,
    of_a_child_that_goes_on_the_earlier_runs_go_with_their_age,
    a_pack_keeps_its_own_for_as_long_as_it_says,
    an_event_is_forgotten_and_known_when_it_is_told_again,
    an_event_is_new_again_once_nothing_of_it_is_kept,
    the_latest_word_of_every_other_stream_outlives_all,
    what_is_no_more_is_forgotten,
    pages_are_kept_until_the_last_of_them_is_stored,
    counts_of_rules_outlive_what_they_counted,
    what_is_kept_names_its_contents,
);

const DAY: i64 = 24 * 60 * 60;

/// So many days after everything in these tests happened.
fn days(days: i64) -> Timestamp {
    at(200 + days * DAY)
}

/// Prunes until nothing is left to do; how many facts went.
async fn prune(store: &dyn Store, keep: &Retention, now: Timestamp) -> u64 {
    let (mut after, mut facts) = (Position(0), 0);
    loop {
        let pruned = store.prune(keep, after, now).await.unwrap();
        facts += pruned.facts;
        match pruned.next {
            Some(next) => after = next,
            None => break,
        }
    }
    while store.tidy(keep, now).await.unwrap() {}
    facts
}

async fn journal(store: &dyn Store, n: u8) -> usize {
    store.read(&execution(n), Version::NONE).await.unwrap().0.len()
}

async fn pages_are_kept_until_the_last_of_them_is_stored(store: &dyn Store) {
    let pages = || Stream::Pages(event_key("e1"));
    let stored = |page| vec![Fact::PageStored { page, of: 2 }];
    let two = vec![Fact::PagesDeferred { pages: vec![Hash::of(b"1"), Hash::of(b"2")] }];
    put(store, pages(), two).await;
    put(store, pages(), stored(1)).await;
    assert_eq!(prune(store, &Retention::default(), days(365)).await, 0);
    put(store, pages(), stored(2)).await;
    assert_eq!(prune(store, &Retention::default(), days(365)).await, 3);
    assert_eq!(store.deferred().await.unwrap(), []);
}

async fn what_is_sealed_for_an_execution_goes_with_it(store: &dyn Store) {
    let name = |n: u8| format!("{}t", of_execution(&execution_id(n)));
    let mut sealing = Vec::new();
    for n in [1, 2] {
        put(store, execution(n), vec![request(Origin::Manual)]).await;
        let sealed = Sealed { key: "k".to_owned(), ciphertext: vec![n], at: at(1) };
        sealing.push(Sealing::Put(name(n), sealed.clone()));
        sealing.push(Sealing::Put(format!("secret/p/{n}@1"), sealed));
    }
    let end = batch("end", vec![write(execution(1), vec![ended(ExecutionState::Succeeded, 60)])]);
    store.append_sealing(end, sealing).await.unwrap();
    prune(store, &Retention::default(), days(31)).await;
    let left = store.sealed_under("", "", 9).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["secret/p/1@1".to_owned(), "secret/p/2@1".to_owned(), name(2)]);
}

async fn what_is_sealed_for_an_execution_that_nobody_knows_goes_in_the_end(store: &dyn Store) {
    let name = |n: u8| format!("{}t", of_execution(&execution_id(n)));
    let sealed =
        |days_on: i64| Sealed { key: "k".to_owned(), ciphertext: vec![1], at: days(days_on) };
    // An earlier version forgot execution 2 and left this; that of execution 3 may be about to come.
    let sealing = vec![
        Sealing::Put(name(1), sealed(0)),
        Sealing::Put(name(2), sealed(0)),
        Sealing::Put(name(3), sealed(20)),
        Sealing::Put("secret/p/2@1".to_owned(), sealed(0)),
    ];
    let known = batch("known", vec![write(execution(1), vec![request(Origin::Manual)])]);
    store.append_sealing(known, sealing).await.unwrap();
    let left = async || {
        let left = store.sealed_under("", "", 9).await.unwrap();
        left.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let pages = Stream::Pages(event_key("e1"));
    put(store, pages.clone(), vec![Fact::PagesDeferred { pages: vec![Hash::of(b"1")] }]).await;
    prune(store, &Retention::default(), days(31)).await;
    assert_eq!(left().await.len(), 4, "a page that is not stored yet may ask for any of them");
    put(store, pages, vec![Fact::PageStored { page: 1, of: 1 }]).await;
    prune(store, &Retention::default(), days(31)).await;
    assert_eq!(left().await, ["secret/p/2@1".to_owned(), name(1), name(3)]);
}

async fn an_execution_goes_with_its_journal_when_it_ended_long_ago(store: &dyn Store) {
    let run = vec![request(Origin::Manual), intended("1", 11), finished("1", 12)];
    put(store, execution(1), run).await;
    put(store, execution(1), vec![ended(ExecutionState::Failed, 60)]).await;
    let keep = Retention::default();
    assert_eq!(prune(store, &keep, days(29)).await, 0);
    assert_eq!(journal(store, 1).await, 4);
    assert_eq!(prune(store, &keep, days(31)).await, 4);
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), None);
    assert_eq!(journal(store, 1).await, 0);
    let all = ExecutionFilter { limit: 10, ..ExecutionFilter::default() };
    assert_eq!(store.executions(&all).await.unwrap(), []);
    assert!(store.counts().await.unwrap().is_empty());
    // The log goes on where it was, and what comes later is whole.
    assert_eq!(store.head().await.unwrap(), Position(4));
    put(store, execution(2), vec![request(Origin::Manual)]).await;
    let log = store.log(Position(0), 10).await.unwrap();
    assert_eq!(log.iter().map(|fact| fact.position.0).collect::<Vec<_>>(), [5]);
}

async fn an_execution_that_has_not_ended_is_kept_whole_however_old(store: &dyn Store) {
    put(store, execution(1), vec![request(Origin::Manual), parked(None)]).await;
    put(store, execution(2), vec![request(Origin::Manual), ended(ExecutionState::Failed, 9)]).await;
    put(store, execution(1), vec![intended("1", 11)]).await;
    assert_eq!(prune(store, &Retention::default(), days(3_000)).await, 2);
    assert_eq!(journal(store, 1).await, 3);
    assert_eq!(store.unfinished(None, 10).await.unwrap().len(), 1);
}

async fn a_child_is_kept_as_long_as_its_parent(store: &dyn Store) {
    let child = Origin::Step { parent: execution_id(1), path: path("1") };
    let done = || ended(ExecutionState::Succeeded, 60);
    put(store, execution(1), vec![request(Origin::Manual), parked(None)]).await;
    put(store, execution(2), vec![request(child), done()]).await;
    let keep = Retention::default();
    assert_eq!(prune(store, &keep, days(90)).await, 0);
    put(store, execution(1), vec![done()]).await;
    assert_eq!(prune(store, &keep, days(90)).await, 5);
}

async fn of_a_child_that_goes_on_the_earlier_runs_go_with_their_age(store: &dyn Store) {
    let (parent, step) = (execution_id(1), path("1"));
    let run = |n| Stream::Execution(parent.nth_child(&step, n));
    let origin = || Origin::Step { parent: parent.clone(), path: step.clone() };
    let done = || ended(ExecutionState::Succeeded, 60);
    let inner = Stream::Execution(parent.nth_child(&step, 1).child(&step));
    let of_run = Origin::Step { parent: parent.child(&step), path: step.clone() };
    put(store, execution(1), vec![request(Origin::Manual), parked(None)]).await;
    put(store, run(1), vec![request(origin()), done()]).await;
    put(store, inner, vec![request(of_run), done()]).await;
    put(store, run(2), vec![request(origin()), ended(ExecutionState::Succeeded, 60 + 20 * DAY)])
        .await;
    put(store, run(3), vec![request(origin()), done()]).await;
    let other = Stream::Execution(parent.child(&path("2")));
    put(
        store,
        other,
        vec![request(Origin::Step { parent: parent.clone(), path: path("2") }), done()],
    )
    .await;
    let keep = Retention::default();
    assert_eq!(prune(store, &keep, days(29)).await, 0);
    assert_eq!(prune(store, &keep, days(31)).await, 4, "the first run and what that ran");
    let filter = ExecutionFilter {
        parent: Some(parent.clone()),
        step: Some(step.clone()),
        limit: 9,
        ..ExecutionFilter::default()
    };
    let left = async || {
        let rows = store.executions(&filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(left().await, [parent.nth_child(&step, 3), parent.nth_child(&step, 2)]);
    let last = ExecutionFilter { last_runs: true, step: None, ..filter.clone() };
    let last = store.executions(&last).await.unwrap().into_iter().map(|row| row.id);
    assert_eq!(last.collect::<Vec<_>>(), [parent.child(&path("2")), parent.nth_child(&step, 3)]);
    assert_eq!(prune(store, &keep, days(90)).await, 2);
    assert_eq!(left().await, [parent.nth_child(&step, 3)], "the last one stays, whenever it ended");
    put(store, execution(1), vec![done()]).await;
    assert_eq!(prune(store, &keep, days(90)).await, 7);
}

async fn a_pack_keeps_its_own_for_as_long_as_it_says(store: &dyn Store) {
    let of = |action: &str| {
        let request = requested(Origin::Manual);
        let action = action.parse().unwrap();
        Fact::ExecutionRequested(model::fact::ExecutionRequested { action, ..request })
    };
    for (n, action) in [(1, "app.deploy"), (2, "audit.note"), (3, "other.work")] {
        put(store, execution(n), vec![of(action), ended(ExecutionState::Succeeded, 60)]).await;
    }
    // Whoever asked for it owns it, whatever it runs; and what that runs as steps.
    let child = execution_id(4).child(&path("1"));
    let step = Origin::Step { parent: execution_id(4), path: path("1") };
    for (stream, origin) in
        [(execution(4), by_rule("audit.watch")), (Stream::Execution(child.clone()), step)]
    {
        let action = "app.deploy".parse().unwrap();
        let request = model::fact::ExecutionRequested { action, ..requested(origin) };
        let facts = vec![Fact::ExecutionRequested(request), ended(ExecutionState::Succeeded, 60)];
        put(store, stream, facts).await;
    }
    let ages = |days: u64| {
        let age = model::Duration::from_secs(days * DAY as u64);
        Ages { events: age, executions: age }
    };
    let keep = Retention {
        packs: [("app".parse().unwrap(), ages(1)), ("audit".parse().unwrap(), ages(365))].into(),
        ..Retention::default()
    };
    for (after, left) in
        [(0, [2, 2, 2, 2]), (2, [0, 2, 2, 2]), (31, [0, 2, 0, 2]), (366, [0, 0, 0, 0])]
    {
        prune(store, &keep, days(after)).await;
        let mut found = Vec::new();
        for n in 1..=4 {
            found.push(journal(store, n).await);
        }
        assert_eq!(found, left, "after {after} days");
        let child = store.read(&Stream::Execution(child.clone()), Version::NONE).await.unwrap().0;
        assert_eq!(child.len(), left[3], "a child goes with what runs it");
    }
}

async fn an_event_is_forgotten_and_known_when_it_is_told_again(store: &dyn Store) {
    let stream = || Stream::Event(event_key("e1"));
    put(store, stream(), vec![accepted("e1", &[])]).await;
    let keep = Retention::default();
    assert_eq!(prune(store, &keep, days(6)).await, 0);
    assert!(store.event(&event_key("e1")).await.unwrap().is_some());
    assert_eq!(prune(store, &keep, days(8)).await, 1);
    assert_eq!(store.event(&event_key("e1")).await.unwrap(), None);
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    assert_eq!(store.events(&all).await.unwrap(), []);
    // Told again it is no new event, and with other data it is seen to differ.
    let payload = accepted_event("e1", &[]).payload;
    assert_eq!(store.payload(&event_key("e1")).await.unwrap(), Some(payload));
    let again = expecting(Version::NONE, write(stream(), vec![accepted("e1", &[])]));
    let conflict = Appended::Conflict { stream: stream(), actual: Version(1) };
    assert_eq!(store.append(batch("again", vec![again])).await.unwrap(), conflict);
    put(store, stream(), vec![Fact::EventRepeated { at: at(70) }]).await;
    assert_eq!(store.event(&event_key("e1")).await.unwrap(), None);
}

async fn an_event_is_new_again_once_nothing_of_it_is_kept(store: &dyn Store) {
    let stream = || Stream::Event(event_key("e1"));
    put(store, stream(), vec![accepted("e1", &[])]).await;
    put(store, sensor("last"), vec![moved("1")]).await;
    prune(store, &Retention::default(), days(31)).await;
    assert_eq!(store.payload(&event_key("e1")).await.unwrap(), None);
    let again = expecting(Version::NONE, write(stream(), vec![accepted("e1", &[])]));
    let answer = store.append(batch("again", vec![again])).await.unwrap();
    assert_eq!(answer, Appended::Committed { position: Position(3) });
    assert!(store.event(&event_key("e1")).await.unwrap().is_some());
}

async fn the_latest_word_of_every_other_stream_outlives_all(store: &dyn Store) {
    let generation = |generation| Fact::GenerationActivated { generation, packs: [].into() };
    let name = Fact::InstallationNamed { name: "demo".parse().unwrap() };
    put(store, Stream::Installation, vec![name, generation(1), generation(2)]).await;
    put(store, sensor("a"), vec![moved("1"), moved("2")]).await;
    put(store, key("k/a"), vec![set("old", None), set("new", None)]).await;
    let rule = || Stream::Rule("app.r".parse().unwrap());
    let switched = |enabled| Fact::RuleSwitched { enabled };
    put(store, rule(), vec![switched(Some(true)), switched(Some(false))]).await;
    assert_eq!(prune(store, &Retention::default(), days(3_000)).await, 4);
    assert_eq!(store.installation().await.unwrap().unwrap().as_str(), "demo");
    assert_eq!(store.generation().await.unwrap().unwrap().0, 2);
    assert_eq!(store.cursor("a").await.unwrap().map(|it| it.cursor), Some("2".into()));
    let row = store.key("k/a", days(0)).await.unwrap().unwrap();
    assert_eq!((row.value, row.version), ("new".into(), Version(7)));
    assert_eq!(store.rule_switches().await.unwrap().into_values().collect::<Vec<_>>(), [false]);
}

async fn what_is_no_more_is_forgotten(store: &dyn Store) {
    put(store, key("k/deleted"), vec![set("x", None), Fact::KeyDeleted]).await;
    put(store, key("k/expired"), vec![set("x", Some(300))]).await;
    let seen = || Fact::ObjectSeen { entry: "x".into() };
    put(store, Stream::Seen("k/1/gone".to_owned()), vec![seen(), Fact::ObjectGone]).await;
    put(store, Stream::Seen("k/1/there".to_owned()), vec![seen()]).await;
    put(store, sensor("last"), vec![moved("1")]).await;
    let keep = Retention::default();
    assert_eq!(prune(store, &keep, days(1)).await, 0);
    assert_eq!(prune(store, &keep, days(31)).await, 5);
    assert_eq!(store.seen("k/1", &["there".to_owned()]).await.unwrap(), [Some("x".into())]);
    // A stream of which nothing is left has no version.
    let first = expecting(Version::NONE, write(key("k/deleted"), vec![set("y", None)]));
    let answer = store.append(batch("first", vec![first])).await.unwrap();
    assert_eq!(answer, Appended::Committed { position: Position(8) });
}

async fn counts_of_rules_outlive_what_they_counted(store: &dyn Store) {
    let failed = Fact::RuleFailed { rule: "app.b".parse().unwrap(), error: "no".into() };
    let event = vec![accepted("e1", &[("app.a", 1)]), failed];
    put(store, Stream::Event(event_key("e1")), event).await;
    let before = store.rule_counts().await.unwrap();
    assert_eq!(before.len(), 2);
    assert_eq!(prune(store, &Retention::default(), days(40)).await, 2);
    assert_eq!(store.rule_counts().await.unwrap(), before);
}

async fn what_is_kept_names_its_contents(store: &dyn Store) {
    let blob = Hash::of(b"[1, 2, 3]");
    let mut event = accepted_event("e1", &[]);
    event.event.data = Body::Blob(BlobRef::of(b"[1, 2, 3]"));
    put(store, Stream::Event(event_key("e1")), vec![Fact::EventAccepted(event)]).await;
    let call = Call::Run {
        action: "other.work".parse().unwrap(),
        parameters: serde_json::json!({}),
        effect: Effect::Read,
        version: Some(Hash::of(b"other")),
        policy: policy(),
    };
    let intended = |n, call| Fact::StepIntended { path: path(n), call, at: at(11) };
    let poll = Call::Poll {
        action: "third.check".parse().unwrap(),
        parameters: serde_json::json!({}),
        version: Some(Hash::of(b"third")),
        every: policy().backoff,
        timeout: None,
        deadline: None,
    };
    let intents = [intended("1", call), intended("2", poll)];
    put(store, execution(1), [vec![request(Origin::Manual)], intents.to_vec()].concat()).await;
    put(store, execution(1), vec![ended(ExecutionState::Failed, 60)]).await;
    let packs = ["app", "other", "third", "nobody's"].map(|pack| Hash::of(pack.as_bytes()));
    let asked = [&[blob][..], &packs].concat();
    let kept = async || store.named(&asked).await.unwrap().len();
    assert_eq!(kept().await, 4);
    let keep = Retention::default();
    prune(store, &keep, days(8)).await;
    assert_eq!(kept().await, 3, "the event and its blob are gone");
    prune(store, &keep, days(31)).await;
    assert_eq!(kept().await, 0);
}
