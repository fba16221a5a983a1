//! Schedules that fire by a hand-made clock of the store, on one engine and on several, calm and through faults.

use std::collections::BTreeSet;
use std::time::Duration;

use super::faults::{engine_on, run};
use super::*;
use crate::engine::Engine;
use crate::engine::schedule::{Pause, Template};
use crate::error::TaskError;
use crate::policy::schedule::{CatchUp, Overlap, Wanted, slot_id};
use crate::store::faulty::{Fault, Faulty, Method, MethodPlan};
use crate::store::memory::MemoryStore;
use crate::store::{Cell, Push, Query, Store, Swap};
use crate::task::Name;
use crate::time::ManualClock;

const HOUR: Millis = 3_600_000;
const BEGIN: Millis = 1_000 * HOUR;

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::at(BEGIN));
    Bench { store: Arc::new(MemoryStore::with_clock(clock.clone(), u64::MAX / 4)), clock }
}

impl Bench {
    fn engine(&self, plan: MethodPlan) -> Arc<Engine> {
        let node = TaskId::new().to_text();
        engine_on(Faulty::by_method(self.store.clone(), plan), Config { node, ..config(4) })
    }

    fn calm(&self) -> Arc<Engine> {
        self.engine(Box::new(|_, _| Fault::None))
    }

    /// The slots of a key that have become tasks.
    async fn slots(&self, key: &str) -> BTreeSet<Millis> {
        let query = Query { limit: 1000, ..Query::default() };
        let records = self.store.list(query).await.unwrap().records;
        let prefix = slot_id(key, 0).trim_end_matches('0').to_owned();
        let slot =
            |record: &crate::task::Record| record.spec.id.as_str().strip_prefix(&*prefix)?.parse().ok();
        records.iter().filter_map(slot).collect()
    }

    async fn wait_for(&self, key: &str, slots: &[Millis]) {
        let wanted: BTreeSet<Millis> = slots.iter().map(|hour| BEGIN + hour * HOUR).collect();
        for _ in 0..1000 {
            if self.slots(key).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?} are not {wanted:?}", self.slots(key).await);
    }
}

fn hourly() -> Wanted {
    Wanted { cron: Some("0 * * * *".into()), ..Wanted::default() }
}

fn template() -> Template {
    Template {
        name: "work".into(),
        queue: "default".into(),
        priority: 0,
        timeout: None,
        retry: RetryPolicy::none(),
        input: serde_json::value::to_raw_value(&1).unwrap(),
        once: false,
    }
}

fn key(text: &str) -> Name {
    text.into()
}

async fn schedule(engine: &Engine, name: &str, wanted: &Wanted) {
    engine.schedule(&key(name), wanted, template()).await.unwrap();
}

