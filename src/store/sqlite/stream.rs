//! The ready tasks of one lane in the order in which they would be claimed.
//!
//! Two sources, merged by rank, turn and place. Tasks without a group (`Plain`): rows of `ready`, and plain
//! tasks after the lane's cursor, which are read straight from the table in the order of their creation; what
//! was taken is deleted as one range, or by moving the cursor, in `flush`. Tasks of groups (`Groups`): by
//! their heads; each task that is taken moves its group's next one up. Invariant: after `flush` the tables hold
//! what was not taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rusqlite::{Result, Row, params};

use crate::task::{Name, Spec, TaskId};
use crate::time::Millis;

use super::ledger::Ledger;
use super::ready::{Head, ungrouped};
use super::row::{AWAITED, Names, PLAIN, Terms, all, limit};

/// Rows that are read at a time.
const CHUNK: usize = 256;
/// Rows of other tasks that one step walks over in search of plain ones.
const WALK: usize = 4096;

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
    /// It has run before, or was changed while it waited.
    pub has_status: bool,
    /// Others may wait for it.
    pub is_awaited: bool,
    pub spec: Arc<Spec>,
}

pub(super) struct Stream {
    pub lane: i64,
    plain: Plain,
    groups: Option<Groups>,
    /// The best candidate is one of a group.
    is_grouped: bool,
    /// The step has walked as far as it may, and there is more.
    pub is_cut: bool,
}

/// Tasks without a group.
struct Plain {
    max: usize,
    /// Of `ready`: what is at hand, how far it was read, and whether to the end.
    rows: VecDeque<Candidate>,
    read_to: (i64, i64),
    is_read: bool,
    /// After the cursor: likewise.
    fresh: VecDeque<Candidate>,
    walked_to: i64,
    is_walked: bool,
    walked: usize,
    taken: i64,
    last: Option<(i64, i64)>,
    is_closed: bool,
}

/// Heads of groups, in order; how far they were read, and whether to the end.
struct Groups {
    heads: BTreeMap<(i64, i64, i64), (Name, Head)>,
    read_to: Option<Head>,
    is_read: bool,
    at_hand: Option<Candidate>,
}

impl Stream {
    pub fn open(ledger: &mut Ledger<'_>, lane: i64, max: usize) -> Result<Self> {
        let state = ledger.lane(lane)?;
        let cursor = state.cursor;
        let has_groups = state.plain < state.counts[crate::task::View::Waiting as usize];
        let groups = has_groups.then(|| Groups {
            heads: BTreeMap::new(),
            read_to: None,
            is_read: false,
            at_hand: None,
        });
        let plain = Plain {
            max: max.clamp(1, CHUNK),
            rows: VecDeque::new(),
            read_to: (i64::MIN, 0),
            is_read: state.plain == 0,
            fresh: VecDeque::new(),
            walked_to: cursor,
            is_walked: state.plain == 0,
            walked: 0,
            taken: 0,
            last: None,
            is_closed: false,
        };
        Ok(Self { lane, plain, groups, is_grouped: false, is_cut: false })
    }

    pub fn peek(&self) -> Option<&Candidate> {
        match (&self.groups, self.is_grouped) {
            (Some(groups), true) => groups.at_hand.as_ref(),
            _ => self.plain.best(),
        }
    }

    /// Has the next candidate at hand, if there is one.
    pub fn fill(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        self.is_cut |= self.plain.fill(ledger, self.lane)?;
        self.is_grouped = false;
        let Some(groups) = &mut self.groups else { return Ok(()) };
        groups.fill(ledger, self.lane)?;
        let turn = ledger.lane(self.lane)?.plain_turn;
        let key = |one: &Candidate, turn| (one.rank, turn, one.place);
        self.is_grouped = match (self.plain.best(), &groups.at_hand) {
            (Some(plain), Some(grouped)) => key(grouped, grouped.turn) < key(plain, turn),
            (None, grouped) => grouped.is_some(),
            (Some(_), None) => false,
        };
        Ok(())
    }

    /// Leaves the best candidate where it is, and goes on after it.
    pub fn pass(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        match &mut self.groups {
            Some(groups) if self.is_grouped => groups.at_hand = None,
            _ => {
                // The others without a group have no room either.
                self.plain.flush(ledger, self.lane)?;
                self.plain.is_closed = true;
            }
        }
        Ok(())
    }

