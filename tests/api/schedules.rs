//! Tasks that run by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use task::store::memory::MemoryStore;
use task::{
    CatchUp, Overlap, Pause, Schedule, Task, TaskContext, TaskError, TaskExecutor, TaskKind, TaskScheduler,
};

use super::{ends, until};

const OFTEN: Duration = Duration::from_millis(20);

/// A task that counts its runs.
fn counting(name: &str, when: impl Into<Schedule>) -> (Task, Arc<AtomicU64>) {
    let runs = Arc::new(AtomicU64::new(0));
    let seen = runs.clone();
    let handler = move || {
        let seen = seen.clone();
        async move { seen.fetch_add(1, Ordering::SeqCst) }
    };
    (Task::builder().name(name.to_owned()).schedule(when).handler(handler).build(), runs)
}

#[tokio::test]
async fn as_promised_in_the_brief() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = TaskScheduler::new();

    let task = Task::builder()
        .name("Scheduled Task")
        .schedule("0 * * * *") // Every hour
        .handler(async { "executed" })
        .build();

    scheduler.schedule(task).await?;

    let task = Task::builder()
        .name("Hourly Cleanup")
        .schedule("0 * * * *") // Every hour
        .handler(async {
            // Cleanup logic here
            Ok::<_, task::TaskError>("cleanup complete".into())
        })
        .build();

    scheduler.schedule(task).await?;
    let keys: Vec<String> = scheduler.list().await?.into_iter().map(|info| info.key).collect();
    assert_eq!(keys, ["Hourly Cleanup", "Scheduled Task"]);
    Ok(())
}

