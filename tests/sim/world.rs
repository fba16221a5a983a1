//! A world from a seed: nodes that crash, freeze and stall, producers and operators, a store whose calls fail,
//! and then calm, in which everything has to come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use task::engine::{Config, Kind};
use task::store::Rate;
use task::store::faulty::{Fault, Faulty};
use task::task::{Rules, TaskId};
use task::time::{ManualClock, Millis};

use crate::bench::{Open, wait};

use super::dice::Dice;
use super::node::{Around, CANCEL_GRACE, Node, STALL_LIMIT};
use super::truth::Truth;

const START: Millis = 1_000_000;
pub const LEASE: Millis = 1500;
/// How long there is a storm.
const STORM: Millis = 8000;
/// How long the calm may take: every lease, backoff and timeout fits in several times.
const CALM: Millis = 600_000;
pub const QUEUES: [&str; 2] = ["left", "right"];
pub const KINDS: [&str; 6] = ["plain", "total", "grouped", "rated", "local", "nobody"];

pub struct World {
    pub clock: Arc<ManualClock>,
    pub at: Millis,
    pub dice: Dice,
    pub truth: Arc<Truth>,
    pub store: Faulty<Truth>,
    /// Calls in a thousand that fail.
    pub faults: Arc<AtomicU64>,
    pub nodes: Vec<Node>,
    pub max_losses: u32,
    /// One slot for each node, and handlers that take seconds.
    pub slow: bool,
    pub born: u64,
    pub pushed: u64,
    pub spawned: u64,
    /// What somebody was told to have been accepted.
    pub acknowledged: BTreeSet<TaskId>,
    pub next_deed_at: Millis,
    pub calm_since: Millis,
    pub idle_since: Millis,
    pub ready_since: BTreeMap<TaskId, Millis>,
    /// How far the store's clock has leapt.
    pub leapt: Millis,
}

/// What has been seen of all that can happen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By row of the table of transitions, where the store counts them.
    pub transitions: Option<Vec<u64>>,
    pub claims: u64,
    pub stale: u64,
    pub faults: u64,
}

fn kinds() -> Vec<Kind> {
    let rate = Rate { key: "rated".into(), by_group: false, interval_us: 40_000, burst: 2 };
    vec![
        Kind::new("plain"),
        Kind { total: Some(2), ..Kind::new("total") },
        Kind { per_group: Some(1), ..Kind::new("grouped") },
        Kind { rate: Some(rate), ..Kind::new("rated") },
        Kind { per_node: Some(1), ..Kind::new("local") },
    ]
}

impl World {
    /// A world on such a store, which is looked at as a whole after every so many changes.
    pub fn new(seed: u64, open: Open, verified_every: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(ManualClock::at(START));
        let truth = Arc::new(Truth::new(open(clock.clone(), LEASE), verified_every));
        let faults = Arc::new(AtomicU64::new(dice.within(0, 120)));
        let (rate, salt) = (faults.clone(), dice.roll());
        let plan = move |call: u64| {
            let roll = Dice::new(salt ^ call.wrapping_mul(0xff51_afd7_ed55_8ccd)).roll();
            match (roll % 1000 < rate.load(Ordering::Relaxed), roll & (1 << 40) == 0) {
                (false, _) => Fault::None,
                (true, true) => Fault::Before,
                (true, false) => Fault::After,
            }
        };
        let mut world = Self {
            clock,
            at: START,
            store: Faulty::new(truth.clone(), Box::new(plan)),
            truth,
            faults,
            nodes: Vec::new(),
            max_losses: dice.within(0, 4) as u32,
            slow: dice.chance(5),
            born: 0,
            pushed: 0,
            spawned: 0,
            acknowledged: BTreeSet::new(),
            next_deed_at: START,
            calm_since: START,
            idle_since: START,
            ready_since: BTreeMap::new(),
            leapt: 0,
            dice,
        };
        for _ in 0..world.dice.within(1, 5) {
            world.join(false);
        }
        world
    }

