//! Looks at a push before anything is written: what every spec will stand for, and why it is refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::store::{Push, Refusal};
use crate::task::{Conflict, Quiet, Spec, TaskId, cycle};
use crate::time::Millis;

use super::book::Book;
use super::keys::{KeyAt, Meeting, key_of};

/// What will have become of the specs that were looked at so far.
#[derive(Default)]
struct Plan<'a> {
    /// For each of them, in order: it will make a task.
    makes: Vec<bool>,
    /// Those that will.
    fresh: HashMap<&'a TaskId, &'a Spec>,
    /// Those that will not, and the task they stand for.
    found: HashMap<TaskId, TaskId>,
    /// Those whose input another one replaces.
    slid: HashSet<TaskId>,
    /// Who holds a key that was taken by this very push.
    taken: HashMap<KeyAt, &'a Spec>,
    /// By how much the number of waiting tasks will grow.
    growth: i64,
    /// The first reason against it all.
    refusal: Option<Refusal>,
}

impl Book {
    /// Refuses the push, or gives its specs, whose blockers name the tasks that they stand for.
    pub fn admit(&self, push: &Push, now: Millis) -> Result<Vec<Arc<Spec>>, Refusal> {
        if let Some(guard) = &push.guard
            && self.cells.value(&guard.key) != guard.old.as_ref()
        {
            return Err(Refusal::Moved);
        }
        let room = push.max_waiting.map_or(u64::MAX, |limit| limit.saturating_sub(self.waiting));
        if push.specs.len() as u64 <= room && push.specs.iter().all(|spec| is_plain(spec)) {
            return Ok(push.specs.clone());
        }
        let mut plan = self.plan(&push.specs, now);
        if let Some(refusal) = plan.refusal.take() {
            return Err(refusal);
        }
        for id in
            plan.fresh.values().filter_map(|spec| spec.blockers.as_ref()).flat_map(|blockers| &blockers.ids)
        {
            let id = plan.found.get(id).unwrap_or(id);
            if !plan.fresh.contains_key(id) && !self.by_id.contains_key(id) {
                return Err(Refusal::NoBlocker(id.clone()));
            }
        }
        if let Some(limit) = push.max_waiting
            && plan.growth > 0
            && self.waiting + plan.growth as u64 > limit
        {
            return Err(Refusal::Full { waiting: self.waiting, limit });
        }
        let Plan { makes, found, .. } = plan;
        let mut specs = push.specs.clone();
        resolve(&mut specs, &makes, &found);
        match cycle(&specs) {
            Some(path) => Err(Refusal::Cycle(path)),
            None => Ok(specs),
        }
    }

    /// The same for tasks that a run has spawned. They are past refusing: a conflict finds the task that is
    /// there, a blocker that is gone is not waited for, and a circle is cut.
    pub fn admit_spawned(&self, specs: &mut [Arc<Spec>], now: Millis) {
        let Plan { makes, found, .. } = self.plan(specs, now);
        resolve(specs, &makes, &found);
        while let Some(path) = cycle(specs) {
            let spec = specs.iter_mut().find(|spec| spec.id == path[0]).expect("the path is among the specs");
            Arc::make_mut(spec).blockers.as_mut().expect("it waits").ids.retain(|id| *id != path[1]);
        }
    }

    fn plan<'a>(&self, specs: &'a [Arc<Spec>], now: Millis) -> Plan<'a> {
        let mut plan = Plan::default();
        for spec in specs {
            let known = plan.fresh.len();
            let task = self.find(&spec.id);
            if let Some(other) = task.map(|task| &*task.spec).or(plan.fresh.get(&spec.id).copied()) {
                // Where a debounce has replaced the input, nobody knows any more what came with the id.
                let is_slid = task.is_some_and(|task| task.slid) || plan.slid.contains(&spec.id);
                if !spec.minted && !is_slid && other.input != spec.input {
                    plan.refusal.get_or_insert(Refusal::IdTaken(spec.id.clone()));
                }
            } else {
                self.plan_new(&mut plan, spec, now);
            }
            plan.makes.push(plan.fresh.len() > known);
        }
        plan
    }

    fn plan_new<'a>(&self, plan: &mut Plan<'a>, spec: &'a Spec, now: Millis) {
        if let Some(at) = key_of(spec) {
            let fate = match plan.taken.get(&at) {
                Some(holder) => fate_beside(holder, spec),
                None => match self.meet(&at, spec, now) {
                    Meeting::Free | Meeting::Follow(_) => Fate::New,
                    Meeting::Oust(_) => Fate::Instead,
                    Meeting::Slide(slot) => Fate::Slides(self.tasks[slot].spec.id.clone()),
                    Meeting::Found(id) => Fate::Is(id),
                    Meeting::Refused(id) => Fate::Refused(id),
                },
            };
            match fate {
                Fate::New => {}
                Fate::Instead => plan.growth -= 1,
                Fate::Is(id) => {
                    plan.found.insert(spec.id.clone(), id);
                    return;
                }
                Fate::Slides(id) => {
                    plan.slid.insert(id.clone());
                    plan.found.insert(spec.id.clone(), id);
                    return;
                }
                Fate::Refused(id) => {
                    plan.refusal.get_or_insert(Refusal::KeyHeld(id.clone()));
                    plan.found.insert(spec.id.clone(), id);
                    return;
                }
            }
            plan.taken.insert(at, spec);
        }
        plan.fresh.insert(&spec.id, spec);
        plan.growth += 1;
    }
}

/// What becomes of a spec whose id is new.
enum Fate {
    New,
    /// Of a task that waits and is cancelled for it.
    Instead,
    Is(TaskId),
    /// Gives its input to it.
    Slides(TaskId),
    Refused(TaskId),
}

/// The same decision as `Book::meet`, where the holder has come in the same push.
fn fate_beside(holder: &Spec, spec: &Spec) -> Fate {
    let quiet = |spec: &Spec| spec.key.as_ref().map_or(Quiet::Off, |key| key.quiet);
    let conflict = spec.key.as_ref().map_or(Conflict::Ignore, |key| key.conflict);
    let id = holder.id.clone();
    match (quiet(holder), quiet(spec), conflict) {
        (Quiet::Throttle(time), Quiet::Throttle(_), _) if time > 0 => Fate::Is(id),
        (_, Quiet::Debounce { .. }, _) => Fate::Slides(id),
        (_, _, Conflict::Ignore) => Fate::Is(id),
        (_, _, Conflict::Replace) => Fate::Instead,
        (_, _, Conflict::Refuse) => Fate::Refused(id),
    }
}

/// Lets blockers name the tasks that the specs of the same push stand for, each once. Specs that make no task
/// wait for nobody.
fn resolve(specs: &mut [Arc<Spec>], makes: &[bool], found: &HashMap<TaskId, TaskId>) {
    for (spec, makes) in specs.iter_mut().zip(makes) {
        if spec.blockers.is_none() {
            continue;
        }
        let spec = Arc::make_mut(spec);
        let Some(blockers) = spec.blockers.as_mut().filter(|_| *makes) else {
            spec.blockers = None;
            continue;
        };
        let mut seen = HashSet::new();
        for id in &mut blockers.ids {
            if let Some(real) = found.get(id) {
                *id = real.clone();
            }
        }
        blockers.ids.retain(|id| seen.insert(id.clone()));
    }
}

/// Nothing in it can be refused, nor stand for another task: most pushes, and worth not looking further.
fn is_plain(spec: &Spec) -> bool {
    spec.minted && spec.key.is_none() && spec.blockers.is_none()
}
