//! `push`: what was admitted is written, in the order in which it was given.

use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::sync::Arc;

use crate::store::{Push, Pushed, Refusal};
use crate::task::{Cause, Name, OnBlockerFailure, Quiet, Spec, State, Status, TaskId, Text, When};
use crate::time::Millis;

use super::book::{Book, Edge, Task};
use super::lane::Slot;
use crate::store::plan::{self, BLOCKED, Ended, KeyAt, Meeting, Shelf, TAKEN, key_of};

impl Book {
    pub fn push(&mut self, push: &Push, now: Millis) -> Result<Vec<Pushed>, Refusal> {
        let Ok(specs) = plan::admit(self, push, now);
        let specs = specs?;
        if let Some(guard) = &push.guard {
            self.swap(guard).map_err(|_| Refusal::Moved)?;
        }
        let pushed = self.add_all(specs, now);
        self.cascade(super::STEP, now, &mut Vec::new());
        Ok(pushed)
    }

    /// Pushes what a completed run has spawned.
    pub fn spawn(&mut self, mut specs: Vec<Arc<Spec>>, now: Millis) {
        let Ok(()) = plan::admit_spawned(self, &mut specs, now);
        self.add_all(specs, now);
    }

    fn add_all(&mut self, specs: Vec<Arc<Spec>>, now: Millis) -> Vec<Pushed> {
        let mut ties = Vec::new();
        let pushed = specs.into_iter().map(|spec| self.add(spec, &mut ties, now)).collect();
        for (slot, follows) in ties {
            self.tie(slot, follows, Ended::Count, now);
        }
        pushed
    }

    /// Adds one task. Those that may have to wait for others are noted in `ties`: a blocker may come later
    /// in the same push.
    fn add(&mut self, mut spec: Arc<Spec>, ties: &mut Vec<(Slot, Option<TaskId>)>, now: Millis) -> Pushed {
        let mut ousted = None;
        if let Some(key) = key_of(&spec)
            && !self.by_id.contains_key(&spec.id)
        {
            match self.meet(&key, &spec, now) {
                (Meeting::Found(id) | Meeting::Refused(id), _) => return Pushed::found(id),
                (_, None) | (Meeting::Free, _) => {}
                (Meeting::Oust, Some(holder)) => {
                    self.unplace(holder);
                    self.tasks[holder].status.cancel = Some(TAKEN.into());
                    ousted = Some(self.tasks[holder].spec.id.clone());
                    self.finish(holder, Cause::Supersede, now);
                }
                (Meeting::Follow, Some(holder)) => self.supersede(holder),
                (Meeting::Slide, Some(holder)) => {
                    self.slide(holder, &spec, now);
                    return Pushed::found(self.tasks[holder].spec.id.clone());
                }
            }
            if let Some(Quiet::Debounce { wait, .. }) = spec.key.as_ref().map(|key| key.quiet) {
                Arc::make_mut(&mut spec).when = When::After(wait);
            }
        }
        let id = spec.id.clone();
        let Entry::Vacant(free) = self.by_id.entry(id.clone()) else {
            return Pushed { id, created: spec.minted, ousted: None };
        };
        let slot = self.tasks.vacant_key();
        free.insert(slot);
        let has_blockers = spec.blockers.is_some();
        self.insert(slot, spec, now);
        let follows = self.take_key(slot, now);
        self.place(slot, now);
        if has_blockers || follows.is_some() {
            ties.push((slot, follows));
        }
        Pushed { id, created: true, ousted }
    }

    fn insert(&mut self, slot: Slot, spec: Arc<Spec>, now: Millis) {
        let lane = self.lane(&spec.queue, &spec.name);
        let place = self.next_place();
        let status = Status::pushed(&spec, now);
        let at = self.tasks.insert(Task {
            expires_at: spec.expires_at,
            spec,
            status,
            lane,
            place,
            serial: place,
            wait_no: place,
            end_no: 0,
            slid: false,
            dependents: Vec::new(),
            pad: None,
        });
        debug_assert_eq!(at, slot);
        self.serials.insert(place, slot);
        if let Some(flow) = self.tasks[slot].spec.flow.clone() {
            self.flows.entry(flow).or_default().insert(place, slot);
        }
    }

    /// A debounced push: the newest input wins, the start slides.
    fn slide(&mut self, holder: Slot, spec: &Spec, now: Millis) {
        let Some((key, Quiet::Debounce { wait, max_wait })) =
            key_of(spec).zip(spec.key.as_ref().map(|key| key.quiet))
        else {
            return;
        };
        let first_at = self.keys.rows[&key].first_at;
        self.unplace(holder);
        let task = &mut self.tasks[holder];
        Arc::make_mut(&mut task.spec).input = spec.input.clone();
        task.slid = true;
        task.status.run_at = now.saturating_add(wait).min(first_at.saturating_add(max_wait));
        self.place(holder, now);
    }

    /// Lets a waiting task wait for its blockers, and for the task whose key it has taken.
    pub fn tie(&mut self, slot: Slot, follows: Option<TaskId>, ended: Ended, now: Millis) {
        let task = &self.tasks[slot];
        if task.status.state != State::Waiting {
            return;
        }
        let spec = task.spec.clone();
        let (ids, on_failure) = spec
            .blockers
            .as_ref()
            .map_or_else(Default::default, |blockers| (&blockers.ids[..], blockers.on_failure));
        let follows = follows.filter(|id| !ids.contains(id)).map(|id| (id, OnBlockerFailure::Run));
        self.unplace(slot);
        let mut failed = false;
        for (id, on_failure) in ids.iter().map(|id| (id.clone(), on_failure)).chain(follows) {
            let Some(&at) = self.by_id.get(&id) else { continue };
            match self.tasks[at].status.state {
                State::Waiting | State::Running => {
                    let wait_no = self.tasks[slot].wait_no;
                    self.tasks[at].dependents.push(Edge { slot, wait_no, on_failure });
                    self.tasks[slot].status.blockers += 1;
                }
                State::Completed => {}
                State::Failed | State::Cancelled => failed |= on_failure == OnBlockerFailure::Cancel,
            }
        }
        if failed && ended == Ended::Count {
            self.tasks[slot].status.cancel = Some(BLOCKED.into());
            self.finish(slot, Cause::Block, now);
        } else {
            self.place(slot, now);
        }
    }
}

impl Shelf for Book {
    type Error = Infallible;
    fn waiting(&mut self) -> Result<u64, Infallible> {
        Ok(self.waiting)
    }
    fn value(&mut self, cell: &Name) -> Result<Option<Arc<str>>, Infallible> {
        Ok(self.cells.value(cell).cloned())
    }
    fn has(&mut self, id: &TaskId) -> Result<bool, Infallible> {
        Ok(self.by_id.contains_key(id))
    }
    fn known(&mut self, id: &TaskId) -> Result<Option<(Text, bool)>, Infallible> {
        Ok(self.find(id).map(|task| (task.spec.input.clone(), task.slid)))
    }
    fn meets(
        &mut self,
        at: &KeyAt,
        spec: &Spec,
        now: Millis,
    ) -> Result<(Meeting, Option<TaskId>), Infallible> {
        let (meeting, holder) = self.meet(at, spec, now);
        Ok((meeting, holder.map(|slot| self.tasks[slot].spec.id.clone())))
    }
}
