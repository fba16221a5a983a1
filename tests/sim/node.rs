//! One node: a core, its handlers, and a driver and a host as plain as can be, all in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use task::engine::{Closing, Config, Core, End, Kind, Start, Stop};
use task::store::faulty::Faulty;
use task::store::{Advance, NodeId, Store, Turn};
use task::task::{
    Blockers, Cause, Conflict, Failure, Key, Name, OnBlockerFailure, Outcome, Quiet, Settlement, Spec, TaskId,
};
use task::time::Millis;

use crate::bench::wait;

use super::dice::Dice;
use super::truth::Truth;
use super::world::QUEUES;

const BEAT: Millis = 500;
/// How long a handler may take that was asked to stop.
pub const CANCEL_GRACE: Millis = 300;
/// How long a host may be silent.
pub const STALL_LIMIT: Millis = 1500;

/// What a node works with.
pub struct Around<'a> {
    pub at: Millis,
    pub dice: &'a mut Dice,
    pub store: &'a Faulty<Truth>,
    pub truth: &'a Truth,
    /// Number of the next spawned task.
    pub spawned: &'a mut u64,
    pub calm: bool,
    /// Handlers take seconds.
    pub slow: bool,
}

pub struct Node {
    pub name: NodeId,
    pub core: Core,
    pub frozen_until: Millis,
    pub blocked_until: Millis,
    pub ended: Vec<End>,
    pub born: Millis,
    pub handlers: Vec<Handler>,
    /// Claims that were heard of, whose handlers have not begun and that have not been given back.
    pub unbegun: Vec<(TaskId, u64)>,
    pub beat_at: Millis,
    /// No call of the store before, after one has failed.
    pub retry_at: Millis,
    pub look_at: Option<Millis>,
    /// Since when its host has not answered.
    pub called_at: Option<Millis>,
    pub seen: u64,
    /// Queues that it knows to be paused: in which of their pauses, and since when it knows.
    pub paused: BTreeMap<Name, (u64, Millis)>,
    /// The step on its way, with the spawned tasks that handlers have added.
    pub step: Option<Arc<Advance>>,
    pub concurrency: usize,
}

/// A handler that has begun. One that is abandoned goes on until it ends.
#[derive(Debug)]
pub struct Handler {
    pub start: Start,
    pub epoch: u64,
    pub begun_at: Millis,
    /// `None`: never.
    pub end_at: Option<Millis>,
    pub outcome: Outcome,
    /// Ends soon after it was asked to.
    pub obeys: bool,
    pub stopped: Option<(Stop, Millis)>,
}

impl Node {
    pub fn new(config: Config, kinds: &[Kind], at: Millis) -> Self {
        let (name, concurrency) = (config.node.clone(), config.concurrency);
        let mut core = Core::new(config);
        for kind in kinds {
            core.add_kind(kind.clone());
        }
        core.start();
        Self {
            name,
            core,
            frozen_until: 0,
            blocked_until: 0,
            ended: Vec::new(),
            born: at,
            handlers: Vec::new(),
            unbegun: Vec::new(),
            beat_at: at,
            retry_at: 0,
            look_at: None,
            called_at: None,
            seen: 0,
            paused: BTreeMap::new(),
            step: None,
            concurrency: concurrency as usize,
        }
    }

    fn now(&self, at: Millis) -> Millis {
        at - self.born
    }

    /// When it has to be looked at again.
    pub fn wakes_at(&self) -> Millis {
        let of_core = [self.core.wake_at(), self.core.store_due_at()].into_iter().flatten();
        let of_host = self.handlers.iter().filter_map(|handler| handler.end_at);
        let of_host = of_host.map(|at| at.max(self.blocked_until));
        let rest = [Some(self.beat_at), self.look_at].into_iter().flatten();
        let next = of_core.map(|at| at + self.born).chain(of_host).chain(rest).min();
        next.unwrap_or(Millis::MAX).max(self.frozen_until)
    }

    pub fn close(&mut self, at: Millis, grace: Millis) {
        self.core.close(self.now(at), grace);
    }

    pub fn is_idle(&self) -> bool {
        self.core.is_quiet() && self.handlers.is_empty()
    }

    /// It has closed, and the store has heard of everything.
    pub fn is_gone(&self) -> bool {
        self.core.closing() == Closing::Done && self.core.is_quiet()
    }

