//! What really happened in the store, whatever answers were lost: every call passes through here before faults
//! can hide it, and is held against the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use task::store::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, LaneClaim, Node, NodeId, Page, Pulse, Push,
    Pushed, Query, Refusal, Retention, Settled, Store, Swap, Target, Turn, pause_cell,
};
use task::task::{
    Cause, Claimed, Name, NoteKind, Noted, Notes, OnBlockerFailure, Record, State, TaskId, Unnoted,
};
use task::time::Millis;

use crate::bench::{Bench, now};

pub struct Truth {
    pub bench: Box<dyn Bench>,
    book: Mutex<Book>,
    /// A look at all of the store is for every so many changes.
    verified_every: u64,
    calls: AtomicU64,
}

/// The claims of all time, and what the promises need beside them.
#[derive(Default)]
pub struct Book {
    pub claims: BTreeMap<u64, Claim>,
    /// Tasks that the store has accepted and not been told to remove.
    pub tasks: BTreeSet<TaskId>,
    /// Counts that begin anew with every revival.
    lives: BTreeMap<TaskId, Life>,
    /// Tasks that ended once: they run in spite of blockers that failed, and may run again after those that
    /// waited for them.
    revived: BTreeSet<TaskId>,
    last_turns: BTreeMap<NodeId, (u64, Arc<Turn>)>,
    /// Cells that have been set, and at which of the changes.
    set: BTreeMap<Name, u64>,
    /// Grows with everything that `changed` would tell.
    pub changes: u64,
    pub stale: u64,
    /// What was broken first.
    broken: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Claim {
    pub id: TaskId,
    pub kind: Name,
    pub group: Option<Name>,
    pub at: Millis,
    /// How it ended.
    pub end: Option<Cause>,
    /// Which node said so.
    pub ended_by: Option<NodeId>,
}

#[derive(Default)]
struct Life {
    failures: u32,
    losses: u32,
}

impl Truth {
    pub fn new(bench: Box<dyn Bench>, verified_every: u64) -> Self {
        Self { bench, book: Mutex::default(), verified_every, calls: AtomicU64::new(1) }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, id: &TaskId) -> Option<Record> {
        now(self.bench.store().get(vec![id.clone()])).records.remove(0)
    }

    pub fn is_paused(&self, queue: &str) -> bool {
        now(self.bench.store().read(pause_cell(queue))).is_some()
    }

    /// Which of its pauses a queue is in.
    pub fn pause_of(&self, queue: &str) -> Option<u64> {
        let cell = pause_cell(queue);
        now(self.bench.store().read(cell.clone())).and_then(|_| self.book().set.get(&cell).copied())
    }

    /// What was broken, if anything was.
    pub fn verdict(&self) -> Result<(), String> {
        self.book().broken.take().map_or(Ok(()), Err)
    }

    pub fn check(&self, what: Result<(), String>) {
        if let Err(what) = what {
            self.book().broken.get_or_insert(what);
        }
    }

    fn advanced(&self, step: &Advance, turn: &Arc<Turn>) -> Result<(), String> {
        let mut book = self.book();
        match book.last_turns.get(&step.node) {
            // At another time it is a node that was forgotten meanwhile, with whatever it was answered.
            Some((turn_no, last)) if *turn_no == step.turn_no && last.now == turn.now => {
                return replayed(last, turn);
            }
            _ => drop(book.last_turns.insert(step.node.clone(), (step.turn_no, turn.clone()))),
        }
        for (end, settled) in step.settlements.iter().zip(&turn.settled) {
            let claim = book.claims.get_mut(&end.epoch).filter(|claim| claim.id == end.id);
            match (settled, claim) {
                (Settled::Applied(cause), Some(claim)) => {
                    claim.ended_by = Some(step.node.clone());
                    if let Some(other) = claim.end.replace(*cause) {
                        return Err(format!("epoch {} ended twice: {other:?}, {cause:?}", end.epoch));
                    }
                    book.count(&end.id, *cause);
                    book.changes += 1;
                    let spawned = end.spawn.iter().map(|spec| spec.id.clone());
                    book.tasks.extend(spawned.filter(|id| self.get(id).is_some()));
                }
                (Settled::Stale, Some(Claim { end: None, .. })) => {
                    return Err(format!("the end of the current claim {} was refused", end.epoch));
                }
                (Settled::Stale, _) => book.stale += 1,
                (_, None) => return Err(format!("{} was never claimed under epoch {}", end.id, end.epoch)),
            }
        }
        if !turn.ended.is_empty() {
            book.changes += 1;
        }
        for run in &turn.claimed {
            self.claimed(&mut book, run, step, turn.now)?;
        }
        Ok(())
    }