    /// Forgets the best candidate, which the caller is taking from the tables itself.
    pub fn skip(&mut self) -> Option<Candidate> {
        match &mut self.groups {
            Some(groups) if self.is_grouped => groups.at_hand.take(),
            _ => self.plain.pop(),
        }
    }

    /// Takes the best candidate for a claim.
    pub fn take(&mut self, ledger: &mut Ledger<'_>) -> Result<Option<Candidate>> {
        let lane = self.lane;
        match &mut self.groups {
            Some(groups) if self.is_grouped => {
                let Some(candidate) = groups.at_hand.take() else { return Ok(None) };
                let group = candidate.group.clone().unwrap_or_else(ungrouped);
                let Candidate { rank, turn, place, serial, .. } = candidate;
                ledger.take_ready(lane, &group, Head { rank, turn, place, serial })?;
                groups.renew(ledger, lane, group)?;
                Ok(Some(candidate))
            }
            groups => {
                let taken = self.plain.take();
                // Beside groups each claim counts as a turn of its own.
                if groups.is_some() {
                    self.plain.flush(ledger, lane)?;
                }
                Ok(taken)
            }
        }
    }

    /// The best of a group has changed under it: the next one moves up.
    pub fn renew(&mut self, ledger: &mut Ledger<'_>, group: Option<Name>) -> Result<()> {
        match (&mut self.groups, group) {
            (Some(groups), Some(group)) => groups.renew(ledger, self.lane, group),
            _ => Ok(()),
        }
    }

    /// Takes from the tables what was taken from here.
    pub fn flush(&mut self, ledger: &mut Ledger<'_>) -> Result<()> {
        self.plain.flush(ledger, self.lane)
    }
}

impl Plain {
    fn best(&self) -> Option<&Candidate> {
        if self.is_closed {
            return None;
        }
        match (self.rows.front(), self.fresh.front()) {
            (Some(row), Some(fresh)) if (row.rank, row.place) < (fresh.rank, fresh.place) => Some(row),
            (row, None) => row,
            (_, fresh) => fresh,
        }
    }

    fn pop(&mut self) -> Option<Candidate> {
        let is_row = self.best()?.has_row();
        if is_row { self.rows.pop_front() } else { self.fresh.pop_front() }
    }

    fn take(&mut self) -> Option<Candidate> {
        let candidate = self.pop()?;
        self.taken += 1;
        if candidate.has_row() {
            self.last = Some((candidate.rank, candidate.place));
        }
        Some(candidate)
    }

    /// Says whether it has stopped before it knew.
    fn fill(&mut self, ledger: &mut Ledger<'_>, lane: i64) -> Result<bool> {
        if self.is_closed {
            return Ok(false);
        }
        if self.rows.is_empty() && !self.is_read {
            self.rows.extend(rows(ledger, lane, "", self.read_to, self.max)?);
            self.is_read = self.rows.len() < self.max;
            self.read_to = self.rows.back().map_or(self.read_to, |last| (last.rank, last.place));
        }
        while self.fresh.is_empty() && !self.is_walked {
            if self.walked >= WALK {
                return Ok(true);
            }
            if let Some((serial, spec)) = ledger.fresh.next(lane, self.walked_to) {
                self.walked_to = serial;
                self.fresh.push_back(at_hand(serial, spec));
                return Ok(false);
            }
            let begins = ledger.fresh.begins(lane);
            let (named, mut names) = ledger.split();
            let (to, max) = (self.walked_to, self.max as i64);
            let mut found = named.next_plain.query(params![lane, to, begins, max])?;
            let mut seen = 0;
            while let Some(row) = found.next()? {
                seen += 1;
                self.walked_to = row.get(0)?;
                if row.get::<_, u8>(2)? & PLAIN != 0 {
                    self.fresh.push_back(plain(row, lane, &mut names)?);
                }
            }
            if seen < self.max {
                self.is_walked = begins == i64::MAX;
                if !self.is_walked {
                    self.walked_to = self.walked_to.max(begins - 1);
                }
            }
            self.walked += seen - self.fresh.len();
        }
        Ok(false)
    }

    fn flush(&mut self, ledger: &mut Ledger<'_>, lane: i64) -> Result<()> {
        let cursor = self.fresh.front().map_or(self.walked_to, |first| first.serial - 1);
        if self.is_closed || self.taken == 0 && cursor == ledger.lane(lane)?.cursor {
            return Ok(());
        }
        ledger.take_plain(lane, std::mem::take(&mut self.taken), self.last.take(), cursor)
    }
}

