//! The writer: one thread, one connection, one transaction for all that is at hand.
//!
//! Invariants: a job is answered after the commit that holds its work, or with the failure that undid it; a
//! job that fails takes no other one with it; what is remembered beside the file (turns, runs) is remembered
//! only of what was committed.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use crate::store::{Advance, NodeId, StoreError, Turn};
use crate::time::Clock;

use super::claim::Runs;
use super::connection;
use super::error::{is_gone, translate};
use super::ledger::Ledger;

/// Jobs of one transaction.
const JOBS: usize = 256;
/// Tasks of one transaction, more or less: a bound on its time.
const TASKS: usize = 5000;
/// What a process leaves to its neighbours after each of its transactions.
const COURTESY: Duration = Duration::from_micros(300);
/// With relaxed durability the log is synced so often while commits come.
const SYNC: Duration = Duration::from_millis(500);
/// How soon commits of other processes are looked for: at once after work, ever more rarely in the calm.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// What a job works with.
pub(super) struct Desk<'c> {
    pub ledger: Ledger<'c>,
    pub runs: Runs,
    turns: HashMap<NodeId, (u64, Arc<Turn>)>,
    /// Of the file.
    inode: Option<(u64, u64)>,
    /// Of the transaction under way.
    fresh: Vec<(NodeId, u64, Arc<Turn>)>,
    /// The transaction under way has done something that others may wait for.
    pub has_news: bool,
    /// The last node of this process has left: the file should be whole without its log.
    pub is_leaving: bool,
    /// Others have written between the latest two transactions.
    has_company: bool,
}

impl Desk<'_> {
    /// A step of a node, or the answer that it had before.
    pub fn advance(&mut self, step: &Advance) -> rusqlite::Result<Arc<Turn>> {
        let fresh = self.fresh.iter().rev().find(|(node, ..)| *node == step.node);
        let last = fresh.map(|(_, no, turn)| (*no, turn));
        let last = last.or_else(|| self.turns.get(&step.node).map(|(no, turn)| (*no, turn)));
        if let Some((turn_no, turn)) = last
            && turn_no >= step.turn_no
        {
            return Ok(turn.clone());
        }
        let turn = Arc::new(self.ledger.advance(step, &mut self.runs)?);
        self.has_news |= !turn.settled.is_empty() || !turn.ended.is_empty();
        self.fresh.push((step.node.clone(), step.turn_no, turn.clone()));
        Ok(turn)
    }

    pub fn forget_node(&mut self, node: &NodeId) {
        self.turns.remove(node);
        self.ledger.forget_node(node);
    }

    fn committed(&mut self) {
        for (node, turn_no, turn) in self.fresh.drain(..) {
            self.turns.insert(node, (turn_no, turn));
        }
    }

    fn roll_back(&mut self) {
        self.fresh.clear();
        self.has_news = false;
        self.runs = Runs::default();
        self.ledger.roll_back();
    }
}

/// Work for the writer.
pub(super) trait Job: Send {
    /// Roughly how many tasks it touches.
    fn weight(&self) -> usize;
    /// Does it, in the transaction that is open. It may be done again after a rollback.
    fn run(&mut self, desk: &mut Desk<'_>) -> rusqlite::Result<()>;
    /// Tells how it went.
    fn end(&mut self, result: Result<(), StoreError>);
}

/// A job from a closure, and the future of its answer.
pub(super) struct Order<T, F> {
    weight: usize,
    work: F,
    done: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T, F> Order<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Desk<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    pub fn place(weight: usize, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>) {
        let (sender, answer) = oneshot::channel();
        (Box::new(Self { weight, work, done: None, reply: Some(sender) }), answer)
    }
}

impl<T, F> Job for Order<T, F>
where
    T: Send,
    F: FnMut(&mut Desk<'_>) -> rusqlite::Result<T> + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, desk: &mut Desk<'_>) -> rusqlite::Result<()> {
        self.done = Some((self.work)(desk)?);
        Ok(())
    }

