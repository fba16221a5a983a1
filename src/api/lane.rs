//! The tasks that run here and are not stored, by the slot under which the core knows them.
//!
//! Invariants: `starts` counts the runs of a slot as the core does; a slot is free again when the end of its
//! task has been told by a word or reported; what may run a user's code is left in `deeds` for later.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine::{Core, Done, MAX_SLOTS, PolicyId, Submission, Word};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::task::Name;
use crate::time::Millis;

use super::Ended;
use super::context::{Run, RunId, Signal};
use super::handler::Work;
use super::host::Deed;

#[derive(Default)]
pub(super) struct Lane {
    slots: Vec<Slot>,
    free: Vec<u32>,
    serial: u64,
}

#[derive(Default)]
struct Slot {
    starts: u32,
    entry: Option<Entry>,
}

/// A task on its way into the lane.
pub(super) struct Local {
    pub name: Name,
    pub priority: i32,
    pub timeout: Option<Millis>,
    pub retry: RetryPolicy,
    pub work: Work,
}

struct Entry {
    /// Tells it from tasks that have the slot before and after.
    serial: u64,
    task: Local,
    policy: Option<PolicyId>,
    /// Attempts that have begun.
    begun: u32,
    run: Option<Arc<Run>>,
    /// Of the last attempt that failed.
    error: Option<TaskError>,
    /// Where its outcome goes; `None` when nobody waits any more.
    reply: Option<oneshot::Sender<Ended>>,
}

/// A slot, and which of its tasks.
pub(super) type Place = (u32, u64);

impl Entry {
    fn max_attempts(&self) -> u32 {
        if self.policy.is_some() { self.task.retry.attempts } else { 1 }
    }

    /// The failure as the task's last, or as it was if the core should decide what follows.
    fn last(&self, error: TaskError) -> Result<TaskError, TaskError> {
        let wants_more = error.is_retryable() && self.task.retry.attempts > 1 && self.reply.is_some();
        match self.policy {
            Some(_) if wants_more => Err(error),
            None if wants_more => Ok(error.of_a_bare_future()),
            _ => Ok(error),
        }
    }
}

impl Lane {
    /// Says whether so many more tasks can be numbered.
    pub fn check_room(&self, tasks: usize) -> Result<(), TaskError> {
        let (used, limit) = (self.slots.len() - self.free.len(), MAX_SLOTS as usize);
        if tasks <= limit - used {
            return Ok(());
        }
        Err(TaskError::QueueFull { waiting: used as u64, limit: limit as u64 })
    }

    /// Hands a task to the core; there has to be room for it.
    pub fn submit(&mut self, core: &mut Core, task: Local, reply: oneshot::Sender<Ended>) -> Place {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let is_retried = task.work.habits.repeatable && task.retry.attempts > 1;
        let policy = is_retried.then(|| core.add_policy(task.retry.clone()));
        let (priority, timeout) = (task.priority, task.timeout);
        core.submit(Submission { slot, priority, timeout, policy, ..Submission::default() });
        self.serial += 1;
        let serial = self.serial;
        let entry = Entry { serial, task, policy, begun: 0, run: None, error: None, reply: Some(reply) };
        self.slots[slot as usize].entry = Some(entry);
        (slot, serial)
    }

    /// The handler is about to be called; false if the run has been taken back.
    pub fn begin(&mut self, core: &mut Core, run: &Run, now: Millis) -> bool {
        let begun = core.begin_local(run.slot, run.number, now);
        if let (true, Some(entry)) = (begun, self.entry(run.slot)) {
            entry.begun += 1;
        }
        begun
    }

    /// The handler of a run has ended.
    pub fn ended(&mut self, core: &mut Core, run: &Run, ended: Ended, now: Millis, deeds: &mut Vec<Deed>) {
        let slot = run.slot;
        if !core.finish_local(slot, run.number, now) {
            return core.late_end();
        }
        let Some(entry) = self.entry(slot) else { return core.done(slot, Done::Failed, now) };
        entry.run = None;
        if let Err(error) = &ended {
            core.judged(slot, error.verdict());
            error.delay().into_iter().for_each(|delay| core.heed(slot, delay, now));
        }
        let fate = match ended {
            Ok(output) => Ok(Ok(output)),
            Err(error) => entry.last(error).map(Err),
        };
        match fate {
            Ok(outcome) => {
                core.done(slot, if outcome.is_ok() { Done::Ok } else { Done::Failed }, now);
                self.finish(core, slot, outcome, deeds);
            }
            Err(error) => {
                let retry_after = error.delay();
                entry.error = Some(error);
                core.done(slot, Done::Error { retry_after }, now);
            }
        }
    }

