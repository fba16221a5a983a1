//! The SQLite store: tasks in one file, for any number of processes of one machine.
//!
//! One thread writes, with group commit: all that is at hand goes into one transaction, and is answered after
//! its commit (`writer`). Questions go to readers with connections of their own (`reader`, `read`). Processes
//! see each other's death by locks on files beside the database (`files`, `nodes`) and each other's work by
//! the version of the data. `ledger` is the counterpart of the memory store's book: `push`, `keys`, `advance`,
//! `claim` (with `lanes`, `ready`, `stream`), `amend`, `cells`, `retention` work on it; `row` and `schema.sql`
//! say how a record is written.
//!
//! A file whose last user was cut off is looked over behind the work, and what is wrong with it is told at a
//! beat; SQLite itself replays its log.
//!
//! What is promised: a push, a settlement or an amendment that was answered survives the death of any process
//! at any moment; with `Durability::Strict` also a power cut, with `Durability::Relaxed` all but the last
//! half second before one.

mod advance;
mod amend;
mod cascade;
mod cells;
mod claim;
mod connection;
mod error;
mod files;
mod filter;
mod fresh;
mod keys;
mod lanes;
mod ledger;
mod nodes;
mod notes;
mod numbers;
mod push;
mod read;
mod reader;
mod ready;
mod retention;
mod row;
mod statements;
mod stream;
mod verify;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::store::query::no_cursor;
use crate::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};
use crate::time::{Clock, Millis, WallClock};

pub use super::open::Durability;
use nodes::{Verdict, Watch};
use reader::Reader;
use writer::{Bond, Desk, Job, Order};

/// Bound on what one step promotes, ends by itself, or changes for a filter.
const STEP: usize = 1000;

/// How a file is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a power cut may take.
    pub durability: Durability,
    /// How long a node may stay silent before its tasks are given to others.
    pub lease: Millis,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Strict, lease: 30_000 }
    }
}

/// Tasks in a SQLite file. Several of one file in one process share a writer.
#[derive(Clone)]
pub struct SqliteStore {
    file: Arc<TaskFile>,
}

struct TaskFile {
    bond: Arc<Bond>,
    jobs: Sender<Box<dyn Job>>,
    quick: Reader,
    slow: Reader,
    watch: Mutex<Watch>,
    lease: Millis,
    monotonic: Box<dyn Clock>,
    /// A process that was forked off must not use what it has inherited.
    pid: u32,
}

/// Open files by their identity.
static OPEN: LazyLock<Mutex<HashMap<String, Weak<TaskFile>>>> = LazyLock::new(Mutex::default);

/// Milliseconds since the process first looked.
struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Millis {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed().as_millis() as Millis
    }
}

impl SqliteStore {
    /// Opens the file, and creates it where there is none. Blocks for as long as that takes.
    ///
    /// # Errors
    /// `Failed`: not a plain file, or on a network; `Corrupt`: not a task file; `Version`: of a newer version
    /// of this library; `Unreachable`, `Full`, `Busy`: as the file system says.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        Self::with_clocks(path.as_ref(), options, Box::new(WallClock), Box::new(Monotonic))
    }

    /// The same on one clock for everything; for tests. It does not share a file that is open already.
    pub fn with_clock(path: &Path, options: Options, clock: impl Clock + Clone) -> Result<Self, StoreError> {
        let (path, _) = files::claim(path)?;
        let file = TaskFile::start(path, &options, Box::new(clock.clone()), Box::new(clock))?;
        Ok(Self { file: Arc::new(file) })
    }

    fn with_clocks(
        path: &Path,
        options: Options,
        clock: Box<dyn Clock>,
        monotonic: Box<dyn Clock>,
    ) -> Result<Self, StoreError> {
        // Held all the while: a file must not be opened twice by two who have both seen that it is not.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, identity) = files::claim(path)?;
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(file) = open.get(&identity).and_then(Weak::upgrade) {
            if options.durability == Durability::Strict {
                file.bond.strict.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            return Ok(Self { file });
        }
        let file = Arc::new(TaskFile::start(path, &options, clock, monotonic)?);
        open.insert(identity, Arc::downgrade(&file));
        Ok(Self { file })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file.bond.path
    }

    /// How often each transition of `task::state::TRANSITIONS` was taken here, in that order. For tests.
    pub fn transitions(&self) -> Vec<u64> {
        self.file.bond.transitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks every table against the tasks themselves; the error says what does not fit. It looks at all of
    /// the file, and is for tests and for who doubts it.
    pub async fn verify(&self) -> Result<Result<(), String>, StoreError> {
        self.ask(verify::verify).await
    }

    fn write<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Desk<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        self.file.write(weight, work)
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&rusqlite::Connection, Millis) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let now = self.file.bond.clock.now();
        waited(self.file.quick.ask(move |db| question(db, now)))
    }
}

