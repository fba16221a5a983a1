//! A world from a seed: nodes that crash, freeze and stall, producers and operators, a store whose calls fail,
//! and then calm, in which everything has to come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use task::engine::{Config, Kind};
use task::policy::RetryPolicy;
use task::store::faulty::{Fault, Faulty};
use task::store::memory::MemoryStore;
use task::store::{Amend, Cell, Filter, Keep, Push, Rate, Retention, Store, Swap, Target, pause_cell};
use task::task::{
    Blockers, Conflict, Key, Name, OnBlockerFailure, Quiet, Record, Rules, Spec, State, TaskId, View, When,
};
use task::time::{ManualClock, Millis};

use super::dice::Dice;
use super::node::{Around, CANCEL_GRACE, Node, STALL_LIMIT};
use super::truth::Truth;

const START: Millis = 1_000_000;
const LEASE: Millis = 1500;
/// How long there is a storm.
const STORM: Millis = 8000;
/// How long the calm may take: every lease, backoff and timeout fits in several times.
const CALM: Millis = 600_000;
/// How late anything may be in the calm.
const LATE: Millis = 1500;
const QUEUES: [&str; 2] = ["left", "right"];
const KINDS: [&str; 6] = ["plain", "total", "grouped", "rated", "local", "nobody"];

pub struct World {
    clock: Arc<ManualClock>,
    at: Millis,
    dice: Dice,
    truth: Arc<Truth>,
    store: Faulty<Truth>,
    /// Calls in a thousand that fail.
    faults: Arc<AtomicU64>,
    nodes: Vec<Node>,
    max_losses: u32,
    /// One slot for each node, and handlers that take seconds.
    slow: bool,
    born: u64,
    pushed: u64,
    spawned: u64,
    /// What somebody was told to have been accepted.
    acknowledged: BTreeSet<TaskId>,
    next_deed_at: Millis,
    calm_since: Millis,
    idle_since: Millis,
    ready_since: BTreeMap<TaskId, Millis>,
    /// How far the store's clock has leapt.
    leapt: Millis,
}

