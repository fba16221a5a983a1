//! The claim: the best ready tasks of the wanted kinds, within the limits that span all nodes.
//!
//! The lanes of the wanted kinds are merged by rank, then by arrival. Within one step room only shrinks, so
//! that each lane is walked once, from its best head on, however many of its groups are full. A lane of one
//! group, which most are, is read in order, many rows at a time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use rusqlite::{Result, params};

use crate::store::{Claims, LaneClaim, NodeId, Turn};
use crate::task::{Cause, Claimed, Name, State, TRANSITIONS, TaskId, View};
use crate::time::Millis;

use super::STEP;
use super::ledger::Ledger;
use super::numbers::Numbered;
use super::ready::ungrouped;
use super::row::{first, signed};
use super::stream::{Candidate, Stream};

/// What this process knows of the runs that its nodes have claimed: it saves settling them a look-up.
#[derive(Default)]
pub(super) struct Runs(HashMap<i64, Run, Numbered>);

pub(super) struct Run {
    pub serial: i64,
    pub id: TaskId,
    pub lane: i64,
    pub group: Option<Name>,
    pub node: NodeId,
    pub started_at: Millis,
    pub input_bytes: usize,
    /// Nothing but its claim is known of it.
    pub is_first: bool,
    /// Others waited for it then.
    pub is_awaited: bool,
}

/// Runs that are remembered; beyond it some settlements take the longer way.
const REMEMBERED: usize = 100_000;

impl Runs {
    /// A run is settled once: what is known of it is given away.
    pub fn take(&mut self, epoch: i64, id: &TaskId) -> Option<Run> {
        self.0.get(&epoch).filter(|run| run.id == *id)?;
        self.0.remove(&epoch)
    }

    pub fn remember(&mut self, epoch: i64, run: Run) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(epoch, run);
    }
}

/// One of the wanted kinds.
struct Want<'a> {
    claim: &'a LaneClaim,
    lanes: Vec<i64>,
    left: u32,
}

