//! How much to claim: what is free, plus what will be free before the next answer of the store.
//!
//! A kind that has a limit of the store (total, per group, rate) is claimed for free slots only, since what
//! is claimed ahead here could run elsewhere.

use crate::dispatch::OPEN_LANE;
use crate::store::{Claims, LaneClaim};
use crate::task::{Name, Outcome};
use crate::time::Millis;

use super::core::{Closing, Core, KindId};
use super::stored::Phase;

/// Most tasks that are claimed ahead.
const MAX_AHEAD: u32 = 2000;
/// Work for so long is claimed ahead.
pub(super) const WINDOW: Millis = 100;

/// What was claimed ahead goes back if nothing has started for so long: somebody else may have a slot for it, or
/// something more urgent has come.
const PATIENCE: Millis = 1000;

/// Ends in the current window and in the one before.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Millis,
    now: u32,
    before: u32,
    /// The latest start or end.
    moved_at: Millis,
}

impl Pace {
    pub fn ended(&mut self, now: Millis) {
        self.roll(now);
        self.now += 1;
        self.moved_at = now;
    }

    /// A run has been given to the host.
    pub fn started(&mut self, now: Millis) {
        self.moved_at = now;
    }

    /// Ends to expect in one window.
    pub fn expected(&mut self, now: Millis) -> u32 {
        self.roll(now);
        self.now.max(self.before)
    }

    fn roll(&mut self, now: Millis) {
        let past = now.saturating_sub(self.since) / WINDOW;
        if past > 0 {
            self.before = if past == 1 { self.now } else { 0 };
            (self.now, self.since) = (0, now);
        }
    }
}

impl Core {
    pub(super) fn claims(&mut self, now: Millis) -> Claims {
        let none = Claims::default();
        let idle = !self.stored.started || self.closing != Closing::No || self.stored.host_stalled;
        let idle = idle || self.stored.wary || self.is_fenced();
        if idle || self.dispatcher.is_paused() || self.abandoned > self.config.max_abandoned {
            return none;
        }
        let free = self.dispatcher.room(now).slots;
        let ahead = self.stored.pace.expected(now).min(MAX_AHEAD);
        let window = free.saturating_add(ahead);
        let stuck = self.stored.stuck(|lane| self.dispatcher.room_in(lane, now).slots == 0);
        let ready = self.stored.ready - stuck;
        let max = window.saturating_sub(ready);
        // Half a window at least: many small claims cost more than few large ones.
        if max == 0 || (ready > 0 && max < window / 2) {
            return none;
        }
        self.stored.gated_until = None;
        let mut lanes = Vec::new();
        for kind in self.claimable.clone() {
            match self.config.queues.clone() {
                None => lanes.extend(self.lane_claim(kind, None, max, free, now)),
                Some(queues) => {
                    for (queue, _) in queues {
                        lanes.extend(self.lane_claim(kind, Some(queue), max, free, now));
                    }
                }
            }
        }
        if lanes.is_empty() { none } else { Claims { max, lanes } }
    }

    fn lane_claim(
        &mut self,
        kind: KindId,
        queue: Option<Name>,
        max: u32,
        free: u32,
        now: Millis,
    ) -> Option<LaneClaim> {
        if queue.as_ref().is_some_and(|queue| self.paused_queues.contains(queue)) {
            return None;
        }
        let lane = self.lane(kind, &queue.clone().unwrap_or_else(crate::task::default_queue));
        let by_store = self.is_kept_by_store(kind, queue.as_ref());
        let room = self.dispatcher.room_in(lane, now);
        let limited = by_store || lane != OPEN_LANE;
        let ready = if limited { self.ready_of(kind) } else { 0 };
        let ahead = match by_store {
            true => free.min(room.slots),
            false if room.slots == 0 => self.at_hand(lane, now),
            false => self.dispatcher.ahead_in(lane, now, WINDOW),
        };
        if by_store && room.slots == 0 {
            let gated = [self.stored.gated_until, room.reopens_at];
            self.stored.gated_until = gated.into_iter().flatten().min();
        }
        let max = max.min(ahead.saturating_sub(ready));
        (max > 0).then(|| self.claim_of(kind, queue, max))
    }

    fn ready_of(&self, kind: KindId) -> u32 {
        self.stored.runs.iter().filter(|(_, run)| run.kind == kind && run.phase == Phase::Ready).count()
            as u32
    }

    /// A run was claimed.
    pub(super) fn expect_start(&mut self, now: Millis) {
        if self.stored.ready == 1 {
            self.stored.ahead_until = Some(now.saturating_add(PATIENCE));
        }
    }

    /// Gives back what was claimed ahead and finds no slot.
    pub(super) fn look_after_ahead(&mut self, now: Millis) {
        if self.stored.ahead_until.is_none_or(|at| at > now) {
            return;
        }
        let moves_until = self.stored.pace.moved_at.saturating_add(PATIENCE);
        self.stored.ahead_until = match self.stored.ready {
            0 => None,
            _ if moves_until > now => Some(moves_until),
            _ if self.dispatcher.room(now).slots > 0 => Some(now.saturating_add(PATIENCE)),
            _ => {
                for slot in self.slots(|run| run.phase == Phase::Ready) {
                    self.end_stored(slot, &Outcome::Released, now);
                }
                self.stored.look();
                None
            }
        };
    }

    /// Gives back what a blocked host has not begun, and loses what a hung one has.
    pub(super) fn look_after_host(&mut self, now: Millis) {
        let Some(called_at) = self.host_called_at.filter(|_| !self.config.time.is_moved()) else { return };
        let silent = now.saturating_sub(called_at);
        if silent >= self.config.give_back_after && !self.stored.host_stalled && !self.stored.runs.is_empty()
        {
            self.stored.host_stalled = true;
            self.release_unbegun();
        }
        if silent >= self.config.stall_limit {
            for slot in self.slots(|run| matches!(run.phase, Phase::Begun | Phase::Stopping | Phase::Asking))
            {
                self.lose(slot, now);
            }
        }
    }

    /// The host should show that its loop runs: it has begun tasks and has been silent.
    pub fn wants_ping(&self, now: Millis) -> bool {
        let is_silent = self.host_called_at.is_none() && !self.stored.runs.is_empty();
        is_silent && now >= self.ping_at() && !self.config.time.is_moved()
    }

    fn ping_at(&self) -> Millis {
        let patience = match self.stored.handed {
            0 => (self.config.stall_limit / 4).min(1000),
            _ => self.config.give_back_after / 2,
        };
        self.host_seen_at.saturating_add(patience.max(1))
    }

    /// When `look_after_host` or a ping is next due.
    pub(super) fn host_deadline(&self) -> Option<Millis> {
        if self.stored.runs.is_empty() || self.config.time.is_moved() {
            return None;
        }
        let Some(called_at) = self.host_called_at else { return Some(self.ping_at()) };
        let give_back =
            (!self.stored.host_stalled).then(|| called_at.saturating_add(self.config.give_back_after));
        let has_begun = self.stored.runs.len() as u32 > self.stored.ready + self.stored.handed;
        let lose = has_begun.then(|| called_at.saturating_add(self.config.stall_limit));
        [give_back, lose].into_iter().flatten().min()
    }
}