    /// Plays it to the end; the error says which promise was broken, and when.
    pub fn play(mut self) -> Result<Seen, String> {
        let told = |world: &Self, what: String| format!("at {} ms: {what}", world.at - START);
        self.storm().map_err(|what| told(&self, what))?;
        self.calm().map_err(|what| told(&self, what))?;
        self.judge_tasks().map_err(|what| told(&self, what))?;
        let book = self.truth.book();
        Ok(Seen {
            transitions: self.truth.bench.transitions(),
            claims: book.claims.len() as u64,
            stale: book.stale,
            faults: self.store.calls(),
        })
    }

    /// A node joins. One that joins in the calm can do everything.
    pub fn join(&mut self, calm: bool) {
        self.born += 1;
        let dice = &mut self.dice;
        let some = |dice: &mut Dice, percent| !calm && dice.chance(percent);
        let queues = some(dice, 25).then(|| vec![("left".into(), Some(1)), ("right".into(), None)]);
        let config = Config {
            node: format!("node-{}", self.born).into(),
            concurrency: if self.slow { 1 } else { dice.within(1, 6) as u32 },
            rules: Rules { max_losses: self.max_losses, seed: dice.roll() },
            max_abandoned: if some(dice, 30) { 2 } else { u32::MAX },
            stall_limit: STALL_LIMIT,
            give_back_after: 250,
            cancel_grace: CANCEL_GRACE,
            lease: LEASE,
            has_loop: false,
            durable: false,
            queues,
            time: task::time::Time::default(),
        };
        let kinds: Vec<Kind> = kinds().into_iter().filter(|_| !some(dice, 10)).collect();
        self.nodes.push(Node::new(config, &kinds, self.at));
    }

    fn storm(&mut self) -> Result<(), String> {
        while self.at < START + STORM {
            if self.at >= self.next_deed_at {
                self.deed();
                self.next_deed_at = self.at + self.dice.within(1, 120);
            }
            self.work(false)?;
            self.forward(self.next_deed_at);
        }
        Ok(())
    }

    /// Faults end, everybody wakes up, one node at least works, and what can end ends.
    fn calm(&mut self) -> Result<(), String> {
        self.faults.store(0, Ordering::Relaxed);
        let at = self.at;
        self.calm_since = at;
        self.nodes.iter_mut().for_each(|node| node.calm_down(at));
        self.join(true);
        if self.dice.chance(80) {
            QUEUES.iter().for_each(|queue| self.pause(queue, false));
        }
        let mut look_at = self.at;
        while self.at < START + STORM + CALM {
            self.work(true)?;
            if self.at >= look_at {
                look_at = self.at + 100;
                self.judge_lateness()?;
                if self.nodes.iter().all(Node::is_idle) && self.unfinished().is_empty() {
                    break;
                }
            }
            self.forward(look_at);
        }
        match self.unfinished().first() {
            Some(stuck) => Err(format!("{} does not end: {:?}", stuck.spec.id, stuck.status)),
            None => Ok(()),
        }
    }

    fn work(&mut self, calm: bool) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if node.wakes_at() <= self.at || self.dice.chance(5) {
                let (dice, spawned) = (&mut self.dice, &mut self.spawned);
                let (store, truth, slow) = (&self.store, &*self.truth, self.slow);
                let worked = node.work(&mut Around { at: self.at, dice, store, truth, spawned, calm, slow });
                // What was broken in the store may be why.
                self.truth.verdict().and(worked)?;
            }
        }
        let store = self.truth.bench.store();
        self.nodes.retain(|node| {
            let is_gone = node.is_gone();
            if is_gone {
                let _ = wait(store.leave(node.name.clone()));
            }
            !is_gone
        });
        Ok(())
    }

    /// Moves the clock to the next moment at which anything happens.
    fn forward(&mut self, no_later: Millis) {
        let next = self.nodes.iter().map(Node::wakes_at).min().unwrap_or(no_later);
        self.at = next.min(no_later).max(self.at + 1);
        self.clock.set(self.at + self.leapt);
    }
}