fn waited<'a, T: Send + 'a>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Answer<'a, T> {
    Box::pin(async move {
        let ended = || StoreError::Unreachable("the thread of the store has ended".into());
        answer.await.unwrap_or_else(|_| Err(ended()))
    })
}

impl TaskFile {
    fn start(
        path: PathBuf,
        options: &Options,
        clock: Box<dyn Clock>,
        monotonic: Box<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let strict = options.durability == Durability::Strict;
        // Who closes a file last takes its log away.
        let was_cut_off = std::fs::metadata(files::beside(&path, "-wal")).is_ok_and(|log| log.len() > 0);
        let db = connection::writer(&path, strict)?;
        let bond = Arc::new(Bond {
            path: path.clone(),
            strict: strict.into(),
            clock,
            changed: Arc::new(Notify::new()),
            trouble: Mutex::default(),
            transitions: Mutex::default(),
        });
        let failed = |error: std::io::Error| StoreError::Failed(format!("no thread: {error}").into());
        let (jobs, queue) = channel();
        let shared = bond.clone();
        std::thread::Builder::new()
            .name("task-sqlite".into())
            .spawn(move || writer::work(&shared, &queue, db))
            .map_err(failed)?;
        if was_cut_off {
            let shared = bond.clone();
            let look = move || connection::look_over(&shared);
            std::thread::Builder::new().name("task-sqlite-check".into()).spawn(look).map_err(failed)?;
        }
        let quick = Reader::start("task-sqlite-read", path.clone()).map_err(failed)?;
        let slow = Reader::start("task-sqlite-list", path).map_err(failed)?;
        let (watch, lease) = (Mutex::default(), options.lease);
        Ok(Self { bond, jobs, quick, slow, watch, lease, monotonic, pid: std::process::id() })
    }

    fn write<'a, T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Desk<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'a, T> {
        if self.pid != std::process::id() {
            let text = "the store was opened by the process that this one was forked from";
            return Box::pin(std::future::ready(Err(StoreError::Failed(text.into()))));
        }
        let (job, answer) = Order::place(weight, work);
        // Where the writer has ended the answer is that there is none.
        let _ = self.jobs.send(job);
        waited(answer)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One beat: shows that the node lives, looks at the others, and hears the news.
    async fn pulse(&self, node: NodeId) -> Result<Pulse, StoreError> {
        let (path, lease, at) = (&self.bond.path, self.lease, self.monotonic.now());
        self.watch().beat(path, &node, at, lease).map_err(|error| nodes::failed(&error))?;
        let now = self.bond.clock.now();
        let own = node.clone();
        let asked = self.quick.ask(move |db| Ok((nodes::entries(db)?, nodes::news(db, &own, now)?)));
        let (entries, mut pulse) = waited(asked).await?;
        let (mut declared, mut idle) = (Vec::new(), Vec::new());
        let known = entries.iter().find(|entry| entry.id == node).map(|entry| entry.declared_dead);
        for entry in entries {
            if entry.id == node {
                if entry.has_orphans() {
                    pulse.dead.push(entry.id);
                }
                continue;
            }
            let verdict = self.watch().judge(path, &entry.id, at, lease);
            match (verdict, entry.oldest) {
                (Verdict::Lives, _) => {}
                (_, None) => idle.push(entry.id.clone()),
                (_, Some(oldest)) if oldest > entry.orphaned_to => declared.push(entry.id.clone()),
                _ => {}
            }
            if entry.has_orphans() || declared.last() == Some(&entry.id) {
                pulse.dead.push(entry.id);
            }
        }
        pulse.declared_dead = known == Some(true);
        if known != Some(false) || !declared.is_empty() || !idle.is_empty() {
            let gone = idle.clone();
            let own = node.clone();
            let wrote = self.write(1, move |desk: &mut Desk<'_>| {
                desk.ledger.note_node(&own)?;
                desk.ledger.declare_dead(&declared)?;
                let mut off = Vec::new();
                for node in &gone {
                    if desk.ledger.drop_node(node)? {
                        desk.forget_node(node);
                        off.push(node.clone());
                    }
                }
                Ok(off)
            });
            for node in wrote.await? {
                self.watch().forget(path, &node);
            }
        }
        pulse.dead.sort();
        pulse.trouble = self.bond.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(pulse)
    }
}

