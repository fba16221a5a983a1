//! Kinds of task, and the limits that hold for them: of the executor, of a queue, of a kind. All of them hold at once.
//!
//! A limit is kept here, by a gate in front of the lane; but for a rate that counts over all nodes or by group, which
//! only the store can keep: of those the innermost goes along with the claims of a lane, and here it is only held when
//! it was told to hold.

use std::sync::Arc;

use crate::dispatch::{GateId, LaneId, OPEN_LANE};
use crate::error::TaskError;
use crate::policy::{Gate, SharedBreaker, SharedRate};
use crate::store::{LaneClaim, Rate};
use crate::task::{Name, default_queue};
use crate::time::{Millis, Time};

use super::core::{Core, KindId};

/// A kind of task that this node can run.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name.
    pub name: Name,
    /// Running at once on this node.
    pub per_node: Option<u32>,
    /// Running at once on all nodes.
    pub total: Option<u32>,
    /// Running at once on all nodes, for each group.
    pub per_group: Option<u32>,
    /// Starts over time, on all nodes.
    pub rate: Option<Rate>,
    /// The queue of its tasks that are never stored.
    pub queue: Name,
    /// Its rate and its circuit breaker.
    pub limits: Limits,
    /// The host decides what follows a timeout, where a task has no retry policy of its own.
    pub asks: bool,
    /// There is a handler for it here; without, its tasks are pushed but not claimed.
    pub handled: bool,
}

/// A rate and a circuit breaker that hold for some tasks.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Starts over time.
    pub rate: Option<SharedRate>,
    /// Nothing starts while what it calls fails.
    pub breaker: Option<SharedBreaker>,
}

/// Where limits hold.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// For everything that starts on this executor.
    Executor,
    /// For the enqueued tasks of a queue.
    Queue(&'a Name),
}

/// What holds a task that could be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The kind of gate, in one word.
    pub reason: &'static str,
    /// What the gate is called.
    pub name: Option<Arc<str>>,
    /// In how long it opens by itself.
    pub opens_in: Option<Millis>,
}

impl Hold {
    pub(super) fn at(gate: &Gate, now: Millis) -> Self {
        let opens_in = gate.room(now).reopens_at.map(|at| at.saturating_sub(now));
        Self { reason: gate.kind(), name: gate.name().cloned(), opens_in }
    }
}

impl From<Hold> for TaskError {
    fn from(Hold { reason, name, opens_in }: Hold) -> Self {
        match reason {
            "breaker" => Self::CircuitOpen { name, opens_in },
            _ => Self::RateLimited { name, opens_in },
        }
    }
}

impl Limits {
    /// Nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.rate.is_none() && self.breaker.is_none()
    }

    fn live_in(&self, time: &Time) {
        self.rate.iter().for_each(|rate| rate.live_in(time));
        self.breaker.iter().for_each(|breaker| breaker.live_in(time));
    }
}

impl Kind {
    /// A kind without limits.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            per_node: None,
            total: None,
            per_group: None,
            rate: None,
            queue: default_queue(),
            limits: Limits::default(),
            asks: false,
            handled: true,
        }
    }

    /// Has a limit that only the store can keep: not to be claimed ahead.
    pub(super) fn is_shared(&self) -> bool {
        self.total.is_some() || self.per_group.is_some() || self.rate.is_some()
    }

    pub(super) fn claim(&self, queue: Option<Name>, max: u32) -> LaneClaim {
        LaneClaim {
            name: self.name.clone(),
            queue,
            max,
            total: self.total,
            per_group: self.per_group,
            rate: self.rate.clone(),
        }
    }
}

impl Core {
    /// Adds a kind that this node can run, or changes it.
    pub fn add_kind(&mut self, kind: Kind) -> KindId {
        kind.limits.live_in(&self.config.time);
        let gate =
            kind.per_node.map(|limit| self.dispatcher.add_gate(Gate::concurrency(limit), Some(&self.bell)));
        self.stored.look();
        self.is_limited |= gate.is_some() || !kind.limits.is_empty();
        if let Some(&id) = self.kind_of.get(&kind.name) {
            self.claimable.retain(|other| *other != id);
            self.claimable.extend(kind.handled.then_some(id));
            self.lanes.retain(|(of, _, _), _| *of != Some(id));
            self.kind_gates[id as usize] = gate;
            self.kinds[id as usize] = kind;
            return id;
        }
        let id = KindId::try_from(self.kinds.len()).expect("the caller bounds the number of kinds");
        self.kind_of.insert(kind.name.clone(), id);
        self.claimable.extend(kind.handled.then_some(id));
        self.kinds.push(kind);
        self.kind_gates.push(gate);
        id
    }

