//! The engine without I/O: what one node knows and decides. `now` is an argument (monotonic milliseconds).
//!
//! Two kinds of run share one dispatcher, one set of timers and one set of gates:
//! - local runs (`local`): closures that the host keeps under slot numbers of its own;
//! - stored runs (`stored`): records claimed from the store under slot numbers made here.
//!
//! The host (a JavaScript environment, or Rust's runtime) is told what to do by what collects in `outbox`;
//! the rooms are told what to ask of the store by `step`. Nothing here waits, locks or calls anybody.
//!
//! Invariants: a run's `run` number grows with every start, so a report about an earlier one is known as
//! such; a slot of the dispatcher is given back exactly once per start; a claim is settled exactly once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slab::Slab;

use crate::dispatch::{Dispatcher, Entry, GateId, LaneId};
use crate::policy::{Bell, Gate, RetryPolicy};
use crate::store::NodeId;
use crate::task::{Name, Rules};
use crate::time::{Millis, Time};

use super::event::Events;
use super::gates::refuses;
use super::kinds::{Hold, Kind, Limits};
use super::local::{LocalRun, Submission};
use super::metrics::Tally;
use super::stall::Loop;
use super::stored::Stored;
use super::timers::{Alarm, Timers};

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node among those that share a store.
    pub node: NodeId,
    /// Tasks that run at once here.
    pub concurrency: u32,
    /// What is decided alike for all tasks.
    pub rules: Rules,
    /// Handlers that may outlive their attempt before nothing new starts.
    pub max_abandoned: u32,
    /// A host that has been silent for so long loses its stored runs.
    pub stall_limit: Millis,
    /// What a host has not begun after so long without a sign of life is given back.
    pub give_back_after: Millis,
    /// How long a run that was asked to stop may take.
    pub cancel_grace: Millis,
    /// How long a node that does not beat keeps its tasks.
    pub lease: Millis,
    /// Handlers run on an event loop, which one of them can block.
    pub has_loop: bool,
    /// Its tasks outlive the process: one that has handlers stays for them.
    pub durable: bool,
    /// Worked queues, each perhaps with a limit of its own; `None`: all queues.
    pub queues: Option<Vec<(Name, Option<u32>)>>,
    /// What time it is. In one that a test moves nobody is late: neither the host, nor the beat.
    pub time: Time,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: crate::task::TaskId::new().to_text(),
            concurrency: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            rules: Rules::default(),
            max_abandoned: u32::MAX,
            stall_limit: 60_000,
            give_back_after: 250,
            cancel_grace: 5_000,
            lease: 30_000,
            has_loop: false,
            durable: false,
            queues: None,
            time: Time::default(),
        }
    }
}

/// Number of a registered kind.
pub type KindId = u32;
/// Number of a registered retry policy.
pub type PolicyId = u32;

/// Bit of a slot number that tells stored runs from local ones.
pub const STORED: u32 = 1 << 27;
/// Slot numbers below this.
pub const MAX_SLOTS: u32 = 1 << 27;

/// What the host has to be told.
#[derive(Debug, Default)]
pub struct Outbox {
    /// About local runs, in order.
    pub words: VecDeque<Word>,
    /// Stored runs to begin.
    pub starts: VecDeque<u32>,
    /// Stored runs to stop: slot, run, why.
    pub stops: Vec<(u32, u32, Stop)>,
}

/// A message about a local run, or to all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Run it.
    Start(u32),
    /// It failed for good: reject with its error.
    Fail(u32),
    /// Its last attempt did not end in time: reject.
    Timeout(u32),
    /// An attempt did not end in time; another will start.
    Expire(u32),
    /// It failed and will be started again.
    Retry(u32),
    /// It was withdrawn before it started.
    Cancel(u32),
    /// It was asked to stop and has not ended in time: its slot is given to others.
    Abandon(u32),
    /// It would have to wait at a gate that lets nobody wait: `refusal` says which.
    Refuse(u32),
    /// It did not end before the executor closed.
    Closed(u32),
    /// Abort every running attempt.
    AbortAll,
    /// Nothing more will come: reject what is left.
    End,
}