    fn end(&mut self, result: Result<(), StoreError>) {
        let answer = result.and_then(|()| {
            self.done.take().ok_or_else(|| StoreError::Failed("the work was not done".into()))
        });
        if let Some(reply) = self.reply.take() {
            // Who does not wait any more need not be told.
            let _ = reply.send(answer);
        }
    }
}

/// What the writer shares with the handle of the store.
pub(super) struct Bond {
    pub path: std::path::PathBuf,
    pub strict: AtomicBool,
    pub clock: Box<dyn Clock>,
    pub changed: Arc<Notify>,
    /// What a look at the file after an unclean end has found, until somebody is told.
    pub trouble: std::sync::Mutex<Option<StoreError>>,
    /// How often each transition was taken; for tests.
    pub transitions: std::sync::Mutex<Vec<u64>>,
}

impl Bond {
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::SeqCst)
    }
}

/// Works until all senders are gone. A connection that has lost its file is opened again.
pub(super) fn work(bond: &Bond, jobs: &Receiver<Box<dyn Job>>, db: Connection) {
    let mut next = Some(db);
    loop {
        let opened = next.take().map_or_else(|| reopen(bond), Ok);
        let ended = match opened {
            Ok(db) => serve(bond, jobs, &db),
            Err(error) => refuse(jobs, &error),
        };
        if ended == Ended::Done {
            return;
        }
    }
}

/// What was lost may have to be created again, with the rights of a new file.
fn reopen(bond: &Bond) -> Result<Connection, StoreError> {
    super::files::claim(&bond.path)?;
    connection::writer(&bond.path, bond.is_strict())
}

#[derive(PartialEq, Eq)]
enum Ended {
    Done,
    Lost,
}

/// Answers what comes within a moment with this error.
fn refuse(jobs: &Receiver<Box<dyn Job>>, error: &StoreError) -> Ended {
    match jobs.recv_timeout(Duration::from_millis(500)) {
        Ok(mut job) => job.end(Err(error.clone())),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return Ended::Done,
    }
    Ended::Lost
}