    /// Limits that hold from now on, for what becomes ready from now on.
    pub fn limit(&mut self, place: Place<'_>, limits: Limits) {
        limits.live_in(&self.config.time);
        self.is_limited = true;
        match place {
            Place::Executor => self.limits = limits,
            Place::Queue(queue) => drop(self.queue_limits.insert(queue.clone(), limits)),
        }
        self.lanes.clear();
        self.stored.look();
    }

    /// Rates count over all nodes of the store where nothing else is said.
    pub fn share_rates(&mut self) {
        self.rates_are_shared = true;
    }

    /// There is a handler for this kind here.
    pub fn can_run(&self, name: &Name) -> bool {
        self.kind_of.get(name).is_some_and(|kind| self.kinds[*kind as usize].handled)
    }

    /// The lane of stored tasks of a kind in a queue.
    pub(super) fn lane(&mut self, kind: KindId, queue: &Name) -> LaneId {
        if !self.is_limited {
            return OPEN_LANE;
        }
        self.limited_lane(Some(kind), queue, true)
    }

    /// The lane of closures, perhaps of a kind.
    pub(super) fn local_lane(&mut self, kind: Option<KindId>) -> LaneId {
        if !self.is_limited {
            return OPEN_LANE;
        }
        self.limited_lane(kind, &default_queue(), false)
    }

    fn limited_lane(&mut self, kind: Option<KindId>, queue: &Name, is_stored: bool) -> LaneId {
        let key = (kind, queue.clone(), is_stored);
        if let Some(&lane) = self.lanes.get(&key) {
            return lane;
        }
        let at_store = kind.filter(|_| is_stored).and_then(|kind| self.rate_at_store(kind, queue));
        let mut gates: Vec<GateId> = Vec::new();
        for (_, limits) in self.limits_of(kind, queue) {
            gates.extend(limits.breaker.map(|breaker| self.breaker_gate(breaker)));
            if let Some(rate) = limits.rate {
                let keeps = at_store.as_ref().is_none_or(|(other, _)| !other.is(&rate));
                gates.push(self.rate_gate(rate, keeps));
            }
        }
        gates.extend(self.queue_gates.get(queue).copied());
        gates.extend(kind.and_then(|kind| self.kind_gates[kind as usize]));
        let lane = if gates.is_empty() { OPEN_LANE } else { self.dispatcher.lane(&gates) };
        self.lanes.insert(key, lane);
        lane
    }

    /// All limits, with what they were given to.
    pub(super) fn placed_limits(&self) -> Vec<(String, Limits)> {
        let of_all = ("executor".to_owned(), self.limits.clone());
        let of_queues = self.queue_limits.iter();
        let of_queues = of_queues.map(|(queue, limits)| (format!("queue {queue}"), limits.clone()));
        let of_kinds = self.kinds.iter().map(|kind| (format!("task {}", kind.name), kind.limits.clone()));
        [of_all].into_iter().chain(of_queues).chain(of_kinds).collect()
    }

    /// The limits that hold for a kind in a queue, the innermost first, with a name for each place.
    fn limits_of(&self, kind: Option<KindId>, queue: &Name) -> Vec<(String, Limits)> {
        let kind = kind.map(|kind| &self.kinds[kind as usize]);
        let of_kind = kind.map(|kind| (format!("task/{}", kind.name), kind.limits.clone()));
        let of_queue = self.queue_limits.get(queue).map(|limits| (format!("queue/{queue}"), limits.clone()));
        let of_all = ("executor".to_owned(), self.limits.clone());
        of_kind.into_iter().chain(of_queue).chain([of_all]).collect()
    }

