//! Tasks of a kind, in a store, by handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use task::store::memory::MemoryStore;
use task::{RetryPolicy, TaskContext, TaskError, TaskExecutor, TaskKind, TaskState};

use super::{HANG, ends, until};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    items: Vec<String>,
}

#[tokio::test]
async fn enqueue_and_result() {
    let executor = TaskExecutor::new();
    executor.register("count", async |order: Order| Ok::<_, TaskError>(order.items.len())).unwrap();
    let order = Order { id: 1, items: vec!["a".into(), "b".into()] };
    let handle = ends(executor.enqueue("count", &order).into_future()).await.unwrap();
    assert!(handle.created());
    assert_eq!(ends(handle.result()).await.unwrap().parse::<usize>().unwrap(), 2);
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), "2", "it may be asked again");
    let info = ends(handle.status()).await.unwrap();
    assert_eq!(
        (info.state, info.name.as_str(), info.queue.as_str()),
        (TaskState::Completed, "count", "default")
    );
    assert_eq!(info.input.parse::<Order>().unwrap().id, 1);
    assert_eq!(info.output.unwrap().to_string(), "2");
    assert!(info.finished_at >= info.started_at && info.started_at >= Some(info.created_at));
    let again = ends(executor.get(handle.id())).await.unwrap().unwrap();
    assert_eq!(again.id, handle.id());
    assert!(ends(executor.get("no such id")).await.unwrap().is_none());
    assert_eq!(ends(executor.counts()).await.unwrap().of(TaskState::Completed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_of_them() {
    let executor = TaskExecutor::builder().concurrency(16).build().unwrap();
    executor.register("double", async |n: u64| Ok::<_, TaskError>(n * 2)).unwrap();
    let mut handles = Vec::new();
    for n in 0..10_000u64 {
        handles.push(ends(executor.enqueue("double", n).into_future()).await.unwrap());
    }
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(ends(handle.result()).await.unwrap().parse::<usize>().unwrap(), n * 2);
    }
    ends(executor.on_idle()).await.unwrap();
}

#[tokio::test]
async fn retries_are_recorded() {
    let executor = TaskExecutor::new();
    let kind = TaskKind::new("flaky").retry(RetryPolicy::fixed(3, 1)).queue("mail").priority(7);
    let handler = async |_: (), context: TaskContext| match context.attempt() {
        3 => Ok(context.id()),
        attempt => Err(std::io::Error::other(format!("attempt {attempt} of {}", context.max_attempts()))),
    };
    executor.register(kind, handler).unwrap();
    let handle = ends(executor.enqueue("flaky", ()).into_future()).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), handle.id());
    let info = ends(handle.status()).await.unwrap();
    let errors: Vec<_> = info.errors.iter().map(|attempt| attempt.message.as_str()).collect();
    assert_eq!(errors, ["attempt 1 of 3", "attempt 2 of 3"]);
    assert_eq!((info.queue.as_str(), info.priority, info.attempt, info.max_attempts), ("mail", 7, 3, 3));
}

#[tokio::test]
async fn a_failed_task_can_be_retried() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(2, 0));
    let works = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU32::new(0));
    let (switch, counted) = (works.clone(), calls.clone());
    let handler = move |_: ()| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready(if switch.load(Ordering::SeqCst) { Ok("at last") } else { Err("not yet") })
    };
    executor.register("stubborn", handler).unwrap();
    let handle = ends(executor.enqueue("stubborn", ()).into_future()).await.unwrap();
    let error = ends(handle.result()).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.code()), ("Error: not yet", "ERR_TASK_FAILED"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    works.store(true, Ordering::SeqCst);
    assert!(ends(handle.retry()).await.unwrap());
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), "at last");
}

