//! How many run at once, in which order, and many of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use task::{Task, TaskContext, TaskError, TaskExecutor};
use tokio::sync::Barrier;

use super::ends;

fn executor(concurrency: u32) -> TaskExecutor {
    TaskExecutor::builder().concurrency(concurrency).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tasks_sixteen_at_once() {
    let executor = executor(16);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let task = |n: usize| {
        let (running, most) = (running.clone(), most.clone());
        let handler = move || {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if n.is_multiple_of(7) {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                n * 2
            }
        };
        Task::builder().handler(handler).build()
    };
    let outputs = ends(executor.execute_all((0..10_000).map(task).collect())).await.unwrap();
    let outputs: Vec<usize> = outputs.iter().map(|output| output.parse().unwrap()).collect();
    assert_eq!(outputs, (0..10_000).map(|n| n * 2).collect::<Vec<_>>());
    assert!(most.load(Ordering::SeqCst) <= 16, "{most:?} at once");
    assert_eq!(running.load(Ordering::SeqCst), 0);
    ends(executor.on_idle()).await.unwrap();
}

#[tokio::test]
async fn as_many_as_allowed_do_run_at_once() {
    let executor = executor(8);
    let all_there = Arc::new(Barrier::new(8));
    let task = |_| {
        let all_there = all_there.clone();
        Task::builder().handler(async move { all_there.wait().await.is_leader() }).build()
    };
    let leaders = ends(executor.execute_all((0..8).map(task).collect())).await.unwrap();
    assert_eq!(leaders.iter().filter(|output| output.parse().unwrap()).count(), 1);
}

#[tokio::test]
async fn larger_priority_first_then_order_of_arrival() {
    let executor = executor(1);
    executor.pause();
    let order = Arc::new(Mutex::new(Vec::new()));
    let task = |(name, priority): (&'static str, i32)| {
        let order = order.clone();
        let handler = async move { order.lock().unwrap().push(name) };
        Task::builder().priority(priority).handler(handler).build()
    };
    let tasks = [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("e", 5)].map(task).into();
    let all = tokio::spawn({
        let executor = executor.clone();
        async move { executor.execute_all(tasks).await }
    });
    tokio::task::yield_now().await;
    assert!(order.lock().unwrap().is_empty(), "nothing starts while it is paused");
    executor.resume();
    ends(all).await.unwrap().unwrap();
    assert_eq!(*order.lock().unwrap(), ["b", "e", "a", "c", "d"]);
}

#[tokio::test]
async fn the_first_failure_is_the_answer_and_the_others_go_on() {
    let executor = executor(4);
    let ended = Arc::new(AtomicUsize::new(0));
    let (open, gate) = tokio::sync::watch::channel(false);
    let task = |n: u32| {
        let (ended, mut gate) = (ended.clone(), gate.clone());
        let handler = async move {
            if n == 2 {
                return Err("the third");
            }
            gate.wait_for(|open| *open).await.map_err(|_| "the gate is gone")?;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        };
        Task::builder().handler(handler).build()
    };
    let error = ends(executor.execute_all((0..10).map(task).collect())).await.unwrap_err();
    assert_eq!(error.to_string(), "Error: the third");
    open.send(true).unwrap();
    ends(executor.on_idle()).await.unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 9);
}

#[tokio::test]
async fn nothing_is_run_where_one_task_cannot_be() {
    let executor = executor(1);
    let ran = Arc::new(AtomicUsize::new(0));
    let task = |name: &str| {
        let ran = ran.clone();
        Task::builder().name(name).handler(async move { ran.fetch_add(1, Ordering::SeqCst) }).build()
    };
    let error = ends(executor.execute_all(vec![task("good"), task("")])).await.unwrap_err();
    assert_eq!(error.code(), "ERR_OPTION");
    ends(executor.on_idle()).await.unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert!(ends(executor.execute_all(Vec::new())).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_task_may_execute_another() {
    let executor = executor(2);
    let inner = executor.clone();
    let handler = move || {
        let inner = inner.clone();
        async move {
            let output = inner.execute(Task::builder().handler(async { 20 }).build()).await?;
            Ok::<_, TaskError>(output.parse::<u32>()? + 1)
        }
    };
    let output = ends(executor.execute(Task::builder().handler(handler).build())).await.unwrap();
    assert_eq!(output.to_string(), "21");
}

#[tokio::test]
async fn idle_is_when_nothing_waits_and_nothing_runs() {
    let executor = executor(1);
    ends(executor.on_idle()).await.unwrap();
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let task = Task::builder().handler(async move { gate.await.is_ok() }).build();
    let mut work = Box::pin(executor.execute(task));
    let mut idle = Box::pin(executor.on_idle());
    tokio::select! {
        _ = &mut work => panic!("it cannot end yet"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    tokio::select! {
        _ = &mut idle => panic!("a task is running"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    open.send(()).unwrap();
    assert_eq!(ends(work).await.unwrap().to_string(), "true");
    ends(idle).await.unwrap();
}

#[tokio::test]
async fn slots_are_used_again() {
    let executor = executor(3);
    for round in 0..300 {
        let task = Task::builder()
            .handler(move |context: TaskContext| async move { (round, context.attempt()) })
            .build();
        let output = ends(executor.execute(task)).await.unwrap();
        assert_eq!(output.parse::<(u32, u32)>().unwrap(), (round, 1));
    }
}
