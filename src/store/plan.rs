//! Looks at a push before anything is written: what every spec will stand for, and why it is refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Push, Pushed, Refusal};
use crate::task::{Conflict, Key, Name, Quiet, Spec, TaskId, Text, cycle};
use crate::time::Millis;

/// The reason given to a task whose key another one has taken.
pub(super) const TAKEN: &str = "superseded";
/// The reason given to a task whose blocker did not complete.
pub(super) const BLOCKED: &str = "a task that it waits for did not complete";

/// What blockers that have failed already do to a task that is tied to them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// They cancel it, where it says so.
    Count,
    /// Nothing: its revival was asked for in spite of them.
    Forgive,
}

impl Pushed {
    /// A task that was there before.
    pub(super) fn found(id: TaskId) -> Self {
        Self { id, created: false, ousted: None }
    }
}

/// A queue and a key in it.
pub(super) type KeyAt = (Name, Name);

pub(super) fn key_of(spec: &Spec) -> Option<KeyAt> {
    spec.key.as_ref().map(|key| (spec.queue.clone(), key.text.clone()))
}

/// What a store knows before a push.
pub(super) trait Shelf {
    /// What can go wrong while it looks.
    type Error;
    /// Tasks that wait.
    fn waiting(&mut self) -> Result<u64, Self::Error>;
    /// The value of a cell.
    fn value(&mut self, cell: &Name) -> Result<Option<Arc<str>>, Self::Error>;
    /// There is a task with this id.
    fn has(&mut self, id: &TaskId) -> Result<bool, Self::Error>;
    /// The input of the task with this id, and whether a debounce has replaced it.
    fn known(&mut self, id: &TaskId) -> Result<Option<(Text, bool)>, Self::Error>;
    /// What a push with this key meets, and the holder of the key.
    fn meets(
        &mut self,
        at: &KeyAt,
        spec: &Spec,
        now: Millis,
    ) -> Result<(Meeting, Option<TaskId>), Self::Error>;
}

/// What a push with a key finds and has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Takes the key.
    Free,
    /// Takes the key from its holder, which waits and is cancelled.
    Oust,
    /// Takes the key from its holder, which runs.
    Follow,
    /// Gives its input to the holder, which waits.
    Slide,
    /// Stands for this task.
    Found(TaskId),
    /// Is refused.
    Refused(TaskId),
}

/// Who holds a key.
pub(super) struct Holder {
    pub id: TaskId,
    /// It is not running.
    pub waits: bool,
    /// No run of it has begun: a debounce may still change its input.
    pub is_fresh: bool,
}

/// What a push with `key` finds. A throttle that is still quiet comes first, then a debounce, then what the
/// push says about conflicts.
pub(super) fn meeting(key: &Key, last: &TaskId, is_quiet: bool, holder: Option<&Holder>) -> Meeting {
    if matches!(key.quiet, Quiet::Throttle(_)) && is_quiet {
        return Meeting::Found(last.clone());
    }
    let Some(holder) = holder else { return Meeting::Free };
    let debounces = matches!(key.quiet, Quiet::Debounce { .. });
    match key.conflict {
        _ if debounces && holder.waits && holder.is_fresh => Meeting::Slide,
        Conflict::Refuse if !debounces => Meeting::Refused(holder.id.clone()),
        Conflict::Ignore if !debounces => Meeting::Found(holder.id.clone()),
        _ if holder.waits => Meeting::Oust,
        _ => Meeting::Follow,
    }
}

/// What will have become of the specs that were looked at so far.
#[derive(Default)]
struct Plan<'a> {
    /// For each of them, in order: it will make a task.
    makes: Vec<bool>,
    /// Those that will, by their places.
    fresh: HashMap<&'a TaskId, usize>,
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

/// Refuses a push, or gives its specs, whose blockers name the tasks that they stand for.
pub(super) fn admit<S: Shelf>(
    shelf: &mut S,
    push: &Push,
    now: Millis,
) -> Result<Result<Vec<Arc<Spec>>, Refusal>, S::Error> {
    if let Some(guard) = &push.guard
        && shelf.value(&guard.key)? != guard.old
    {
        return Ok(Err(Refusal::Moved));
    }
    let waiting = match push.max_waiting {
        Some(_) => shelf.waiting()?,
        None => 0,
    };
    let room = push.max_waiting.map_or(u64::MAX, |limit| limit.saturating_sub(waiting));
    if push.specs.len() as u64 <= room && push.specs.iter().all(|spec| is_plain(spec)) {
        return Ok(Ok(push.specs.clone()));
    }
    let mut plan = plan(shelf, &push.specs, now)?;
    if let Some(refusal) = plan.refusal.take() {
        return Ok(Err(refusal));
    }
    let mut is_ordered = true;
    for (at, spec) in push.specs.iter().enumerate().filter(|(at, _)| plan.makes[*at]) {
        for id in spec.blockers.iter().flat_map(|blockers| &blockers.ids) {
            let id = plan.found.get(id).unwrap_or(id);
            match plan.fresh.get(id) {
                Some(blocker) => is_ordered &= *blocker < at,
                None if shelf.has(id)? => {}
                None => return Ok(Err(Refusal::NoBlocker(id.clone()))),
            }
        }
    }
    if let Some(limit) = push.max_waiting
        && plan.growth > 0
        && waiting + plan.growth as u64 > limit
    {
        return Ok(Err(Refusal::Full { waiting, limit }));
    }
    let Plan { makes, found, .. } = plan;
    let mut specs = push.specs.clone();
    resolve(&mut specs, &makes, &found);
    // Where everybody waits for earlier ones, nobody waits for himself.
    Ok(match (!is_ordered).then(|| cycle(&specs)).flatten() {
        Some(path) => Err(Refusal::Cycle(path)),
        None => Ok(specs),
    })
}