#[tokio::test]
async fn inputs_that_do_not_fit_and_panics() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(3, 0));
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = move |n: u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert!(n != 13, "unlucky");
        async move { Ok::<_, TaskError>(n) }
    };
    executor.register("number", handler).unwrap();
    let handle = ends(executor.enqueue("number", "text").into_future()).await.unwrap();
    let error = ends(handle.result()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_INPUT");
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the handler has not been called");
    let handle = ends(executor.enqueue("number", 13).into_future()).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap_err().to_string(), "Panic: unlucky");
    assert_eq!(calls.load(Ordering::SeqCst), 3, "a panic is retried as an error is");
}

#[tokio::test]
async fn a_timeout_ends_a_stored_attempt() {
    let executor = TaskExecutor::new();
    let kind = TaskKind::new("slow").timeout(Duration::from_millis(20)).retry(RetryPolicy::fixed(2, 0));
    let handler = async |_: (), context: TaskContext| {
        if context.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, TaskError>(context.attempt())
    };
    executor.register(kind, handler).unwrap();
    let handle = ends(executor.enqueue("slow", ()).into_future()).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), "2");
    assert_eq!(ends(handle.status()).await.unwrap().errors[0].code, "ERR_TASK_TIMEOUT");
    let handle = ends(executor.enqueue("slow", ()).retry(RetryPolicy::none()).into_future()).await.unwrap();
    assert!(matches!(ends(handle.result()).await.unwrap_err(), TaskError::Timeout(20)));
}

