//! One node under load in virtual time: a core, handlers that take as long as their kind does, and whoever enqueues.
//! Nothing fails here; what is looked at is who starts when.

use std::collections::BTreeMap;
use std::sync::Arc;

use task::engine::{Config, Core, Kind};
use task::store::Push;
use task::task::{Name, Outcome, Rules, Spec, TaskId};
use task::time::{ManualClock, Millis, Time};

use crate::bench::{Bench, Open, wait};

/// When a plant begins to work.
pub const START: Millis = 1_000_000;
/// No lease ends meanwhile: nothing beats here.
const LEASE: Millis = 3_600_000;

/// A start, and how long its task had been there.
#[derive(Clone, Debug)]
pub struct Started {
    pub spec: Arc<Spec>,
    pub at: Millis,
    pub waited: Millis,
}

pub struct Plant {
    clock: Arc<ManualClock>,
    bench: Box<dyn Bench>,
    core: Core,
    at: Millis,
    /// How long the handlers of a kind take.
    takes: BTreeMap<Name, Millis>,
    /// What is enqueued when, in order.
    arrivals: Vec<(Millis, Vec<Spec>)>,
    pushed_at: BTreeMap<TaskId, Millis>,
    /// Handlers at work, by the time of their end.
    ends: BTreeMap<(Millis, u32), u32>,
    pub starts: Vec<Started>,
}

impl Plant {
    /// An empty store, and a node that runs so many at once.
    pub fn new(open: Open, concurrency: u32) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let mut core = Core::new(Config {
            node: "node".into(),
            concurrency,
            rules: Rules { max_losses: 3, seed: 0 },
            max_abandoned: 8,
            stall_limit: LEASE,
            give_back_after: LEASE,
            cancel_grace: LEASE,
            lease: LEASE,
            has_loop: false,
            durable: false,
            queues: None,
            time: Time::default(),
        });
        core.start();
        Self {
            bench: open(clock.clone(), LEASE),
            clock,
            core,
            at: START,
            takes: BTreeMap::new(),
            arrivals: Vec::new(),
            pushed_at: BTreeMap::new(),
            ends: BTreeMap::new(),
            starts: Vec::new(),
        }
    }

    /// A kind, and how long its handler takes.
    pub fn kind(mut self, kind: Kind, takes: Millis) -> Self {
        self.takes.insert(kind.name.clone(), takes);
        self.core.add_kind(kind);
        self
    }

    /// These are enqueued together at this time, counted from the start.
    pub fn enqueue(&mut self, after: Millis, specs: Vec<Spec>) {
        self.arrivals.push((START + after, specs));
    }

    /// Lets so much time pass, as the engine and its host would: nobody is asked before it is due.
    pub fn run(&mut self, span: Millis) {
        let until = self.at + span;
        self.arrivals.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        loop {
            self.work();
            let of_core = [self.core.wake_at(), self.core.store_due_at()].into_iter().flatten();
            let of_host = self.ends.keys().map(|(at, _)| *at);
            let of_others = self.arrivals.last().map(|(at, _)| *at);
            let next = of_core.chain(of_host.take(1)).chain(of_others).min().unwrap_or(Millis::MAX);
            if next > until {
                break;
            }
            self.pass_to(next.max(self.at + 1));
        }
        self.pass_to(until);
        self.bench.verify().expect("the store contradicts itself");
    }

    fn pass_to(&mut self, at: Millis) {
        self.at = at;
        self.clock.set(at);
    }

    /// Does what is due now.
    fn work(&mut self) {
        while self.arrivals.last().is_some_and(|(at, _)| *at <= self.at) {
            let (at, specs) = self.arrivals.pop().expect("just seen");
            self.pushed_at.extend(specs.iter().map(|spec| (spec.id.clone(), at)));
            let answers = wait(self.bench.store().push(Arc::new([Push::of(specs)])));
            assert!(answers.expect("the store answers").iter().all(Result::is_ok), "it is accepted");
            self.core.hint();
        }
        self.core.tick(self.at);
        while let Some(end) = self.ends.first_entry().filter(|end| end.key().0 <= self.at) {
            let ((_, slot), run) = end.remove_entry();
            self.core.ended(slot, run, Outcome::Ok("null".into()), self.at);
        }
        loop {
            self.begin();
            let Some(step) = self.core.step(self.at) else { break };
            let turn = wait(self.bench.store().advance(step)).expect("the store answers");
            self.core.answered(&turn, self.at);
            self.core.poll(self.at);
        }
    }

    fn begin(&mut self) {
        self.core.host_turned(self.at);
        self.core.poll(self.at);
        self.core.outbox.words.clear();
        while let Some(start) = self.core.next_start() {
            assert!(self.core.begin_stored(start.slot, start.run, self.at), "nobody takes it back");
            self.ends.insert((self.at + self.takes[&start.spec.name], start.slot), start.run);
            let waited = self.at - self.pushed_at[&start.spec.id];
            self.starts.push(Started { spec: start.spec, at: self.at, waited });
        }
    }
}