    /// Nobody waits for this task any more.
    pub fn withdraw(&mut self, core: &mut Core, (slot, serial): Place, now: Millis, deeds: &mut Vec<Deed>) {
        let Some(entry) = self.entry(slot).filter(|entry| entry.serial == serial) else { return };
        entry.reply = None;
        if let Some(run) = entry.run.clone() {
            let reason = TaskError::Cancelled("nobody waits for it any more".into());
            deeds.push(Deed::Stop { drop_future: !run.heeds_stop, run, reason });
        }
        core.withdraw(slot, now);
    }

    /// What the core says about a task.
    pub fn read(&mut self, core: &mut Core, word: Word, deeds: &mut Vec<Deed>) {
        match word {
            Word::Start(slot) => self.start(slot, deeds),
            Word::Retry(_) | Word::End => {}
            Word::AbortAll => {
                for run in self.slots.iter().filter_map(|slot| slot.entry.as_ref()?.run.clone()) {
                    deeds.push(Deed::Stop { run, reason: TaskError::Closed, drop_future: false });
                }
            }
            Word::Expire(slot) => {
                let reason = self.timeout(slot);
                self.leave(slot, reason, deeds);
            }
            Word::Timeout(slot) => {
                let reason = self.timeout(slot);
                self.leave(slot, reason.clone(), deeds);
                self.finish(core, slot, Err(reason), deeds);
            }
            Word::Fail(slot) => {
                let error = self.entry(slot).and_then(|entry| entry.error.take());
                let error = error.unwrap_or_else(|| TaskError::Engine("a failure without an error".into()));
                self.finish(core, slot, Err(error), deeds);
            }
            Word::Cancel(slot) | Word::Abandon(slot) => {
                let reason = TaskError::Cancelled("nobody waits for it any more".into());
                self.leave(slot, reason.clone(), deeds);
                self.finish(core, slot, Err(reason), deeds);
            }
            Word::Refuse(slot) => {
                let refusal = core.refusal(slot).map_or(TaskError::Closed, TaskError::from);
                self.finish(core, slot, Err(refusal), deeds);
            }
            Word::Closed(slot) => {
                self.leave(slot, TaskError::Closed, deeds);
                self.finish(core, slot, Err(TaskError::Closed), deeds);
            }
        }
    }

    /// Ends all tasks; the core is not asked any more.
    pub fn clear(&mut self, deeds: &mut Vec<Deed>) {
        for slot in &mut self.slots {
            let Some(entry) = slot.entry.take() else { continue };
            if let Some(run) = entry.run {
                deeds.push(Deed::Stop { run, reason: TaskError::Closed, drop_future: true });
            }
            deeds.push(Deed::Tell {
                reply: entry.reply,
                outcome: Err(TaskError::Closed),
                work: entry.task.work,
            });
        }
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.entry.as_mut()
    }

    fn start(&mut self, slot: u32, deeds: &mut Vec<Deed>) {
        let Some(Slot { starts, entry }) = self.slots.get_mut(slot as usize) else { return };
        *starts = starts.wrapping_add(1);
        let Some(entry) = entry else { return };
        let run = Arc::new(Run {
            slot,
            number: *starts,
            id: RunId::Local(entry.serial),
            name: entry.task.name.clone(),
            attempt: entry.begun + 1,
            max_attempts: entry.max_attempts(),
            heeds_stop: entry.task.work.habits.heeds_stop,
            schedule: None,
            signal: Signal::default(),
            desk: super::desk::Desk::default(),
        });
        entry.run = Some(run.clone());
        deeds.push(Deed::Launch { run, work: entry.task.work.clone() });
    }

    fn timeout(&mut self, slot: u32) -> TaskError {
        TaskError::Timeout(self.entry(slot).and_then(|entry| entry.task.timeout).unwrap_or_default())
    }

    /// The run of this slot, if there is one, is over for the core, whatever its handler does.
    fn leave(&mut self, slot: u32, reason: TaskError, deeds: &mut Vec<Deed>) {
        if let Some(run) = self.entry(slot).and_then(|entry| entry.run.take()) {
            deeds.push(Deed::Stop { run, reason, drop_future: true });
        }
    }

    fn finish(&mut self, core: &mut Core, slot: u32, outcome: Ended, deeds: &mut Vec<Deed>) {
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(|slot| slot.entry.take()) else {
            return;
        };
        self.free.push(slot);
        if let Some(policy) = entry.policy {
            core.drop_policy(policy);
        }
        deeds.push(Deed::Tell { reply: entry.reply, outcome, work: entry.task.work });
    }
}