#[tokio::test]
async fn cancel_waiting_and_running() {
    let executor = TaskExecutor::builder().concurrency(1).cancel_grace(HANG).build().unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let flag = begun.clone();
    let heeds = move |_: (), context: TaskContext| {
        flag.store(true, Ordering::SeqCst);
        async move { Ok::<_, TaskError>(context.stopped().await.to_string()) }
    };
    executor.register("heeds", heeds).unwrap();
    executor
        .register("heedless", async |_: ()| std::future::pending::<Result<(), TaskError>>().await)
        .unwrap();
    let running = ends(executor.enqueue("heeds", ()).into_future()).await.unwrap();
    until(|| begun.load(Ordering::SeqCst)).await;
    let waiting = ends(executor.enqueue("heeds", ()).into_future()).await.unwrap();
    assert!(ends(waiting.cancel()).await.unwrap());
    assert_eq!(ends(waiting.result()).await.unwrap_err().code(), "ERR_TASK_CANCELLED");
    assert!(ends(running.cancel()).await.unwrap());
    assert_eq!(ends(running.result()).await.unwrap_err().code(), "ERR_TASK_CANCELLED");
    assert!(!ends(running.cancel()).await.unwrap(), "it has ended");
    assert_eq!(ends(running.status()).await.unwrap().state, TaskState::Cancelled);

    // A handler that takes no context cannot be told: it is dropped at once.
    let heedless = ends(executor.enqueue("heedless", ()).into_future()).await.unwrap();
    loop {
        if ends(heedless.status()).await.unwrap().state == TaskState::Running {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(ends(heedless.cancel()).await.unwrap());
    assert_eq!(ends(heedless.result()).await.unwrap_err().code(), "ERR_TASK_CANCELLED");
    ends(executor.on_idle()).await.unwrap();
}

#[tokio::test]
async fn ids_keys_delays_and_priorities() {
    let executor = TaskExecutor::new();
    executor.register("echo", async |text: String| Ok::<_, TaskError>(text)).unwrap();
    let enqueue = |text: &str| executor.enqueue("echo", text);
    let hour = Duration::from_secs(3600);
    let first = ends(enqueue("a").id("mine").delay(hour).into_future()).await.unwrap();
    let second = ends(enqueue("a").id("mine").into_future()).await.unwrap();
    assert_eq!((first.created(), second.created(), second.id()), (true, false, "mine"));
    let error = ends(enqueue("b").id("mine").into_future()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_DUPLICATE");
    assert_eq!(ends(first.status()).await.unwrap().state, TaskState::Scheduled);
    assert!(ends(first.set_priority(3)).await.unwrap());
    assert_eq!(ends(first.status()).await.unwrap().priority, 3);
    assert!(ends(first.promote()).await.unwrap());
    assert_eq!(ends(second.result()).await.unwrap().to_string(), "a", "both are handles of one task");

    let holder = ends(enqueue("c").key("only one").delay(hour).into_future()).await.unwrap();
    let other = ends(enqueue("d").key("only one").into_future()).await.unwrap();
    assert_eq!((other.created(), other.id()), (false, holder.id()));
    assert!(ends(holder.cancel()).await.unwrap());
    let free = ends(enqueue("e").key("only one").queue("default").priority(1).into_future()).await.unwrap();
    assert_eq!(ends(free.result()).await.unwrap().to_string(), "e");
}

#[tokio::test]
async fn a_kind_has_a_limit_of_its_own_and_may_come_later() {
    let executor = TaskExecutor::builder().concurrency(8).build().unwrap();
    let mut handles = Vec::new();
    for n in 0..20 {
        handles.push(ends(executor.enqueue("narrow", n).into_future()).await.unwrap());
    }
    assert_eq!(ends(executor.counts()).await.unwrap().of(TaskState::Waiting), 20, "nobody can run them yet");
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (now, peak) = (running.clone(), most.clone());
    let handler = move |n: u32| {
        let (now, peak) = (now.clone(), peak.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, TaskError>(n)
        }
    };
    executor.register(TaskKind::new("narrow").concurrency(2), handler).unwrap();
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(ends(handle.result()).await.unwrap().parse::<usize>().unwrap(), n);
    }
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let executor = TaskExecutor::new();
    let echo = async |text: String| Ok::<_, TaskError>(text);
    executor.register("echo", echo).unwrap();
    let refused = [
        executor.register("echo", echo).unwrap_err(),
        executor.register("", echo).unwrap_err(),
        executor.register(TaskKind::new("a").concurrency(0), echo).unwrap_err(),
        executor.register(TaskKind::new("a").timeout(Duration::ZERO), echo).unwrap_err(),
        executor.register(TaskKind::new("a").queue("\n"), echo).unwrap_err(),
        ends(executor.enqueue("a\0b", ()).into_future()).await.unwrap_err(),
        ends(executor.enqueue("echo", ()).id("").into_future()).await.unwrap_err(),
        ends(executor.enqueue("echo", ()).key("").into_future()).await.unwrap_err(),
        ends(executor.enqueue("echo", ()).queue("").into_future()).await.unwrap_err(),
        ends(executor.enqueue("echo", ()).timeout(Duration::ZERO).into_future()).await.unwrap_err(),
        ends(executor.get("")).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.code(), "ERR_OPTION", "{error}");
    }
    let odd = std::collections::HashMap::from([([1], 2)]);
    let error = ends(executor.enqueue("echo", odd).into_future()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_SERIALIZE");
    assert_eq!(ends(executor.counts()).await.unwrap().unfinished(), 0, "nothing is left behind");
}

#[tokio::test]
async fn an_executor_with_a_store_starts_when_told() {
    let store = Arc::new(MemoryStore::new());
    let producer = TaskExecutor::builder().store(store.clone()).build().unwrap();
    let worker = TaskExecutor::builder().store(store).build().unwrap();
    worker.register("shared", async |n: u32| Ok::<_, TaskError>(n + 1)).unwrap();
    let handle = ends(producer.enqueue("shared", 1).into_future()).await.unwrap();
    assert_eq!(ends(worker.counts()).await.unwrap().of(TaskState::Waiting), 1);
    ends(worker.start()).await.unwrap();
    assert_eq!(
        ends(handle.result()).await.unwrap().to_string(),
        "2",
        "another executor of the store has run it"
    );
}

#[tokio::test]
async fn waiting_for_a_result_may_be_given_up() {
    let executor = TaskExecutor::new();
    executor.pause();
    executor.register("later", async |n: u32| Ok::<_, TaskError>(n)).unwrap();
    let handle = ends(executor.enqueue("later", 5).into_future()).await.unwrap();
    for _ in 0..100 {
        assert!(tokio::time::timeout(Duration::from_micros(1), handle.result()).await.is_err());
    }
    executor.resume();
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), "5");
}