/// Why a stored run should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled the task, for this reason.
    Cancelled(std::sync::Arc<str>),
    /// Its attempt has taken too long and is settled.
    Timeout(Millis),
    /// Its attempt has taken too long, and the host says whether another one follows: `judge_timeout`.
    Asks {
        /// How long an attempt may take.
        limit: Millis,
        /// The kind, whose retry policy is to be asked.
        kind: KindId,
        /// The attempt.
        attempt: u32,
    },
    /// Its claim belongs to somebody else now.
    Lost,
    /// Its claim may belong to somebody else, since this node has not been heard of for so long. What it returns
    /// is offered to the store all the same.
    Doubtful,
}

/// How far a close has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Not asked for.
    No,
    /// Running tasks are waited for.
    Draining {
        /// When their signals abort; `None` once they have.
        abort_at: Option<Millis>,
        /// When they are given up.
        end_at: Millis,
    },
    /// Nothing starts and nothing runs any more; what the store has to hear may still be on its way.
    Done,
}

/// See the module.
pub struct Core {
    pub(super) config: Config,
    pub(super) dispatcher: Dispatcher,
    pub(super) kinds: Vec<Kind>,
    pub(super) kind_of: HashMap<Name, KindId>,
    /// Kinds that are claimed.
    pub(super) claimable: Vec<KindId>,
    pub(super) kind_gates: Vec<Option<GateId>>,
    pub(super) queue_gates: HashMap<Name, GateId>,
    /// Of kinds (or none) in queues, of stored tasks or of closures.
    pub(super) lanes: HashMap<(Option<KindId>, Name, bool), LaneId>,
    /// Some limit holds for something.
    pub(super) is_limited: bool,
    pub(super) limits: Limits,
    pub(super) queue_limits: HashMap<Name, Limits>,
    pub(super) shared_gates: Vec<GateId>,
    pub(super) rates_are_shared: bool,
    /// Why closures were refused, until their host asks.
    pub(super) refusals: HashMap<u32, Hold>,
    /// Rung where something that several engines share has changed.
    pub(super) bell: Bell,
    pub(super) rung: Arc<AtomicBool>,
    pub(super) policies: Slab<RetryPolicy>,
    pub(super) local: Vec<LocalRun>,
    pub(super) local_live: u32,
    pub(super) stored: Stored,
    pub(super) timers: Timers,
    pub(super) paused_queues: HashSet<Name>,
    pub(super) abandoned: u32,
    pub(super) closing: Closing,
    pub(super) host_seen_at: Millis,
    pub(super) host_called_at: Option<Millis>,
    pub(super) host_loop: Loop,
    pub(super) tally: Tally,
    /// What the host has to be told.
    pub outbox: Outbox,
    /// What listeners are told.
    pub events: Events,
}

impl Core {
    /// A node that has not started.
    pub fn new(config: Config) -> Self {
        let mut dispatcher = Dispatcher::new(config.concurrency);
        let limits = config.queues.iter().flatten();
        let queue_gates: HashMap<Name, GateId> = limits
            .filter_map(|(queue, limit)| {
                Some((queue.clone(), dispatcher.add_gate(Gate::concurrency((*limit)?), None)))
            })
            .collect();
        let rung = Arc::new(AtomicBool::new(false));
        let ring = rung.clone();
        Self {
            is_limited: !queue_gates.is_empty(),
            limits: Limits::default(),
            queue_limits: HashMap::new(),
            shared_gates: Vec::new(),
            rates_are_shared: false,
            refusals: HashMap::new(),
            bell: Arc::new(move || ring.store(true, Ordering::SeqCst)),
            rung,
            dispatcher,
            kinds: Vec::new(),
            kind_of: HashMap::new(),
            claimable: Vec::new(),
            kind_gates: Vec::new(),
            queue_gates,
            lanes: HashMap::new(),
            policies: Slab::new(),
            local: Vec::new(),
            local_live: 0,
            stored: Stored::default(),
            timers: Timers::default(),
            paused_queues: HashSet::new(),
            abandoned: 0,
            closing: Closing::No,
            host_seen_at: 0,
            host_called_at: None,
            host_loop: Loop::default(),
            tally: Tally::default(),
            outbox: Outbox::default(),
            events: Events::default(),
            config,
        }
    }

