//! How tasks come into the reference: pushes, keys, blockers, revivals.

use std::sync::Arc;

use task::store::{Push, Pushed};
use task::task::{Cause, Conflict, Name, OnBlockerFailure, Quiet, Spec, State, Status, TaskId, When};
use task::time::Millis;

use super::notes::Pad;
use super::reference::{BLOCKED, Reference, SUPERSEDED, Task, key_of};

impl Reference {
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
        let added = self.add_all(&push.specs, true)?;
        // Before anything is cancelled because of its blockers.
        let after = waiting(self);
        if push.max_waiting.is_some_and(|limit| after > before && after > limit) {
            return None;
        }
        self.tie_all(&push.specs, &added, true)?;
        self.tell(&mut Vec::new());
        Some(added.into_iter().map(|(pushed, _)| pushed).collect())
    }

    /// What every spec stands for, and whether it has made that task.
    pub fn add_all(&mut self, specs: &[Arc<Spec>], strict: bool) -> Option<Vec<(Pushed, bool)>> {
        specs.iter().map(|spec| self.add(spec, strict)).collect()
    }

    fn add(&mut self, spec: &Spec, strict: bool) -> Option<(Pushed, bool)> {
        if let Some(at) = self.at(&spec.id) {
            let known = &self.tasks[at];
            let is_same = spec.minted || known.spec.input == spec.input || known.slid || !strict;
            return is_same
                .then(|| (Pushed { id: spec.id.clone(), created: spec.minted, ousted: None }, false));
        }
        let (mut spec, mut ousted) = (spec.clone(), None);
        if let Some(key) = key_of(&spec) {
            let Key { conflict, quiet } = Key::of(&spec, strict);
            let last = self.throttles.iter().find(|(at, ..)| *at == key);
            if let (Quiet::Throttle(_), Some((_, id, until))) = (quiet, last)
                && *until > self.now
            {
                return Some((Pushed { id: id.clone(), created: false, ousted: None }, false));
            }
            let debounce =
                if let Quiet::Debounce { wait, max_wait } = quiet { Some((wait, max_wait)) } else { None };
            if let Some(at) = self.holder(&key) {
                let holder = &mut self.tasks[at];
                let found = (Pushed { id: holder.spec.id.clone(), created: false, ousted: None }, false);
                match (debounce, conflict) {
                    (Some((wait, max_wait)), _)
                        if holder.waits() && holder.status.first_started_at.is_none() =>
                    {
                        (holder.spec.input, holder.slid) = (spec.input.clone(), true);
                        holder.status.run_at = (self.now + wait).min(holder.keyed_at + max_wait);
                        return Some(found);
                    }
                    (None, Conflict::Refuse) => return None,
                    (None, Conflict::Ignore) => return Some(found),
                    _ if holder.waits() => {
                        holder.status.cancel = Some(SUPERSEDED.into());
                        ousted = Some(self.tasks[at].spec.id.clone());
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
        let pushed = Pushed { id: spec.id.clone(), created: true, ousted };
        self.create(spec);
        Some((pushed, true))
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
        let (waits_for, keyed_at, slid) = (Vec::new(), self.now, false);
        self.tasks.push(Task {
            uid,
            spec,
            status,
            place: uid,
            waits_for,
            expires_at,
            keyed_at,
            slid,
            pad: Pad::default(),
        });
    }

    /// Ties new tasks to their blockers; those of the same push go by what they stand for.
    pub fn tie_all(&mut self, specs: &[Arc<Spec>], added: &[(Pushed, bool)], strict: bool) -> Option<()> {
        let new: Vec<&TaskId> = added.iter().filter(|(_, new)| *new).map(|(pushed, _)| &pushed.id).collect();
        for at in new.iter().filter_map(|id| self.at(id)).collect::<Vec<_>>() {
            if let Some(blockers) = &mut self.tasks[at].spec.blockers {
                let mut ids: Vec<TaskId> = Vec::new();
                for id in &blockers.ids {
                    let stands_for = specs.iter().zip(added).find(|(spec, _)| spec.id == *id);
                    let real = stands_for.map_or(id, |(_, (pushed, _))| &pushed.id);
                    if !ids.contains(real) {
                        ids.push(real.clone());
                    }
                }
                blockers.ids = ids;
            }
        }
        if strict && new.iter().any(|id| self.waits_for_itself(id, &new)) {
            return None;
        }
        new.iter().try_for_each(|id| self.tie(self.at(id)?, strict, true))
    }

    fn waits_for_itself(&self, id: &TaskId, new: &[&TaskId]) -> bool {
        let (mut seen, mut open): (Vec<&TaskId>, _) = (Vec::new(), vec![id]);
        while let Some(next) = open.pop() {
            let blockers = self.at(next).and_then(|at| self.tasks[at].spec.blockers.as_ref());
            for blocker in blockers.iter().flat_map(|blockers| &blockers.ids).filter(|id| new.contains(id)) {
                if blocker == id {
                    return true;
                }
                if !seen.contains(&blocker) {
                    seen.push(blocker);
                    open.push(blocker);
                }
            }
        }
        false
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
        let follows =
            self.tasks.iter().find(|task| task.runs() && task.status.superseded && task.key() == key);
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
        if self.tasks[at].status.state == State::Completed {
            // What was memoised is for the runs up to a success.
            self.tasks[at].pad.steps.clear();
        }
        let place = self.draw();
        let uid = self.draw();
        let (now, task) = (self.now, &mut self.tasks[at]);
        (task.place, task.uid, task.expires_at, task.keyed_at) = (place, uid, None, now);
        let status = &mut task.status;
        (status.state, status.cause, status.run_at) = (State::Waiting, Some(Cause::Revive), now);
        (status.failures, status.losses, status.superseded) = (0, 0, false);
        (status.cancel, status.output, status.finished_at, status.first_started_at) =
            (None, None, None, None);
        true
    }

    pub fn tie_revived(&mut self, ids: &[TaskId]) {
        for id in ids {
            if let Some(at) = self.at(id) {
                self.tie(at, false, false);
            }
        }
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
        let conflict =
            if key.conflict == Conflict::Refuse && !strict { Conflict::Ignore } else { key.conflict };
        Self { conflict, quiet: key.quiet }
    }
}
