//! A store as one would explain it: a list of tasks in the order of their creation, and a scan for everything.
//!
//! Written from the design text, not from a store. It claims nothing by itself, since the order between groups
//! is a store's own: it judges the claims that were given (see `claims`).

use std::collections::VecDeque;

use task::store::{Cell, Counts, Filter, Keep, Push, Pushed, Retention, Settled, Swap, pause_cell};
use task::task::{
    Attempt, Cause, Conflict, Name, OnBlockerFailure, Quiet, Record, Settlement, Spec, State, Status, TaskId, View,
    When,
};
use task::time::Millis;

const SUPERSEDED: &str = "another task has taken its key";
const BLOCKED: &str = "a task that it waits for did not complete";

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
    throttles: Vec<((Name, Name), TaskId, Millis)>,
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
    pub end_no: u64,
    pub waits_for: Vec<(u64, OnBlockerFailure)>,
    pub expires_at: Option<Millis>,
    keyed_at: Millis,
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

    fn key(&self) -> Option<(Name, Name)> {
        key_of(&self.spec)
    }
}

fn key_of(spec: &Spec) -> Option<(Name, Name)> {
    spec.key.as_ref().map(|key| (spec.queue.clone(), key.text.clone()))
}

impl Reference {
    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub fn at(&self, id: &TaskId) -> Option<usize> {
        self.tasks.iter().position(|task| task.spec.id == *id)
    }

    fn holder(&self, key: &(Name, Name)) -> Option<usize> {
        let holds = |task: &Task| !task.status.state.is_final() && !task.status.superseded;
        self.tasks.iter().position(|task| task.key().as_ref() == Some(key) && holds(task))
    }

    /// All or nothing, by trying it on a copy.
    pub fn push(&mut self, push: &Push) -> Option<Vec<Pushed>> {
        let before = self.clone();
        let pushed = self.try_push(push);
        if pushed.is_none() {
            *self = before;
        }
        pushed
    }

    fn try_push(&mut self, push: &Push) -> Option<Vec<Pushed>> {
        if let Some(guard) = &push.guard {
            self.swap(guard).ok()?;
        }
        let waiting = |model: &Self| model.tasks.iter().filter(|task| task.waits()).count() as u64;
        let before = waiting(self);
        let pushed = self.add_all(&push.specs, true)?;
        // Before anything is cancelled because of its blockers.
        let after = waiting(self);
        if push.max_waiting.is_some_and(|limit| after > before && after > limit) {
            return None;
        }
        self.tie_all(&push.specs, &pushed, true)?;
        self.tell(&mut Vec::new());
        Some(pushed)
    }

    fn add_all(&mut self, specs: &[Spec], strict: bool) -> Option<Vec<Pushed>> {
        specs.iter().map(|spec| self.add(spec, strict)).collect()
    }

    fn add(&mut self, spec: &Spec, strict: bool) -> Option<Pushed> {
        if let Some(at) = self.at(&spec.id) {
            let known = &self.tasks[at].spec;
            let debounces = matches!(known.key.as_ref().map(|key| key.quiet), Some(Quiet::Debounce { .. }));
            let is_same = known.input == spec.input || debounces || !strict;
            return is_same.then(|| Pushed { id: spec.id.clone(), created: spec.minted });
        }
        let mut spec = spec.clone();
        if let Some(key) = key_of(&spec) {
            let Key { conflict, quiet } = Key::of(&spec, strict);
            let last = self.throttles.iter().find(|(at, ..)| *at == key);
            if let (Quiet::Throttle(_), Some((_, id, until))) = (quiet, last)
                && *until > self.now
            {
                return Some(Pushed { id: id.clone(), created: false });
            }
            let debounce = if let Quiet::Debounce { wait, max_wait } = quiet { Some((wait, max_wait)) } else { None };
            if let Some(at) = self.holder(&key) {
                let holder = &mut self.tasks[at];
                let found = Pushed { id: holder.spec.id.clone(), created: false };
                match (debounce, conflict) {
                    (Some((wait, max_wait)), _) if holder.waits() && holder.status.first_started_at.is_none() => {
                        holder.spec.input = spec.input.clone();
                        holder.status.run_at = (self.now + wait).min(holder.keyed_at + max_wait);
                        return Some(found);
                    }
                    (None, Conflict::Refuse) => return None,
                    (None, Conflict::Ignore) => return Some(found),
                    _ if holder.waits() => {
                        holder.status.cancel = Some(SUPERSEDED.into());
                        self.finish(at, Cause::Supersede);
                    }
                    _ => holder.status.superseded = true,
                }
            }
            if let Some((wait, _)) = debounce {
                spec.when = When::After(wait);
            }
            let until = if let Quiet::Throttle(time) = quiet { self.now + time } else { 0 };
            self.throttles.retain(|(at, ..)| *at != key);
            self.throttles.push((key, spec.id.clone(), until));
        }
        let pushed = Pushed { id: spec.id.clone(), created: true };
        self.create(spec);
        Some(pushed)
    }