fn serve(bond: &Bond, jobs: &Receiver<Box<dyn Job>>, db: &Connection) -> Ended {
    let ledger = match Ledger::open(db) {
        Ok(ledger) => ledger,
        Err(error) => return refuse(jobs, &translate(&error)),
    };
    let mut desk = Desk {
        ledger,
        runs: Runs::default(),
        turns: HashMap::new(),
        inode: super::files::inode(&bond.path),
        fresh: Vec::new(),
        has_news: false,
        is_leaving: false,
        has_company: false,
    };
    let mut log = Log { strict: bond.is_strict(), synced_at: Instant::now(), is_dirty: false };
    let mut worked_at = Instant::now();
    loop {
        let calm = worked_at.elapsed();
        match jobs.recv_timeout((calm / 20).clamp(LOOK.0, LOOK.1)) {
            Ok(job) => {
                let mut batch = vec![job];
                let mut weight = batch[0].weight();
                while batch.len() < JOBS
                    && weight < TASKS
                    && let Ok(job) = jobs.try_recv()
                {
                    weight += job.weight();
                    batch.push(job);
                }
                let is_lost = settle(bond, &mut desk, batch);
                worked_at = Instant::now();
                log.committed(bond, db);
                if std::mem::take(&mut desk.is_leaving) {
                    log.cut(db);
                }
                if desk.has_company {
                    // They can only begin while nobody else has begun.
                    std::thread::sleep(COURTESY);
                }
                if is_lost {
                    return Ended::Lost;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if desk.ledger.has_moved().unwrap_or(false) {
                    worked_at = Instant::now();
                    bond.changed.notify_waiters();
                }
                log.calm(bond, db, calm);
            }
            Err(RecvTimeoutError::Disconnected) => {
                if log.is_dirty && !log.strict {
                    log.sync(bond);
                }
                return Ended::Done;
            }
        }
    }
}

/// Does a batch in one transaction, or, where that fails, each job in one of its own.
fn settle(bond: &Bond, desk: &mut Desk<'_>, mut batch: Vec<Box<dyn Job>>) -> bool {
    match transact(bond, desk, &mut batch) {
        Ok(()) => {
            batch.iter_mut().for_each(|job| job.end(Ok(())));
            if std::mem::take(&mut desk.has_news) {
                bond.changed.notify_waiters();
            }
            false
        }
        Err(Failed { error, began, gone }) => {
            if batch.len() == 1 || !began || error.is_passing() {
                batch.iter_mut().for_each(|job| job.end(Err(error.clone())));
                return gone;
            }
            batch.into_iter().fold(false, |gone, job| settle(bond, desk, vec![job]) | gone)
        }
    }
}

struct Failed {
    error: StoreError,
    /// The transaction was open when it happened.
    began: bool,
    /// The file is not there any more.
    gone: bool,
}

fn transact(bond: &Bond, desk: &mut Desk<'_>, batch: &mut [Box<dyn Job>]) -> Result<(), Failed> {
    let told =
        |error: &rusqlite::Error, began| Failed { error: translate(error), began, gone: is_gone(error) };
    if super::files::is_elsewhere(&bond.path, desk.inode) {
        let error = StoreError::Unreachable("the file was moved or deleted".into());
        return Err(Failed { error, began: false, gone: true });
    }
    desk.has_company = desk.ledger.begin(&*bond.clock).map_err(|error| {
        let failed = told(&error, false);
        desk.roll_back();
        failed
    })?;
    let mut all = || -> rusqlite::Result<()> {
        for job in batch.iter_mut() {
            job.run(desk)?;
        }
        desk.ledger.commit()
    };
    // A panic is a defect; it undoes what it interrupted, and no more.
    let result = match catch_unwind(AssertUnwindSafe(&mut all)) {
        Ok(result) => result.map_err(|error| told(&error, true)),
        Err(_) => {
            let error = StoreError::Failed("the writer failed; its transaction was undone".into());
            Err(Failed { error, began: true, gone: false })
        }
    };
    match &result {
        Ok(()) => desk.committed(),
        Err(_) => desk.roll_back(),
    }
    if cfg!(any(test, debug_assertions)) {
        *bond.transitions.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            desk.ledger.transitions.to_vec();
    }
    result
}

/// The write-ahead log: synced in time where commits do not sync it, and cut short in the calm.
struct Log {
    strict: bool,
    synced_at: Instant,
    is_dirty: bool,
}

impl Log {
    fn committed(&mut self, bond: &Bond, db: &Connection) {
        self.is_dirty = true;
        if bond.is_strict() != self.strict && connection::set_durability(db, bond.is_strict()).is_ok() {
            self.strict = bond.is_strict();
        }
        if !self.strict && self.synced_at.elapsed() >= SYNC {
            self.sync(bond);
        }
    }

    fn sync(&mut self, bond: &Bond) {
        self.synced_at = Instant::now();
        // Locks are kept on other files than this one: closing it frees none of them.
        if let Ok(file) = std::fs::File::open(super::files::beside(&bond.path, "-wal"))
            && let Err(error) = file.sync_data()
        {
            tracing::warn!(target: "task::store", %error, "the log could not be synced");
        }
    }

    fn calm(&mut self, bond: &Bond, db: &Connection, calm: Duration) {
        if !self.is_dirty || calm < Duration::from_millis(200) {
            return;
        }
        if !self.strict {
            self.sync(bond);
        }
        if calm < Duration::from_secs(1) {
            return;
        }
        self.cut(db);
    }

    fn cut(&mut self, db: &Connection) {
        self.is_dirty = false;
        connection::cut_log(db);
    }
}