/// The scheduler has had every chance to do something, twice.
async fn settle_down(engine: &Engine) {
    for _ in 0..2 {
        engine.shared.scheduled.notify_one();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The clock that stands still otherwise has been set by so much.
fn assert_jump(engine: &Engine, by: i64) {
    let told = engine.core().events.take_jump().expect("a jump");
    assert!((told - by).abs() < 60_000, "{told} is not {by}");
}

#[test]
fn each_slot_fires_when_it_has_come() {
    run(async {
        let bench = bench();
        let engine = bench.calm();
        schedule(&engine, "hourly", &hourly()).await;
        for hour in 1..=3 {
            bench.clock.advance(HOUR);
            engine.shared.scheduled.notify_one();
            bench.wait_for("hourly", &(1..=hour).collect::<Vec<_>>()).await;
            engine.idle().await.unwrap();
        }
        let listed = engine.schedules().await.unwrap();
        assert_eq!((listed.len(), listed[0].due_at), (1, Some(BEGIN + 4 * HOUR)));
        assert_eq!(listed[0].entry.last.as_ref().unwrap().at, BEGIN + 3 * HOUR);
        engine.close(0).await;
    });
}

#[test]
fn a_clock_that_is_set_is_told_and_missed_slots_are_what_catch_up_says() {
    run(async {
        let bench = bench();
        let engine = bench.calm();
        let with = |catch_up, overlap| Wanted { catch_up, overlap, ..hourly() };
        schedule(&engine, "none", &with(CatchUp::None, Overlap::Skip)).await;
        schedule(&engine, "latest", &with(CatchUp::Latest, Overlap::Skip)).await;
        schedule(&engine, "all", &with(CatchUp::All, Overlap::Queue)).await;
        settle_down(&engine).await;
        bench.clock.advance(5 * HOUR + HOUR / 2);
        engine.shared.scheduled.notify_one();
        bench.wait_for("all", &[1, 2, 3, 4, 5]).await;
        bench.wait_for("latest", &[5]).await;
        bench.wait_for("none", &[]).await;
        assert_jump(&engine, 5 * HOUR as i64 + HOUR as i64 / 2);
        // Back by hours: nothing fires twice, and nothing before the clock has caught up.
        bench.clock.set(BEGIN + HOUR / 2);
        settle_down(&engine).await;
        assert_jump(&engine, -5 * (HOUR as i64));
        for hour in 1..=5 {
            bench.clock.set(BEGIN + hour * HOUR);
            settle_down(&engine).await;
        }
        bench.wait_for("all", &[1, 2, 3, 4, 5]).await;
        bench.clock.set(BEGIN + 6 * HOUR);
        engine.shared.scheduled.notify_one();
        bench.wait_for("all", &[1, 2, 3, 4, 5, 6]).await;
        bench.wait_for("latest", &[5, 6]).await;
        bench.wait_for("none", &[6]).await;
        engine.close(0).await;
    });
}

#[test]
fn many_engines_fire_each_slot_once_through_every_fault() {
    run(async {
        let bench = bench();
        let faults = [Fault::None, Fault::Before, Fault::After];
        let faulty = |seed: u64| -> MethodPlan {
            Box::new(move |method, call| match method {
                Method::Due | Method::Get | Method::Push | Method::Swap if call % 7 == seed => {
                    faults[seed as usize]
                }
                _ => Fault::None,
            })
        };
        let engines: Vec<_> = (0..3).map(|seed| bench.engine(faulty(seed))).collect();
        let wanted = Wanted { overlap: Overlap::Allow, catch_up: CatchUp::All, ..hourly() };
        schedule(&engines[0], "a", &wanted).await;
        schedule(&engines[0], "b", &wanted).await;
        for hour in 1..=12 {
            bench.clock.advance(HOUR);
            engines.iter().for_each(|engine| engine.shared.scheduled.notify_one());
            bench.wait_for("a", &(1..=hour).collect::<Vec<_>>()).await;
            bench.wait_for("b", &(1..=hour).collect::<Vec<_>>()).await;
        }
        for entry in engines[1].schedules().await.unwrap() {
            assert_eq!((entry.entry.cursor.fired, entry.entry.skipped), (12, 0));
        }
        for engine in engines {
            engine.close(0).await;
        }
    });
}

#[test]
fn a_paused_schedule_is_silent_and_goes_on_from_where_it_is_resumed() {
    run(async {
        let bench = bench();
        let engine = bench.calm();
        schedule(&engine, "k", &hourly()).await;
        let paused = engine.set_schedule_paused(&key("k"), true).await.unwrap();
        assert_eq!((paused.due_at, paused.entry.pause), (None, Some(Pause::OnRequest)));
        bench.clock.advance(3 * HOUR);
        settle_down(&engine).await;
        bench.wait_for("k", &[]).await;
        engine.set_schedule_paused(&key("k"), false).await.unwrap();
        bench.clock.advance(HOUR);
        engine.shared.scheduled.notify_one();
        bench.wait_for("k", &[4]).await;
        assert!(engine.unschedule(&key("k")).await.unwrap());
        assert!(!engine.unschedule(&key("k")).await.unwrap());
        let missing = engine.set_schedule_paused(&key("k"), true).await.unwrap_err();
        assert_eq!(
            (missing.code(), missing.to_string().as_str()),
            ("ERR_SCHEDULE", "there is no schedule \"k\"")
        );
        bench.clock.advance(3 * HOUR);
        settle_down(&engine).await;
        bench.wait_for("k", &[4]).await;
        engine.close(0).await;
    });
}

#[test]
fn a_trigger_is_a_run_beside_the_slots() {
    run(async {
        let bench = bench();
        let lossy = |method, call| match method {
            Method::Push if call % 2 == 0 => Fault::After,
            _ => Fault::None,
        };
        let engine = bench.engine(Box::new(lossy));
        schedule(&engine, "k", &hourly()).await;
        for n in 1..=4 {
            let pushed = engine.trigger(&key("k")).await.unwrap();
            assert!(pushed.created);
            engine.idle().await.unwrap();
            assert_eq!(engine.counts(None).await.unwrap().of(crate::task::View::Completed), n, "once");
        }
        assert_eq!(engine.schedules().await.unwrap()[0].due_at, Some(BEGIN + HOUR));
        assert!(matches!(engine.trigger(&key("x")).await, Err(TaskError::Schedule(_))));
        engine.close(0).await;
    });
}

#[test]
fn what_cannot_be_read_or_made_holds_up_no_other() {
    run(async {
        let bench = bench();
        let odd = Cell { value: "of a later version".into(), due_at: Some(BEGIN) };
        let swap = Swap { key: key("schedule/odd"), old: None, new: Some(odd) };
        bench.store.swap(swap).await.unwrap().unwrap();
        // Somebody has pushed a task under the id of the second slot, with another input.
        let id = TaskId::from(&*slot_id("k", BEGIN + 2 * HOUR));
        let foreign = Spec { id, minted: false, input: "\"other\"".into(), ..spec() };
        let pushes: Arc<[Push]> = [Push::of([foreign])].into();
        bench.store.push(pushes).await.unwrap()[0].as_ref().unwrap();
        let engine = bench.calm();
        schedule(&engine, "k", &hourly()).await;
        for hour in 1..=3 {
            bench.clock.advance(HOUR);
            engine.shared.scheduled.notify_one();
            bench.wait_for("k", &(1..=hour).chain(2..=2).collect::<Vec<_>>()).await;
            settle_down(&engine).await;
        }
        let due = bench.store.due(9).await.unwrap();
        assert!(due.cells.is_empty() && due.next_at.is_some());
        engine.close(0).await;
    });
}

#[test]
fn newer_time_zones_date_schedules_anew() {
    run(async {
        let bench = bench();
        let before = bench.calm();
        schedule(&before, "k", &hourly()).await;
        before.close(0).await;
        let cell = bench.store.read(key("schedule/k")).await.unwrap().unwrap();
        let old = cell.value.replace(crate::policy::cron::tzdb_version(), "1999z");
        assert_ne!(*old, *cell.value);
        let new = Some(Cell { value: old.into(), due_at: Some(BEGIN + 99 * HOUR) });
        let swap = Swap { key: key("schedule/k"), old: Some(cell.value.clone()), new };
        bench.store.swap(swap).await.unwrap().unwrap();
        let after = bench.calm();
        for _ in 0..400 {
            if bench.store.read(key("schedule/k")).await.unwrap() == Some(cell.clone()) {
                return after.close(0).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it has not been dated anew");
    });
}

#[test]
fn what_can_be_no_schedule_is_refused() {
    run(async {
        let bench = bench();
        let engine = bench.calm();
        let refused = async |name: &str, wanted: Wanted| {
            let error = engine.schedule(&key(name), &wanted, template()).await.unwrap_err();
            (error.code().to_owned(), error.to_string())
        };
        let cron = |text: &str| Wanted { cron: Some(text.into()), ..Wanted::default() };
        let (code, text) = refused("k", cron("61 * * * *")).await;
        assert_eq!(code, "ERR_SCHEDULE");
        assert!(text.starts_with("minute field of the cron expression, column 1:"), "{text}");
        let every = |every| Wanted { every: Some(every), ..Wanted::default() };
        assert_eq!(refused("k", every(9)).await.0, "ERR_OPTION");
        assert_eq!(refused(&"x".repeat(101), every(1000)).await.0, "ERR_OPTION");
        assert!(engine.schedules().await.unwrap().is_empty());
        engine.close(0).await;
    });
}
