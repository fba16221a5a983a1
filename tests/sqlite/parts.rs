//! What actors do: push tasks, run them, hold locks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Advance, Claims, LaneClaim, NodeId, Push, Settled, Store, StoreError};
use task::task::{Cause, Claimed, Outcome, Rules, Settlement, Spec, TaskId, settle};

use crate::bench::{now, wait};
use crate::dice::Dice;
use crate::process::{Stage, say};

/// The kind of every task here.
pub const KIND: &str = "work";
/// Tasks of a push of many.
pub const BULK: usize = 100;

pub fn play(part: &str, stage: &Stage) {
    match part {
        "producer" => produce(stage),
        "worker" => Worker::new(stage).work(stage),
        "lock" => hold_lock(stage),
        "opener" => crate::locks::play_opener(stage),
        "rights" => crate::denied::play_without_rights(stage),
        "files" => crate::denied::play_without_files(stage),
        "disk" => crate::disk::play(stage),
        "power" => crate::power::play(stage),
        other => panic!("there is no part {other}"),
    }
}

/// What a durability is called among the words of a part.
pub fn word_of(durability: Durability) -> &'static str {
    if durability == Durability::Strict { "strict" } else { "relaxed" }
}

/// Words 0 and 1: the file, and how durable it is.
fn store(stage: &Stage, lease: u64) -> SqliteStore {
    let durability = if stage.word(1) == "strict" { Durability::Strict } else { Durability::Relaxed };
    SqliteStore::open(Path::new(stage.word(0)), Options { durability, lease }).expect("the file opens")
}

/// A task with an id of the test's choice.
pub fn task(id: &str) -> Spec {
    Spec { id: TaskId::from(id), ..Spec::new(KIND, "{}") }
}

/// Pushes single tasks and bulks in turn until it is killed or told to stop.
/// Words: file, durability, how its ids begin.
fn produce(stage: &Stage) {
    let store = store(stage, 30_000);
    let name = stage.word(2);
    for n in 0.. {
        if stage.heard().is_some() {
            return;
        }
        let ids: Vec<String> = match n % 3 {
            2 => (0..BULK).map(|at| format!("{name}-bulk-{n}-{at}")).collect(),
            _ => vec![format!("{name}-one-{n}")],
        };
        let push = Push::of(ids.iter().map(|id| task(id)));
        let answer = now(store.push(Arc::new([push]))).remove(0);
        assert_eq!(answer.expect("nothing to refuse").len(), ids.len());
        ids.iter().for_each(|id| say(&format!("ACK {id}")));
        // A bulk takes the workers longer than the producer.
        std::thread::sleep(Duration::from_millis(if ids.len() > 1 { 25 } else { 1 }));
    }
}

/// A node with a store, and no engine: it claims, holds each task for a moment, settles, and looks after dead
/// nodes.
struct Worker {
    store: SqliteStore,
    node: NodeId,
    max: u64,
    hold: u64,
    output: Arc<str>,
    dice: Dice,
    turn_no: u64,
    runs: Vec<(Claimed, Instant)>,
    losses: Vec<Settlement>,
    slowest: Duration,
}

impl Worker {
    /// Words: file, durability, node, tasks at once (0: by chance), longest run in ms, lease in ms.
    fn new(stage: &Stage) -> Self {
        let node: NodeId = stage.word(2).into();
        let seed = node.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
        Self {
            store: store(stage, stage.number(5)),
            output: format!("\"{node}\"").into(),
            node,
            max: stage.number(3),
            hold: stage.number(4),
            dice: Dice::new(seed),
            turn_no: 0,
            runs: Vec::new(),
            losses: Vec::new(),
            slowest: Duration::ZERO,
        }
    }

