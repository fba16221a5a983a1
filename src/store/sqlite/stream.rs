//! The ready tasks of one lane in the order in which they would be claimed.
//!
//! Two shapes: a lane of one group is read from `ready` in order, and what was taken is deleted as one range
//! by `flush`; a lane of several groups goes by their heads, and each task that is taken moves its group's
//! next one up. Invariant: after `flush` the tables hold what was not taken.

use std::collections::{BTreeMap, VecDeque};

use rusqlite::{Result, params};

use crate::task::{Name, Spec, TaskId};
use crate::time::Millis;

use super::ledger::Ledger;
use super::ready::Head;
use super::row::{Terms, all, limit};

/// Rows that are read at a time.
const CHUNK: usize = 256;

/// A ready task that may be claimed.
pub(super) struct Candidate {
    pub rank: i64,
    pub turn: i64,
    pub place: i64,
    pub serial: i64,
    pub group: Option<Name>,
    pub priority: i32,
    pub failures: u32,
    pub losses: u32,
    pub expires_at: Option<Millis>,
    pub first_started_at: Option<Millis>,
    pub spec: Spec,
}

pub(super) struct Stream {
    pub lane: i64,
    max: usize,
    shape: Shape,
    /// The candidates at hand, best first.
    at_hand: VecDeque<Candidate>,
}

enum Shape {
    /// One group: how many of its tasks were taken, and the last of them.
    Single { group: Name, taken: i64, last: Option<(i64, i64)>, read_to: (i64, i64), is_read: bool },
    /// Several: heads in order that were read, and the last that was.
    Many { heads: BTreeMap<(i64, i64, i64), (Name, Head)>, read_to: Option<Head>, is_read: bool },
}

impl Stream {
    pub fn open(ledger: &mut Ledger<'_>, lane: i64, max: usize) -> Result<Self> {
        let heads = ledger.heads_after(lane, None, 2)?;
        let shape = match &heads[..] {
            [(group, _)] => {
                let (group, read_to) = (group.clone(), (i64::MIN, 0));
                Shape::Single { group, taken: 0, last: None, read_to, is_read: false }
            }
            _ => Shape::Many { heads: BTreeMap::new(), read_to: None, is_read: false },
        };
        Ok(Self { lane, max, shape, at_hand: VecDeque::new() })
    }

    pub fn peek(&self) -> Option<&Candidate> {
        self.at_hand.front()
    }

    /// Has the next candidate at hand, if there is one.
    pub fn fill(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        if !self.at_hand.is_empty() {
            return Ok(());
        }
        let lane = self.lane;
        match &mut self.shape {
            Shape::Single { group, read_to, is_read, .. } => {
                if !*is_read {
                    let max = self.max.clamp(1, CHUNK);
                    let found = candidates(ledger, lane, group, *read_to, max)?;
                    *is_read = found.len() < max;
                    *read_to = found.last().map_or(*read_to, |last| (last.rank, last.place));
                    self.at_hand.extend(found);
                }
            }
            Shape::Many { heads, read_to, is_read } => {
                let best = heads.first_key_value().map(|(at, _)| *at);
                let beyond = read_to.map(|head| (head.rank, head.turn, head.place));
                if !*is_read && best.is_none_or(|best| beyond.is_none_or(|beyond| best > beyond)) {
                    let more = ledger.heads_after(lane, *read_to, CHUNK)?;
                    *is_read = more.len() < CHUNK;
                    *read_to = more.last().map(|(_, head)| *head).or(*read_to);
                    heads.extend(
                        more.into_iter()
                            .map(|(group, head)| ((head.rank, head.turn, head.place), (group, head))),
                    );
                }
                if let Some((_, (group, head))) = heads.pop_first() {
                    let before = (head.rank, head.place - 1);
                    let mut found = candidates(ledger, lane, &group, before, 1)?;
                    for one in &mut found {
                        one.turn = head.turn;
                    }
                    self.at_hand.extend(found);
                }
            }
        }
        Ok(())
    }