    fn claimed(&self, book: &mut Book, run: &Claimed, step: &Advance, at: Millis) -> Result<(), String> {
        let id = &run.spec.id;
        if book.claims.last_key_value().is_some_and(|(last, _)| run.epoch <= *last) {
            return Err(format!("epoch {} of {id} is not new", run.epoch));
        }
        if book.running().any(|claim| claim.id == *id) {
            return Err(format!("{id} was claimed while it ran"));
        }
        let record = self.get(id).ok_or_else(|| format!("{id} was claimed and is not there"))?;
        if record.status.run_at > at {
            return Err(format!("{id} starts at {at}, not due before {}", record.status.run_at));
        }
        if self.is_paused(&run.spec.queue) {
            return Err(format!("{id} starts in the paused queue {}", run.spec.queue));
        }
        if !book.revived.contains(id) {
            self.unblocked(&record, &book.revived)?;
        }
        let (kind, group) = (run.spec.name.clone(), run.spec.group.clone());
        let claim = Claim { id: id.clone(), kind, group, at, end: None, ended_by: None };
        book.claims.insert(run.epoch, claim);
        let lane = step.claims.lanes.iter().find(|lane| lane.name == run.spec.name);
        book.within(lane.ok_or_else(|| format!("{id} was not asked for"))?, run)
    }

    /// Every blocker has completed, or does not matter.
    fn unblocked(&self, record: &Record, revived: &BTreeSet<TaskId>) -> Result<(), String> {
        let Some(blockers) = &record.spec.blockers else { return Ok(()) };
        for id in blockers.ids.iter().filter(|id| !revived.contains(*id)) {
            let state = self.get(id).map(|blocker| blocker.status.state);
            let is_over = state.is_none_or(State::is_final);
            let is_good = state.is_none_or(|state| state == State::Completed);
            if !is_over || !is_good && blockers.on_failure == OnBlockerFailure::Cancel {
                return Err(format!("{} starts although {id} is {state:?}", record.spec.id));
            }
        }
        Ok(())
    }