/// What has been seen of all that can happen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By row of the table of transitions.
    pub transitions: Vec<u64>,
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
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(ManualClock::at(START));
        let truth = Arc::new(Truth::new(MemoryStore::with_clock(clock.clone(), LEASE)));
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
            transitions: self.truth.store.transitions(),
            claims: book.claims.len() as u64,
            stale: book.stale,
            faults: self.store.calls(),
        })
    }

    /// A node joins. One that joins in the calm can do everything.
    fn join(&mut self, calm: bool) {
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
            queues,
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
        let store = &self.truth.store;
        self.nodes.retain(|node| {
            let is_gone = node.is_gone();
            if is_gone {
                let _ = store.leave(node.name.clone());
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

    /// Something happens from outside.
    fn deed(&mut self) {
        match self.dice.within(0, 100) {
            0..45 => self.push(),
            45..65 => self.amend(),
            65..72 => {
                let queue = self.dice.pick(&QUEUES);
                let paused = self.dice.chance(50);
                self.pause(queue, paused);
            }
            72..78 if !self.nodes.is_empty() => {
                // Crashed: what it knew is gone.
                let gone = self.dice.within(0, self.nodes.len() as u64) as usize;
                self.nodes.remove(gone);
            }
            78..85 if self.nodes.len() < 5 => self.join(false),
            85..87 => {
                let keep = Keep { count: Some(self.dice.within(0, 40)), ..Keep::default() };
                let limits = Retention { completed: keep, failed: keep, cancelled: keep };
                let _ = self.store.prune(limits, 10).now_or_never();
            }
            87 if self.dice.chance(10) => self.leapt += self.dice.within(1000, 3_600_000),
            88..93 => {
                let until = self.at + self.dice.within(10, 3 * LEASE);
                self.with_node(|node| node.frozen_until = until);
            }
            93..97 => {
                let until = self.at + self.dice.within(10, 2 * STALL_LIMIT);
                self.with_node(|node| node.blocked_until = until);
            }
            97.. => {
                let grace = self.dice.within(0, 300);
                let at = self.at;
                self.with_node(|node| node.close(at, grace));
            }
            _ => {}
        }
    }

    fn with_node(&mut self, change: impl FnOnce(&mut Node)) {
        if !self.nodes.is_empty() {
            let at = self.dice.within(0, self.nodes.len() as u64) as usize;
            change(&mut self.nodes[at]);
        }
    }

    /// A producer asks until it is answered, or gives up.
    fn push(&mut self) {
        let specs: Vec<Spec> = (0..self.dice.within(1, 4)).map(|_| self.spec()).collect();
        for _ in 0..self.dice.within(1, 6) {
            let push = Push { specs: specs.clone(), guard: None, max_waiting: Some(200) };
            if let Some(Ok(answers)) = self.store.push(vec![push]).now_or_never() {
                let pushed = answers.into_iter().flatten().flatten();
                self.acknowledged.extend(pushed.map(|pushed| pushed.id));
                return;
            }
        }
    }

    fn spec(&mut self) -> Spec {
        self.pushed += 1;
        let dice = &mut self.dice;
        let known =
            |dice: &mut Dice, last: u64| TaskId::from(format!("task-{}", dice.within(1, last + 1)).as_str());
        let key = dice.chance(25).then(|| Key {
            text: dice.pick(&["one", "two"]).into(),
            conflict: dice.pick(&[Conflict::Ignore, Conflict::Replace, Conflict::Replace, Conflict::Refuse]),
            quiet: match dice.within(0, 6) {
                0 => Quiet::Throttle(300),
                1 => Quiet::Debounce { wait: 50, max_wait: 200 },
                _ => Quiet::Off,
            },
        });
        let blockers = dice.chance(25).then(|| Blockers {
            ids: (0..dice.within(1, 3)).map(|_| known(dice, self.pushed)).collect(),
            on_failure: dice.pick(&[OnBlockerFailure::Cancel, OnBlockerFailure::Run]),
        });
        let when = match dice.within(0, 5) {
            0 => When::After(dice.within(1, 1500)),
            1 => When::At(self.at + dice.within(0, 500)),
            _ => When::Now,
        };
        Spec {
            id: TaskId::from(format!("task-{}", self.pushed).as_str()),
            minted: true,
            queue: dice.pick(&QUEUES).into(),
            group: dice.chance(50).then(|| Name::from(dice.pick(&["a", "b"]))),
            priority: dice.within(0, 3) as i32 - 1,
            when,
            key,
            blockers,
            timeout: dice.chance(40).then(|| dice.within(20, 400)),
            retry: RetryPolicy::fixed(dice.within(1, 5) as u32, dice.within(0, 300)),
            expires_at: dice.chance(10).then(|| self.at + dice.within(1, 2000)),
            ..Spec::new(dice.pick(&KINDS), "null")
        }
    }

    /// An operator, who is not told whether it worked.
    fn amend(&mut self) {
        let dice = &mut self.dice;
        let id = TaskId::from(format!("task-{}", dice.within(1, self.pushed + 2)).as_str());
        let target = match dice.within(0, 8) {
            0 => Target::Filter(Filter { queue: Some(dice.pick(&QUEUES).into()), ..Filter::default() }),
            1 => Target::Filter(Filter { views: vec![View::Failed, View::Cancelled], ..Filter::default() }),
            _ => Target::Ids(vec![id]),
        };
        let change = match dice.within(0, 20) {
            0..8 => Amend::Cancel("an operator".into()),
            8..14 => Amend::Retry,
            14 => Amend::Remove,
            15 => Amend::Reschedule(self.at + dice.within(0, 800)),
            16 | 17 => Amend::Promote,
            _ => Amend::Prioritise(dice.within(0, 5) as i32),
        };
        let _ = self.store.amend(target, change).now_or_never();
    }

    fn pause(&mut self, queue: &str, paused: bool) {
        let cell = Cell { value: "1".into(), due_at: None };
        let (old, new) = if paused { (None, Some(cell)) } else { (Some(cell.value), None) };
        let _ = self.store.swap(Swap { key: pause_cell(queue), old, new }).now_or_never();
    }

    fn records(&self) -> Vec<Record> {
        self.truth.book().tasks.iter().filter_map(|id| self.truth.get(id)).collect()
    }

    /// Tasks that have neither ended nor a reason to wait.
    fn unfinished(&self) -> Vec<Record> {
        let records = self.records();
        let mut parked: BTreeSet<TaskId> = BTreeSet::new();
        let is_parked = |record: &Record| {
            record.status.state == State::Waiting
                && (&*record.spec.name == "nobody" || self.truth.is_paused(&record.spec.queue))
        };
        parked.extend(records.iter().filter(|record| is_parked(record)).map(|record| record.spec.id.clone()));
        // Whoever waits for a parked task is parked too.
        loop {
            let waits = |record: &&Record| {
                let blockers = record.spec.blockers.iter().flat_map(|blockers| &blockers.ids);
                record.status.blockers > 0 && blockers.into_iter().any(|id| parked.contains(id))
            };
            let more: Vec<TaskId> =
                records.iter().filter(waits).map(|record| record.spec.id.clone()).collect();
            let before = parked.len();
            parked.extend(more);
            if parked.len() == before {
                break;
            }
        }
        let is_over = |record: &Record| record.status.state.is_final() || parked.contains(&record.spec.id);
        records.into_iter().filter(|record| !is_over(record)).collect()
    }

    /// In the calm nobody waits much longer than is said: a ready task for an idle node, an expired one for
    /// its end.
    fn judge_lateness(&mut self) -> Result<(), String> {
        let (at, now) = (self.at, self.at + self.leapt);
        if !self.nodes.last().is_some_and(Node::is_idle) {
            self.idle_since = at;
        }
        let mut ready = BTreeMap::new();
        for record in self.records().iter().filter(|record| record.status.state == State::Waiting) {
            let (spec, status) = (&record.spec, &record.status);
            let is_new = status.cause.is_none();
            if is_new && spec.expires_at.is_some_and(|last| now > last + LATE) && at > self.calm_since + LATE
            {
                return Err(format!("{} does not expire", spec.id));
            }
            if status.view(now) == View::Waiting
                && &*spec.name == "plain"
                && !self.truth.is_paused(&spec.queue)
            {
                let since = self.ready_since.get(&spec.id).copied().unwrap_or(at);
                if at > since.max(self.idle_since) + LATE {
                    return Err(format!("{} is ready and a node is idle", spec.id));
                }
                ready.insert(spec.id.clone(), since);
            }
        }
        self.ready_since = ready;
        Ok(())
    }

    /// What was acknowledged is there, and nothing was delivered too often.
    fn judge_tasks(&self) -> Result<(), String> {
        let book = self.truth.book();
        for id in self.acknowledged.iter().filter(|id| book.tasks.contains(id)) {
            let record = self.truth.get(id).ok_or_else(|| format!("{id} was acknowledged and is gone"))?;
            book.bounded(&record, self.max_losses)?;
        }
        Ok(())
    }
}
