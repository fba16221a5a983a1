//! Metrics, events and findings.

use std::time::Duration;

use futures_util::StreamExt;
use task::{RetryPolicy, Task, TaskError, TaskExecutor, TaskKind};

use super::ends;

#[tokio::test]
async fn the_lines_of_the_brief() -> Result<(), TaskError> {
    let executor = TaskExecutor::new();
    executor.enable_metrics().await?;
    executor
        .execute(Task::builder().name("x").handler(async || Ok::<_, TaskError>("y".into())).build())
        .await?;
    let metrics = ends(executor.get_metrics()).await?;
    assert_eq!((metrics.totals.enqueued, metrics.totals.completed), (1, 1));
    assert_eq!(metrics.per_task["(closure)"].duration.count, 1);
    assert!(metrics.enabled && metrics.uptime >= 0.0);
    Ok(())
}

#[tokio::test]
async fn counters_are_the_history() {
    let executor = TaskExecutor::builder().concurrency(8).build().unwrap();
    let kind = TaskKind::new("mixed").queue("q").retry(RetryPolicy::fixed(2, 1));
    let handler = async |n: u32, context: task::TaskContext| match (n % 3, context.attempt()) {
        (0, _) | (1, 2) => Ok::<u32, TaskError>(n),
        _ => Err(TaskError::new("no")),
    };
    executor.register(kind, handler).unwrap();
    for n in 0..300u32 {
        ends(executor.enqueue("mixed", n).into_future()).await.unwrap();
    }
    ends(executor.on_idle()).await.unwrap();
    let metrics = ends(executor.get_metrics()).await.unwrap();
    let totals = metrics.totals;
    assert_eq!((totals.enqueued, totals.completed, totals.failed, totals.retried), (300, 200, 100, 200));
    assert_eq!(metrics.per_task["mixed"].totals, totals);
    assert_eq!((metrics.current.completed, metrics.queues["q"].failed), (200, 100));
    let text = ends(executor.metrics_text()).await.unwrap();
    let line = "task_completed_total{queue=\"q\",task=\"mixed\"} 200";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[tokio::test]
async fn events_come_in_order_and_end_with_the_executor() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let kind = TaskKind::new("flaky").retry(RetryPolicy::fixed(2, 1));
    let handler = async |_: (), context: task::TaskContext| match context.attempt() {
        1 => Err(TaskError::new("not yet")),
        _ => Ok::<(), TaskError>(()),
    };
    executor.register(kind, handler).unwrap();
    let events = executor.events();
    let slow = executor.events();
    let handle = ends(executor.enqueue("flaky", ()).into_future()).await.unwrap();
    ends(handle.result()).await.unwrap();
    ends(executor.close()).await;
    let told: Vec<_> = ends(events.collect::<Vec<_>>()).await;
    assert!(told.iter().all(|event| event.id() == handle.id() && event.name() == "flaky"));
    // Who pushes and who runs are told of side by side.
    let words: Vec<_> =
        told.iter().map(|event| event.what.as_str()).filter(|word| *word != "waiting").collect();
    assert_eq!(words, ["running", "failed", "running", "completed"]);
    assert_eq!(told.len(), 5);
    assert_eq!(ends(slow.count()).await, 5, "each listener is told all");
    let late = executor.events();
    assert_eq!(ends(late.count()).await, 0);
}

#[tokio::test]
async fn a_listener_that_has_gone_costs_nothing() {
    let executor = TaskExecutor::new();
    executor.register("work", async |n: u32| Ok::<_, TaskError>(n)).unwrap();
    drop(executor.events());
    for n in 0..10u32 {
        let handle = ends(executor.enqueue("work", n).into_future()).await.unwrap();
        ends(handle.result()).await.unwrap();
    }
    assert_eq!(ends(executor.get_metrics()).await.unwrap().performance.dropped_events, 0);
}

#[tokio::test]
async fn the_doctor_looks_at_the_store() {
    let executor = TaskExecutor::new();
    let found = ends(executor.doctor()).await.unwrap();
    assert!(found.store_answers && found.warnings.is_empty(), "{found:?}");
    assert_eq!(found.version, env!("CARGO_PKG_VERSION"));
    executor.close().await;
    assert_eq!(ends(executor.doctor()).await.unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
    assert_eq!(ends(executor.enable_metrics()).await.unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[tokio::test]
async fn times_are_those_of_the_handlers() {
    let executor = TaskExecutor::new();
    executor.enable_metrics().await.unwrap();
    let nap = async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, TaskError>("".into())
    };
    ends(executor.execute(Task::builder().handler(nap).build())).await.unwrap();
    let metrics = ends(executor.get_metrics()).await.unwrap();
    assert!(metrics.duration.min >= 0.02, "{}", metrics.duration.min);
}