    /// Does what is due; true if it may have more to do at once.
    pub fn work(&mut self, around: &mut Around<'_>) -> Result<(), String> {
        if around.at < self.frozen_until {
            return Ok(());
        }
        let now = self.now(around.at);
        let changes = around.truth.book().changes;
        if self.seen != changes {
            self.seen = changes;
            // A hint comes late, or not at all.
            if around.dice.chance(80) {
                self.look_at.get_or_insert(around.at + around.dice.within(1, 10));
            }
        }
        if self.look_at.is_some_and(|look_at| look_at <= around.at) {
            self.look_at = None;
            self.core.hint();
        }
        let is_blocked = around.at < self.blocked_until;
        if !is_blocked {
            self.end_handlers(around);
        }
        self.core.tick(now);
        if self.core.closing() == Closing::Done {
            // What has not ended within the grace is released; here its process ends with it.
            self.handlers.clear();
        }
        self.talk(around)?;
        if is_blocked {
            self.call_host(around.at);
        } else {
            self.host(around)?;
            self.talk(around)?;
        }
        self.judge_times(around.at)?;
        self.judge_claims(around)
    }

    /// The host has something to fetch, or should show that it lives.
    fn call_host(&mut self, at: Millis) {
        let has_mail = !self.core.outbox.starts.is_empty() || !self.core.outbox.stops.is_empty();
        if has_mail || self.core.wants_ping(self.now(at)) {
            self.core.host_called(self.now(at));
            self.called_at.get_or_insert(at);
        }
    }