    fn create(&mut self, spec: Spec) {
        let run_at = match spec.when {
            When::Now => self.now,
            When::After(delay) => self.now.saturating_add(delay),
            When::At(at) => at,
        };
        let status = Status {
            state: State::Waiting,
            cause: None,
            priority: spec.priority,
            run_at,
            blockers: 0,
            epoch: 0,
            owner: None,
            failures: 0,
            losses: 0,
            cancel: None,
            superseded: false,
            created_at: self.now,
            first_started_at: None,
            started_at: None,
            finished_at: None,
            output: None,
            attempts: Vec::new(),
        };
        let (uid, expires_at) = (self.draw(), spec.expires_at);
        let (end_no, waits_for, keyed_at) = (0, Vec::new(), self.now);
        self.tasks.push(Task { uid, spec, status, place: uid, end_no, waits_for, expires_at, keyed_at });
    }

    /// Ties new tasks to their blockers; those of the same push go by what they stand for.
    fn tie_all(&mut self, specs: &[Spec], pushed: &[Pushed], strict: bool) -> Option<()> {
        let mut tied: Vec<&TaskId> = Vec::new();
        for spec in specs {
            let is_new = pushed.iter().any(|pushed| pushed.created && pushed.id == spec.id);
            let Some(at) = self.at(&spec.id).filter(|_| is_new) else { continue };
            if tied.contains(&&spec.id) || self.tasks[at].status.cause.is_some_and(|cause| cause != Cause::Supersede) {
                continue;
            }
            tied.push(&spec.id);
            if let Some(blockers) = &mut self.tasks[at].spec.blockers {
                let mut ids: Vec<TaskId> = Vec::new();
                for id in &blockers.ids {
                    let stands_for = specs.iter().zip(pushed).find(|(spec, _)| spec.id == *id);
                    let real = stands_for.map_or(id, |(_, pushed)| &pushed.id).clone();
                    if !ids.contains(&real) {
                        ids.push(real);
                    }
                }
                blockers.ids = ids;
            }
            self.tie(at, strict, true)?;
        }
        let new = pushed.iter().filter(|pushed| pushed.created).filter_map(|pushed| self.at(&pushed.id));
        if strict && new.into_iter().any(|at| self.waits_for_itself(at)) { None } else { Some(()) }
    }

    /// Lets a task wait for its unfinished blockers and for the run that has lost its key to it. Where
    /// ended blockers `count`, a failed one cancels it.
    fn tie(&mut self, at: usize, strict: bool, count: bool) -> Option<()> {
        let task = &self.tasks[at];
        let key = task.key();
        let blockers = task.spec.blockers.clone();
        let on_failure = blockers.as_ref().map_or(OnBlockerFailure::Run, |blockers| blockers.on_failure);
        let ids = blockers.map_or_else(Vec::new, |blockers| blockers.ids);
        let mut failed = false;
        let mut waits_for: Vec<(u64, OnBlockerFailure)> = Vec::new();
        for id in &ids {
            let Some(blocker) = self.at(id).map(|at| &self.tasks[at]) else {
                if strict {
                    return None;
                }
                continue;
            };
            match blocker.status.state {
                State::Waiting | State::Running => waits_for.push((blocker.uid, on_failure)),
                State::Completed => {}
                State::Failed | State::Cancelled => failed |= on_failure == OnBlockerFailure::Cancel,
            }
        }
        let follows = self.tasks.iter().find(|task| task.runs() && task.status.superseded && task.key() == key);
        if let Some(follows) = follows.filter(|task| key.is_some() && !ids.contains(&task.spec.id)) {
            waits_for.push((follows.uid, OnBlockerFailure::Run));
        }
        if !self.tasks[at].waits() {
            return Some(());
        }
        self.tasks[at].waits_for = waits_for;
        if failed && count {
            self.tasks[at].status.cancel = Some(BLOCKED.into());
            self.finish(at, Cause::Block);
        }
        Some(())
    }

