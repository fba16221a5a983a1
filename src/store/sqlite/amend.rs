//! `amend`: what operators change.
//!
//! A filter is worked off in steps, in the order of creation or against it, and round again, so that a million
//! tasks are looked at once or twice, not once a step. That needs every change to leave its task out of reach of
//! the same change.

use std::sync::Arc;

use rusqlite::Result;

use crate::store::plan::Ended;
use crate::store::query::Undone;
use crate::store::{Amend, Amended, Filter, Target};
use crate::task::{Cause, State, Status, TaskId};

use super::STEP;
use super::filter::Chosen;
use super::ledger::Ledger;
use super::row::{SUPERSEDED, Task};

impl Ledger<'_> {
    pub fn amend(&mut self, target: &Target, change: &Amend) -> Result<Amended> {
        let mut amended = Amended::default();
        let serials = match target {
            Target::Ids(ids) => {
                let mut serials = Vec::with_capacity(ids.len());
                for id in ids {
                    serials.extend(self.serial_of(id)?);
                }
                serials
            }
            Target::Filter(filter) => self.step_over(filter, change, &mut amended.more)?,
        };
        let is_revival_by_id = matches!((target, change), (Target::Ids(_), Amend::Retry));
        let (mut revived, mut undone) = (Vec::new(), Undone::default());
        for serial in serials {
            let Some(task) = self.at(serial)? else { continue };
            if !self.can(&task, change)? || undone.holds_back(&task.spec) {
                if is_revival_by_id {
                    undone.add(&task.spec.id, task.status.state);
                }
                continue;
            }
            amended.changed.push(task.spec.id.clone());
            match change {
                Amend::Retry => revived.push((serial, self.revive(task)?)),
                _ => self.change(task, change, &mut amended)?,
            }
        }
        // Only now, since a blocker may have been revived after what waits for it.
        for (serial, follows) in revived {
            self.tie(serial, follows, Ended::Forgive)?;
        }
        self.cascade(STEP, &mut amended.ended)?;
        Ok(amended)
    }

    /// The next tasks that match a filter and can be changed.
    fn step_over(&mut self, filter: &Filter, change: &Amend, more: &mut bool) -> Result<Vec<i64>> {
        let chosen = Chosen::of(self, filter)?;
        let from = self.meta.amended_to;
        let backward = change.is_newest_first();
        let rounds = match (backward, from) {
            (false, _) => [(from, i64::MAX), (0, from)],
            (true, 0) => [(i64::MAX, 0), (0, 0)],
            (true, _) => [(from, 0), (i64::MAX, from)],
        };
        let mut found = Vec::new();
        'round: for (after, upto) in rounds {
            let mut after = after;
            loop {
                let batch = chosen.batch(self, (after, upto), backward, STEP + 1)?;
                let is_last = batch.len() <= STEP;
                for task in batch {
                    after = task.serial;
                    if chosen.is_in(&task) && self.can(&task, change)? {
                        found.push(task.serial);
                        if found.len() > STEP {
                            break 'round;
                        }
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        *more = found.len() > STEP;
        found.truncate(STEP);
        self.meta.amended_to = found.last().copied().filter(|_| *more).unwrap_or(0);
        Ok(found)
    }

    fn can(&mut self, task: &Task, change: &Amend) -> Result<bool> {
        Ok(change.applies(&task.status, self.now)
            && (!matches!(change, Amend::Retry) || self.key_is_free(task)?))
    }

    fn change(&mut self, task: Task, change: &Amend, amended: &mut Amended) -> Result<()> {
        let now = self.now;
        match change {
            Amend::Cancel(reason) => self.cancel(task, reason, amended).map(drop),
            Amend::Remove => {
                let task = match task.status.state {
                    State::Waiting => self.cancel(task, &"removed".into(), amended)?,
                    _ => task,
                };
                self.forget_task(task)
            }
            Amend::Reschedule(at) => self.rewrite(task, |status| status.run_at = *at),
            Amend::Promote => self.rewrite(task, |status| status.run_at = now),
            Amend::Prioritise(priority) => self.rewrite(task, |status| status.priority = *priority),
            Amend::Retry => unreachable!("revivals are tied to their blockers by the caller"),
        }
    }

    fn rewrite(&mut self, mut task: Task, change: impl FnOnce(&mut Status)) -> Result<()> {
        self.unplace(&mut task)?;
        change(&mut task.status);
        self.place(&task)?;
        self.save(&task)
    }

    fn cancel(&mut self, mut task: Task, reason: &Arc<str>, amended: &mut Amended) -> Result<Task> {
        task.status.cancel = Some(reason.clone());
        let (id, epoch) = (task.spec.id.clone(), task.status.epoch);
        if task.status.state == State::Running {
            self.sql.ask_to_stop.execute([task.serial])?;
            self.save(&task)?;
            amended.stopping.push((id, epoch));
        } else {
            self.unplace(&mut task)?;
            self.finish(&mut task, Cause::Cancel)?;
            amended.ended.push(id);
        }
        Ok(task)
    }

    /// Lets an ended task wait again, with fresh budgets and no last moment; answers whose end it follows.
    fn revive(&mut self, mut task: Task) -> Result<Option<TaskId>> {
        self.unfile(&mut task)?;
        if task.status.state == State::Completed {
            self.drop_steps(&task)?;
        }
        self.enter(&mut task, Cause::Revive)?;
        let place = self.next_serial();
        (task.place, task.wait_no, task.expires_at) = (place, place, None);
        let status = &mut task.status;
        (status.failures, status.losses) = (0, 0);
        (status.cancel, status.superseded, status.output, status.finished_at) = (None, false, None, None);
        status.first_started_at = None;
        status.run_at = self.now;
        task.flags &= !SUPERSEDED;
        self.save_flags(&task)?;
        let follows = self.take_key(&task)?;
        self.place(&task)?;
        self.save(&task)?;
        Ok(follows)
    }

    /// Forgets an ended task.
    pub fn forget_task(&mut self, mut task: Task) -> Result<()> {
        self.unfile(&mut task)?;
        self.sql.drop_task.execute([task.serial])?;
        self.sql.drop_status.execute([task.serial])?;
        self.drop_notes(&task)
    }
}
