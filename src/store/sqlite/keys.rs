//! Unique keys: who holds one, and for how long its row outlives the holder.
//!
//! Invariants: `holder` is an unfinished task that was not superseded; `after` is a running task that was,
//! and whoever takes the key next waits for its end; a row with neither is kept only while it is quiet.

use rusqlite::{Result, params};

use crate::store::plan::{Holder, KeyAt, Meeting, key_of, meeting};
use crate::task::{Quiet, Spec, State, TaskId};
use crate::time::Millis;

use super::ledger::Ledger;
use super::row::{KEYED, SUPERSEDED, Task, all, first, signed};

pub(super) struct KeyRow {
    pub holder: Option<i64>,
    pub after: Option<TaskId>,
    /// The latest holder, which a throttle gives back even when it has ended.
    pub last: TaskId,
    pub quiet_until: Millis,
    pub first_at: Millis,
}

impl Ledger<'_> {
    pub fn key(&mut self, at: &KeyAt) -> Result<Option<KeyRow>> {
        first(&mut self.sql.key, [&*at.0, &*at.1], |row| {
            let after: Option<String> = row.get(1)?;
            Ok(KeyRow {
                holder: row.get(0)?,
                after: after.map(|id| TaskId::from(&*id)),
                last: TaskId::from(row.get_ref(2)?.as_str()?),
                quiet_until: row.get::<_, i64>(3)? as Millis,
                first_at: row.get::<_, i64>(4)? as Millis,
            })
        })
    }

    fn set_key(&mut self, at: &KeyAt, row: &KeyRow) -> Result<()> {
        let KeyRow { holder, after, last, quiet_until, first_at } = row;
        let (after, until, first_at) =
            (after.as_ref().map(TaskId::as_str), signed(*quiet_until), signed(*first_at));
        self.sql.set_key.execute(params![&*at.0, &*at.1, holder, after, last.as_str(), until, first_at])?;
        Ok(())
    }

    /// What a push of `spec` finds at its key, and who holds that.
    pub fn meet(&mut self, at: &KeyAt, spec: &Spec) -> Result<(Meeting, Option<Task>)> {
        let (Some(key), Some(row)) = (&spec.key, self.key(at)?) else { return Ok((Meeting::Free, None)) };
        let task = row.holder.map(|serial| self.must(serial)).transpose()?;
        let holder = task.as_ref().map(|task| Holder {
            id: task.spec.id.clone(),
            waits: task.status.state == State::Waiting,
            is_fresh: task.status.first_started_at.is_none(),
        });
        Ok((meeting(key, &row.last, row.quiet_until > self.now, holder.as_ref()), task))
    }

    /// Gives the key of a task to it; answers whose end it has to wait for.
    pub fn take_key(&mut self, task: &Task) -> Result<Option<TaskId>> {
        let (Some(at), Some(key)) = (key_of(&task.spec), &task.spec.key) else { return Ok(None) };
        let old = self.key(&at)?;
        let quiet_until = match key.quiet {
            // Only a push makes the others wait: a revival leaves the time as it is.
            Quiet::Throttle(time) if task.status.cause.is_none() => self.now.saturating_add(time),
            _ => old.as_ref().filter(|row| row.last == task.spec.id).map_or(0, |row| row.quiet_until),
        };
        let after = old.and_then(|row| row.after);
        let (holder, last) = (Some(task.serial), task.spec.id.clone());
        self.set_key(&at, &KeyRow { holder, after: after.clone(), last, quiet_until, first_at: self.now })?;
        Ok(after)
    }

    /// Takes the key from a running task, which goes back to no queue.
    pub fn supersede(&mut self, task: &mut Task) -> Result<()> {
        task.status.superseded = true;
        task.flags |= SUPERSEDED;
        self.save_flags(task)?;
        if let Some(at) = key_of(&task.spec)
            && let Some(row) = self.key(&at)?
        {
            self.set_key(&at, &KeyRow { holder: None, after: Some(task.spec.id.clone()), ..row })?;
        }
        Ok(())
    }

    /// A task has ended: it holds its key no more, and nobody waits for it there.
    pub fn free_key(&mut self, task: &Task) -> Result<()> {
        if !task.has(KEYED) {
            return Ok(());
        }
        let Some(at) = key_of(&task.spec) else { return Ok(()) };
        let Some(mut row) = self.key(&at)? else { return Ok(()) };
        if row.holder == Some(task.serial) {
            row.holder = None;
        }
        if row.after.as_ref() == Some(&task.spec.id) {
            row.after = None;
        }
        if row.holder.is_some() || row.after.is_some() || row.quiet_until > self.now {
            return self.set_key(&at, &row);
        }
        self.sql.drop_key.execute([&*at.0, &*at.1])?;
        Ok(())
    }

    pub fn key_is_free(&mut self, task: &Task) -> Result<bool> {
        let Some(at) = key_of(&task.spec) else { return Ok(true) };
        Ok(self.key(&at)?.is_none_or(|row| row.holder.is_none()))
    }

    /// Forgets rows whose throttle has run out, at most `max`.
    pub fn tidy_keys(&mut self, max: usize) -> Result<()> {
        let now = signed(self.now);
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        for (queue, text) in all(&mut self.sql.quiet_keys, params![now, max as i64], read)? {
            self.sql.drop_key.execute([queue, text])?;
        }
        Ok(())
    }
}
