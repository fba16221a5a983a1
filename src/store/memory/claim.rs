//! The claim: the best ready tasks of the wanted kinds, within the limits that span all nodes.
//!
//! The lanes of the wanted kinds are merged by priority, then by arrival. Within one step room only shrinks,
//! so that each lane is walked once, from its best head on, however many of its groups are full.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::store::{Claims, LaneClaim, NodeId, Rate, Turn};
use crate::task::{Cause, Name, View};
use crate::time::Millis;

use super::STEP;
use super::book::Book;
use super::lane::{Rank, Slot};
use super::nodes::claimed;

/// Shared rates: the theoretical arrival time of each key, and of each of its groups.
#[derive(Default)]
pub(super) struct Rates {
    arrivals: HashMap<(Name, Option<Name>), u64>,
    tidy_at: usize,
}

impl Rates {
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Takes one start; the error says when to come back.
    fn take(&mut self, rate: &Rate, group: Option<&Name>, now: Millis) -> Result<(), Millis> {
        if self.arrivals.len() >= self.tidy_at {
            // A time that has passed says no more than none.
            self.arrivals.retain(|_, arrival| *arrival > now.saturating_mul(1000));
            self.tidy_at = (2 * self.arrivals.len()).max(1000);
        }
        let group = if rate.by_group { group.cloned() } else { None };
        let arrival = self.arrivals.entry((rate.key.clone(), group)).or_default();
        let (next, answer) = rate.take(*arrival, now);
        *arrival = next;
        answer
    }
}

/// One of the wanted kinds.
struct Want<'a> {
    claim: &'a LaneClaim,
    kind: usize,
    left: u32,
}

impl Book {
    /// Claims what `claims` wants; answers when a rate that was in the way has room again.
    pub fn claim(&mut self, node: &NodeId, claims: &Claims, now: Millis, turn: &mut Turn) -> Option<Millis> {
        let mut wants = self.wants(claims);
        let mut heads = self.first_heads(&wants);
        let mut started = Vec::new();
        let mut reopens_at: Option<Millis> = None;
        while started.len() < claims.max as usize
            && let Some(head) = heads.pop()
        {
            let Want { claim, kind, left } = &mut wants[head.want];
            let is_full = claim.total.is_some_and(|total| self.kinds[*kind].running >= total);
            if *left == 0 || is_full {
                continue;
            }
            if self.tasks[head.slot].expires_at.is_some_and(|at| at <= now) {
                if turn.ended.len() == STEP {
                    break;
                }
                self.expire_one(head.slot, now, &mut turn.ended);
            } else if self.has_room(*kind, claim, head.slot) {
                match self.take_rate(claim, head.slot, now) {
                    Ok(()) => {
                        *left -= 1;
                        started.push((self.start(node, &head, now), head.slot));
                        turn.claimed.push(claimed(&self.tasks[head.slot], now));
                    }
                    Err(at) => {
                        reopens_at = Some(reopens_at.map_or(at, |other| other.min(at)));
                        if claim.rate.as_ref().is_some_and(|rate| !rate.by_group) {
                            continue;
                        }
                    }
                }
            }
            heads.extend(self.head(head.lane, head.want, &wants[head.want], Some(head.rank)));
        }
        if !started.is_empty() {
            self.nodes.entry(node, now).running.extend(started);
        }
        reopens_at
    }

    fn wants<'a>(&self, claims: &'a Claims) -> Vec<Want<'a>> {
        let known = |claim: &'a LaneClaim| {
            let kind = *self.kind_of.get(&claim.name)?;
            Some(Want { claim, kind, left: claim.max })
        };
        if claims.max == 0 { Vec::new() } else { claims.lanes.iter().filter_map(known).collect() }
    }

    /// The best head of every wanted lane. Where two claims name a lane, it goes by the first.
    fn first_heads(&self, wants: &[Want<'_>]) -> BinaryHeap<Head> {
        let (mut heads, mut seen) = (BinaryHeap::new(), HashSet::new());
        for (at, want) in wants.iter().enumerate() {
            for (queue, &lane) in &self.kinds[want.kind].lanes {
                let is_wanted = want.claim.queue.as_ref().is_none_or(|only| only == queue);
                if is_wanted && seen.insert(lane) && !self.lanes[lane].paused {
                    heads.extend(self.head(lane, at, want, None));
                }
            }
        }
        heads
    }

    /// The best head of a lane, after `from`, whose group has room.
    fn head(&self, lane: usize, at: usize, want: &Want<'_>, from: Option<Rank>) -> Option<Head> {
        let mut heads = self.lanes[lane].heads(from);
        let (rank, slot) = heads.find(|(_, slot)| self.has_room(want.kind, want.claim, *slot))?;
        Some(Head { rank, lane, want: at, slot })
    }

    fn has_room(&self, kind: usize, claim: &LaneClaim, slot: Slot) -> bool {
        let group = claim.per_group.zip(self.tasks[slot].spec.group.as_ref());
        let running_in = |group| self.kinds[kind].running_in.get(group).copied().unwrap_or(0);
        group.is_none_or(|(limit, group)| running_in(group) < limit)
    }

    fn take_rate(&mut self, claim: &LaneClaim, slot: Slot, now: Millis) -> Result<(), Millis> {
        let Some(rate) = &claim.rate else { return Ok(()) };
        self.rates.take(rate, self.tasks[slot].spec.group.as_ref(), now)
    }

    fn start(&mut self, node: &NodeId, head: &Head, now: Millis) -> u64 {
        self.epoch += 1;
        self.enter(head.slot, Cause::Claim);
        let task = &mut self.tasks[head.slot];
        let lane = &mut self.lanes[head.lane];
        lane.claim(head.rank, task.spec.group.as_ref());
        lane.counts[View::Waiting as usize] -= 1;
        lane.counts[View::Running as usize] += 1;
        self.waiting -= 1;
        if let Some(at) = task.expires_at {
            self.expiring.remove(&(at, head.slot));
        }
        let status = &mut task.status;
        status.epoch = self.epoch;
        status.owner = Some(node.clone());
        status.started_at = Some(now);
        status.first_started_at.get_or_insert(now);
        let kind = &mut self.kinds[lane.kind];
        kind.running += 1;
        if let Some(group) = &task.spec.group {
            *kind.running_in.entry(group.clone()).or_default() += 1;
        }
        self.epoch
    }
}

/// A candidate for a claim. Turns belong to one lane, so lanes meet by priority, then by arrival.
struct Head {
    rank: Rank,
    lane: usize,
    want: usize,
    slot: Slot,
}

impl Head {
    fn key(&self) -> (std::cmp::Reverse<i32>, u64) {
        (self.rank.priority, self.rank.place)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    /// A heap gives its largest: the best is the one with the smallest key.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}