    /// Adds a retry policy for local runs.
    pub fn add_policy(&mut self, policy: RetryPolicy) -> PolicyId {
        self.policies.insert(policy) as PolicyId
    }

    /// No run has this policy any more, and none will.
    pub fn drop_policy(&mut self, policy: PolicyId) {
        self.policies.try_remove(policy as usize);
    }

    /// It can be submitted: a slot that is free and next to others, a policy and a kind that are known.
    pub fn takes(&self, task: &Submission) -> bool {
        self.has_room_for(task.slot)
            && task.policy.is_none_or(|policy| self.policies.contains(policy as usize))
            && task.kind.is_none_or(|kind| (kind as usize) < self.kinds.len())
    }

    /// Nothing of this queue starts here.
    pub fn is_paused(&self, queue: &Name) -> bool {
        self.dispatcher.is_paused() || self.paused_queues.contains(queue)
    }

    /// Stops or resumes starting, of local and of stored tasks.
    pub fn set_paused(&mut self, paused: bool) {
        self.dispatcher.set_paused(paused);
        if paused {
            // Whoever else works on the store may start it, and it can be changed again.
            self.release_unbegun();
        }
        self.stored.look();
    }

    /// The host has shown that its loop runs; true if it had been silent for so long that nothing was claimed.
    pub fn host_turned(&mut self, now: Millis) -> bool {
        self.tally.host_turned(now);
        self.loop_is_back(now);
        self.host_called_at = None;
        self.host_seen_at = now;
        let is_back = std::mem::take(&mut self.stored.host_stalled);
        if is_back {
            self.stored.look();
        }
        is_back
    }

    /// Something waits in the outbox and the host has been called for it.
    pub fn host_called(&mut self, now: Millis) {
        self.tally.host_called(now);
        self.host_called_at.get_or_insert(now);
    }

    /// Starts what may start.
    pub fn poll(&mut self, now: Millis) {
        if self.closing != Closing::No || self.abandoned > self.config.max_abandoned {
            return;
        }
        self.look_at_gates(now);
        let mut started = std::mem::take(&mut self.stored.scratch);
        let (mut refused, is_limited) = (Vec::new(), self.is_limited);
        let (local, stored) = (&self.local, &self.stored);
        let is_current = |entry: Entry| match entry.slot & STORED {
            0 => local[entry.slot as usize].is_ready(entry.run),
            _ => stored.is_ready(entry),
        };
        let refuse = |entry: Entry, gate: &Gate| {
            let goes = is_limited && refuses(entry, gate) && is_current(entry);
            refused.extend(goes.then(|| (entry.slot, Hold::at(gate, now))));
            goes
        };
        let _ = self.dispatcher.poll(now, is_current, refuse, |entry| started.push(entry.slot));
        for slot in started.drain(..) {
            match slot & STORED {
                0 => self.start_local(slot, now),
                _ => self.start_stored(slot, now),
            }
        }
        self.stored.scratch = started;
        self.refuse_all(refused, now);
    }

    /// Fires what is due, looks after the host, moves a close along, and starts what may start.
    pub fn tick(&mut self, now: Millis) {
        while let Some((alarm, stamp)) = self.due_timer(now) {
            match alarm {
                Alarm::Timeout(slot) if slot & STORED == 0 => self.local_timeout(slot, stamp, now),
                Alarm::Backoff(slot) => self.local_again(slot, stamp),
                Alarm::Grace(slot) if slot & STORED == 0 => self.local_grace(slot, stamp, now),
                Alarm::Timeout(slot) => self.stored_timeout(slot, stamp, now),
                Alarm::Grace(slot) => self.stored_grace(slot, stamp, now),
                Alarm::Expiry(slot) => self.stored_expiry(slot, now),
            }
        }
        self.look_after_host(now);
        self.look_after_ahead(now);
        self.look_after_loop(now);
        self.look_after_beat(now);
        self.move_close(now);
        self.poll(now);
    }

