//! The host of an engine in Rust: takes its words, starts handlers, reports how they ended.
//!
//! Everything goes through `turn`: under the two locks (the table's, then the core's) a change is made and the
//! core's words are read, in order; what they ask for may run a user's code (start a future, wake a caller, drop
//! a closure), so it waits in `deeds` until no lock is held.
//!
//! `wake` turns at once, on the thread of the engine that calls it: nothing here blocks, and a time-out is
//! noticed while every thread of the handlers' runtime is busy. For the same reason this host is never silent:
//! a handler in Rust that blocks its thread blocks nobody else, so there is no loop that could be stalled.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::engine::{Closing, Core, Engine, Host, KindId, STORED, Start, Stop, Word};
use crate::error::TaskError;
use crate::task::{Name, Outcome, Text};
use crate::time::{Millis, Time};

use super::Ended;
use super::attempt::{Report, attempt};
use super::awaited::Awaited;
use super::context::{Run, RunId, ScheduleSlot, Signal};
use super::desk::Desk;
use super::executor::Owner;
use super::failure::discard;
use super::handler::{KindWork, Work};
use super::kind::TaskKind;
use super::lane::{Lane, Local, Place};
use super::listeners::Listeners;

pub(super) struct RustHost {
    me: Weak<RustHost>,
    engine: OnceLock<Weak<Engine>>,
    pub(super) owner: OnceLock<Owner>,
    runtime: Handle,
    table: Mutex<Table>,
    pub listeners: Listeners,
}

/// What the host knows of what runs and what can run.
#[derive(Default)]
pub(super) struct Table {
    lane: Lane,
    /// Begun or about to, by slot and number.
    stored: HashMap<(u32, u32), Arc<Run>>,
    works: HashMap<KindId, KindWork>,
    kinds: HashMap<Name, TaskKind>,
    /// Nothing runs handlers any more.
    is_over: bool,
}

/// What has to be done once no lock is held.
pub(super) enum Deed {
    /// Gives a run of a task to the runtime.
    Launch { run: Arc<Run>, work: Work },
    /// Gives a run of a stored task to the runtime.
    LaunchStored { run: Arc<Run>, work: KindWork, input: Text },
    /// Tells a handler to stop, and perhaps drops its future.
    Stop { run: Arc<Run>, reason: TaskError, drop_future: bool },
    /// Tells a caller how its task ended, and lets go of the task's handler.
    Tell { reply: Option<oneshot::Sender<Ended>>, outcome: Ended, work: Work },
    /// Lets go of handlers.
    Discard(Vec<KindWork>),
}

impl Host for RustHost {
    fn wake(&self) {
        self.turn(|_, _, _, _| ());
    }
}