    fn work(&mut self, stage: &Stage) {
        let mut beat_at = Instant::now();
        let mut is_over = false;
        say("READY");
        loop {
            match stage.heard().as_deref() {
                Some("end") => is_over = true,
                // What it holds it settles now, whatever has become of it.
                Some("settle") => self.runs.iter_mut().for_each(|(_, end_at)| *end_at = Instant::now()),
                _ => {}
            }
            if beat_at.elapsed() >= Duration::from_millis(50) {
                beat_at = Instant::now();
                self.beat();
            }
            let at = Instant::now();
            let (ended, left): (Vec<_>, Vec<_>) = self.runs.drain(..).partition(|(_, end_at)| *end_at <= at);
            self.runs = left;
            let max = if self.max == 0 { self.dice.within(1, 33) } else { self.max };
            let room = if is_over { 0 } else { max.saturating_sub(self.runs.len() as u64) };
            let mut settlements = std::mem::take(&mut self.losses);
            let output = Outcome::Ok(self.output.clone());
            settlements.extend(ended.iter().map(|(run, _)| ended_by(run, &output)));
            let is_idle = settlements.is_empty();
            if is_over && is_idle && self.runs.is_empty() {
                say(&format!("SLOWEST {}", self.slowest.as_millis()));
                return now(self.store.leave(self.node.clone()));
            }
            let claimed = if is_idle && room == 0 { 0 } else { self.step(settlements, room as u32) };
            if is_idle && claimed == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
        }
    }

    fn step(&mut self, settlements: Vec<Settlement>, room: u32) -> usize {
        self.turn_no += 1;
        let claims = Claims { max: room, lanes: vec![LaneClaim::of(KIND, room)] };
        let step = Advance { node: self.node.clone(), turn_no: self.turn_no, settlements, claims };
        let step = Arc::new(step);
        let began = Instant::now();
        let turn = loop {
            match wait(self.store.advance(step.clone())) {
                Ok(turn) => break turn,
                Err(error) => self.told(&error),
            }
        };
        self.slowest = self.slowest.max(began.elapsed());
        for (end, settled) in step.settlements.iter().zip(&turn.settled) {
            let word = match (settled, end.cause) {
                (Settled::Stale, Cause::Complete) => "STALE",
                (Settled::Stale, _) => continue,
                (Settled::Applied(Cause::Complete), _) => "COMMIT",
                (Settled::Applied(_), _) => "LOSS",
            };
            say(&format!("{word} {} {}", end.id, end.epoch));
        }
        for run in &turn.claimed {
            say(&format!("START {} {}", run.spec.id, run.epoch));
            let length = Duration::from_millis(self.dice.within(0, self.hold + 1));
            self.runs.push((run.clone(), Instant::now() + length));
        }
        turn.claimed.len()
    }

    fn beat(&mut self) {
        let pulse = match wait(self.store.pulse(self.node.clone())) {
            Ok(pulse) => pulse,
            Err(error) => return self.told(&error),
        };
        if pulse.dead.is_empty() {
            return;
        }
        match wait(self.store.orphans(pulse.dead, 1000)) {
            Ok(orphans) => {
                self.losses = orphans.iter().map(|run| ended_by(run, &Outcome::Lost)).collect();
            }
            Err(error) => self.told(&error),
        }
    }

    fn told(&self, error: &StoreError) {
        say(&format!("ERR {} {error}", error.code()));
        assert!(error.is_passing(), "{error}");
    }
}

/// No number of losses is too much: kills are what these tests are about.
pub fn ended_by(run: &Claimed, outcome: &Outcome) -> Settlement {
    let end = settle(&run.standing(), outcome, &Rules { max_losses: 10_000, seed: 0 });
    // Nobody waits for a backoff here.
    Settlement { delay: 0, ..end }
}

/// Holds the write lock of a file for so many ms. Words: file, ms.
fn hold_lock(stage: &Stage) {
    let db = rusqlite::Connection::open(stage.word(0)).expect("the file opens");
    db.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    db.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    say("HELD");
    std::thread::sleep(Duration::from_millis(stage.number(1)));
    db.execute_batch("ROLLBACK").expect("the end");
    say("FREE");
}
