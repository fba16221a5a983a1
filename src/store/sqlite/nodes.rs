//! Nodes: whose process lives, whose engine beats, what the dead have left, and what the living are told.
//!
//! Two detectors, neither of which compares clocks of two processes: the kernel frees the lock of a process
//! that has ended; and a counter that stands still for a lease, by the monotonic clock of who looks, is that
//! of a frozen one. Who has looked at nothing for half a lease was frozen itself, and starts over.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Result, params};

use crate::store::{Node, NodeId, Pulse, StoreError};
use crate::task::{Name, TaskId};
use crate::time::Millis;

use super::files::{Life, Sign, bury, sign_of};
use super::ledger::Ledger;
use super::row::{all, first};

/// Nodes of this process, and what was seen of the others.
#[derive(Default)]
pub(super) struct Watch {
    own: HashMap<NodeId, Life>,
    seen: HashMap<NodeId, Seen>,
    looked_at: Millis,
}

struct Seen {
    counter: u64,
    /// When it showed another number for the last time.
    at: Millis,
}

/// What somebody has found out about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lives,
    Silent,
    Gone,
}

impl Watch {
    /// This process answers for a node from now on.
    pub fn hold(&mut self, db: &Path, node: &NodeId, now: Millis) -> std::io::Result<()> {
        if let Some(life) = self.own.get(node)
            && life.is_seen()
        {
            return Ok(());
        }
        let life = Life::begin(db, node)?;
        self.seen.insert(node.clone(), Seen { counter: life.counter(), at: now });
        self.own.insert(node.clone(), life);
        Ok(())
    }

    pub fn beat(&mut self, db: &Path, node: &NodeId, now: Millis, lease: Millis) -> std::io::Result<()> {
        if now.saturating_sub(self.looked_at) > lease / 2 {
            self.seen.values_mut().for_each(|seen| seen.at = now);
        }
        self.looked_at = now;
        self.hold(db, node, now)?;
        let Some(life) = self.own.get_mut(node) else { return Ok(()) };
        life.beat()?;
        self.seen.insert(node.clone(), Seen { counter: life.counter(), at: now });
        Ok(())
    }

    pub fn judge(&mut self, db: &Path, node: &NodeId, now: Millis, lease: Millis) -> Verdict {
        let counter = match self.own.get(node) {
            Some(life) => life.counter(),
            None => match sign_of(db, node) {
                Ok(Sign::Gone) => return Verdict::Gone,
                Ok(Sign::Beats(counter)) => counter,
                // What cannot be looked at is not known to be dead.
                Err(_) => return Verdict::Lives,
            },
        };
        let seen = self.seen.entry(node.clone()).or_insert(Seen { counter, at: now });
        if seen.counter != counter {
            *seen = Seen { counter, at: now };
        }
        if now.saturating_sub(seen.at) > lease { Verdict::Silent } else { Verdict::Lives }
    }

    pub fn seen_at(&self, node: &NodeId, now: Millis) -> Millis {
        self.seen.get(node).map_or(0, |seen| now.saturating_sub(seen.at))
    }

    /// Takes a node off the list that owns nothing any more.
    pub fn forget(&mut self, db: &Path, node: &NodeId) {
        self.seen.remove(node);
        match self.own.remove(node) {
            Some(life) => life.end(),
            None => bury(db, node),
        }
    }
}

/// A node as the file has it.
pub(super) struct Entry {
    pub id: NodeId,
    host: Arc<str>,
    pid: u32,
    pub orphaned_to: i64,
    pub declared_dead: bool,
    /// Its oldest claim.
    pub oldest: Option<i64>,
    running: u64,
}

impl Entry {
    pub fn told(self, beat_at: Millis) -> Node {
        Node { id: self.id, host: self.host, pid: self.pid, running: self.running, beat_at }
    }

    /// It has left claims that anybody may settle.
    pub fn has_orphans(&self) -> bool {
        self.oldest.is_some_and(|oldest| oldest <= self.orphaned_to)
    }
}

pub(super) fn entries(db: &Connection) -> Result<Vec<Entry>> {
    let sql = "SELECT n.id, n.host, n.pid, n.orphaned_to, n.declared_dead, min(r.epoch), count(r.serial)
        FROM node n LEFT JOIN running r ON r.node = n.no GROUP BY n.no ORDER BY n.id";
    all(&mut *db.prepare_cached(sql)?, [], |row| {
        Ok(Entry {
            id: row.get(0)?,
            host: row.get(1)?,
            pid: row.get(2)?,
            orphaned_to: row.get(3)?,
            declared_dead: row.get(4)?,
            oldest: row.get(5)?,
            running: row.get::<_, i64>(6)? as u64,
        })
    })
}

/// What the file tells a node at its beat, but for the dead.
pub(super) fn news(db: &Connection, node: &NodeId, now: Millis) -> Result<Pulse> {
    let sql = "SELECT t.id, r.epoch, s.cancel FROM running r JOIN task t ON t.serial = r.serial
        JOIN status s ON s.serial = r.serial
        WHERE r.stop = 1 AND r.node = (SELECT no FROM node WHERE id = ?1) ORDER BY r.epoch";
    let stop = all(&mut *db.prepare_cached(sql)?, [&**node], |row| {
        let reason: Option<Arc<str>> = row.get(2)?;
        let id = TaskId::from(row.get_ref(0)?.as_str()?);
        Ok((id, row.get::<_, i64>(1)? as u64, reason.unwrap_or_else(|| "".into())))
    })?;
    let sql = "SELECT substr(key, 7) FROM cell WHERE key >= 'pause/' AND key < 'pause0'";
    let paused = all(&mut *db.prepare_cached(sql)?, [], |row| row.get::<_, Name>(0))?;
    Ok(Pulse { now, stop, paused, ..Pulse::default() })
}

impl Ledger<'_> {
    /// Gives up the claims of nodes that were found dead.
    pub fn declare_dead(&mut self, nodes: &[NodeId]) -> Result<()> {
        for node in nodes {
            self.sql.declare_dead.execute(params![&**node, self.meta.epoch])?;
        }
        Ok(())
    }

    /// Writes a node down that beats before it has claimed anything.
    pub fn note_node(&mut self, node: &NodeId) -> Result<()> {
        self.node_no(node)?;
        self.sql.told_dead.execute([&**node])?;
        Ok(())
    }

    /// Takes a node off the list, if it owns nothing; says whether it is off.
    pub fn drop_node(&mut self, node: &NodeId) -> Result<bool> {
        self.sql.drop_node.execute([&**node])?;
        Ok(first(&mut self.sql.node, [&**node], |_| Ok(()))?.is_none())
    }
}

/// A failure to keep the files of a node.
pub(super) fn failed(error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string().into()),
        _ => StoreError::Unreachable(format!("the files of the node: {error}").into()),
    }
}