impl RustHost {
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine: OnceLock::new(),
            owner: OnceLock::new(),
            runtime,
            table: Mutex::default(),
            listeners: Listeners::default(),
        })
    }

    /// The engine that this host serves.
    pub fn serve(&self, engine: &Arc<Engine>) {
        self.engine.get_or_init(|| Arc::downgrade(engine));
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.get()?.upgrade()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic under the lock is a defect that is reported where it happened; the host goes on.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, and does what the core wants done; `None` if there is no engine any more.
    fn turn<T>(&self, change: impl FnOnce(&mut Table, &mut Core, Millis, &mut Vec<Deed>) -> T) -> Option<T> {
        let engine = self.engine()?;
        let mut deeds = Vec::new();
        let (result, wake_at, is_calm, nudges) = {
            let mut table = self.table();
            let mut core = engine.core();
            let now = engine.now();
            engine.stamp(&mut core);
            let is_back = core.host_turned(now);
            let was_live = core.local_live() > 0;
            let result = change(&mut table, &mut core, now, &mut deeds);
            core.poll(now);
            let desk = || Desk::new(Arc::downgrade(&engine), self.owner.get().cloned().unwrap_or_default());
            table.read(&mut core, &desk, &mut deeds);
            self.listeners.take(&mut core);
            let is_calm = was_live && core.local_live() == 0;
            (result, core.wake_at(), is_calm, is_back || is_calm && core.closing() != Closing::No)
        };
        engine.expect(wake_at);
        if is_calm {
            engine.calm();
        }
        if nudges {
            engine.nudge();
        }
        self.perform_all(deeds);
        self.listeners.tell();
        Some(result)
    }

    fn perform_all(&self, deeds: Vec<Deed>) {
        for deed in deeds {
            // A waker or a destructor of the user's may panic; the other deeds have to be done all the same.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.perform(deed))) {
                discard(payload);
            }
        }
    }

    fn perform(&self, deed: Deed) {
        match deed {
            Deed::Launch { run, work } => self.launch(run, move |context| (work.start)(context)),
            Deed::LaunchStored { run, work, input } => {
                self.launch(run, move |context| (work.start)(input, context));
            }
            Deed::Stop { run, reason, drop_future } => {
                run.signal.stop(reason);
                if drop_future {
                    run.signal.drop_future();
                }
            }
            Deed::Tell { reply, outcome, work } => {
                if let Some(reply) = reply {
                    // Who has stopped waiting need not be told.
                    let _ = reply.send(outcome);
                }
                discard(work);
            }
            Deed::Discard(works) => works.into_iter().for_each(discard),
        }
    }

    fn launch(
        &self,
        run: Arc<Run>,
        start: impl FnOnce(super::TaskContext) -> super::Running + Send + 'static,
    ) {
        let Some(me) = self.me.upgrade() else { return };
        let future = attempt(Report::new(me, run.clone()), start);
        let time = self.engine().map(|engine| engine.time().clone()).filter(Time::is_moved);
        let task = match time {
            None => self.runtime.spawn(future),
            Some(time) => self.runtime.spawn(time.attend(future)),
        };
        run.signal.attach(task.abort_handle());
    }

    /// Hands tasks to the engine, all or none.
    pub fn submit(&self, tasks: Vec<Local>) -> Result<Vec<Awaited>, TaskError> {
        let places = self.turn(|table, core, _, _| {
            if table.is_over {
                return Err(TaskError::Closed);
            }
            table.lane.check_room(tasks.len())?;
            let submit = |task| {
                let (reply, outcome) = oneshot::channel();
                (table.lane.submit(core, task, reply), outcome)
            };
            Ok(tasks.into_iter().map(submit).collect::<Vec<_>>())
        });
        let me = self.me.upgrade().ok_or(TaskError::Closed)?;
        let places = places.ok_or(TaskError::Closed)??;
        Ok(places.into_iter().map(|(place, outcome)| Awaited::new(me.clone(), place, outcome)).collect())
    }

    /// Nobody waits for this task any more.
    pub fn withdraw(&self, place: Place) {
        self.turn(|table, core, now, deeds| table.lane.withdraw(core, place, now, deeds));
    }

    /// Makes a kind of task known, with what runs it.
    pub fn register(&self, kind: TaskKind, work: KindWork) -> Result<(), TaskError> {
        let registered = self.turn(|table, core, _, deeds| {
            if table.is_over {
                return Err(TaskError::Closed);
            }
            let known = table.kinds.get(kind.name());
            if known.is_some_and(|known| !(known.is_of_a_schedule && kind.is_of_a_schedule)) {
                let text = format!("a task named {:?} is registered already", kind.name());
                return Err(TaskError::option(text));
            }
            let id = core.add_kind(kind.for_engine());
            deeds.push(Deed::Discard(table.works.insert(id, work).into_iter().collect()));
            table.kinds.insert(kind.name().clone(), kind);
            Ok(())
        });
        if let Some(engine) = self.engine() {
            engine.nudge();
        }
        registered.unwrap_or(Err(TaskError::Closed))
    }

    /// The settings of a kind, where it is registered here.
    pub fn kind(&self, name: &Name) -> Option<TaskKind> {
        self.table().kinds.get(name).cloned()
    }

    /// The kinds that run by themselves.
    #[cfg(feature = "cron")]
    pub fn scheduled_kinds(&self) -> Vec<TaskKind> {
        self.table().kinds.values().filter(|kind| kind.schedule.is_some()).cloned().collect()
    }

    /// The handler is about to be called; false if the run has been taken back.
    pub fn begin(&self, run: &Run) -> bool {
        let begun = self.turn(|table, core, now, _| match run.slot & STORED {
            _ if table.is_over => false,
            0 => table.lane.begin(core, run, now),
            _ => core.begin_stored(run.slot, run.number, now),
        });
        if begun == Some(false)
            && let Some(engine) = self.engine()
        {
            // One that may not begin any more goes back to its store.
            engine.nudge();
        }
        begun.unwrap_or(false)
    }

    /// A handler has ended.
    pub fn ended(&self, run: &Run, ended: Ended) {
        if run.slot & STORED == 0 {
            self.turn(|table, core, now, deeds| table.lane.ended(core, run, ended, now, deeds));
            return;
        }
        let delay = ended.as_ref().err().and_then(TaskError::delay);
        let outcome = match ended {
            Ok(output) => match run.desk.take_spawned() {
                spawned if spawned.is_empty() => Outcome::Ok(output.into_json()),
                spawned => Outcome::Spawned(output.into_json(), spawned),
            },
            Err(error) => Outcome::Error(Arc::new(error.into_failure())),
        };
        self.turn(|table, core, now, _| {
            table.stored.remove(&(run.slot, run.number));
            delay.into_iter().for_each(|delay| core.heed(run.slot, delay, now));
        });
        if let Some(engine) = self.engine() {
            engine.runs_ended([(run.slot, run.number, outcome)]);
        }
        self.turn(|_, _, _, _| ());
    }

    /// Ends everything at once: nobody has the executor any more, it has closed, or the handlers' runtime has
    /// ended.
    pub fn end(&self) {
        let mut deeds = Vec::new();
        {
            let mut table = self.table();
            table.is_over = true;
            table.lane.clear(&mut deeds);
            table.drop_stored(&mut deeds);
            table.kinds.clear();
            deeds.push(Deed::Discard(table.works.drain().map(|(_, work)| work).collect()));
        }
        self.perform_all(deeds);
        self.listeners.end();
        if let Some(engine) = self.engine() {
            engine.stop();
        }
    }
}

