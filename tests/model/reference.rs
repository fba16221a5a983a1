//! A store as one would explain it: a list of tasks in the order of their creation, and a scan for everything.
//!
//! Written from the design text, not from a store. It claims nothing by itself, since the order between groups
//! is a store's own: it judges the claims that were given (see `claims`). How tasks come in is in `pushing`.

use std::collections::VecDeque;

use task::store::{Cell, Counts, Filter, Keep, Retention, Settled, Swap, pause_cell};
use task::task::{
    Attempt, Cause, Name, OnBlockerFailure, Record, Settlement, Spec, State, Status, TaskId, View,
};
use task::time::Millis;

use super::notes::Pad;

pub const SUPERSEDED: &str = "superseded";
pub const BLOCKED: &str = "a task that it waits for did not complete";

#[derive(Clone, Default)]
pub struct Reference {
    pub now: Millis,
    pub lease: Millis,
    pub tasks: Vec<Task>,
    pub cells: Vec<(Name, Cell)>,
    pub nodes: Vec<super::nodes::Node>,
    pub pulsed_at: Millis,
    /// Of each shared rate and group: the theoretical arrival time.
    pub rates: Vec<((Name, Option<Name>), u64)>,
    pub epoch: u64,
    /// The latest holder of each key, and until when a throttle gives it back.
    pub throttles: Vec<((Name, Name), TaskId, Millis)>,
    /// Ended tasks whose dependents have not been told, and whether they completed.
    untold: VecDeque<(u64, bool)>,
    drawn: u64,
}

#[derive(Clone)]
pub struct Task {
    /// Another one whenever an id is used again.
    pub uid: u64,
    pub spec: Spec,
    pub status: Status,
    pub place: u64,
    pub waits_for: Vec<(u64, OnBlockerFailure)>,
    pub expires_at: Option<Millis>,
    pub keyed_at: Millis,
    /// A debounce has replaced its input.
    pub slid: bool,
    pub pad: Pad,
}

impl Task {
    pub fn record(&self) -> Record {
        let status = Status { blockers: self.waits_for.len() as u32, ..self.status.clone() };
        Record { spec: std::sync::Arc::new(self.spec.clone()), status }
    }

    pub fn waits(&self) -> bool {
        self.status.state == State::Waiting
    }

    pub fn runs(&self) -> bool {
        self.status.state == State::Running
    }

    pub fn is_ready(&self, now: Millis) -> bool {
        self.waits() && self.waits_for.is_empty() && self.status.run_at <= now
    }

    pub fn key(&self) -> Option<(Name, Name)> {
        key_of(&self.spec)
    }
}

pub fn key_of(spec: &Spec) -> Option<(Name, Name)> {
    spec.key.as_ref().map(|key| (spec.queue.clone(), key.text.clone()))
}

impl Reference {
    pub fn new(now: Millis, lease: Millis) -> Self {
        Self { now, lease, ..Self::default() }
    }

    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub fn at(&self, id: &TaskId) -> Option<usize> {
        self.tasks.iter().position(|task| task.spec.id == *id)
    }

    pub fn finish(&mut self, at: usize, cause: Cause) {
        let task = &mut self.tasks[at];
        task.status.state = task.status.state.after(cause).expect("a legal transition");
        task.status.cause = Some(cause);
        task.status.finished_at = Some(self.now);
        task.waits_for.clear();
        self.untold.push_back((task.uid, task.status.state == State::Completed));
    }

    /// Tells those that wait for ended tasks, until nobody is left to tell.
    pub fn tell(&mut self, ended: &mut Vec<TaskId>) {
        while let Some((uid, completed)) = self.untold.pop_front() {
            for at in 0..self.tasks.len() {
                let task = &mut self.tasks[at];
                let Some(edge) = task.waits_for.iter().position(|(blocker, _)| *blocker == uid) else {
                    continue;
                };
                let (_, on_failure) = task.waits_for.remove(edge);
                if !completed && on_failure == OnBlockerFailure::Cancel {
                    task.status.cancel = Some(BLOCKED.into());
                    ended.push(task.spec.id.clone());
                    self.finish(at, Cause::Block);
                }
            }
        }
    }

