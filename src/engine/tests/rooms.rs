//! Each room by itself: a store that is slow or silent in one of its methods holds up nobody else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::faults::{engine_and_host, engine_on, outcome, push, run};
use super::*;
use crate::engine::{Engine, Host, Waiter, Watch};
use crate::error::TaskError;
use crate::store::faulty::{Fault, Faulty, Method};
use crate::store::memory::MemoryStore;
use crate::store::{Push, Retention, Store, StoreError};
use crate::task::View;

fn store(plan: impl Fn(Method, u64) -> Fault + Send + Sync + 'static) -> Faulty<MemoryStore> {
    Faulty::by_method(Arc::new(MemoryStore::new()), Box::new(plan))
}

fn engine(plan: impl Fn(Method, u64) -> Fault + Send + Sync + 'static) -> Arc<Engine> {
    engine_on(store(plan), config(4))
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[test]
fn a_timeout_is_on_time_while_a_step_is_never_answered() {
    run(async {
        let silent = |method, _| if method == Method::Advance { Fault::Never } else { Fault::None };
        let engine = engine(silent);
        push(&engine, vec![spec()]).await.unwrap();
        for run in 1..=5 {
            let set = Instant::now();
            {
                let (mut core, now) = (engine.core(), engine.now());
                core.submit(timed(0, 20));
                core.poll(now);
                assert!(core.begin_local(0, run, now));
                let wake_at = core.wake_at();
                drop(core);
                engine.expect(wake_at);
            }
            wait_until("it times out", || engine.core().local_live() == 0).await;
            assert!(set.elapsed() < Duration::from_secs(2), "a timeout of 20 ms took {:?}", set.elapsed());
            engine.core().late_end();
        }
        engine.stop();
    });
}

#[test]
fn pushes_and_steps_are_under_way_together() {
    run(async {
        let advancing = Arc::new(AtomicBool::new(false));
        let seen = advancing.clone();
        let engine = engine(move |method, _| match method {
            Method::Advance => {
                seen.store(true, Ordering::SeqCst);
                Fault::Never
            }
            _ => Fault::None,
        });
        wait_until("a step is under way", || advancing.load(Ordering::SeqCst)).await;
        assert!(push(&engine, vec![spec()]).await.unwrap()[0].is_ok());
        engine.stop();
    });
}

#[test]
fn batches_at_hand_are_one_call_in_order() {
    run(async {
        let pushes = Arc::new(AtomicU64::new(0));
        let seen = pushes.clone();
        let engine = engine(move |method, _| match method {
            Method::Push if seen.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Slow(300),
            Method::Advance => Fault::Never,
            _ => Fault::None,
        });
        let all: Vec<Spec> = (0..20).map(|_| spec()).collect();
        let ids: Vec<TaskId> = all.iter().map(|spec| spec.id.clone()).collect();
        let mut answers = Vec::new();
        for (at, spec) in all.into_iter().enumerate() {
            let (sender, answer) = oneshot::channel();
            let (batch, reply) = (Ok(vec![Push::of([spec])]), |all| drop(sender.send(all)));
            engine.push(Box::new(move || batch), Box::new(reply));
            answers.push(answer);
            if at == 0 {
                wait_until("the first is on its way", || pushes.load(Ordering::SeqCst) == 1).await;
            }
        }
        for (answer, id) in answers.into_iter().zip(&ids) {
            let pushed = answer.await.unwrap().unwrap().remove(0).unwrap();
            assert_eq!(pushed[0].id, *id, "each gets its own answer");
        }
        assert_eq!(pushes.load(Ordering::SeqCst), 2, "the first, and then all the others together");
        engine.stop();
    });
}

#[test]
fn a_push_that_has_to_be_repeated_holds_up_nobody() {
    run(async {
        // The first push, whatever it has with it, never gets through; all others do.
        let poison = Arc::new(std::sync::Mutex::new(None::<TaskId>));
        let calls = AtomicU64::new(0);
        let engine = engine(move |method, _| match method {
            Method::Push if calls.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Before,
            _ => Fault::None,
        });
        let first = spec();
        *poison.lock().unwrap() = Some(first.id.clone());
        let late = tokio::spawn({
            let engine = engine.clone();
            async move { push(&engine, vec![first]).await }
        });
        let began = Instant::now();
        for _ in 0..20 {
            let next = spec();
            let id = next.id.clone();
            push(&engine, vec![next]).await.unwrap();
            assert_eq!(&*outcome(&engine, &id).await.unwrap(), "1");
        }
        assert!(late.await.unwrap().unwrap()[0].is_ok(), "it gets through at last");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        engine.close(100).await;
    });
}

#[test]
fn a_full_store_refuses_a_push_at_once() {
    run(async {
        let engine = engine(|method, _| if method == Method::Push { Fault::Full } else { Fault::None });
        let began = Instant::now();
        let refused = push(&engine, vec![spec()]).await;
        assert!(matches!(refused, Err(TaskError::Store(StoreError::Full(_)))), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(3));
        engine.close(0).await;
    });
}

#[test]
fn outcomes_are_kept_until_the_store_has_room_again() {
    run(async {
        let full = Arc::new(AtomicBool::new(false));
        let is_full = full.clone();
        let plan = move |method, _| match method {
            Method::Advance if is_full.load(Ordering::SeqCst) => Fault::Full,
            _ => Fault::None,
        };
        let (engine, host) = engine_and_host(store(plan), config(4));
        let first = spec();
        let id = first.id.clone();
        // Claims go through, and then nothing more does.
        full.store(true, Ordering::SeqCst);
        push(&engine, vec![first]).await.unwrap();
        wait_until("it is told", || !host.troubles.lock().unwrap().is_empty()).await;
        full.store(false, Ordering::SeqCst);
        assert_eq!(&*outcome(&engine, &id).await.unwrap(), "1");
        assert_eq!(engine.stale(), 0);
        engine.close(100).await;
    });
}

#[test]
fn trouble_is_told_at_most_once_a_second() {
    let mut core = core(1);
    let full = StoreError::Full("on purpose".into());
    let told: Vec<bool> = [0, 1, 999, 1_000, 1_500, 2_000].map(|now| core.events.trouble(&full, now)).into();
    assert_eq!(told, [true, false, false, true, false, true]);
    assert_eq!((core.events.take_trouble(), core.events.take_trouble()), (Some(full), None));
}

#[test]
fn a_close_ends_in_time_whatever_the_store_does() {
    for silent in [None, Some(Method::Push), Some(Method::Advance), Some(Method::Pulse), Some(Method::Leave)]
    {
        run(async move {
            let engine = engine(move |method, _| match silent {
                None => Fault::Never,
                Some(silent) if method == silent => Fault::Never,
                Some(_) => Fault::None,
            });
            let (sender, answer) = oneshot::channel();
            let batch = Ok(vec![Push::of([spec()])]);
            engine.push(Box::new(move || batch), Box::new(|answers| drop(sender.send(answers))));
            let (sender, waits) = oneshot::channel();
            engine.wait(TaskId::new(), Waiter::Channel(sender));
            let asks = tokio::spawn({
                let engine = engine.clone();
                async move { engine.counts(None).await.map(|_| ()) }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            engine.close(200).await;
            assert!(began.elapsed() < Duration::from_millis(200 + 2_000), "{:?}", began.elapsed());
            assert!(answer.await.is_ok(), "the batch is answered");
            assert!(waits.await.unwrap().is_err(), "and so is whoever waits");
            assert!(matches!(asks.await.unwrap(), Ok(()) | Err(TaskError::Closed)));
        });
    }
}

#[test]
fn a_beat_that_is_never_answered_is_made_again() {
    run(async {
        let beats = Arc::new(AtomicU64::new(0));
        let seen = beats.clone();
        let plan = move |method, _| match method {
            Method::Pulse if seen.fetch_add(1, Ordering::SeqCst) < 2 => Fault::Never,
            _ => Fault::None,
        };
        let engine = engine_on(store(plan), Config { lease: 400, ..config(1) });
        wait_until("it beats a third time", || beats.load(Ordering::SeqCst) > 2).await;
        push(&engine, vec![spec()]).await.unwrap();
        engine.idle().await.unwrap();
        engine.close(100).await;
    });
}

#[test]
fn a_panic_while_claims_are_taken_in_takes_none_of_them_in_twice() {
    let mut core = started(config(4));
    let step = core.step(0).unwrap();
    let claims = (1..=3).map(|epoch| claimed(spec(), epoch)).collect();
    let turn = Arc::new(Turn { claimed: claims, ..Turn::default() });
    core.heard(turn.clone(), 1);
    assert!(core.take_in_some(2, 1));
    // Here the room fails. What it does first when it opens again:
    assert!(core.step(2).is_none(), "the step is not sent again");
    assert!(!core.is_quiet());
    while core.take_in_some(64, 2) {}
    core.poll(2);
    let started: Vec<TaskId> = starts(&mut core).into_iter().map(|start| start.spec.id.clone()).collect();
    let claimed: Vec<TaskId> = turn.claimed.iter().map(|claimed| claimed.spec.id.clone()).collect();
    assert_eq!(started, claimed);
    core.hint();
    assert_eq!(core.step(3).map(|next| next.turn_no), Some(step.turn_no + 1));
}

#[test]
fn an_outcome_that_comes_about_elsewhere_reaches_everybody_who_waits() {
    run(async {
        let memory = Arc::new(MemoryStore::new());
        let plain = || Faulty::new(memory.clone(), Box::new(|_| Fault::None));
        let producer =
            engine_on(plain(), Config { queues: Some(Vec::new()), node: "here".into(), ..config(1) });
        let worker = engine_on(plain(), Config { node: "there".into(), ..config(8) });
        let specs: Vec<Spec> = (0..900).map(|_| spec()).collect();
        let ids: Vec<TaskId> = specs.iter().map(|spec| spec.id.clone()).collect();
        push(&producer, specs).await.unwrap();
        for id in &ids {
            assert_eq!(&*outcome(&producer, id).await.unwrap(), "1");
        }
        producer.close(100).await;
        worker.close(100).await;
    });
}

/// A host that is called and never begins anything.
struct Idle;

impl Host for Idle {
    fn wake(&self) {}
}

#[test]
fn what_is_claimed_and_has_not_begun_is_seen_waiting() {
    run(async {
        let store = Arc::new(MemoryStore::new());
        let settings = Config { give_back_after: 600_000, ..config(2) };
        let engine = Arc::new(Engine::new(settings, store.clone(), Retention::default(), Arc::new(Idle)));
        engine.core().add_kind(Kind::new("work"));
        engine.start();
        let specs: Vec<Spec> = (0..5).map(|_| spec()).collect();
        let ids: Vec<TaskId> = specs.iter().map(|spec| spec.id.clone()).collect();
        push(&engine, specs).await.unwrap();
        let in_store = || store.counts(None).now_or_never().unwrap().unwrap().of(View::Running);
        wait_until("two are claimed", || in_store() == 2).await;
        wait_until("and handed over", || engine.core().outbox.starts.len() == 2).await;
        let start = engine.core().next_start().unwrap();
        assert!(engine.core().begin_stored(start.slot, start.run, 0));
        let counts = engine.counts(None).await.unwrap();
        assert_eq!((counts.of(View::Running), counts.of(View::Waiting)), (1, 4));
        let elsewhere = engine.counts(Some("elsewhere".into())).await.unwrap();
        assert_eq!(elsewhere.unfinished(), 0);
        let found = engine.get(ids).await.unwrap();
        let running = found.records.iter().flatten().filter(|it| it.status.view(found.now) == View::Running);
        assert_eq!(running.count(), 1);
        engine.close(0).await;
    });
}

#[test]
fn every_awaited_task_is_asked_about_in_its_turn() {
    let mut watch = Watch::default();
    let ids: Vec<TaskId> = (0..25).map(|_| TaskId::new()).collect();
    ids.iter().zip(0..).for_each(|(id, token)| watch.wait(id.clone(), Waiter::Token(token)));
    let mut asked: Vec<TaskId> = (0..3).flat_map(|_| watch.awaited(10)).collect();
    assert_eq!(asked.len(), 25);
    asked.sort();
    let mut all = ids.clone();
    all.sort();
    assert_eq!(asked, all, "three questions are about all of them");
    watch.end(&ids[0], &Ok("1".into()));
    let again: Vec<TaskId> = (0..3).flat_map(|_| watch.awaited(10)).collect();
    assert!(again.len() == 24 && !again.contains(&ids[0]));
}