    fn waits_for_itself(&self, at: usize) -> bool {
        let uid = self.tasks[at].uid;
        let (mut seen, mut open) = (Vec::new(), vec![uid]);
        while let Some(next) = open.pop() {
            let Some(task) = self.tasks.iter().find(|task| task.uid == next) else { continue };
            for (blocker, _) in &task.waits_for {
                if *blocker == uid {
                    return true;
                }
                if !seen.contains(blocker) {
                    seen.push(*blocker);
                    open.push(*blocker);
                }
            }
        }
        false
    }

    pub fn finish(&mut self, at: usize, cause: Cause) {
        let end_no = self.draw();
        let task = &mut self.tasks[at];
        task.status.state = task.status.state.after(cause).expect("a legal transition");
        task.status.cause = Some(cause);
        task.status.finished_at = Some(self.now);
        task.waits_for.clear();
        task.end_no = end_no;
        self.untold.push_back((task.uid, task.status.state == State::Completed));
    }

    /// Tells those that wait for ended tasks, until nobody is left to tell.
    pub fn tell(&mut self, ended: &mut Vec<TaskId>) {
        while let Some((uid, completed)) = self.untold.pop_front() {
            for at in 0..self.tasks.len() {
                let task = &mut self.tasks[at];
                let Some(edge) = task.waits_for.iter().position(|(blocker, _)| *blocker == uid) else { continue };
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
            let pushed = self.add_all(&end.spawn, false).expect("spawned tasks are past refusing");
            self.tie_all(&end.spawn, &pushed, false);
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

    /// Lets an ended task wait again, unless its key is taken; `tie` has to follow.
    pub fn revive(&mut self, at: usize) -> bool {
        let key = self.tasks[at].key();
        if key.as_ref().is_some_and(|key| self.holder(key).is_some()) {
            return false;
        }
        if let Some(key) = key {
            let id = self.tasks[at].spec.id.clone();
            let same = |(other, last, _): &&((Name, Name), TaskId, Millis)| *other == key && *last == id;
            let until = self.throttles.iter().find(same).map_or(0, |(.., until)| *until);
            self.throttles.retain(|(at, ..)| *at != key);
            self.throttles.push((key, id, until));
        }
        let place = self.draw();
        let uid = self.draw();
        let (now, task) = (self.now, &mut self.tasks[at]);
        (task.place, task.uid, task.expires_at, task.keyed_at) = (place, uid, None, now);
        let status = &mut task.status;
        (status.state, status.cause, status.run_at) = (State::Waiting, Some(Cause::Revive), now);
        (status.failures, status.losses, status.superseded) = (0, 0, false);
        (status.cancel, status.output, status.finished_at, status.first_started_at) = (None, None, None, None);
        true
    }

    pub fn tie_revived(&mut self, ids: &[TaskId]) {
        for id in ids {
            if let Some(at) = self.at(id) {
                self.tie(at, false, false);
            }
        }
    }

    pub fn prune(&mut self, limits: &Retention, max: usize) -> usize {
        let mut pruned = 0;
        let files = [
            (State::Completed, limits.completed),
            (State::Failed, limits.failed),
            (State::Cancelled, limits.cancelled),
        ];
        for (state, keep) in files {
            while pruned < max
                && let Some(at) = self.oldest_beyond(state, &keep)
            {
                self.tasks.remove(at);
                pruned += 1;
            }
        }
        pruned
    }

    fn oldest_beyond(&self, state: State, keep: &Keep) -> Option<usize> {
        let of_state = || self.tasks.iter().filter(|task| task.status.state == state);
        let bytes = |task: &Task| (task.spec.input.len() + task.status.output.as_ref().map_or(0, |out| out.len())) as u64;
        let oldest = of_state().min_by_key(|task| task.end_no)?;
        let is_beyond = keep.count.is_some_and(|count| of_state().count() as u64 > count)
            || keep.bytes.is_some_and(|limit| of_state().map(bytes).sum::<u64>() > limit)
            || keep.age.is_some_and(|age| self.now - oldest.status.finished_at.unwrap() > age);
        if is_beyond { self.at(&oldest.spec.id) } else { None }
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
    }
}

/// What a spec says about its key.
struct Key {
    conflict: Conflict,
    quiet: Quiet,
}

impl Key {
    fn of(spec: &Spec, strict: bool) -> Self {
        let key = spec.key.as_ref().expect("the caller has seen it");
        // What a run has spawned is past refusing.
        let conflict = if key.conflict == Conflict::Refuse && !strict { Conflict::Ignore } else { key.conflict };
        Self { conflict, quiet: key.quiet }
    }
}
