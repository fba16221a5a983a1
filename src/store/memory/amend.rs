//! `amend`: what operators change.
//!
//! A filter is worked off in steps, in the order of creation or against it, and round again, so that a million
//! tasks are looked at once or twice, not once a step. That needs every change to leave its task out of reach of
//! the same change.

use std::ops::Bound;
use std::sync::Arc;

use crate::store::plan::Ended;
use crate::store::query::Undone;
use crate::store::{Amend, Amended, Filter, Target};
use crate::task::{Cause, State, Status};
use crate::time::Millis;

use super::STEP;
use super::book::Book;
use super::lane::Slot;

impl Book {
    pub fn amend(&mut self, target: &Target, change: &Amend, now: Millis) -> Amended {
        let mut amended = Amended::default();
        let slots = match target {
            Target::Ids(ids) => ids.iter().filter_map(|id| self.by_id.get(id).copied()).collect(),
            Target::Filter(filter) => self.step_over(filter, change, now, &mut amended.more),
        };
        let is_revival_by_id = matches!((target, change), (Target::Ids(_), Amend::Retry));
        let (mut revived, mut undone) = (Vec::new(), Undone::default());
        for slot in slots {
            let Some(task) = self.tasks.get(slot) else { continue };
            if !self.can(slot, change, now) || undone.holds_back(&task.spec) {
                if is_revival_by_id {
                    undone.add(&task.spec.id, task.status.state);
                }
            } else {
                amended.changed.push(task.spec.id.clone());
                match change {
                    Amend::Retry => revived.push((slot, self.revive(slot, now))),
                    _ => self.change(slot, change, now, &mut amended),
                }
            }
        }
        // Only now, since a blocker may have been revived after what waits for it.
        for (slot, follows) in revived {
            self.tie(slot, follows, Ended::Forgive, now);
        }
        self.cascade(STEP, now, &mut amended.ended);
        amended
    }

    /// The next tasks that match a filter and can be changed.
    fn step_over(&mut self, filter: &Filter, change: &Amend, now: Millis, more: &mut bool) -> Vec<Slot> {
        let serials = self.serials_of(filter.flow.as_ref());
        let filter = filter.prepared();
        let fits = |slot: &Slot| self.can(*slot, change, now) && filter.fits(&self.tasks[*slot], now);
        let from = self.amended_to;
        let slots: Vec<Slot>;
        if change.is_newest_first() {
            let from = if from == 0 { u64::MAX } else { from };
            let round = serials.range(..from).rev().chain(serials.range(from..).rev());
            let mut found = round.map(|(_, slot)| *slot).filter(fits);
            (slots, *more) = (found.by_ref().take(STEP).collect(), found.next().is_some());
        } else {
            let newer = serials.range((Bound::Excluded(from), Bound::Unbounded));
            let mut found = newer.chain(serials.range(..=from)).map(|(_, slot)| *slot).filter(fits);
            (slots, *more) = (found.by_ref().take(STEP).collect(), found.next().is_some());
        }
        self.amended_to = slots.last().filter(|_| *more).map_or(0, |slot| self.tasks[*slot].serial);
        slots
    }

    fn can(&self, slot: Slot, change: &Amend, now: Millis) -> bool {
        change.applies(&self.tasks[slot].status, now)
            && (!matches!(change, Amend::Retry) || self.key_is_free(slot))
    }

    fn change(&mut self, slot: Slot, change: &Amend, now: Millis, amended: &mut Amended) {
        match change {
            Amend::Cancel(reason) => self.cancel(slot, reason, now, amended),
            Amend::Remove => {
                if self.tasks[slot].status.state == State::Waiting {
                    self.cancel(slot, &"removed".into(), now, amended);
                }
                self.forget(slot);
            }
            Amend::Reschedule(at) => self.rewrite(slot, now, |status| status.run_at = *at),
            Amend::Promote => self.rewrite(slot, now, |status| status.run_at = now),
            Amend::Prioritise(priority) => self.rewrite(slot, now, |status| status.priority = *priority),
            Amend::Retry => unreachable!("revivals are tied to their blockers by the caller"),
        }
    }

    fn rewrite(&mut self, slot: Slot, now: Millis, change: impl FnOnce(&mut Status)) {
        self.unplace(slot);
        change(&mut self.tasks[slot].status);
        self.place(slot, now);
    }

    fn cancel(&mut self, slot: Slot, reason: &Arc<str>, now: Millis, amended: &mut Amended) {
        let task = &mut self.tasks[slot];
        task.status.cancel = Some(reason.clone());
        let (id, epoch) = (task.spec.id.clone(), task.status.epoch);
        if let Some(owner) = task.status.owner.clone() {
            self.nodes.ask_to_stop(&owner, epoch);
            amended.stopping.push((id, epoch));
        } else {
            self.unplace(slot);
            self.finish(slot, Cause::Cancel, now);
            amended.ended.push(id);
        }
    }

    /// Lets an ended task wait again, with fresh budgets and no last moment; answers whose end it follows.
    fn revive(&mut self, slot: Slot, now: Millis) -> Option<crate::task::TaskId> {
        self.unfile(slot);
        if self.tasks[slot].status.state == State::Completed
            && let Some(pad) = &mut self.tasks[slot].pad
        {
            pad.steps.clear();
        }
        self.enter(slot, Cause::Revive);
        let place = self.next_place();
        let task = &mut self.tasks[slot];
        (task.place, task.wait_no, task.expires_at) = (place, place, None);
        let status = &mut task.status;
        (status.failures, status.losses) = (0, 0);
        (status.cancel, status.superseded, status.output, status.finished_at) = (None, false, None, None);
        status.first_started_at = None;
        status.run_at = now;
        let follows = self.take_key(slot, now);
        self.place(slot, now);
        follows
    }
}
