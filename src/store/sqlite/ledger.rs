//! One transaction's view of the file: counters and lanes at hand, rows by need, and every table in step.
//!
//! The counterpart of the memory store's book, method by method. Invariants: a waiting task is in exactly one
//! of `ready`, `timed`, or neither (blocked); an unfinished task runs if and only if it has a row in
//! `running`; counters that changed are written by `flush`, before the commit; after a rollback, or when
//! another process has written, everything that is cached here is forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rusqlite::{Connection, Result, Statement as Sql, params};

use crate::store::NodeId;
use crate::task::{Cause, Name, Place, RetryPolicy, State, TRANSITIONS, TaskId, View};
use crate::time::{Clock, Millis};

use super::fresh::Fresh;
use super::lanes::Lanes;
use super::ready::Heads;
use super::row::{self, AWAITED, Names, PLAIN, Shared, Task, all, broken, first, number_of, signed};
use super::statements::Statements;

/// Counters of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meta {
    pub epoch: i64,
    pub serial: i64,
    pub end_no: i64,
    pub amended_to: i64,
    pub created_at: i64,
    pub unordered_to: i64,
    pub waiting: i64,
    /// Ended tasks, and their bytes, in the order of `FILES`.
    pub ended: [i64; 3],
    pub bytes: [i64; 3],
}

/// Final states, in the order of their files.
pub(super) const FILES: [State; 3] = [State::Completed, State::Failed, State::Cancelled];

pub(super) struct Ledger<'c> {
    pub db: &'c Connection,
    pub sql: Statements<'c>,
    pub now: Millis,
    pub meta: Meta,
    written: Meta,
    is_loaded: bool,
    pub lanes: Lanes,
    pub heads: Heads,
    pub fresh: Fresh,
    pub known: Known,
    /// Ended tasks whose dependents have not been told: what is left of them is written with the commit.
    pub owed: VecDeque<Owed>,
    /// How often each of `TRANSITIONS` was taken; for tests.
    pub transitions: [u64; TRANSITIONS.len()],
    data_version: i64,
    pub tidied_at: Millis,
}

/// An ended task whose dependents have to be told, by the edges up to a wait.
pub(super) struct Owed {
    pub blocker: i64,
    pub upto: i64,
    pub completed: bool,
}

/// Numbers that never change their meaning while the file lives.
#[derive(Default)]
pub(super) struct Known {
    retries: Shared<RetryPolicy>,
    /// Few distinct ones: compared one by one, which is less than a hash of their text.
    retry_nos: Vec<(RetryPolicy, i64)>,
    nodes: Shared<NodeId>,
    node_nos: HashMap<NodeId, i64>,
}

impl<'c> Ledger<'c> {
    pub fn open(db: &'c Connection) -> Result<Self> {
        Ok(Self {
            db,
            sql: Statements::prepare(db)?,
            now: 0,
            meta: Meta::default(),
            written: Meta::default(),
            is_loaded: false,
            lanes: Lanes::default(),
            heads: Heads::default(),
            fresh: Fresh::default(),
            known: Known::default(),
            owed: VecDeque::new(),
            transitions: [0; TRANSITIONS.len()],
            data_version: 0,
            tidied_at: 0,
        })
    }