    pub fn settle(&mut self, end: &Settlement) -> Settled {
        let current = |task: &Task| task.spec.id == end.id && task.runs() && task.status.epoch == end.epoch;
        let Some(at) = self.tasks.iter().position(current) else { return Settled::Stale };
        let status = &self.tasks[at].status;
        let end = end.clone().under(status.cancel.is_some(), status.superseded);
        let place = self.draw();
        let (now, task) = (self.now, &mut self.tasks[at]);
        task.status.owner = None;
        (task.status.failures, task.status.losses) = (end.failures, end.losses);
        if let Some(attempt) = &end.attempt {
            task.status.note(Attempt { at: now, ..attempt.clone() });
        }
        if end.state().is_final() {
            task.status.output = end.output.clone();
            if end.cause == Cause::Supersede {
                task.status.cancel = Some(SUPERSEDED.into());
            }
            self.finish(at, end.cause);
            let added = self.add_all(&end.spawn, false).expect("spawned tasks are past refusing");
            self.tie_all(&end.spawn, &added, false);
        } else {
            task.status.state = State::Waiting;
            task.status.cause = Some(end.cause);
            task.status.run_at = now + end.delay;
            if end.cause != Cause::Release {
                (task.place, task.expires_at) = (place, None);
            }
        }
        Settled::Applied(end.cause)
    }

    pub fn expire(&mut self, ended: &mut Vec<TaskId>) {
        for at in 0..self.tasks.len() {
            let (now, task) = (self.now, &mut self.tasks[at]);
            if task.waits() && task.expires_at.is_some_and(|last| last <= now) {
                let number = task.status.failures + 1;
                task.status.note(Attempt { at: now, ..Attempt::expired(number) });
                ended.push(task.spec.id.clone());
                self.finish(at, Cause::Expire);
            }
        }
    }

    pub fn swap(&mut self, swap: &Swap) -> Result<(), Option<Cell>> {
        let at = self.cells.iter().position(|(key, _)| *key == swap.key);
        let found = at.map(|at| self.cells[at].1.clone());
        if found.as_ref().map(|cell| &cell.value) != swap.old.as_ref() {
            return Err(found);
        }
        self.cells.retain(|(key, _)| *key != swap.key);
        self.cells.extend(swap.new.clone().map(|cell| (swap.key.clone(), cell)));
        Ok(())
    }

    pub fn is_paused(&self, queue: &str) -> bool {
        self.cells.iter().any(|(key, _)| *key == pause_cell(queue))
    }

    /// Forgets what is beyond the limits. Among tasks that ended at the same time it is the store's choice
    /// which is the oldest: `gone` says it, and is emptied.
    pub fn prune(&mut self, limits: &Retention, max: usize, gone: &mut Vec<TaskId>) -> usize {
        let mut pruned = 0;
        let files = [
            (State::Completed, limits.completed),
            (State::Failed, limits.failed),
            (State::Cancelled, limits.cancelled),
        ];
        for (state, keep) in files {
            while pruned < max
                && let Some(finished_at) = self.oldest_beyond(state, &keep)
            {
                let is_oldest =
                    |task: &Task| task.status.state == state && task.status.finished_at == Some(finished_at);
                let at = self.tasks.iter().position(|task| is_oldest(task) && gone.contains(&task.spec.id));
                let Some(at) = at else { return pruned };
                let task = self.tasks.remove(at);
                gone.retain(|id| *id != task.spec.id);
                pruned += 1;
            }
        }
        pruned
    }

    /// When the oldest task of a state ended, if it is beyond the limits.
    fn oldest_beyond(&self, state: State, keep: &Keep) -> Option<Millis> {
        let of_state = || self.tasks.iter().filter(|task| task.status.state == state);
        let bytes =
            |task: &Task| task.spec.input.len() + task.status.output.as_ref().map_or(0, |out| out.len());
        let oldest = of_state().filter_map(|task| task.status.finished_at).min()?;
        let is_beyond = keep.count.is_some_and(|count| of_state().count() as u64 > count)
            || keep.bytes.is_some_and(|limit| of_state().map(bytes).sum::<usize>() as u64 > limit)
            || keep.age.is_some_and(|age| self.now - oldest > age);
        is_beyond.then_some(oldest)
    }

    pub fn counts(&self, queue: Option<&Name>) -> Counts {
        let mut counts = Counts::default();
        for task in self.tasks.iter().filter(|task| queue.is_none_or(|queue| task.spec.queue == *queue)) {
            counts.by_view[self.view(task) as usize] += 1;
        }
        counts
    }

    pub fn view(&self, task: &Task) -> View {
        task.record().status.view(self.now)
    }

    pub fn fits(&self, task: &Task, filter: &Filter) -> bool {
        let spec = &task.spec;
        (filter.views.is_empty() || filter.views.contains(&self.view(task)))
            && filter.queue.as_ref().is_none_or(|queue| spec.queue == *queue)
            && filter.name.as_ref().is_none_or(|name| spec.name == *name)
            && filter.group.as_ref().is_none_or(|group| spec.group.as_ref() == Some(group))
            && filter.flow.as_ref().is_none_or(|flow| spec.flow.as_ref() == Some(flow))
    }
}
