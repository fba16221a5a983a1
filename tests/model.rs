//! A store against a naive reference: after every random operation both give the same answers and hold the
//! same tasks, and the store does not contradict itself.

// Not every test binary needs all of it.
#[allow(dead_code)]
mod bench;

#[path = "model/claims.rs"]
mod claims;
#[path = "model/nodes.rs"]
mod nodes;
#[path = "model/operations.rs"]
mod operations;
#[path = "model/pushing.rs"]
mod pushing;
#[path = "model/reference.rs"]
mod reference;

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use task::store::{
    Advance, Amend, Cell, Claims, Filter, NodeId, Push, Query, Swap, Target, Turn, pause_cell,
};
use task::task::{Claimed, Outcome, Record, Rules, Settlement, Spec, Standing, TaskId, settle};
use task::time::{Clock, ManualClock, Millis};

use bench::{Bench, Open, now};
use claims::expect;
use nodes::Amendment;
use operations::{End, Operation, operations, task_id};
use reference::Reference;

const LEASE: Millis = 1000;
const START: Millis = 1_000_000;

struct Pair {
    bench: Box<dyn Bench>,
    clock: Arc<ManualClock>,
    reference: Reference,
    latest: HashMap<NodeId, (Arc<Advance>, Arc<Turn>)>,
    turns: u64,
}

type Verdict = Result<(), String>;

