//! Workflows, and what a run notes down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use task::{Flow, Level, RetryPolicy, TaskContext, TaskError, TaskExecutor, TaskKind, TaskState};

use super::ends;

/// A kind `add` that adds its input to what comes before it, and fails while `broken`.
fn adding(broken: &Arc<AtomicBool>) -> TaskExecutor {
    let executor = TaskExecutor::new();
    let broken = broken.clone();
    let add = move |n: u64, context: TaskContext| {
        let broken = broken.clone();
        async move {
            if broken.load(Ordering::SeqCst) && n == 1 {
                return Err(TaskError::from(std::io::Error::other("broken")));
            }
            let mut sum = n;
            for part in context.results().await?.into_iter().flatten() {
                sum += part.parse::<u64>()?;
            }
            Ok(sum)
        }
    };
    executor.register("add", add).unwrap();
    executor
}

fn diamond(executor: &TaskExecutor) -> Flow {
    let add = |n: u64| executor.enqueue("add", n);
    Flow::new()
        .task_after("bottom", add(1000), ["left", "right"])
        .task_after("left", add(10), ["top"])
        .task_after("right", add(100), ["top"])
        .task("top", add(1))
}

#[tokio::test]
async fn a_diamond_hands_its_results_on() {
    let executor = adding(&Arc::default());
    let flow = ends(executor.enqueue_flow(diamond(&executor).id("d"))).await.unwrap();
    let results = ends(flow.results()).await.unwrap();
    assert_eq!(results["bottom"].parse::<u64>().unwrap(), 1112);
    assert_eq!((flow.id(), flow.handle("left").unwrap().id()), ("d", "d/left"));
    let info = ends(executor.flow("d/top")).await.unwrap();
    assert_eq!((info.tasks.len(), info.edges.len(), info.ended()), (4, 4, 4));
    assert_eq!(info.id.as_deref(), Some("d"));
    let again = ends(executor.enqueue_flow(diamond(&executor).id("d"))).await.unwrap();
    assert!(!again.handle("bottom").unwrap().created());
}

#[tokio::test]
async fn a_retry_revives_what_was_cancelled_because_of_it() {
    let broken = Arc::new(AtomicBool::new(true));
    let executor = adding(&broken);
    let flow = ends(executor.enqueue_flow(diamond(&executor))).await.unwrap();
    let info = ends(flow.settled()).await.unwrap();
    assert_eq!((info.counts.of(TaskState::Failed), info.counts.of(TaskState::Cancelled)), (1, 3));
    broken.store(false, Ordering::SeqCst);
    assert!(ends(flow.handle("top").unwrap().retry()).await.unwrap());
    assert_eq!(ends(flow.settled()).await.unwrap().counts.of(TaskState::Completed), 4);
    assert_eq!(ends(flow.retry()).await.unwrap(), 0, "nothing is left to revive");
}

#[tokio::test]
async fn mistakes_are_named() {
    let executor = adding(&Arc::default());
    let add = || executor.enqueue("add", 1);
    let flows = [
        (Flow::new().task("a", add()).task("a", add()), "the ref \"a\" comes twice in a flow"),
        (Flow::new().task_after("a", add(), ["b"]), "a flow has no task \"b\" to wait for"),
        (
            Flow::new().task_after("a", add(), ["b"]).task_after("b", add(), ["a"]),
            "the tasks of a flow wait for each other in a circle: a -> b -> a",
        ),
        (Flow::new().task("", add()), "the ref of a task of a flow is empty"),
    ];
    for (flow, text) in flows {
        let error = ends(executor.enqueue_flow(flow)).await.unwrap_err();
        assert_eq!(error.code(), "ERR_OPTION");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(ends(executor.counts()).await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn a_success_spawns_and_a_failure_does_not() {
    let executor = TaskExecutor::new();
    executor.register("child", async |n: u32| Ok::<_, TaskError>(n)).unwrap();
    let kind = TaskKind::new("parent").retry(RetryPolicy::fixed(2, 1));
    let parent = async |_: (), context: TaskContext| {
        let id = context.spawn("child", context.attempt(), |task| task.priority(3))?;
        if context.attempt() == 1 { Err(TaskError::from(std::io::Error::other("again"))) } else { Ok(id) }
    };
    executor.register(kind, parent).unwrap();
    let flow = Flow::new().task("parent", executor.enqueue("parent", ()));
    let flow = ends(executor.enqueue_flow(flow)).await.unwrap();
    let id = ends(flow.results()).await.unwrap()["parent"].to_string();
    let info = ends(flow.settled()).await.unwrap();
    assert_eq!(info.counts.of(TaskState::Completed), 2, "the child is part of the flow");
    let child = ends(executor.get(&id)).await.unwrap().unwrap();
    assert_eq!((child.priority, child.input.parse::<u32>().unwrap()), (3, 2));
}

#[tokio::test]
async fn a_step_runs_once_and_what_is_noted_can_be_read() {
    let ran = Arc::new(AtomicU32::new(0));
    let executor = TaskExecutor::new();
    let kind = TaskKind::new("work").retry(RetryPolicy::fixed(3, 1));
    let counted = ran.clone();
    let work = move |_: (), context: TaskContext| {
        let ran = counted.clone();
        async move {
            let step = || async { Ok::<_, TaskError>(ran.fetch_add(1, Ordering::SeqCst)) };
            let first: u32 = context.step("first", step).await?;
            let twice = context.step("first", step).await.unwrap_err();
            assert_eq!(twice.code(), "ERR_OPTION");
            context.progress(&context.attempt())?;
            context.log(Level::Warn, "tried", &serde_json::json!({ "first": first }))?;
            if context.attempt() < 3 {
                Err(TaskError::from(std::io::Error::other("again")))
            } else {
                Ok(first)
            }
        }
    };
    executor.register(kind, work).unwrap();
    let handle = ends(executor.enqueue("work", ()).into_future()).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap().parse::<u32>().unwrap(), 0);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(ends(handle.progress()).await.unwrap().unwrap().parse::<u32>().unwrap(), 3);
    let lines = ends(handle.logs()).await.unwrap();
    let seen: Vec<_> = lines.iter().map(|line| (line.attempt, line.level, line.message.as_str())).collect();
    assert_eq!(seen, [1, 2, 3].map(|attempt| (attempt, Level::Warn, "tried")));
    assert_eq!(lines[0].fields.as_ref().unwrap().as_json(), "{\"first\":0}");
}

#[tokio::test]
async fn what_is_executed_here_and_now_has_no_store_to_ask() {
    let executor = TaskExecutor::new();
    let task = task::Task::builder().handler(async |context: TaskContext| {
        let error = context.results().await.unwrap_err();
        error.code().to_owned()
    });
    assert_eq!(ends(executor.execute(task.build())).await.unwrap().to_string(), "ERR_OPTION");
}