impl Ledger<'_> {
    /// Claims what `claims` wants; answers when a rate that was in the way has room again.
    pub fn claim(
        &mut self,
        node: &NodeId,
        claims: &Claims,
        turn: &mut Turn,
        runs: &mut Runs,
    ) -> Result<Option<Millis>> {
        if claims.max == 0 || claims.lanes.is_empty() {
            return Ok(None);
        }
        let mut wants = Vec::with_capacity(claims.lanes.len());
        let (mut streams, mut seen) = (Vec::new(), HashSet::new());
        for claim in &claims.lanes {
            let lanes = self.lanes_of(&claim.name)?;
            for &lane in &lanes {
                let queue = self.lane(lane)?.queue.clone();
                let is_wanted = claim.queue.as_ref().is_none_or(|only| *only == queue);
                if is_wanted
                    && self.lane(lane)?.counts[View::Waiting as usize] > 0
                    && seen.insert(lane)
                    && !self.is_paused(&queue)?
                {
                    let max = claim.max.min(claims.max) as usize;
                    streams.push((wants.len(), Stream::open(self, lane, max)?));
                }
            }
            wants.push(Want { claim, lanes, left: claim.max });
        }
        let mut heap = BinaryHeap::new();
        for (at, (want, stream)) in streams.iter_mut().enumerate() {
            if let Some(key) = self.next(stream, wants[*want].claim)? {
                heap.push(Reverse((key, at)));
            }
        }
        let node_no = if heap.is_empty() { 0 } else { self.node_no(node)? };
        let mut reopens_at: Option<Millis> = None;
        while turn.claimed.len() < claims.max as usize
            && let Some(Reverse((_, at))) = heap.pop()
        {
            let (want, stream) = &mut streams[at];
            let want = &mut wants[*want];
            let is_full = match want.claim.total {
                Some(total) => self.running(&want.lanes)? >= i64::from(total),
                None => false,
            };
            if want.left == 0 || is_full {
                continue;
            }
            let Some(candidate) = stream.peek() else { continue };
            if candidate.expires_at.is_some_and(|at| at <= self.now) {
                if turn.ended.len() == STEP {
                    break;
                }
                stream.flush(self)?;
                if let Some(candidate) = stream.skip() {
                    let task = self.must(candidate.serial)?;
                    self.expire_one(task, &mut turn.ended)?;
                    stream.renew(self, candidate.group)?;
                }
            } else if self.has_room(want.claim, stream.lane, candidate)? {
                match self.take_rate(want.claim, stream.peek().and_then(|one| one.group.clone()).as_ref())? {
                    Ok(()) => {
                        want.left -= 1;
                        let Some(candidate) = stream.take(self)? else { continue };
                        turn.claimed.push(self.start(node, node_no, stream.lane, candidate, runs)?);
                    }
                    Err(at) => {
                        reopens_at = Some(reopens_at.map_or(at, |other| other.min(at)));
                        if want.claim.rate.as_ref().is_some_and(|rate| !rate.by_group) {
                            continue;
                        }
                        stream.pass(self)?;
                    }
                }
            } else {
                stream.pass(self)?;
            }
            let claim = want.claim;
            if let Some(key) = self.next(&mut streams[at].1, claim)? {
                heap.push(Reverse((key, at)));
            }
        }
        for (_, stream) in &mut streams {
            stream.flush(self)?;
            turn.more |= stream.is_cut;
        }
        Ok(reopens_at)
    }

    /// The order of a stream's next candidate whose group has room.
    fn next(&mut self, stream: &mut Stream, claim: &LaneClaim) -> Result<Option<(i64, i64)>> {
        loop {
            stream.fill(self)?;
            let Some(candidate) = stream.peek() else { return Ok(None) };
            let key = (candidate.rank, candidate.place);
            if self.has_room(claim, stream.lane, candidate)? {
                return Ok(Some(key));
            }
            stream.pass(self)?;
        }
    }

    fn has_room(&mut self, claim: &LaneClaim, lane: i64, candidate: &Candidate) -> Result<bool> {
        match (claim.per_group, &candidate.group) {
            (Some(limit), Some(group)) => Ok(self.running_in(lane, group)? < i64::from(limit)),
            _ => Ok(true),
        }
    }

    /// Takes one start; the error says when to come back.
    fn take_rate(
        &mut self,
        claim: &LaneClaim,
        group: Option<&Name>,
    ) -> Result<std::result::Result<(), Millis>> {
        let Some(rate) = &claim.rate else { return Ok(Ok(())) };
        let group = group.filter(|_| rate.by_group).cloned().unwrap_or_else(ungrouped);
        let arrival: Option<i64> = first(&mut self.sql.rate, [&*rate.key, &*group], |row| row.get(0))?;
        let arrival = arrival.unwrap_or(0) as u64;
        let (next, answer) = rate.take(arrival, self.now);
        if next != arrival {
            self.sql.set_rate.execute(params![&*rate.key, &*group, signed(next)])?;
        }
        Ok(answer)
    }

    fn start(
        &mut self,
        node: &NodeId,
        node_no: i64,
        lane: i64,
        candidate: Candidate,
        runs: &mut Runs,
    ) -> Result<Claimed> {
        self.meta.epoch += 1;
        let (epoch, now, serial) = (self.meta.epoch, self.now, candidate.serial);
        self.sql.run.execute(params![serial, epoch, node_no, signed(now)])?;
        if let Some(at) = candidate.expires_at {
            self.sql.drop_expiring.execute(params![signed(at), serial])?;
        }
        self.took(State::Waiting, Cause::Claim);
        self.meta.waiting -= 1;
        self.recount(lane, View::Waiting, View::Running)?;
        self.busy(lane, candidate.group.as_ref())?;
        let elapsed = now.saturating_sub(candidate.first_started_at.unwrap_or(now));
        let Candidate { priority, failures, losses, group, has_status, is_awaited, .. } = candidate;
        let spec = candidate.spec;
        runs.remember(
            epoch,
            Run {
                serial,
                id: spec.id.clone(),
                lane,
                group,
                node: node.clone(),
                started_at: now,
                input_bytes: spec.input.len(),
                is_first: !has_status,
                is_awaited,
            },
        );
        Ok(Claimed { spec, epoch: epoch as u64, priority, failures, losses, elapsed })
    }

    /// Counts a transition that was made without its record at hand.
    pub fn took(&mut self, from: State, by: Cause) {
        // Only tests ask for it, and this is the path of every task.
        if cfg!(debug_assertions)
            && let Some(row) = TRANSITIONS.iter().position(|(one, cause, _)| (*one, *cause) == (from, by))
        {
            self.transitions[row] += 1;
        }
    }
}