/// The same for tasks that a run has spawned. They are past refusing: a conflict finds the task that is
/// there, a blocker that is gone is not waited for, and a circle is cut.
pub(super) fn admit_spawned<S: Shelf>(
    shelf: &mut S,
    specs: &mut [Arc<Spec>],
    now: Millis,
) -> Result<(), S::Error> {
    let Plan { makes, found, .. } = plan(shelf, specs, now)?;
    resolve(specs, &makes, &found);
    while let Some(path) = cycle(specs) {
        let spec = specs.iter_mut().find(|spec| spec.id == path[0]).expect("the path is among the specs");
        blockers_of(spec).retain(|id| *id != path[1]);
    }
    Ok(())
}

fn plan<'a, S: Shelf>(shelf: &mut S, specs: &'a [Arc<Spec>], now: Millis) -> Result<Plan<'a>, S::Error> {
    let mut plan = Plan { makes: Vec::with_capacity(specs.len()), ..Plan::default() };
    for (at, spec) in specs.iter().enumerate() {
        let before = plan.fresh.len();
        let known = shelf.known(&spec.id)?;
        if let Some((input, slid)) =
            known.or_else(|| plan.fresh.get(&spec.id).map(|other| (specs[*other].input.clone(), false)))
        {
            // Where a debounce has replaced the input, nobody knows any more what came with the id.
            let is_slid = slid || plan.slid.contains(&spec.id);
            if !spec.minted && !is_slid && input != spec.input {
                plan.refusal.get_or_insert(Refusal::IdTaken(spec.id.clone()));
            }
        } else {
            plan_new(shelf, &mut plan, at, spec, now)?;
        }
        plan.makes.push(plan.fresh.len() > before);
    }
    Ok(plan)
}

fn plan_new<'a, S: Shelf>(
    shelf: &mut S,
    plan: &mut Plan<'a>,
    at: usize,
    spec: &'a Spec,
    now: Millis,
) -> Result<(), S::Error> {
    if let Some(key) = key_of(spec) {
        let fate = match plan.taken.get(&key) {
            Some(holder) => fate_beside(holder, spec),
            None => match shelf.meets(&key, spec, now)? {
                (Meeting::Free | Meeting::Follow, _) => Fate::New,
                (Meeting::Oust, _) => Fate::Instead,
                (Meeting::Slide, holder) => Fate::Slides(holder.unwrap_or_else(|| spec.id.clone())),
                (Meeting::Found(id), _) => Fate::Is(id),
                (Meeting::Refused(id), _) => Fate::Refused(id),
            },
        };
        match fate {
            Fate::New => {}
            Fate::Instead => plan.growth -= 1,
            Fate::Is(id) => {
                plan.found.insert(spec.id.clone(), id);
                return Ok(());
            }
            Fate::Slides(id) => {
                plan.slid.insert(id.clone());
                plan.found.insert(spec.id.clone(), id);
                return Ok(());
            }
            Fate::Refused(id) => {
                plan.refusal.get_or_insert(Refusal::KeyHeld(id.clone()));
                plan.found.insert(spec.id.clone(), id);
                return Ok(());
            }
        }
        plan.taken.insert(key, spec);
    }
    plan.fresh.insert(&spec.id, at);
    plan.growth += 1;
    Ok(())
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

/// The same decision as `meeting`, where the holder has come in the same push.
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
        let Some(blockers) = &spec.blockers else { continue };
        if !makes {
            Arc::make_mut(spec).blockers = None;
            continue;
        }
        // Most name each once, and by its own id: a copy of the task is saved.
        if blockers.ids.iter().any(|id| found.contains_key(id)) {
            for id in blockers_of(spec) {
                if let Some(real) = found.get(id) {
                    *id = real.clone();
                }
            }
        }
        if !are_distinct(spec.blockers.iter().flat_map(|blockers| &blockers.ids)) {
            let mut seen = HashSet::new();
            blockers_of(spec).retain(|id| seen.insert(id.clone()));
        }
    }
}

fn blockers_of(spec: &mut Arc<Spec>) -> &mut Vec<TaskId> {
    let blockers = Arc::make_mut(spec).blockers.as_mut().expect("it waits");
    &mut blockers.ids
}

fn are_distinct<'a>(ids: impl Iterator<Item = &'a TaskId> + Clone) -> bool {
    // A few are compared faster than they are hashed.
    if ids.clone().nth(8).is_none() {
        return ids.clone().enumerate().all(|(at, id)| ids.clone().take(at).all(|other| other != id));
    }
    let mut seen = HashSet::new();
    ids.into_iter().all(|id| seen.insert(id))
}

/// Nothing in it can be refused, nor stand for another task: most pushes, and worth not looking further.
pub(super) fn is_plain(spec: &Spec) -> bool {
    spec.minted && spec.key.is_none() && spec.blockers.is_none()
}