#[tokio::test]
async fn a_closure_fires_again_and_again_until_it_is_unscheduled() {
    let scheduler = TaskScheduler::new();
    let (task, runs) = counting("tick", Schedule::every(OFTEN).catch_up(CatchUp::Latest));
    let info = ends(scheduler.schedule(task)).await.unwrap();
    assert_eq!((info.every, info.overlap, info.paused), (Some(OFTEN), Overlap::Skip, None));
    until(|| runs.load(Ordering::SeqCst) >= 3).await;
    assert!(ends(scheduler.unschedule("tick")).await.unwrap());
    assert!(!ends(scheduler.unschedule("tick")).await.unwrap());
    assert!(ends(scheduler.list()).await.unwrap().is_empty());
    ends(scheduler.close()).await;
    assert_eq!(ends(scheduler.list()).await.unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[tokio::test]
async fn a_bare_future_fires_once_and_its_schedule_pauses() {
    let scheduler = TaskScheduler::new();
    let runs = Arc::new(AtomicU64::new(0));
    let seen = runs.clone();
    let handler = async move { seen.fetch_add(1, Ordering::SeqCst) };
    let task = Task::builder().name("once").schedule(Schedule::every(OFTEN)).handler(handler).build();
    ends(scheduler.schedule(task)).await.unwrap();
    until(|| runs.load(Ordering::SeqCst) == 1).await;
    let info = ends(scheduler.list()).await.unwrap().remove(0);
    assert_eq!((info.paused, info.next_run), (Some(Pause::NotRepeatable), None));
    // Another handler, which can run again, makes it fire again.
    let (task, more) = counting("once", Schedule::every(OFTEN));
    let info = ends(scheduler.schedule(task)).await.unwrap();
    assert_eq!(info.paused, None);
    until(|| more.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_run_is_told_its_slot() {
    let scheduler = TaskScheduler::new();
    let (sender, mut slots) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |context: TaskContext| {
        let sender = sender.clone();
        async move { sender.send(context.schedule().cloned()).unwrap() }
    };
    let when = Schedule::every(OFTEN).key("ticks").limit(1);
    let task = Task::builder().name("tick").schedule(when).handler(handler).build();
    let info = ends(scheduler.schedule(task)).await.unwrap();
    let slot = ends(slots.recv()).await.flatten().unwrap();
    assert_eq!((slot.key.as_str(), Some(slot.slot), slot.skipped), ("ticks", info.next_run, 0));
    assert!(slot.late < Duration::from_secs(10));
    assert_eq!(ends(scheduler.list()).await.unwrap()[0].next_run, None, "its limit is reached");
}

#[tokio::test]
async fn kinds_are_scheduled_by_start_and_by_name() {
    let executor = TaskExecutor::builder().store(Arc::new(MemoryStore::new())).build().unwrap();
    let scheduler = TaskScheduler::with_executor(executor.clone());
    let kind = TaskKind::new("nightly").schedule(Schedule::cron("0 3 * * *").time_zone("Europe/Berlin"));
    executor.register(kind, async |(): ()| Ok::<_, TaskError>(1)).unwrap();
    executor.register("double", async |n: u32| Ok::<_, TaskError>(n * 2)).unwrap();
    ends(executor.start()).await.unwrap();
    ends(scheduler.schedule_kind("double", "@hourly", 21)).await.unwrap();
    let listed = ends(scheduler.list()).await.unwrap();
    let told: Vec<_> = listed.iter().map(|info| (&*info.key, info.cron.as_deref().unwrap())).collect();
    assert_eq!(told, [("double", "@hourly"), ("nightly", "0 3 * * *")]);
    assert_eq!(listed[1].time_zone.as_deref(), Some("Europe/Berlin"));
    let handle = ends(scheduler.trigger("double")).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap().parse::<u32>().unwrap(), 42);
    ends(scheduler.pause("double")).await.unwrap();
    assert_eq!(ends(scheduler.list()).await.unwrap()[0].paused, Some(Pause::OnRequest));
    ends(scheduler.resume("double")).await.unwrap();
    assert!(ends(scheduler.list()).await.unwrap()[0].next_run.is_some());
    ends(scheduler.close()).await;
    assert!(ends(executor.counts()).await.is_ok(), "it is not the scheduler's to close");
    ends(executor.close()).await;
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused() {
    let scheduler = TaskScheduler::new();
    let refused = async |task: Task| {
        let error = ends(scheduler.schedule(task)).await.unwrap_err();
        (error.code().to_owned(), error.to_string())
    };
    let (code, text) = refused(counting("a", "60 * * * *").0).await;
    assert_eq!(code, "ERR_SCHEDULE");
    assert!(text.starts_with("minute field of the cron expression, column 1: "), "{text}");
    assert_eq!(refused(counting("a", Schedule::cron("@daily").time_zone("Mars")).0).await.0, "ERR_SCHEDULE");
    assert_eq!(refused(counting("a", Schedule::every(Duration::ZERO)).0).await.0, "ERR_OPTION");
    assert_eq!(refused(Task::builder().name("a").handler(async || 1).build()).await.0, "ERR_OPTION");
    assert_eq!(ends(scheduler.pause("a")).await.unwrap_err().to_string(), "there is no schedule \"a\"");
    let executor = TaskExecutor::new();
    executor.register("taken", async |(): ()| Ok::<_, TaskError>(1)).unwrap();
    let scheduler = TaskScheduler::with_executor(executor);
    let error = ends(scheduler.schedule(counting("taken", "@daily").0)).await.unwrap_err();
    assert_eq!(error.to_string(), "a task named \"taken\" is registered already");
}

#[test]
fn slots_can_be_asked_for_without_a_store() {
    let at = |hours: u64| UNIX_EPOCH + Duration::from_secs(hours * 3600);
    assert_eq!(TaskScheduler::preview("0 * * * *", 2, at(5)).unwrap(), [at(6), at(7)]);
    assert_eq!(TaskScheduler::next("@hourly", at(5)).unwrap(), Some(at(6)));
    assert_eq!(TaskScheduler::previous("@hourly", at(5)).unwrap(), Some(at(4)));
    let ended = Schedule::cron("@hourly").start_at(at(1)).end_at(at(2));
    assert_eq!(TaskScheduler::preview(ended, 9, SystemTime::UNIX_EPOCH).unwrap(), [at(1), at(2)]);
    assert_eq!(TaskScheduler::preview("* *", 1, at(0)).unwrap_err().code(), "ERR_SCHEDULE");
    assert_eq!(TaskScheduler::time_zone_data().len(), 5);
}
