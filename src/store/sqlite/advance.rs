//! `advance`: settle, promote, expire, cascade, claim, in that order and in one step.

use rusqlite::{Result, params};

use crate::store::plan::TAKEN;
use crate::store::{Advance, Settled, Turn};
use crate::task::{Attempt, Cause, Settlement, State, TaskId, View};
use crate::time::Millis;

use super::STEP;
use super::claim::Runs;
use super::ledger::Ledger;
use super::row::{AWAITED, Task, first, signed};

impl Ledger<'_> {
    pub fn advance(&mut self, step: &Advance, runs: &mut Runs) -> Result<Turn> {
        let mut turn = Turn { now: self.now, ..Turn::default() };
        turn.settled.reserve(step.settlements.len());
        for end in &step.settlements {
            turn.settled.push(self.settle(end, runs)?);
        }
        self.promote()?;
        // Expiries leave room for cascades, so that neither can hold up the other.
        self.expire(STEP / 2, &mut turn.ended)?;
        self.cascade(STEP - turn.ended.len(), &mut turn.ended)?;
        let reopens_at = self.claim(&step.node, &step.claims, &mut turn, runs)?;
        let date = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0).map(|at| at as Millis);
        let due_at = first(&mut self.sql.first_timed, [], date)?;
        let expires_at = first(&mut self.sql.first_expiring, [], date)?;
        let cascades = !self.owed.is_empty() || first(&mut self.sql.first_cascade, [], |_| Ok(()))?.is_some();
        turn.more |= cascades || [due_at, expires_at].into_iter().flatten().any(|at| at <= self.now);
        turn.next_at = [due_at, expires_at, reopens_at].into_iter().flatten().min();
        Ok(turn)
    }

    fn settle(&mut self, end: &Settlement, runs: &mut Runs) -> Result<Settled> {
        let epoch = end.epoch as i64;
        let run = runs.take(epoch, &end.id);
        let serial = run.as_ref().map(|run| run.serial);
        if let Some(run) = run
            && end.cause == Cause::Complete
            && end.spawn.is_empty()
            && end.attempt.is_none()
        {
            if self.sql.end_run.execute(params![run.serial, epoch])? == 0 {
                return Ok(Settled::Stale);
            }
            if self.complete(end, &run)? {
                return Ok(Settled::Applied(Cause::Complete));
            }
            // It has a key or a request to stop: the long way needs its claim again.
            let node = self.node_no(&run.node)?;
            self.sql.run.execute(params![run.serial, epoch, node, signed(run.started_at)])?;
        }
        let task = match serial {
            Some(serial) => self.at(serial)?,
            None => self.find(&end.id)?,
        };
        let Some(task) = task.filter(|task| {
            let status = &task.status;
            status.state == State::Running && status.epoch == end.epoch && task.spec.id == end.id
        }) else {
            return Ok(Settled::Stale);
        };
        self.settle_task(task, end.clone())
    }

    /// The common end, in one statement; not where the task has what needs more.
    fn complete(&mut self, end: &Settlement, run: &super::claim::Run) -> Result<bool> {
        let output = end.output.as_deref();
        // That others wait for it may be news since its claim.
        let Some(is_awaited) = (match self.complete_as(run.is_awaited, end, run)? {
            true => Some(run.is_awaited),
            false => self.complete_as(!run.is_awaited, end, run)?.then_some(!run.is_awaited),
        }) else {
            return Ok(false);
        };
        self.meta.end_no += 1;
        if is_awaited {
            self.owe(run.serial, true);
        }
        let bytes = run.input_bytes + output.map_or(0, str::len);
        self.file(State::Completed, bytes as i64, 1);
        self.took(State::Running, Cause::Complete);
        self.recount(run.lane, View::Running, View::Completed)?;
        self.unbusy(run.lane, run.group.as_ref())?;
        Ok(true)
    }

    fn complete_as(&mut self, is_awaited: bool, end: &Settlement, run: &super::claim::Run) -> Result<bool> {
        let cause = super::row::number_of(Cause::Complete);
        let (epoch, started_at, now) = (end.epoch as i64, signed(run.started_at), signed(self.now));
        let (id, output, end_no) = (end.id.as_str(), end.output.as_deref(), self.meta.end_no + 1);
        let flags = if is_awaited { AWAITED } else { 0 };
        let done = match run.is_first {
            true => self
                .sql
                .complete
                .execute(params![run.serial, id, cause, epoch, started_at, now, end_no, output, flags])?,
            false => self.sql.complete_again.execute(params![
                run.serial,
                id,
                cause,
                epoch,
                started_at,
                now,
                end_no,
                output,
                flags,
                end.failures,
                end.losses
            ])?,
        };
        Ok(done > 0)
    }

    fn settle_task(&mut self, mut task: Task, end: Settlement) -> Result<Settled> {
        let end = end.under(task.status.cancel.is_some(), task.status.superseded);
        self.let_go(&mut task)?;
        task.status.failures = end.failures;
        task.status.losses = end.losses;
        if let Some(attempt) = end.attempt.clone() {
            task.status.note(Attempt { at: self.now, ..attempt });
        }
        if end.cause != Cause::Release {
            task.expires_at = None;
        }
        if end.state().is_final() {
            task.status.output = end.output.clone();
            if end.cause == Cause::Supersede {
                task.status.cancel = Some(TAKEN.into());
            }
            self.finish(&mut task, end.cause)?;
            if !end.spawn.is_empty() {
                self.spawn(end.spawn)?;
            }
        } else {
            task.status.run_at = self.now.saturating_add(end.delay);
            self.enter(&mut task, end.cause)?;
            if end.cause != Cause::Release {
                task.place = self.next_serial();
            }
            self.place(&task)?;
            self.save(&task)?;
        }
        Ok(Settled::Applied(end.cause))
    }

    /// Makes due tasks ready.
    fn promote(&mut self) -> Result<()> {
        for serial in self.serials(|sql| &mut sql.due_timed, STEP)? {
            let mut task = self.must(serial)?;
            self.unplace(&mut task)?;
            self.place(&task)?;
        }
        Ok(())
    }

    fn expire(&mut self, max: usize, ended: &mut Vec<TaskId>) -> Result<()> {
        for serial in self.serials(|sql| &mut sql.due_expiring, max)? {
            let task = self.must(serial)?;
            self.expire_one(task, ended)?;
        }
        Ok(())
    }

    pub fn expire_one(&mut self, mut task: Task, ended: &mut Vec<TaskId>) -> Result<()> {
        self.unplace(&mut task)?;
        task.expires_at = None;
        let number = task.status.failures + 1;
        task.status.note(Attempt { at: self.now, ..Attempt::expired(number) });
        ended.push(task.spec.id.clone());
        self.finish(&mut task, Cause::Expire)
    }
}