impl Groups {
    fn fill(&mut self, ledger: &mut Ledger<'_>, lane: i64) -> Result<()> {
        if self.at_hand.is_some() {
            return Ok(());
        }
        let best = self.heads.first_key_value().map(|(at, _)| *at);
        let beyond = self.read_to.map(|head| (head.rank, head.turn, head.place));
        if !self.is_read && best.is_none_or(|best| beyond.is_none_or(|beyond| best > beyond)) {
            let more = ledger.heads_after(lane, self.read_to, CHUNK)?;
            self.is_read = more.len() < CHUNK;
            self.read_to = more.last().map(|(_, head)| *head).or(self.read_to);
            let at = |head: &Head| (head.rank, head.turn, head.place);
            self.heads.extend(more.into_iter().map(|(group, head)| (at(&head), (group, head))));
        }
        if let Some((_, (group, head))) = self.heads.pop_first() {
            let before = (head.rank, head.place - 1);
            self.at_hand = rows(ledger, lane, &group, before, 1)?.pop();
            if let Some(candidate) = &mut self.at_hand {
                candidate.turn = head.turn;
            }
        }
        Ok(())
    }

    fn renew(&mut self, ledger: &mut Ledger<'_>, lane: i64, group: Name) -> Result<()> {
        if let Some(head) = ledger.head(lane, &group)? {
            self.heads.insert((head.rank, head.turn, head.place), (group, head));
        }
        Ok(())
    }
}

impl Candidate {
    /// It stands in `ready`.
    fn has_row(&self) -> bool {
        self.turn != FRESH
    }
}

/// In the place of a turn, which tasks without a group have in common: a plain task after the cursor.
const FRESH: i64 = -1;

fn plain(row: &Row<'_>, lane: i64, names: &mut dyn Names) -> Result<Candidate> {
    let serial = row.get(0)?;
    let flags = row.get(2)?;
    let terms = Terms { flags, priority: 0, retry: row.get(3)?, timeout: limit(row, 4)?, group: None };
    let id = TaskId::from(row.get_ref(1)?.as_str()?);
    let spec = terms.spec(id, lane, row.get(5)?, row.get_ref(6)?.as_str_or_null()?, names)?;
    Ok(at_hand(serial, Arc::new(spec)))
}

fn at_hand(serial: i64, spec: Arc<Spec>) -> Candidate {
    Candidate {
        rank: 0,
        turn: FRESH,
        place: serial,
        serial,
        group: None,
        priority: 0,
        failures: 0,
        losses: 0,
        expires_at: None,
        first_started_at: None,
        has_status: false,
        is_awaited: false,
        spec,
    }
}

fn rows(
    ledger: &mut Ledger<'_>,
    lane: i64,
    group: &str,
    after: (i64, i64),
    max: usize,
) -> Result<Vec<Candidate>> {
    let (named, mut names) = ledger.split();
    all(named.next_ready, params![lane, group, after.0, after.1, max as i64], |row| {
        let pushed: i32 = row.get(5)?;
        let priority = row.get::<_, Option<i32>>(11)?.unwrap_or(pushed);
        let group: Option<Name> = row.get(8)?;
        let flags: u8 = row.get(4)?;
        let terms =
            Terms { flags, priority, retry: row.get(6)?, timeout: limit(row, 7)?, group: group.clone() };
        let id = TaskId::from(row.get_ref(3)?.as_str()?);
        let spec = terms.spec(id, lane, row.get(9)?, row.get_ref(10)?.as_str_or_null()?, &mut names)?;
        Ok(Candidate {
            rank: row.get(0)?,
            turn: 0,
            place: row.get(1)?,
            serial: row.get(2)?,
            group,
            priority,
            failures: row.get::<_, Option<u32>>(12)?.unwrap_or(0),
            losses: row.get::<_, Option<u32>>(13)?.unwrap_or(0),
            expires_at: limit(row, 14)?,
            first_started_at: limit(row, 15)?,
            has_status: row.get::<_, Option<i64>>(16)?.is_some(),
            is_awaited: flags & AWAITED != 0,
            spec: Arc::new(spec),
        })
    })
}