    /// Begins a transaction; says whether others have written since the last one. The clock is read when the file is
    /// ours: whoever waited for it must not look back behind what others have written meanwhile.
    pub fn begin(&mut self, clock: &dyn Clock) -> Result<bool> {
        self.sql.begin.execute([])?;
        self.now = clock.now();
        let moved = self.has_moved()?;
        if !self.is_loaded {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Meta {
                    epoch: row.get(0)?,
                    serial: row.get(1)?,
                    end_no: row.get(2)?,
                    amended_to: row.get(3)?,
                    created_at: row.get(4)?,
                    unordered_to: row.get(5)?,
                    waiting: row.get(6)?,
                    ended: [row.get(7)?, row.get(8)?, row.get(9)?],
                    bytes: [row.get(10)?, row.get(11)?, row.get(12)?],
                })
            };
            self.meta =
                first(&mut self.sql.meta, [], read)?.ok_or_else(|| broken(0, "the counters are gone"))?;
            self.written = self.meta.clone();
            self.is_loaded = true;
        }
        Ok(moved)
    }

    /// Whether others have written since the last look, or the last transaction here.
    pub fn has_moved(&mut self) -> Result<bool> {
        let version = first(&mut self.sql.data_version, [], |row| row.get(0))?.unwrap_or(0);
        let moved = std::mem::replace(&mut self.data_version, version) != version;
        if moved {
            self.forget();
        }
        Ok(moved)
    }

    /// Writes what was only counted so far, and commits.
    pub fn commit(&mut self) -> Result<()> {
        self.flush_heads()?;
        self.flush_lanes()?;
        while let Some(Owed { blocker, upto, completed }) = self.owed.pop_front() {
            self.sql.add_cascade.execute(params![blocker, upto, completed])?;
        }
        if self.meta != self.written {
            let Meta { epoch, serial, end_no, amended_to, created_at, unordered_to, waiting, ended, bytes } =
                &self.meta;
            self.sql.set_meta.execute(params![
                epoch,
                serial,
                end_no,
                amended_to,
                created_at,
                unordered_to,
                waiting,
                ended[0],
                ended[1],
                ended[2],
                bytes[0],
                bytes[1],
                bytes[2]
            ])?;
            self.written = self.meta.clone();
        }
        self.sql.commit.execute([])?;
        Ok(())
    }

    pub fn roll_back(&mut self) {
        // It fails where SQLite has rolled back by itself, which is as good.
        let _ = self.sql.rollback.execute([]);
        self.owed.clear();
        self.forget();
        self.known = Known::default();
    }

    fn forget(&mut self) {
        self.is_loaded = false;
        self.lanes.forget();
        self.heads.forget();
        self.fresh.forget();
        // Another process may have taken a node off the list that it thought dead.
        self.known.node_nos.clear();
        self.known.nodes.forget();
    }

    pub fn next_serial(&mut self) -> i64 {
        self.meta.serial += 1;
        self.meta.serial
    }

    pub fn find(&mut self, id: &TaskId) -> Result<Option<Task>> {
        let (sql, mut names) = self.split();
        first(sql.task_by_id, [id.as_str()], |row| row::task(row, &mut names))
    }

    pub fn at(&mut self, serial: i64) -> Result<Option<Task>> {
        let (sql, mut names) = self.split();
        first(sql.task, [serial], |row| row::task(row, &mut names))
    }

    /// The task that a table of this file names.
    pub fn must(&mut self, serial: i64) -> Result<Task> {
        self.at(serial)?.ok_or_else(|| broken(0, format!("task number {serial} is gone")))
    }

    pub fn serial_of(&mut self, id: &TaskId) -> Result<Option<i64>> {
        first(&mut self.sql.serial, [id.as_str()], |row| row.get(0))
    }

    /// Writes how far a task has come.
    pub fn save(&mut self, task: &Task) -> Result<()> {
        let status = &task.status;
        let state = match status.state {
            State::Waiting | State::Running => 0,
            State::Completed => 2,
            State::Failed => 3,
            State::Cancelled => 4,
        };
        self.sql.set_status.execute(params![
            task.serial,
            state,
            status.cause.map(number_of),
            status.epoch as i64,
            status.started_at.map(signed),
            status.first_started_at.map(signed),
            status.finished_at.map(signed),
            task.end_no,
            status.output.as_deref(),
            status.priority,
            signed(status.run_at),
            task.place,
            task.wait_no,
            status.blockers,
            status.failures,
            status.losses,
            task.expires_at.map(signed),
            status.cancel.as_deref(),
            row::write_attempts(&status.attempts),
        ])?;
        Ok(())
    }

    /// Writes flags that were changed on the task at hand.
    pub fn save_flags(&mut self, task: &Task) -> Result<()> {
        self.sql.set_flags.execute(params![task.serial, task.flags])?;
        Ok(())
    }

    /// Puts a waiting task where it belongs now.
    pub fn place(&mut self, task: &Task) -> Result<()> {
        let (lane, status) = (task.lane, &task.status);
        let view = match status.place(self.now) {
            Place::Blocked => View::Blocked,
            Place::Timed => {
                self.sql.add_timed.execute(params![signed(status.run_at), task.place, task.serial, lane])?;
                View::Scheduled
            }
            Place::Ready => {
                self.add_ready(task)?;
                View::Waiting
            }
        };
        self.count(lane, view, 1)?;
        self.meta.waiting += 1;
        if let Some(at) = task.expires_at {
            self.sql.add_expiring.execute(params![signed(at), task.serial])?;
        }
        Ok(())
    }

    /// Takes a waiting task from where it stands.
    pub fn unplace(&mut self, task: &mut Task) -> Result<()> {
        let (lane, status) = (task.lane, &task.status);
        let view = if task.has(PLAIN) && task.serial > self.lane(lane)?.cursor {
            task.flags &= !PLAIN;
            self.save_flags(task)?;
            self.fresh.remove(lane, task.serial);
            self.lane_mut(lane)?.plain -= 1;
            View::Waiting
        } else if status.blockers > 0 {
            View::Blocked
        } else if self.sql.drop_timed.execute(params![signed(status.run_at), task.place])? > 0 {
            View::Scheduled
        } else {
            self.drop_ready(task)?;
            View::Waiting
        };
        self.count(lane, view, -1)?;
        self.meta.waiting -= 1;
        if let Some(at) = task.expires_at {
            self.sql.drop_expiring.execute(params![signed(at), task.serial])?;
        }
        Ok(())
    }

    /// Changes the state by the table.
    pub fn enter(&mut self, task: &mut Task, cause: Cause) -> Result<State> {
        let status = &mut task.status;
        let row = TRANSITIONS.iter().position(|(from, by, _)| *from == status.state && *by == cause);
        let row =
            row.ok_or_else(|| broken(3, format!("no way from {} by {}", status.state, cause.as_str())))?;
        self.transitions[row] += 1;
        status.state = TRANSITIONS[row].2;
        status.cause = Some(cause);
        Ok(status.state)
    }

    /// Ends a task that no table holds any more: frees its key, tells its dependents, files and saves it.
    pub fn finish(&mut self, task: &mut Task, cause: Cause) -> Result<()> {
        let state = self.enter(task, cause)?;
        self.meta.end_no += 1;
        task.status.finished_at = Some(self.now);
        task.status.blockers = 0;
        task.end_no = Some(self.meta.end_no);
        if task.has(AWAITED) {
            self.owe(task.serial, state == State::Completed);
            task.flags &= !AWAITED;
            self.save_flags(task)?;
        }
        self.file(state, task.bytes() as i64, 1);
        self.count(task.lane, task.status.view(self.now), 1)?;
        self.free_key(task)?;
        self.save(task)
    }

    /// The dependents of an ended task have to be told.
    pub fn owe(&mut self, blocker: i64, completed: bool) {
        self.owed.push_back(Owed { blocker, upto: self.meta.serial, completed });
    }

    /// Counts an ended task in its file, or out of it.
    pub fn file(&mut self, state: State, bytes: i64, sign: i64) {
        if let Some(file) = FILES.iter().position(|one| *one == state) {
            self.meta.ended[file] += sign;
            self.meta.bytes[file] += sign * bytes;
        }
    }

    /// Takes an ended task out of its file.
    pub fn unfile(&mut self, task: &mut Task) -> Result<()> {
        self.file(task.status.state, task.bytes() as i64, -1);
        task.end_no = None;
        self.count(task.lane, task.status.view(0), -1)
    }

    /// Takes a running task from its node.
    pub fn let_go(&mut self, task: &mut Task) -> Result<()> {
        self.sql.end_run.execute(params![task.serial, task.status.epoch as i64])?;
        task.status.owner = None;
        self.count(task.lane, View::Running, -1)?;
        self.unbusy(task.lane, task.spec.group.as_ref())
    }

    /// The statements whose rows need names, and the names.
    pub fn split(&mut self) -> (Named<'_, 'c>, Lookup<'_, 'c>) {
        let Statements { lane, retry, node_id, task_by_id, task, next_ready, next_plain, .. } = &mut self.sql;
        let names = Lookup { lane, retry, node_id, lanes: &mut self.lanes, known: &mut self.known };
        (Named { task_by_id, task, next_ready, next_plain }, names)
    }

    /// The number of a retry policy.
    pub fn retry_no(&mut self, policy: &RetryPolicy) -> Result<i64> {
        if let Some((_, no)) = self.known.retry_nos.iter().find(|(known, _)| known == policy) {
            return Ok(*no);
        }
        let text = serde_json::to_string(policy).map_err(|error| broken(14, error))?;
        let no = match first(&mut self.sql.retry_no, [&text], |row| row.get(0))? {
            Some(no) => no,
            None => self.sql.add_retry.insert([&text])?,
        };
        if self.known.retry_nos.len() == 64 {
            self.known.retry_nos.remove(0);
        }
        self.known.retry_nos.push((policy.clone(), no));
        Ok(no)
    }

    /// The number of a node, which is written down where it is new.
    pub fn node_no(&mut self, id: &NodeId) -> Result<i64> {
        if let Some(no) = self.known.node_nos.get(id) {
            return Ok(*no);
        }
        let no = match first(&mut self.sql.node, [&**id], |row| row.get(0))? {
            Some(no) => no,
            None => {
                let host = crate::store::host();
                let (pid, now) = (std::process::id(), signed(self.now));
                self.sql.add_node.insert(params![&**id, &*host, pid, now])?
            }
        };
        self.known.node_nos.insert(id.clone(), no);
        Ok(no)
    }

    pub fn forget_node(&mut self, id: &NodeId) {
        self.known.node_nos.remove(id);
        self.known.nodes.forget();
    }

    /// Serials of a statement that takes a date and a bound.
    pub fn serials(
        &mut self,
        which: impl for<'s> FnOnce(&'s mut Statements<'c>) -> &'s mut Sql<'c>,
        max: usize,
    ) -> Result<Vec<i64>> {
        let now = signed(self.now);
        all(which(&mut self.sql), params![now, max as i64], |row| row.get(0))
    }
}

