//! The rooms on stores that fail, lose answers, or panic.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::*;
use crate::engine::{Engine, Host, PushResult, Waiter};
use crate::error::TaskError;
use crate::store::faulty::{Fault, Faulty, Method, Plan};
use crate::store::memory::MemoryStore;
use crate::store::{Push, Retention, StoreError};

/// A host that runs every task at once and well.
#[derive(Default)]
pub(super) struct Obliging {
    engine: Mutex<Option<std::sync::Weak<Engine>>>,
    pub(super) troubles: Mutex<Vec<StoreError>>,
}

impl Host for Obliging {
    fn wake(&self) {
        let engine = self.engine.lock().unwrap().as_ref().and_then(std::sync::Weak::upgrade);
        let Some(engine) = engine else { return };
        let now = engine.now();
        let mut core = engine.core();
        core.host_turned(now);
        self.troubles.lock().unwrap().extend(core.events.take_trouble());
        while let Some(start) = core.next_start() {
            if core.begin_stored(start.slot, start.run, now) {
                core.ended(start.slot, start.run, ok(), now);
            }
        }
        drop(core);
        engine.nudge();
    }
}

fn engine(plan: Plan) -> Arc<Engine> {
    engine_on(Faulty::new(Arc::new(MemoryStore::new()), plan), config(4))
}

/// A started engine on this store, whose tasks all end well at once.
pub(super) fn engine_on(store: Faulty<MemoryStore>, config: Config) -> Arc<Engine> {
    engine_and_host(store, config).0
}

pub(super) fn engine_and_host(store: Faulty<MemoryStore>, config: Config) -> (Arc<Engine>, Arc<Obliging>) {
    let host = Arc::new(Obliging::default());
    let engine = Arc::new(Engine::new(config, Arc::new(store), Retention::default(), host.clone()));
    *host.engine.lock().unwrap() = Some(Arc::downgrade(&engine));
    engine.core().add_kind(Kind::new("work"));
    engine.start();
    (engine, host)
}

/// Pushes tasks, one `Push` each, and waits for the answer.
pub(super) async fn push(engine: &Engine, specs: Vec<Spec>) -> Result<Vec<PushResult>, TaskError> {
    let (sender, answer) = oneshot::channel();
    let one = |spec| Push::of([spec]);
    let batch = Ok(specs.into_iter().map(one).collect());
    engine.push(Box::new(move || batch), Box::new(move |answers| drop(sender.send(answers))));
    answer.await.expect("every batch is answered")
}

pub(super) async fn outcome(engine: &Engine, id: &TaskId) -> super::super::Final {
    let (sender, outcome) = oneshot::channel();
    engine.wait(id.clone(), Waiter::Channel(sender));
    outcome.await.expect("every waiter is answered")
}

pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let patient = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("it hangs") };
    runtime.block_on(patient)
}

/// Every task that was accepted ends well, once.
async fn work_through(engine: &Engine, n: usize) {
    let specs: Vec<Spec> = (0..n).map(|_| spec()).collect();
    let ids: Vec<TaskId> = specs.iter().map(|spec| spec.id.clone()).collect();
    let answers = push(engine, specs).await.expect("the store comes back");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|pushed| pushed[0].created)));
    for id in &ids {
        assert_eq!(&*outcome(engine, id).await.expect("it ends well"), "1");
    }
    engine.idle().await.unwrap();
    assert_eq!(engine.stale(), 0);
}

#[test]
fn calls_that_fail_or_lose_their_answer_are_made_again() {
    for fault in [Fault::Before, Fault::After] {
        run(async {
            let plan: Plan =
                Box::new(move |call| if call % 5 == 3 && call < 60 { fault } else { Fault::None });
            let engine = engine(plan);
            work_through(&engine, 50).await;
            engine.close(100).await;
        });
    }
}

#[test]
fn a_panic_in_the_store_ends_neither_the_engine_nor_an_answer() {
    run(async {
        let (pushes, steps) = (AtomicU64::new(0), AtomicU64::new(0));
        let plan = move |method, _| {
            let fails = match method {
                Method::Push => pushes.fetch_add(1, Ordering::SeqCst) == 0,
                Method::Advance => steps.fetch_add(1, Ordering::SeqCst) == 1,
                _ => false,
            };
            assert!(!fails, "on purpose: {method:?}");
            Fault::None
        };
        let store = Faulty::by_method(Arc::new(MemoryStore::new()), Box::new(plan));
        let engine = engine_on(store, config(4));
        let first = push(&engine, vec![spec()]).await;
        assert!(matches!(first, Err(TaskError::Engine(_))), "{first:?}");
        work_through(&engine, 20).await;
        engine.close(100).await;
    });
}

#[test]
fn a_batch_that_panics_is_refused_and_the_next_one_works() {
    run(async {
        let engine = engine(Box::new(|_| Fault::None));
        let (sender, answer) = oneshot::channel();
        engine.push(
            Box::new(|| panic!("on purpose: a batch that cannot be read")),
            Box::new(move |answers| drop(sender.send(answers.map(|_| ())))),
        );
        assert!(matches!(answer.await, Ok(Err(TaskError::Engine(_)))));
        work_through(&engine, 3).await;
        assert!(engine.is_quiet());
    });
}

#[test]
fn what_has_a_moment_is_on_time_while_the_store_fails() {
    run(async {
        let engine = engine(Box::new(|_| Fault::Before));
        let until = Instant::now() + Duration::from_millis(1_500);
        let (mut late, mut run) = (Duration::ZERO, 0);
        // By then the pauses between two tries have grown to a second.
        while Instant::now() < until {
            let set = Instant::now();
            {
                let (mut core, now) = (engine.core(), engine.now());
                core.submit(timed(0, 20));
                core.poll(now);
                run += 1;
                assert!(core.begin_local(0, run, now));
                let wake_at = core.wake_at();
                drop(core);
                engine.expect(wake_at);
            }
            while engine.core().local_live() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let mut core = engine.core();
            core.late_end();
            core.outbox.words.clear();
            late = late.max(set.elapsed());
        }
        assert!(late < Duration::from_millis(500), "a timeout of 20 ms took {late:?}");
    });
}

#[test]
fn after_the_end_every_waiter_is_answered_at_once() {
    run(async {
        let engine = engine(Box::new(|_| Fault::None));
        let done = spec();
        let id = done.id.clone();
        push(&engine, vec![done]).await.unwrap();
        engine.watch().hold(id.clone(), true);
        outcome(&engine, &id).await.unwrap();
        let unknown = TaskId::new();
        let waits = outcome(&engine, &unknown);
        engine.close(0).await;
        assert!(matches!(waits.await, Err(TaskError::NotFound(_) | TaskError::Closed)));
        assert!(matches!(outcome(&engine, &TaskId::new()).await, Err(TaskError::Closed)));
        assert!(outcome(&engine, &id).await.is_ok(), "what is known is known");
    });
}