impl Table {
    /// Reads all that the core has to say.
    fn read(&mut self, core: &mut Core, desk: &dyn Fn() -> Desk, deeds: &mut Vec<Deed>) {
        while let Some(word) = core.outbox.words.pop_front() {
            if word == Word::End {
                self.drop_stored(deeds);
            }
            if word == Word::AbortAll {
                let stop = |run: &Arc<Run>| Deed::Stop {
                    run: run.clone(),
                    reason: TaskError::Closed,
                    drop_future: false,
                };
                deeds.extend(self.stored.values().map(stop));
            }
            self.lane.read(core, word, deeds);
        }
        while let Some(start) = core.next_start() {
            self.start(start, desk, deeds);
        }
        // They have been traced, and nobody else listens here.
        let _ = (core.events.take_trouble(), core.events.take_warning(), core.events.take_gates());
        let _ = (core.events.take_jump(), core.events.take_stall());
        for (slot, number, stop) in std::mem::take(&mut core.outbox.stops) {
            if let Some(run) = self.stored.get(&(slot, number)).cloned() {
                deeds.push(stopped(run, stop));
            }
        }
    }

    fn start(&mut self, start: Start, desk: &dyn Fn() -> Desk, deeds: &mut Vec<Deed>) {
        // A kind without its handler: this host is over, and gives back nothing that it cannot run.
        let Some(work) = self.works.get(&start.kind).cloned() else { return };
        let desk = desk();
        let run = Arc::new(Run {
            slot: start.slot,
            number: start.run,
            id: RunId::Stored(start.spec.id.clone()),
            name: start.spec.name.clone(),
            attempt: start.attempt,
            max_attempts: start.spec.retry.attempts.max(1),
            heeds_stop: work.heeds_stop,
            schedule: ScheduleSlot::of(&start.spec, desk.date()),
            signal: Signal::default(),
            desk,
        });
        self.stored.insert((run.slot, run.number), run.clone());
        deeds.push(Deed::LaunchStored { run, work, input: start.spec.input.clone() });
    }

    /// What still runs is given up.
    fn drop_stored(&mut self, deeds: &mut Vec<Deed>) {
        let stop = |(_, run)| Deed::Stop { run, reason: TaskError::Closed, drop_future: true };
        deeds.extend(self.stored.drain().map(stop));
    }
}

fn stopped(run: Arc<Run>, stop: Stop) -> Deed {
    let (reason, drop_future) = match stop {
        Stop::Cancelled(reason) => {
            // Said again, it means that the time for an orderly end is over.
            let is_last = run.signal.ask() || !run.heeds_stop;
            (TaskError::Cancelled(reason), is_last)
        }
        // Kinds in Rust have no functions to ask.
        Stop::Timeout(limit) | Stop::Asks { limit, .. } => (TaskError::Timeout(limit), true),
        Stop::Lost => (TaskError::Lost(1), true),
        Stop::Doubtful => (TaskError::Lost(1), false),
    };
    Deed::Stop { run, reason, drop_future }
}