/// Statements whose rows need names.
pub(super) struct Named<'l, 'c> {
    task_by_id: &'l mut Sql<'c>,
    task: &'l mut Sql<'c>,
    pub next_ready: &'l mut Sql<'c>,
    pub next_plain: &'l mut Sql<'c>,
}

/// The names of a ledger, borrowed apart from the statement whose rows are being read.
pub(super) struct Lookup<'l, 'c> {
    lane: &'l mut Sql<'c>,
    retry: &'l mut Sql<'c>,
    node_id: &'l mut Sql<'c>,
    lanes: &'l mut Lanes,
    known: &'l mut Known,
}

impl Names for Lookup<'_, '_> {
    fn lane(&mut self, no: i64) -> Result<(Name, Name)> {
        let lane = self.lanes.at(no, self.lane)?;
        Ok((lane.queue.clone(), lane.name.clone()))
    }

    fn retry(&mut self, no: i64) -> Result<RetryPolicy> {
        let Self { retry, known, .. } = self;
        known.retries.get(no, || {
            let read = |row: &rusqlite::Row<'_>| {
                let text = row.get_ref(0)?.as_str()?;
                serde_json::from_str(text).map_err(|error| broken(0, error))
            };
            first(retry, [no], read)
        })
    }

    fn node(&mut self, no: i64) -> Result<NodeId> {
        let Self { node_id, known, .. } = self;
        known.nodes.get(no, || first(node_id, [no], |row| row.get::<_, Arc<str>>(0)))
    }
}