    /// Leaves the best candidate where it is, and goes on after it.
    pub fn pass(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        if let Shape::Single { .. } = self.shape {
            // The others of its group have no room either.
            self.flush(ledger)?;
            self.at_hand.clear();
            if let Shape::Single { is_read, .. } = &mut self.shape {
                *is_read = true;
            }
            return Ok(());
        }
        self.at_hand.pop_front();
        Ok(())
    }

    /// Forgets the best candidate, which the caller is taking from the tables itself.
    pub fn skip(&mut self) -> Option<Candidate> {
        self.at_hand.pop_front()
    }

    /// Takes the best candidate for a claim.
    pub fn take(&mut self, ledger: &mut Ledger<'_>) -> Result<Option<Candidate>> {
        let Some(candidate) = self.at_hand.pop_front() else { return Ok(None) };
        match &mut self.shape {
            Shape::Single { taken, last, .. } => {
                *taken += 1;
                *last = Some((candidate.rank, candidate.place));
            }
            Shape::Many { heads, .. } => {
                let group = candidate.group.clone().unwrap_or_else(super::ready::ungrouped);
                let Candidate { rank, turn, place, serial, .. } = candidate;
                ledger.take_ready(self.lane, &group, Head { rank, turn, place, serial })?;
                if let Some(head) = ledger.head(self.lane, &group)? {
                    heads.insert((head.rank, head.turn, head.place), (group, head));
                }
            }
        }
        Ok(Some(candidate))
    }

    /// The best of a group has changed under it: of several groups the next one moves up.
    pub fn renew(&mut self, ledger: &mut Ledger<'_>, group: Option<Name>) -> Result<()> {
        let group = group.unwrap_or_else(super::ready::ungrouped);
        if let Shape::Many { heads, .. } = &mut self.shape
            && let Some(head) = ledger.head(self.lane, &group)?
        {
            heads.insert((head.rank, head.turn, head.place), (group, head));
        }
        Ok(())
    }

    /// Takes from the tables what was taken from here.
    pub fn flush(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        let lane = self.lane;
        let Shape::Single { group, taken, last, .. } = &mut self.shape else { return Ok(()) };
        let Some((rank, place)) = last.take() else { return Ok(()) };
        let first = ledger.head(lane, group)?.map_or(0, |head| head.turn);
        // As if one had been taken after the other.
        let turn = ledger.lane(lane)?.turn.max(first) + std::mem::take(taken) - 1;
        ledger.take_ready(lane, group, Head { rank, turn, place, serial: 0 })
    }
}

fn candidates(
    ledger: &mut Ledger<'_>,
    lane: i64,
    group: &Name,
    after: (i64, i64),
    max: usize,
) -> Result<Vec<Candidate>> {
    let (sql, mut names) = ledger.next_ready();
    all(sql, params![lane, &**group, after.0, after.1, max as i64], |row| {
        let (priority, expires_at) = (row.get(5)?, limit(row, 10)?);
        let group: Option<Name> = row.get(11)?;
        let terms = Terms {
            flags: row.get(4)?,
            priority,
            retry: row.get(8)?,
            timeout: limit(row, 9)?,
            group: group.clone(),
        };
        let id = TaskId::from(row.get_ref(3)?.as_str()?);
        let extra = row.get_ref(13)?.as_str_or_null()?;
        let mut spec = terms.spec(id, lane, row.get(12)?, extra, &mut names)?;
        spec.expires_at = spec.expires_at.or(expires_at);
        Ok(Candidate {
            rank: row.get(0)?,
            turn: 0,
            place: row.get(1)?,
            serial: row.get(2)?,
            group,
            priority,
            failures: row.get(6)?,
            losses: row.get(7)?,
            expires_at,
            first_started_at: limit(row, 14)?,
            spec,
        })
    })
}
