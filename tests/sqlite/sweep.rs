//! Every call of a scenario fails once, before it has done anything or after it has done everything, and its
//! caller asks again: in the end nothing differs from a run without failures.

use std::collections::BTreeMap;
use std::sync::Arc;

use task::policy::RetryPolicy;
use task::store::faulty::{Fault, Faulty};
use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Advance, Amend, Answer, Cell, Claims, LaneClaim, Push, Store, Swap, Target, Turn};
use task::task::{
    Blockers, Claimed, Failure, Key, OnBlockerFailure, Outcome, Rules, Settlement, Spec, TaskId, settle,
};
use task::time::ManualClock;

use crate::bench::wait;
use crate::parts::{KIND, task};

const START: u64 = 1_700_000_000_000;

/// State, failures, losses, output of every task at the end, and the cell.
type End = (BTreeMap<TaskId, String>, Option<Cell>);

struct Caller {
    store: Arc<SqliteStore>,
    faulty: Faulty<SqliteStore>,
    clock: Arc<ManualClock>,
    turn_no: u64,
}

impl Caller {
    /// Asks until it is answered.
    fn ask<'a, T>(&'a self, call: impl Fn(&'a Faulty<SqliteStore>) -> Answer<'a, T>) -> T {
        for _ in 0..3 {
            match wait(call(&self.faulty)) {
                Ok(answer) => return answer,
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        }
        panic!("one failure was planned");
    }

    fn push(&self, specs: Vec<Spec>) {
        let pushes: Arc<[Push]> = Arc::new([Push::of(specs)]);
        self.ask(|store| store.push(pushes.clone())).remove(0).expect("nothing to refuse");
        self.check();
    }

    fn step(&mut self, settlements: Vec<Settlement>, max: u32) -> Arc<Turn> {
        self.turn_no += 1;
        let claims = Claims { max, lanes: vec![LaneClaim::of(KIND, max)] };
        let step = Arc::new(Advance { node: "node".into(), turn_no: self.turn_no, settlements, claims });
        let turn = self.ask(|store| store.advance(step.clone()));
        self.check();
        turn
    }

    fn check(&self) {
        crate::assert_sound(&self.store);
    }
}

fn ended(run: &Claimed, outcome: &Outcome) -> Settlement {
    settle(&run.standing(), outcome, &Rules { max_losses: 3, seed: 0 })
}

/// Thirty calls that touch every kind of step; says how many there were, and where everything ended.
fn play(n: u64, fault: Fault) -> (u64, End) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let options = Options { durability: Durability::Relaxed, lease: 30_000 };
    let store = SqliteStore::with_clock(&folder.path().join("tasks.db"), options, clock.clone());
    let store = Arc::new(store.expect("the file opens"));
    let mut caller = Caller { faulty: Faulty::nth(store.clone(), n, fault), store, clock, turn_no: 0 };
    let ok = Outcome::Ok("1".into());
    let wrong = Outcome::Error(Arc::new(Failure::new("Error", "it went wrong")));
    caller.push((0..6).map(|n| task(&format!("t{n}"))).collect());
    let after = Blockers { ids: vec!["t0".into(), "t1".into()], on_failure: OnBlockerFailure::Cancel };
    let key = Key { text: "key".into(), conflict: Default::default(), quiet: Default::default() };
    caller.push(vec![
        Spec { blockers: Some(after), ..task("after") },
        Spec { key: Some(key), ..task("keyed") },
        Spec { retry: RetryPolicy::fixed(3, 100), priority: 5, ..task("retried") },
        Spec { expires_at: Some(START + 50), priority: -9, ..task("expires") },
    ]);
    for round in 0..8 {
        let turn = caller.step(Vec::new(), 2);
        caller.ask(|store| store.pulse("node".into()));
        let spawned = Arc::new(task(&format!("spawned{round}")));
        let ends = turn.claimed.iter().enumerate().map(|(at, run)| {
            let fails = &*run.spec.id.to_text() == "retried" && run.failures == 0;
            let end = ended(run, if fails { &wrong } else { &ok });
            // Some ends bring tasks with them, and one run is given back.
            match (round, at) {
                (1, 0) => Settlement { spawn: vec![spawned.clone()], ..end },
                (2, 0) => ended(run, &Outcome::Released),
                (3, 0) => ended(run, &Outcome::Lost),
                _ => end,
            }
        });
        caller.step(ends.collect(), 0);
        caller.clock.advance(60);
    }
    caller.push(vec![task("late"), task("cancelled")]);
    let target = Target::Ids(vec!["cancelled".into()]);
    caller.ask(|store| store.amend(target.clone(), Amend::Cancel("an operator".into())));
    let cell = Cell { value: "1".into(), due_at: None };
    let swap = Swap { key: "cell".into(), old: None, new: Some(cell.clone()) };
    if let Err(found) = caller.ask(|store| store.swap(swap.clone())) {
        assert_eq!(found, Some(cell), "it was this very call, whose answer was lost");
    }
    let found = caller.ask(|store| store.get(vec!["late".into()]));
    assert!(found.records[0].is_some());
    let ends = caller.store.clone();
    let state = |record: task::task::Record| {
        let status = record.status;
        let told = (status.state, status.failures, status.losses, status.blockers, status.output);
        (record.spec.id.clone(), format!("{told:?}"))
    };
    let tasks = crate::dump(&ends).into_iter().map(state).collect();
    (caller.faulty.calls(), (tasks, wait(ends.read("cell".into())).expect("the store answers")))
}

#[test]
fn every_call_may_fail_once() {
    let (calls, right) = play(u64::MAX, Fault::None);
    assert!((25..50).contains(&calls), "{calls} calls");
    assert_eq!(right.0.values().filter(|end| end.contains("Completed")).count(), 10, "{right:?}");
    for n in 0..calls {
        for fault in [Fault::Before, Fault::After] {
            let (_, end) = play(n, fault);
            assert_eq!(end, right, "call {n} fails {fault:?}");
        }
    }
}