    fn end_handlers(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.at);
        let over = |handler: &Handler| handler.end_at.is_some_and(|end_at| end_at <= around.at);
        let (ended, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.handlers).into_iter().partition(over);
        self.handlers = left;
        for handler in ended {
            self.core.ended(handler.start.slot, handler.start.run, handler.outcome, now);
        }
    }

    /// The host fetches its mail: stops first, then what is to begin.
    fn host(&mut self, around: &mut Around<'_>) -> Result<(), String> {
        let now = self.now(around.at);
        self.core.host_turned(now);
        self.called_at = None;
        for (slot, run, stop) in std::mem::take(&mut self.core.outbox.stops) {
            let found = self.handlers.iter_mut().find(|h| (h.start.slot, h.start.run) == (slot, run));
            // It may have ended while its host did not listen.
            let Some(handler) = found else { continue };
            if handler.obeys || around.calm {
                let soon = around.at + around.dice.within(1, 20);
                handler.end_at = Some(handler.end_at.map_or(soon, |end_at| end_at.min(soon)));
            }
            handler.stopped = Some((stop, around.at));
        }
        self.core.outbox.words.clear();
        while let Some(start) = self.core.next_start() {
            if self.core.begin_stored(start.slot, start.run, now) {
                self.begin(start, around)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, start: Start, around: &mut Around<'_>) -> Result<(), String> {
        let id = start.spec.id.clone();
        let claim = self.unbegun.iter().position(|(other, _)| *other == id);
        let (_, epoch) = self.unbegun.remove(claim.ok_or_else(|| format!("{id} begins without a claim"))?);
        let known = self.paused.get(&start.spec.queue).filter(|(_, since)| around.at > *since);
        if known.is_some_and(|(pause, _)| around.truth.pause_of(&start.spec.queue) == Some(*pause)) {
            return Err(format!("{id} begins in a queue that {} knows to be paused", self.name));
        }
        let dice = &mut *around.dice;
        let may_hang = start.spec.timeout.is_some();
        let length = match dice.within(0, 10) {
            0 if may_hang => None,
            1 | 2 => Some(dice.within(100, 900)),
            3 => Some(0),
            _ if around.slow => Some(dice.within(500, 3000)),
            _ => Some(dice.within(1, 60)),
        };
        let outcome = match dice.within(0, 20) {
            0..4 => Outcome::Error(Arc::new(Failure::new("Error", "it went wrong"))),
            4 => Outcome::Error(Arc::new(Failure { fatal: true, ..Failure::default() })),
            5 => Outcome::Error(Arc::new(Failure { retry_after: Some(50), ..Failure::default() })),
            6 => Outcome::Snooze(dice.within(0, 200)),
            _ => Outcome::Ok("null".into()),
        };
        let end_at = length.map(|length| around.at + length);
        let obeys = dice.chance(60);
        self.handlers.push(Handler {
            start,
            epoch,
            begun_at: around.at,
            end_at,
            outcome,
            obeys,
            stopped: None,
        });
        let busy = self.handlers.iter().filter(|handler| handler.is_current()).count();
        if busy > self.concurrency {
            return Err(format!("{} runs {busy} tasks, {} are allowed", self.name, self.concurrency));
        }
        Ok(())
    }

    /// Talks to the store as long as there is something to say.
    fn talk(&mut self, around: &mut Around<'_>) -> Result<(), String> {
        let now = self.now(around.at);
        let mut rounds = 0;
        while around.at >= self.retry_at
            && let Some(step) = self.core.step(now)
        {
            rounds += 1;
            if rounds > 1000 {
                return Err(format!("{} talks to the store without end", self.name));
            }
            let step = self.with_spawned(step, around);
            match wait(around.store.advance(step)) {
                Ok(turn) => self.hear(&turn, now),
                Err(_) => self.retry_at = around.at + around.dice.within(1, 100),
            }
        }
        if around.at >= self.retry_at && (around.at >= self.beat_at || self.core.wants_beat()) {
            self.beat(around);
        }
        self.beat_at = self.beat_at.max(self.retry_at);
        Ok(())
    }

    /// A step is sent again as it was the first time, with the same spawned tasks.
    fn with_spawned(&mut self, step: Arc<Advance>, around: &mut Around<'_>) -> Arc<Advance> {
        if let Some(sent) = self.step.as_ref().filter(|sent| sent.turn_no == step.turn_no) {
            return sent.clone();
        }
        self.unbegun.retain(|(_, epoch)| step.settlements.iter().all(|end| end.epoch != *epoch));
        let spawn = |end: &Settlement| {
            let mut end = end.clone();
            if end.cause == Cause::Complete && !around.calm && around.dice.chance(10) {
                *around.spawned += 1;
                let id = TaskId::from(format!("spawned-{}", around.spawned).as_str());
                end.spawn.push(Arc::new(spawned(id, *around.spawned, &end.id, around.dice)));
            }
            end
        };
        let settlements = step.settlements.iter().map(spawn).collect();
        let step =
            Arc::new(Advance { settlements, claims: step.claims.clone(), node: step.node.clone(), ..*step });
        self.step = Some(step.clone());
        step
    }

    fn hear(&mut self, turn: &Arc<Turn>, now: Millis) {
        for run in &turn.claimed {
            self.unbegun.push((run.spec.id.clone(), run.epoch));
        }
        let (finals, _) = self.core.answered(turn, now);
        self.ended.extend(finals);
        self.core.poll(now);
    }

    fn beat(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.at);
        self.beat_at = around.at + BEAT;
        let Ok(pulse) = wait(around.store.pulse(self.name.clone())) else {
            self.retry_at = around.at + around.dice.within(1, 100);
            return;
        };
        self.core.beaten(now);
        self.core.pulsed(&pulse, now);
        self.core.ask_again();
        let paused = pulse.paused.into_iter().filter_map(|queue| {
            let pause = around.truth.pause_of(&queue)?;
            let known = self.paused.get(&queue).filter(|(known, _)| *known == pause);
            Some((queue, known.copied().unwrap_or((pause, around.at))))
        });
        self.paused = paused.collect();
        if !pulse.dead.is_empty()
            && let Ok(orphans) = wait(around.store.orphans(pulse.dead, 1000))
        {
            self.core.orphaned(&orphans);
        }
        self.core.tick(now);
    }

    /// Handlers that were given up end at last.
    pub fn calm_down(&mut self, at: Millis) {
        self.frozen_until = 0;
        self.blocked_until = 0;
        for handler in self.handlers.iter_mut().filter(|handler| !handler.is_current()) {
            handler.end_at.get_or_insert(at);
        }
    }
}

/// A task that a run spawns: it may have a key, and may wait for that very run and for what was spawned before.
fn spawned(id: TaskId, number: u64, parent: &TaskId, dice: &mut Dice) -> Spec {
    let key = dice.chance(30).then(|| Key {
        text: dice.pick(&["one", "two"]).into(),
        conflict: dice.pick(&[Conflict::Ignore, Conflict::Replace, Conflict::Refuse]),
        quiet: Quiet::Off,
    });
    let before = TaskId::from(format!("spawned-{}", number - dice.within(0, 2)).as_str());
    let blockers = dice.chance(30).then(|| Blockers {
        ids: vec![parent.clone(), before],
        on_failure: dice.pick(&[OnBlockerFailure::Cancel, OnBlockerFailure::Run]),
    });
    let queue = dice.pick(&QUEUES).into();
    Spec { id, queue, key, blockers, ..Spec::new("plain", "null") }
}

impl Handler {
    /// Nobody has told it to stop.
    pub fn is_current(&self) -> bool {
        self.stopped.is_none()
    }
}