impl Pair {
    fn new(open: Open) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        Self {
            bench: open(clock.clone(), LEASE),
            clock,
            reference: Reference::new(START, LEASE),
            latest: HashMap::new(),
            turns: 0,
        }
    }

    fn play(&mut self, operation: Operation) -> Verdict {
        match operation {
            Operation::Push { specs, max_waiting, guard } => self.push(specs, max_waiting, guard),
            Operation::Advance { node, ends, max, lanes } => {
                let settlements = ends.into_iter().filter_map(|end| self.settlement(end)).collect();
                self.advance(&node_id(node), settlements, Claims { max, lanes })
            }
            Operation::Repeat { node } => self.repeat(&node_id(node)),
            Operation::Amend { ids, filter, change } => {
                let ids = ids.map(|ids| Target::Ids(ids.into_iter().map(task_id).collect()));
                self.amend(ids.unwrap_or(Target::Filter(filter)), change)
            }
            Operation::Pause { queue } => self.pause(["q", "r"][usize::from(queue)]),
            Operation::Pass { time } => {
                self.clock.advance(time);
                self.reference.now = self.clock.now();
                Ok(())
            }
            Operation::Pulse { node, heal } => self.pulse(&node_id(node), heal),
            Operation::Leave { node } => {
                now(self.bench.store().leave(node_id(node)));
                self.reference.leave(&node_id(node));
                self.latest.remove(&node_id(node));
                Ok(())
            }
            Operation::Prune { limits, max } => {
                let before: Vec<TaskId> =
                    self.reference.tasks.iter().map(|task| task.spec.id.clone()).collect();
                let pruned = now(self.bench.store().prune(limits, max));
                let left = now(self.bench.store().get(before.clone())).records;
                let gone = before.into_iter().zip(left).filter(|(_, record)| record.is_none());
                let mut gone: Vec<TaskId> = gone.map(|(id, _)| id).collect();
                expect("pruned", &pruned, &self.reference.prune(&limits, max, &mut gone))?;
                expect("pruned too much", &gone, &Vec::new())
            }
            Operation::List { filter, limit } => self.list(filter, limit),
        }
    }

    fn push(&mut self, mut specs: Vec<Spec>, max_waiting: Option<u64>, guard: Option<u8>) -> Verdict {
        for spec in &mut specs {
            spec.expires_at = spec.expires_at.map(|after| self.reference.now + after);
        }
        let guard = guard.map(|old| Swap {
            key: "cursor".into(),
            old: (old > 0).then(|| old.to_string().into()),
            new: Some(Cell { value: (old + 1).to_string().into(), due_at: None }),
        });
        let push = Push { guard, max_waiting, ..Push::of(specs) };
        let pushed = now(self.bench.store().push(Arc::new([push.clone()]))).remove(0);
        expect("pushed", &pushed.ok(), &self.reference.push(&push))
    }

    /// What a run would settle with, or pretend to.
    fn settlement(&self, end: End) -> Option<Settlement> {
        let started: Vec<_> = self.reference.tasks.iter().filter(|task| task.status.epoch > 0).collect();
        let task = started.get(usize::from(end.run) % started.len().max(1))?;
        let status = &task.status;
        let standing = Standing {
            id: &task.spec.id,
            epoch: status.epoch.saturating_add_signed(end.off.into()),
            failures: status.failures,
            losses: status.losses,
            elapsed: self.reference.now - status.first_started_at.unwrap_or(self.reference.now),
            timeout: None,
            retry: &task.spec.retry,
        };
        let settlement = settle(&standing, &end.outcome, &Rules::default());
        Some(Settlement { spawn: end.spawn.into_iter().map(Arc::new).collect(), ..settlement })
    }

    fn advance(&mut self, node: &NodeId, settlements: Vec<Settlement>, claims: Claims) -> Verdict {
        self.turns += 1;
        let step = Arc::new(Advance { node: node.clone(), turn_no: self.turns, settlements, claims });
        let turn = now(self.bench.store().advance(step.clone()));
        self.reference.meet(node);
        let verdict = self.reference.advance(&step, &turn);
        self.latest.insert(node.clone(), (step, turn));
        verdict
    }

    /// A repeated turn gives its answer again; it may leave out claims that were taken from the node since.
    fn repeat(&self, node: &NodeId) -> Verdict {
        let Some((step, turn)) = self.latest.get(node) else { return Ok(()) };
        let again = now(self.bench.store().advance(step.clone()));
        let kept: Vec<_> = again.claimed.iter().map(|run| run.epoch).collect();
        let is_current = |run: &Claimed| {
            let task = self.reference.at(&run.spec.id).map(|at| &self.reference.tasks[at].status);
            task.is_some_and(|status| status.owner.is_some() && status.epoch == run.epoch)
        };
        let claimed = turn.claimed.iter().filter(|run| kept.contains(&run.epoch) || is_current(run));
        expect(
            "claims of a repeated turn",
            &format!("{:?}", again.claimed),
            &format!("{:?}", claimed.collect::<Vec<_>>()),
        )?;
        let rest = |turn: &Turn| Turn {
            claimed: Vec::new(),
            settled: turn.settled.clone(),
            ended: turn.ended.clone(),
            ..*turn
        };
        expect("the answer to a repeated turn", &format!("{:?}", rest(&again)), &format!("{:?}", rest(turn)))
    }

    fn amend(&mut self, target: Target, change: Amend) -> Verdict {
        let change = match change {
            Amend::Reschedule(after) => Amend::Reschedule(self.reference.now + after),
            other => other,
        };
        let amended = now(self.bench.store().amend(target.clone(), change.clone()));
        let mut ended = amended.ended;
        ended.sort();
        let found = Amendment { changed: amended.changed, stopping: amended.stopping, ended };
        expect("amended", &found, &self.reference.amend(&target, &change))?;
        expect("more to amend", &amended.more, &false)
    }

    fn pause(&mut self, queue: &str) -> Verdict {
        let on = Cell { value: "1".into(), due_at: None };
        let (old, new) =
            if self.reference.is_paused(queue) { (Some(on.value), None) } else { (None, Some(on)) };
        let swap = Swap { key: pause_cell(queue), old, new };
        expect("swapped", &now(self.bench.store().swap(swap.clone())), &self.reference.swap(&swap))
    }

    fn pulse(&mut self, node: &NodeId, heal: bool) -> Verdict {
        let pulse = now(self.bench.store().pulse(node.clone()));
        let stop = pulse.stop.into_iter().map(|(id, epoch, _)| (id, epoch)).collect();
        expect("beat", &(pulse.dead.clone(), stop, pulse.declared_dead), &self.reference.pulse(node))?;
        // A node that was forgotten starts its turns anew.
        self.latest.retain(|id, _| self.reference.nodes.iter().any(|node| node.id == *id));
        let orphans = now(self.bench.store().orphans(pulse.dead.clone(), 99));
        let found: Vec<_> = orphans.iter().map(|run| (run.spec.id.clone(), run.epoch)).collect();
        expect("orphans", &found, &self.reference.orphans(&pulse.dead))?;
        if !heal {
            return Ok(());
        }
        let lost = orphans.iter().map(|run| settle(&run.standing(), &Outcome::Lost, &Rules::default()));
        self.advance(node, lost.collect(), Claims::default())
    }

    fn list(&self, filter: Filter, limit: usize) -> Verdict {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = now(self.bench.store().list(Query { filter: filter.clone(), limit, cursor }));
            found.extend(page.records.iter().map(|record| record.spec.id.clone()));
            cursor = page.cursor;
            if cursor.is_none() {
                let mut right = self.reference.matching(&filter);
                right.reverse();
                return expect("listed", &found, &right);
            }
        }
    }

    /// Both hold the same tasks in the same state.
    fn compare(&self) -> Verdict {
        self.bench.verify()?;
        let ids = (0..10).map(task_id).collect();
        for (n, found) in (0..10).zip(now(self.bench.store().get(ids)).records) {
            let right = self.reference.at(&task_id(n)).map(|at| self.reference.tasks[at].record());
            let shown = |record: Option<Record>| format!("{:?}", record.map(as_it_is));
            expect("record", &shown(found), &shown(right))?;
        }
        for queue in [None, Some("q".into())] {
            expect(
                "counts",
                &now(self.bench.store().counts(queue.clone())),
                &self.reference.counts(queue.as_ref()),
            )?;
        }
        let cell =
            self.reference.cells.iter().find(|(key, _)| &**key == "cursor").map(|(_, cell)| cell.clone());
        expect("cell", &now(self.bench.store().read("cursor".into())), &cell)
    }
}

/// A record without the priority that it was pushed with, where an operator has changed it: a store need keep
/// only the one that counts.
fn as_it_is(mut record: Record) -> Record {
    Arc::make_mut(&mut record.spec).priority = record.status.priority;
    record
}

fn node_id(n: u8) -> NodeId {
    format!("n{n}").into()
}

fn compared(open: Open, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(open);
    for (n, operation) in operations.into_iter().enumerate() {
        let shown = format!("{operation:?}");
        let verdict = pair.play(operation).and_then(|()| pair.compare());
        prop_assert!(verdict.is_ok(), "operation {n}, {shown}: {}", verdict.unwrap_err());
    }
    Ok(())
}

fn config(cases: u64) -> ProptestConfig {
    ProptestConfig {
        cases: (cases * bench::soak(20)) as u32,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn the_memory_store_does_what_the_reference_does(operations in operations()) {
        compared(bench::memory, operations)?;
    }
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn the_sqlite_store_does_what_the_reference_does(operations in operations()) {
        compared(bench::sqlite, operations)?;
    }
}

#[cfg(all(unix, feature = "redis"))]
proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn the_redis_store_does_what_the_reference_does(operations in operations()) {
        compared(bench::redis, operations)?;
    }
}
