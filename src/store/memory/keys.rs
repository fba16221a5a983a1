//! Unique keys: who holds one, and for how long its row outlives the holder.
//!
//! Invariants: `holder` is an unfinished task that was not superseded; `after` is a running task that was,
//! and whoever takes the key next waits for its end; a row with neither is kept only while it is quiet.

use std::collections::{BTreeSet, HashMap};

use crate::task::{Conflict, Quiet, Spec, State, TaskId};
use crate::time::Millis;

use super::book::{Book, Task};
use super::lane::Slot;

/// A queue and a key in it.
pub(super) type KeyAt = (crate::task::Name, crate::task::Name);

#[derive(Debug)]
pub(super) struct KeyRow {
    pub holder: Option<Slot>,
    pub after: Option<TaskId>,
    /// The latest holder, which a throttle gives back even when it has ended.
    pub last: TaskId,
    pub quiet_until: Millis,
    pub first_at: Millis,
}

#[derive(Default)]
pub(super) struct Keys {
    pub rows: HashMap<KeyAt, KeyRow>,
    /// Rows that were left behind for a throttle; an entry may be out of date.
    quiet: BTreeSet<(Millis, KeyAt)>,
}

/// What a push with a key finds and has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Takes the key.
    Free,
    /// Takes the key from this waiting task, which is cancelled.
    Oust(Slot),
    /// Takes the key from this running task.
    Follow(Slot),
    /// Gives its input to this waiting task.
    Slide(Slot),
    /// Stands for this task.
    Found(TaskId),
    /// Is refused.
    Refused(TaskId),
}

pub(super) fn key_of(spec: &Spec) -> Option<KeyAt> {
    spec.key.as_ref().map(|key| (spec.queue.clone(), key.text.clone()))
}

impl Book {
    /// What a push of `spec` finds at its key. A throttle that is still quiet comes first, then a debounce,
    /// then what the push says about conflicts.
    pub fn meet(&self, at: &KeyAt, spec: &Spec, now: Millis) -> Meeting {
        let key = spec.key.as_ref().expect("the caller has seen it");
        let Some(row) = self.keys.rows.get(at) else { return Meeting::Free };
        if matches!(key.quiet, Quiet::Throttle(_)) && row.quiet_until > now {
            return Meeting::Found(row.last.clone());
        }
        let Some(slot) = row.holder else { return Meeting::Free };
        let holder = &self.tasks[slot];
        let debounces = matches!(key.quiet, Quiet::Debounce { .. });
        match key.conflict {
            _ if debounces && is_fresh(holder) => Meeting::Slide(slot),
            Conflict::Refuse if !debounces => Meeting::Refused(holder.spec.id.clone()),
            Conflict::Ignore if !debounces => Meeting::Found(holder.spec.id.clone()),
            _ if holder.status.state == State::Waiting => Meeting::Oust(slot),
            _ => Meeting::Follow(slot),
        }
    }

    /// Gives the key of a task to it; answers whose end it has to wait for.
    pub fn take_key(&mut self, slot: Slot, now: Millis) -> Option<TaskId> {
        let spec = &self.tasks[slot].spec;
        let at = key_of(spec)?;
        let old = self.keys.rows.get(&at);
        let quiet_until = match spec.key.as_ref()?.quiet {
            // Only a push makes the others wait: a revival leaves the time as it is.
            Quiet::Throttle(time) if self.tasks[slot].status.cause.is_none() => now.saturating_add(time),
            _ => old.filter(|row| row.last == spec.id).map_or(0, |row| row.quiet_until),
        };
        let after = old.and_then(|row| row.after.clone());
        let last = spec.id.clone();
        let row = KeyRow { holder: Some(slot), after: after.clone(), last, quiet_until, first_at: now };
        self.keys.rows.insert(at, row);
        after
    }

    /// Takes the key from a running task, which goes back to no queue.
    pub fn supersede(&mut self, slot: Slot) {
        let task = &mut self.tasks[slot];
        task.status.superseded = true;
        let at = key_of(&task.spec).expect("a holder has a key");
        let row = self.keys.rows.get_mut(&at).expect("a held key has a row");
        (row.holder, row.after) = (None, Some(task.spec.id.clone()));
    }

    /// A task has ended: it holds its key no more, and nobody waits for it there.
    pub fn free_key(&mut self, slot: Slot, now: Millis) {
        let spec = &self.tasks[slot].spec;
        let Some(at) = key_of(spec) else { return };
        let Some(row) = self.keys.rows.get_mut(&at) else { return };
        if row.holder == Some(slot) {
            row.holder = None;
        }
        if row.after.as_ref() == Some(&spec.id) {
            row.after = None;
        }
        if row.holder.is_some() || row.after.is_some() {
            return;
        }
        if row.quiet_until <= now {
            self.keys.rows.remove(&at);
        } else {
            self.keys.quiet.insert((row.quiet_until, at));
        }
    }

    pub fn key_is_free(&self, slot: Slot) -> bool {
        let row = key_of(&self.tasks[slot].spec).and_then(|at| self.keys.rows.get(&at));
        row.is_none_or(|row| row.holder.is_none())
    }

    /// Forgets rows whose throttle has run out, at most `max`.
    pub fn tidy_keys(&mut self, max: usize, now: Millis) {
        for _ in 0..max {
            match self.keys.quiet.first() {
                Some((until, _)) if *until <= now => {}
                _ => return,
            }
            let Some((_, at)) = self.keys.quiet.pop_first() else { return };
            let unused = |row: &KeyRow| row.holder.is_none() && row.after.is_none() && row.quiet_until <= now;
            if self.keys.rows.get(&at).is_some_and(unused) {
                self.keys.rows.remove(&at);
            }
        }
    }
}

/// A debounce may still change its input: no run of it has begun.
fn is_fresh(holder: &Task) -> bool {
    holder.status.state == State::Waiting && holder.status.first_started_at.is_none()
}