    fn watch<T>(&self, answer: T, check: impl FnOnce(&T) -> Result<(), String>) -> Answer<'_, T>
    where
        T: Send + 'static,
    {
        let checked = check(&answer);
        let changes = self.calls.fetch_add(1, Ordering::Relaxed);
        let is_due = changes.is_multiple_of(self.verified_every);
        self.check(checked.and_then(|()| if is_due { self.bench.verify() } else { Ok(()) }));
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl Book {
    fn running(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values().filter(|claim| claim.end.is_none())
    }

    fn count(&mut self, id: &TaskId, cause: Cause) {
        let life = self.lives.entry(id.clone()).or_default();
        life.failures += u32::from(matches!(cause, Cause::Retry | Cause::Fail));
        life.losses += u32::from(matches!(cause, Cause::Lose | Cause::Poison));
    }

    /// The limits that span all nodes hold, this run included.
    fn within(&self, lane: &LaneClaim, run: &Claimed) -> Result<(), String> {
        let of_kind = || self.running().filter(|claim| claim.kind == lane.name);
        let total = of_kind().count() as u32;
        if lane.total.is_some_and(|limit| total > limit) {
            return Err(format!("{total} of kind {} run", lane.name));
        }
        let in_group = of_kind().filter(|claim| claim.group == run.spec.group).count() as u32;
        if run.spec.group.is_some() && lane.per_group.is_some_and(|limit| in_group > limit) {
            return Err(format!("{in_group} of a group of kind {} run", lane.name));
        }
        let Some(rate) = &lane.rate else { return Ok(()) };
        // Over any window: what the rate gives, and one burst.
        let starts: Vec<Millis> =
            self.claims.values().filter(|claim| claim.kind == lane.name).map(|c| c.at).collect();
        let last = *starts.last().expect("this run");
        for (n, first) in starts.iter().rev().enumerate() {
            if n as u64 + 1 > u64::from(rate.burst) + (last - first) * 1000 / rate.interval_us {
                return Err(format!("{} starts of kind {} in {} ms", n + 1, lane.name, last - first));
            }
        }
        Ok(())
    }

    /// Deliveries are bounded: failures by the retry policy, losses by `max_losses`.
    pub fn bounded(&self, record: &Record, max_losses: u32) -> Result<(), String> {
        let Some(life) = self.lives.get(&record.spec.id) else { return Ok(()) };
        if life.failures > record.spec.retry.attempts || life.losses > max_losses + 1 {
            return Err(format!(
                "{} failed {} times, was lost {}",
                record.spec.id, life.failures, life.losses
            ));
        }
        Ok(())
    }
}

/// A repeated turn has the first answer, which may leave out claims that were taken from the node since.
fn replayed(first: &Turn, again: &Turn) -> Result<(), String> {
    let is_known = |run: &Claimed| first.claimed.iter().any(|other| other.epoch == run.epoch);
    if again.settled != first.settled || again.ended != first.ended || !again.claimed.iter().all(is_known) {
        return Err(format!("{again:?} is another answer than {first:?}"));
    }
    Ok(())
}

impl Store for Truth {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        self.watch(now(self.bench.store().push(pushes)), |answers| {
            let mut book = self.book();
            book.changes += 1;
            book.tasks.extend(answers.iter().flatten().flatten().map(|pushed| pushed.id.clone()));
            Ok(())
        })
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        let turn = now(self.bench.store().advance(step.clone()));
        self.watch(turn, |turn| self.advanced(&step, turn))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.bench.store().orphans(nodes, max)
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.bench.store().due(max)
    }
    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        self.bench.store().cells(prefix, after, max)
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        let amended = now(self.bench.store().amend(target, change.clone()));
        self.watch(amended, |amended| {
            let mut book = self.book();
            book.changes += 1;
            for id in &amended.changed {
                match change {
                    Amend::Retry => {
                        book.lives.remove(id);
                        book.revived.insert(id.clone());
                    }
                    Amend::Remove => {
                        book.lives.remove(id);
                        book.revived.remove(id);
                        book.tasks.remove(id);
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }
    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        self.watch(now(self.bench.store().note(notes)), |_| Ok(()))
    }
    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        self.bench.store().notes(ids, kind)
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.bench.store().get(ids)
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.bench.store().list(query)
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.bench.store().counts(queue)
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.watch(now(self.bench.store().prune(limits, max)), |_| {
            self.book().tasks.retain(|id| self.get(id).is_some());
            Ok(())
        })
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        let swapped = now(self.bench.store().swap(swap.clone()));
        self.watch(swapped, |swapped| {
            let mut book = self.book();
            book.changes += 1;
            if swapped.is_ok() && swap.new.is_some() {
                let change = book.changes;
                book.set.insert(swap.key, change);
            }
            Ok(())
        })
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.bench.store().read(key)
    }
    fn changed(&self) -> Answer<'_, ()> {
        self.bench.store().changed()
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        self.watch(now(self.bench.store().pulse(node)), |_| Ok(()))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        self.bench.store().leave(node)
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.bench.store().nodes()
    }
}
