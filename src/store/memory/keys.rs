//! Unique keys: who holds one, and for how long its row outlives the holder.
//!
//! Invariants: `holder` is an unfinished task that was not superseded; `after` is a running task that was,
//! and whoever takes the key next waits for its end; a row with neither is kept only while it is quiet.

use std::collections::{BTreeSet, HashMap};

use crate::store::plan::{Holder, KeyAt, Meeting, key_of, meeting};
use crate::task::{Quiet, Spec, State, Status, TaskId};
use crate::time::Millis;

use super::book::Book;
use super::lane::Slot;

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

impl Book {
    /// What a push of `spec` finds at its key, and who holds that.
    pub fn meet(&self, at: &KeyAt, spec: &Spec, now: Millis) -> (Meeting, Option<Slot>) {
        let key = spec.key.as_ref().expect("the caller has seen it");
        let Some(row) = self.keys.rows.get(at) else { return (Meeting::Free, None) };
        let holder = row.holder.map(|slot| {
            let Status { state, first_started_at, .. } = &self.tasks[slot].status;
            let id = self.tasks[slot].spec.id.clone();
            Holder { id, waits: *state == State::Waiting, is_fresh: first_started_at.is_none() }
        });
        (meeting(key, &row.last, row.quiet_until > now, holder.as_ref()), row.holder)
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
