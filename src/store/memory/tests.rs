//! What is the memory store's own affair: its hints, its clock, and that nothing piles up.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::store::{
    Advance, Amend, Answer, Claims, Keep, LaneClaim, NodeId, Push, Rate, Retention, Store, Target, Turn,
};
use crate::task::{Conflict, Key, Outcome, Quiet, Rules, Settlement, Spec, TaskId, settle};
use crate::time::{ManualClock, Millis};

use super::MemoryStore;

const LEASE: Millis = 1000;

struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    turn_no: u64,
}

fn now<T>(answer: Answer<'_, T>) -> T {
    answer.now_or_never().expect("it never waits").expect("it never fails")
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        Self { store: Arc::new(MemoryStore::with_clock(clock.clone(), LEASE)), clock, turn_no: 0 }
    }

    fn push(&self, specs: Vec<Spec>) {
        now(self.store.push(Arc::new([Push::of(specs)]))).remove(0).unwrap();
    }

    fn step(&mut self, node: &str, settlements: Vec<Settlement>, lanes: Vec<LaneClaim>) -> Arc<Turn> {
        self.turn_no += 1;
        let claims = Claims { max: 10_000, lanes };
        now(self.store.advance(Arc::new(Advance {
            node: node.into(),
            turn_no: self.turn_no,
            settlements,
            claims,
        })))
    }

    /// Ends everything that was claimed in a turn.
    fn end(&mut self, turn: &Turn, outcome: &Outcome) {
        let ends = turn.claimed.iter().map(|run| settle(&run.standing(), outcome, &Rules::default()));
        let _ = self.step("node", ends.collect(), Vec::new());
    }

    /// Claims everything and ends it.
    fn run_all(&mut self, outcome: &Outcome) {
        let turn = self.step("node", Vec::new(), vec![LaneClaim::of("work", 10_000)]);
        self.end(&turn, outcome);
    }
}

fn spec(id: &str) -> Spec {
    Spec { id: TaskId::from(id), minted: false, ..Spec::new("work", "null") }
}

#[test]
fn changed_wakes_for_what_happens_after_the_call() {
    let mut bench = Bench::new();
    bench.push(vec![Spec { expires_at: Some(1_000_010), ..spec("a") }]);
    type Deed = fn(&mut Bench);
    let deeds: [Deed; 4] = [
        |bench| bench.push(vec![spec("b")]),
        |bench| bench.run_all(&Outcome::Released),
        |bench| {
            bench.clock.advance(10);
            let _ = bench.step("node", Vec::new(), Vec::new());
        },
        |bench| {
            let all = Target::Ids(vec![TaskId::from("b")]);
            now(bench.store.amend(all, Amend::Cancel("no".into())));
        },
    ];
    for (n, deed) in deeds.into_iter().enumerate() {
        let store = bench.store.clone();
        let mut changed = store.changed();
        assert!((&mut changed).now_or_never().is_none(), "deed {n} has not been done");
        let unawaited = store.changed();
        deed(&mut bench);
        assert!(changed.now_or_never().is_some(), "deed {n} wakes");
        assert!(unawaited.now_or_never().is_some(), "deed {n} wakes who asked before and awaits after");
    }
}

#[test]
fn a_leap_of_the_clock_kills_nobody() {
    let mut bench = Bench::new();
    bench.push(vec![spec("a"), spec("b")]);
    for node in ["a", "b"] {
        now(bench.store.pulse(node.into()));
        assert_eq!(bench.step(node, Vec::new(), vec![LaneClaim::of("work", 1)]).claimed.len(), 1);
    }
    bench.clock.advance(3_600_000);
    assert!(now(bench.store.pulse("a".into())).dead.is_empty(), "the machine was asleep, not b");
    for _ in 0..3 {
        bench.clock.advance(LEASE / 2);
        now(bench.store.pulse("a".into()));
    }
    assert_eq!(now(bench.store.pulse("a".into())).dead, [NodeId::from("b")], "now it is b");
}

const FORGET: Retention = {
    let none = Keep { age: None, count: Some(0), bytes: None };
    Retention { completed: none, failed: none, cancelled: none }
};

#[test]
fn nothing_is_left_of_what_was_forgotten() {
    let mut bench = Bench::new();
    for round in 0..4 {
        let one = |n: usize| Spec {
            queue: format!("queue-{n}").into(),
            group: Some(format!("group-{round}-{n}").into()),
            key: Some(Key {
                text: format!("{n}").into(),
                conflict: Conflict::Ignore,
                quiet: Quiet::Throttle(50),
            }),
            ..spec(&format!("{n}"))
        };
        bench.push((0..1500).map(one).collect());
        let rate = Rate { key: "rate".into(), by_group: true, interval_us: 10, burst: 1 };
        let lanes = vec![LaneClaim { rate: Some(rate), ..LaneClaim::of("work", 10_000) }];
        let turn = bench.step("node", Vec::new(), lanes);
        assert_eq!(turn.claimed.len(), 1500);
        bench.end(&turn, &Outcome::Ok("1".into()));
        bench.clock.advance(100);
        assert_eq!(now(bench.store.prune(FORGET, 10_000)), 1500);
    }
    let book = bench.store.book();
    assert_eq!((book.tasks.len(), book.by_id.len(), book.serials.len(), book.keys.rows.len()), (0, 0, 0, 0));
    assert_eq!((book.lanes.len(), book.kinds.len(), book.kind_of.len()), (0, 0, 0));
    assert!(book.rates.len() <= 3000, "rates of groups that are gone pile up");
}

#[test]
fn a_task_that_fails_and_is_revived_for_ever_takes_no_more_room() {
    let mut bench = Bench::new();
    bench.push(vec![spec("kept"), spec("again")]);
    bench.run_all(&Outcome::Error(Arc::default()));
    for _ in 0..5000 {
        now(bench.store.amend(Target::Ids(vec![TaskId::from("again")]), Amend::Retry));
        bench.run_all(&Outcome::Error(Arc::default()));
        now(bench.store.prune(Retention::default(), 1000));
    }
    assert!(bench.store.book().ended.iter().map(super::retention::Ended::entries).sum::<usize>() < 1100);
    bench.store.verify().unwrap();
}

#[test]
fn verify_finds_what_does_not_fit() {
    type Damage = fn(&mut super::book::Book);
    let damages: [Damage; 7] = [
        |book| book.waiting += 1,
        |book| drop(book.keys.rows.drain()),
        |book| book.serials.clear(),
        |book| book.lanes.iter_mut().for_each(|(_, lane)| lane.paused = true),
        |book| book.lanes.iter_mut().for_each(|(_, lane)| lane.counts[1] -= 1),
        |book| book.tasks.iter_mut().for_each(|(_, task)| task.status.blockers = 1),
        |book| book.tasks.iter_mut().for_each(|(_, task)| task.status.owner = Some("nobody".into())),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let mut bench = Bench::new();
        let key = Key { text: "key".into(), conflict: Conflict::Ignore, quiet: Quiet::Off };
        bench.push(vec![Spec { key: Some(key), ..spec("keyed") }, spec("other")]);
        let _ = bench.step("node", Vec::new(), vec![LaneClaim::of("work", 1)]);
        bench.store.verify().unwrap();
        damage(&mut bench.store.book());
        assert!(bench.store.verify().is_err(), "damage {n}");
    }
}