    /// When `tick` should be called next, if nothing else happens.
    pub fn wake_at(&self) -> Option<Millis> {
        let close = match self.closing {
            Closing::Draining { abort_at, end_at } => Some(abort_at.unwrap_or(end_at)),
            _ => None,
        };
        let host = self.host_deadline();
        let gates = self.dispatcher.reopens_at().filter(|_| self.closing == Closing::No);
        let (loop_at, fence) = (self.loop_deadline(), self.fence_deadline());
        let ahead = self.stored.ahead_until.filter(|_| self.stored.ready > 0);
        [self.timers.next_at(), close, host, loop_at, fence, gates, ahead].into_iter().flatten().min()
    }

    /// Handlers that have outlived their attempt.
    pub fn abandoned(&self) -> u32 {
        self.abandoned
    }

    /// A handler that had been given up has ended after all.
    pub fn late_end(&mut self) {
        self.abandoned = self.abandoned.saturating_sub(1);
        if self.abandoned == self.config.max_abandoned {
            self.stored.look();
        }
    }

    /// Local tasks that wait or run.
    pub fn local_live(&self) -> u32 {
        self.local_live
    }

    /// Tasks that run.
    pub fn running(&self) -> usize {
        self.dispatcher.running() as usize
    }

    /// Nothing waits or runs here, and the store has heard of everything.
    pub fn is_quiet(&self) -> bool {
        self.local_live == 0 && self.stored.is_quiet()
    }

    /// Something here needs a process that stays alive: a timer, or stored work under way or about to be
    /// claimed.
    pub fn holds_process(&self, now: Millis) -> bool {
        let draining = matches!(self.closing, Closing::Draining { .. });
        let stays = self.config.durable && self.is_working();
        self.armed_timers() || draining || stays || !self.stored.is_quiet() || self.is_to_look(now)
    }

    /// The store may have something for the slots that are free, and has not been asked yet.
    pub fn is_to_look(&self, now: Millis) -> bool {
        let open = self.stored.started && self.closing == Closing::No;
        open && self.stored.unseen && self.dispatcher.room(now).slots > 0
    }

    fn armed_timers(&self) -> bool {
        self.local_live > 0 && (!self.timers.is_idle() || self.dispatcher.reopens_at().is_some())
    }

    /// Begins to close: what waits locally is refused, what runs gets `grace`.
    pub fn close(&mut self, now: Millis, grace: Millis) {
        if self.closing != Closing::No {
            return;
        }
        let end_at = now.saturating_add(grace);
        self.closing = Closing::Draining { abort_at: Some(now.saturating_add(grace / 2)), end_at };
        self.refuse_waiting_local();
        self.release_unbegun();
        self.move_close(now);
    }

    /// The name of this node.
    pub fn node(&self) -> &NodeId {
        &self.config.node
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How far a close has come.
    pub fn closing(&self) -> Closing {
        self.closing
    }

    fn move_close(&mut self, now: Millis) {
        let Closing::Draining { abort_at, end_at } = self.closing else { return };
        if self.local_live == 0 && self.stored.runs_are_over() {
            self.closing = Closing::Done;
            self.outbox.words.push_back(Word::End);
        } else if now >= end_at {
            self.give_up_local(now);
            self.release_all();
            self.closing = Closing::Done;
            self.outbox.words.push_back(Word::End);
        } else if abort_at.is_some_and(|at| now >= at) {
            self.closing = Closing::Draining { abort_at: None, end_at };
            self.outbox.words.push_back(Word::AbortAll);
        }
    }
}