impl Store for SqliteStore {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        let weight = pushes.iter().map(|push| push.specs.len()).sum();
        self.write(weight, move |desk| {
            desk.has_news = true;
            pushes.iter().map(|push| desk.ledger.push(push)).collect()
        })
    }

    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        // Before its first claim the others can see that it lives.
        let at = self.file.monotonic.now();
        let held = self.file.watch().hold(&self.file.bond.path, &step.node, at);
        if let Err(error) = held {
            return Box::pin(std::future::ready(Err(nodes::failed(&error))));
        }
        let weight = step.settlements.len() + step.claims.max as usize;
        self.write(weight, move |desk| desk.advance(&step))
    }

    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.ask(move |db, now| read::orphans(db, &nodes, max, now))
    }

    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.ask(move |db, now| read::due(db, max, now))
    }

    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        self.write(STEP, move |desk| {
            desk.has_news = true;
            desk.ledger.amend(&target, &change)
        })
    }

    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        self.write(notes.len(), move |desk| desk.ledger.note_all(&notes))
    }

    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        self.ask(move |db, _| notes::read(db, &ids, kind))
    }

    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.ask(move |db, now| read::get(db, &ids, now))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        let now = self.file.bond.clock.now();
        let cursor = query.cursor.clone();
        let page = waited(self.file.slow.ask(move |db| read::list(db, &query, now)));
        Box::pin(async move { page.await?.ok_or_else(|| no_cursor(cursor.as_deref().unwrap_or_default())) })
    }

    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.ask(move |db, now| read::counts(db, queue.as_ref(), now))
    }

    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.write(max, move |desk| desk.ledger.prune(&limits, max))
    }

    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        self.write(1, move |desk| {
            desk.has_news = true;
            desk.ledger.swap(&swap)
        })
    }

    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.ask(move |db, _| read::cell(db, &key))
    }

    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        self.ask(move |db, _| read::cells(db, &prefix, after.as_deref(), max))
    }

    fn changed(&self) -> Answer<'_, ()> {
        // Registered before the caller awaits it, so that nothing between the two is missed.
        let mut wake = Box::pin(self.file.bond.changed.clone().notified_owned());
        wake.as_mut().enable();
        Box::pin(async move {
            wake.await;
            Ok(())
        })
    }

    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        Box::pin(self.file.pulse(node))
    }

    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        let own = node.clone();
        let off = self.write(1, move |desk| {
            desk.forget_node(&own);
            desk.is_leaving = true;
            desk.ledger.drop_node(&own)
        });
        let file = self.file.clone();
        Box::pin(async move {
            if off.await? {
                file.watch().forget(&file.bond.path, &node);
            }
            Ok(())
        })
    }

    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        let entries = self.ask(|db, now| Ok((nodes::entries(db)?, now)));
        Box::pin(async move {
            let (entries, now) = entries.await?;
            let (watch, at) = (self.file.watch(), self.file.monotonic.now());
            Ok(entries
                .into_iter()
                .map(|entry| {
                    let beat_at = now.saturating_sub(watch.seen_at(&entry.id, at));
                    entry.told(beat_at)
                })
                .collect())
        })
    }
}
