//! `push`: what was admitted is written, in the order in which it was given.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Result, params};

use crate::store::plan::{self, BLOCKED, Ended, KeyAt, Meeting, Shelf, TAKEN, key_of};
use crate::store::{Push, Pushed, Refusal};
use crate::task::{Cause, Name, OnBlockerFailure, Quiet, Spec, State, Status, TaskId, Text, View, When};
use crate::time::Millis;

use super::STEP;
use super::ledger::Ledger;
use super::row::{self, AWAITED, GIVEN, KEYED, PLAIN, SLID, Task, first, signed};

/// A task that may have to wait for others.
enum Tie {
    /// It stands where it would if it had to wait for nobody.
    Placed { serial: i64, follows: Option<TaskId> },
    /// It stands nowhere yet, and nothing else can come across it: it has no key.
    Unplaced(Box<Task>),
}

/// What one push has made so far.
#[derive(Default)]
struct Batch {
    ties: Vec<Tie>,
    /// Others of the same push wait for these.
    awaited: HashSet<TaskId>,
    /// Those of them that are there and that nothing but `tie_new` can end before the push is over.
    here: HashMap<TaskId, i64>,
}

impl Ledger<'_> {
    pub fn push(&mut self, push: &Push) -> Result<std::result::Result<Vec<Pushed>, Refusal>> {
        let now = self.now;
        let specs = match plan::admit(self, push, now)? {
            Ok(specs) => specs,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(guard) = &push.guard
            && self.swap(guard)?.is_err()
        {
            return Ok(Err(Refusal::Moved));
        }
        let pushed = self.add_all(specs)?;
        self.cascade(STEP, &mut Vec::new())?;
        Ok(Ok(pushed))
    }

    /// Pushes what a completed run has spawned.
    pub fn spawn(&mut self, mut specs: Vec<Arc<Spec>>) -> Result<()> {
        let now = self.now;
        plan::admit_spawned(self, &mut specs, now)?;
        self.add_all(specs).map(drop)
    }

    fn add_all(&mut self, specs: Vec<Arc<Spec>>) -> Result<Vec<Pushed>> {
        let blockers = specs.iter().filter_map(|spec| spec.blockers.as_ref());
        let awaited = blockers.flat_map(|blockers| blockers.ids.iter().cloned()).collect();
        let mut batch = Batch { awaited, ..Batch::default() };
        let mut pushed = Vec::with_capacity(specs.len());
        for spec in specs {
            pushed.push(self.add(spec, &mut batch)?);
        }
        for tie in std::mem::take(&mut batch.ties) {
            match tie {
                Tie::Placed { serial, follows } => self.tie(serial, follows, Ended::Count)?,
                Tie::Unplaced(task) => self.tie_new(*task, &mut batch)?,
            }
        }
        Ok(pushed)
    }

    /// Adds one task. Those that may have to wait for others are noted in the batch: a blocker may come later
    /// in the same push.
    fn add(&mut self, mut spec: Arc<Spec>, batch: &mut Batch) -> Result<Pushed> {
        let mut ousted = None;
        let at = key_of(&spec);
        if let Some(at) = &at
            && self.serial_of(&spec.id)?.is_none()
        {
            match self.meet(at, &spec)? {
                (Meeting::Found(id) | Meeting::Refused(id), _) => return Ok(Pushed::found(id)),
                (Meeting::Free, _) | (_, None) => {}
                (Meeting::Oust, Some(mut holder)) => {
                    self.unplace(&mut holder)?;
                    holder.status.cancel = Some(TAKEN.into());
                    ousted = Some(holder.spec.id.clone());
                    self.finish(&mut holder, Cause::Supersede)?;
                }
                (Meeting::Follow, Some(mut holder)) => self.supersede(&mut holder)?,
                (Meeting::Slide, Some(holder)) => {
                    let id = holder.spec.id.clone();
                    self.slide(holder, at, &spec)?;
                    return Ok(Pushed::found(id));
                }
            }
            if let Some(Quiet::Debounce { wait, .. }) = spec.key.as_ref().map(|key| key.quiet) {
                Arc::make_mut(&mut spec).when = When::After(wait);
            }
        }
        let (id, minted) = (spec.id.clone(), spec.minted);
        let (is_keyed, is_awaited) = (at.is_some(), batch.awaited.contains(&spec.id));
        let Some(task) = self.insert(spec, is_keyed, is_awaited)? else {
            return Ok(Pushed { id, created: minted, ousted: None });
        };
        if is_keyed {
            self.place_new(&task)?;
            let follows = self.take_key(&task)?;
            if task.spec.blockers.is_some() || follows.is_some() {
                batch.ties.push(Tie::Placed { serial: task.serial, follows });
            }
        } else {
            if is_awaited {
                batch.here.insert(id.clone(), task.serial);
            }
            match task.spec.blockers {
                Some(_) => batch.ties.push(Tie::Unplaced(Box::new(task))),
                None => self.place_new(&task)?,
            }
        }
        Ok(Pushed { id, created: true, ousted })
    }

    /// Writes a new task; `None` where its id is taken.
    fn insert(&mut self, spec: Arc<Spec>, keyed: bool, awaited: bool) -> Result<Option<Task>> {
        let lane = self.find_lane(&spec.queue, &spec.name)?;
        let retry = self.retry_no(&spec.retry)?;
        let now = self.now;
        let flags = if keyed { KEYED } else { 0 } | if awaited { AWAITED } else { 0 };
        let flags = flags | if spec.minted { 0 } else { GIVEN };
        let is_plain = !keyed
            && spec.when == When::Now
            && spec.priority == 0
            && spec.group.is_none()
            && spec.blockers.is_none()
            && spec.expires_at.is_none();
        let flags = if is_plain { flags | PLAIN } else { flags };
        let serial = self.next_serial();
        let added = self.sql.add_task.execute(params![
            serial,
            spec.id.as_str(),
            lane,
            flags,
            spec.priority,
            signed(now),
            retry,
            &*spec.input,
            spec.timeout.map(signed),
            spec.group.as_deref(),
            row::extra(&spec),
            spec.flow.as_deref(),
        ])?;
        if added == 0 {
            return Ok(None);
        }
        if signed(now) < self.meta.created_at {
            self.meta.unordered_to = serial;
        } else {
            self.meta.created_at = signed(now);
        }
        let status = Status::pushed(&spec, now);
        let (place, wait_no, expires_at) = (serial, serial, spec.expires_at);
        Ok(Some(Task { serial, spec, status, lane, place, wait_no, end_no: None, expires_at, flags }))
    }

    /// Places a task that was written in this very step, and has nothing but what it was pushed with.
    fn place_new(&mut self, task: &Task) -> Result<()> {
        self.place(task)?;
        if task.has(PLAIN) {
            self.fresh.push(task.lane, task.serial, &task.spec);
        }
        if task.status.run_at != self.now || task.expires_at.is_some() {
            self.save(task)?;
        } else if task.status.blockers > 0 {
            self.sql.add_blocked.execute(params![task.serial, task.wait_no, task.status.blockers])?;
        }
        Ok(())
    }

    /// A debounced push: the newest input wins, the start slides.
    fn slide(&mut self, mut holder: Task, at: &KeyAt, spec: &Spec) -> Result<()> {
        let (Some(row), Some(Quiet::Debounce { wait, max_wait })) =
            (self.key(at)?, spec.key.as_ref().map(|key| key.quiet))
        else {
            return Ok(());
        };
        self.unplace(&mut holder)?;
        Arc::make_mut(&mut holder.spec).input = spec.input.clone();
        holder.flags |= SLID;
        self.sql.set_input.execute(params![holder.serial, holder.flags, &*spec.input])?;
        holder.status.run_at = self.now.saturating_add(wait).min(row.first_at.saturating_add(max_wait));
        self.place(&holder)?;
        self.save(&holder)
    }

    /// Lets a waiting task wait for its blockers, and for the task whose key it has taken.
    pub fn tie(&mut self, serial: i64, follows: Option<TaskId>, ended: Ended) -> Result<()> {
        let mut task = self.must(serial)?;
        if task.status.state != State::Waiting {
            return Ok(());
        }
        let spec = task.spec.clone();
        let (ids, on_failure) = spec
            .blockers
            .as_ref()
            .map_or_else(Default::default, |blockers| (&blockers.ids[..], blockers.on_failure));
        let follows = follows.filter(|id| !ids.contains(id)).map(|id| (id, OnBlockerFailure::Run));
        self.unplace(&mut task)?;
        let mut failed = false;
        for (id, on_failure) in ids.iter().map(|id| (id.clone(), on_failure)).chain(follows) {
            failed |= self.tie_to(&mut task, &id, on_failure)?;
        }
        if failed && ended == Ended::Count {
            task.status.cancel = Some(BLOCKED.into());
            return self.finish(&mut task, Cause::Block);
        }
        self.place(&task)?;
        self.save(&task)
    }

    /// The same for a task that stands nowhere yet.
    fn tie_new(&mut self, mut task: Task, batch: &mut Batch) -> Result<()> {
        let spec = task.spec.clone();
        let mut failed = false;
        for blockers in spec.blockers.iter() {
            for id in &blockers.ids {
                match batch.here.get(id) {
                    Some(blocker) => self.add_edge(&mut task, *blocker, blockers.on_failure)?,
                    None => failed |= self.tie_to(&mut task, id, blockers.on_failure)?,
                }
            }
        }
        if failed {
            batch.here.remove(&spec.id);
            task.status.cancel = Some(BLOCKED.into());
            return self.finish(&mut task, Cause::Block);
        }
        self.place_new(&task)
    }

    /// Lets a task wait for another one, if that has not ended; true where it has ended and takes the task with it.
    fn tie_to(&mut self, task: &mut Task, id: &TaskId, on_failure: OnBlockerFailure) -> Result<bool> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        match first(&mut self.sql.state, [id.as_str()], read)? {
            Some((blocker, 0)) => {
                self.add_edge(task, blocker, on_failure)?;
                self.sql.add_flag.execute(params![blocker, AWAITED])?;
                Ok(false)
            }
            None | Some((_, 2)) => Ok(false),
            Some(_) => Ok(on_failure == OnBlockerFailure::Cancel),
        }
    }

    fn add_edge(&mut self, task: &mut Task, blocker: i64, on_failure: OnBlockerFailure) -> Result<()> {
        let runs_anyway = on_failure == OnBlockerFailure::Run;
        self.sql.add_edge.execute(params![blocker, task.wait_no, task.serial, runs_anyway])?;
        task.status.blockers += 1;
        Ok(())
    }

    /// Moves a task that was counted as `from`.
    pub fn recount(&mut self, lane: i64, from: View, to: View) -> Result<()> {
        self.count(lane, from, -1)?;
        self.count(lane, to, 1)
    }
}

impl Shelf for Ledger<'_> {
    type Error = rusqlite::Error;

    fn waiting(&mut self) -> Result<u64> {
        Ok(self.meta.waiting.max(0) as u64)
    }

    fn value(&mut self, cell: &Name) -> Result<Option<Arc<str>>> {
        Ok(self.cell(cell)?.map(|cell| cell.value))
    }

    fn has(&mut self, id: &TaskId) -> Result<bool> {
        Ok(self.serial_of(id)?.is_some())
    }

    fn known(&mut self, id: &TaskId) -> Result<Option<(Text, bool)>> {
        first(&mut self.sql.known, [id.as_str()], |row| Ok((row.get(1)?, row.get::<_, u8>(2)? & SLID != 0)))
    }

    fn meets(&mut self, at: &KeyAt, spec: &Spec, _now: Millis) -> Result<(Meeting, Option<TaskId>)> {
        let (meeting, holder) = self.meet(at, spec)?;
        Ok((meeting, holder.map(|task| task.spec.id.clone())))
    }
}