    /// The rate that the store keeps for a kind in a queue, and its key there.
    fn rate_at_store(&self, kind: KindId, queue: &Name) -> Option<(SharedRate, Name)> {
        let found = self.limits_of(Some(kind), queue).into_iter().find_map(|(place, limits)| {
            let rate = limits.rate?;
            let rules = rate.rules();
            let is_shared = rules.shared.unwrap_or(self.rates_are_shared);
            (is_shared || rules.by_group).then_some((place, rate, is_shared))
        });
        let (place, rate, is_shared) = found?;
        let key = rate.rules().name.as_deref().unwrap_or(&place).to_owned();
        // A limit by group that is not shared is this node's own.
        let key = if is_shared { key } else { format!("{key}@{}", self.config.node) };
        Some((rate, key.into()))
    }

    /// What to claim of a kind, with the limits that the store has to keep.
    pub(super) fn claim_of(&self, kind: KindId, queue: Option<Name>, max: u32) -> LaneClaim {
        let mut claim = self.kinds[kind as usize].claim(queue.clone(), max);
        if let Some((rate, key)) = self.rate_of_claims(kind, queue.as_ref()) {
            let (limit, by_group) = (rate.limit(), rate.rules().by_group);
            let interval_us = limit.interval_ns().div_ceil(1000).max(1);
            claim.rate = Some(Rate { key, by_group, interval_us, burst: limit.burst() });
        }
        claim
    }

    /// Only the store can keep a limit of this kind.
    pub(super) fn is_kept_by_store(&self, kind: KindId, queue: Option<&Name>) -> bool {
        self.kinds[kind as usize].is_shared() || self.rate_of_claims(kind, queue).is_some()
    }

    fn rate_of_claims(&self, kind: KindId, queue: Option<&Name>) -> Option<(SharedRate, Name)> {
        if !self.is_limited {
            return None;
        }
        self.rate_at_store(kind, queue.unwrap_or(&default_queue()))
    }

    fn rate_gate(&mut self, rate: SharedRate, keeps: bool) -> GateId {
        let known = self.shared_gates.iter().find(|gate| match self.dispatcher.gate(**gate) {
            Gate::Rate(other) => keeps && other.is(&rate),
            Gate::Hold(other) => !keeps && other.is(&rate),
            _ => false,
        });
        known
            .copied()
            .unwrap_or_else(|| self.add_shared(if keeps { Gate::Rate(rate) } else { Gate::Hold(rate) }))
    }

    fn breaker_gate(&mut self, breaker: SharedBreaker) -> GateId {
        let known = self
            .shared_gates
            .iter()
            .find(|gate| matches!(self.dispatcher.gate(**gate), Gate::Breaker(other) if other.is(&breaker)));
        known.copied().unwrap_or_else(|| self.add_shared(Gate::Breaker(breaker)))
    }

    fn add_shared(&mut self, gate: Gate) -> GateId {
        let is_breaker = matches!(gate, Gate::Breaker(_));
        let gate = self.dispatcher.add_gate(gate, Some(&self.bell));
        self.shared_gates.push(gate);
        if is_breaker {
            // Whoever shares it with other nodes has to know.
            (self.bell)();
        }
        gate
    }

    /// Breakers that are gates here.
    pub(super) fn breakers(&self) -> impl Iterator<Item = &SharedBreaker> {
        self.shared_gates.iter().filter_map(|gate| match self.dispatcher.gate(*gate) {
            Gate::Breaker(breaker) => Some(breaker),
            _ => None,
        })
    }

    /// Breakers whose state is that of all nodes, with the names that they have in the store.
    pub(super) fn shared_breakers(&self) -> Vec<(Arc<str>, SharedBreaker)> {
        let shared =
            self.breakers().filter(|breaker| breaker.rules().shared.unwrap_or(self.rates_are_shared));
        shared.filter_map(|breaker| Some((breaker.rules().name.clone()?, breaker.clone()))).collect()
    }

    /// What holds tasks of this kind in this queue, where it is a gate of this node.
    pub fn holds(&mut self, name: &Name, queue: &Name, now: Millis) -> Option<Hold> {
        let kind = *self.kind_of.get(name)?;
        let lane = self.lane(kind, queue);
        let (gate, _) = self.dispatcher.closed_in(lane, now)?;
        Some(Hold::at(self.dispatcher.gate(gate), now))
    }
}
