//! What can be a handler, what it may return, and what it is told.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use task::{RetryPolicy, Task, TaskContext, TaskError, TaskExecutor, TaskOutput};

use super::{ends, until};

async fn output(task: Task) -> Result<TaskOutput, TaskError> {
    ends(TaskExecutor::new().execute(task)).await
}

async fn named() -> Result<u8, std::num::ParseIntError> {
    "7".parse()
}

async fn told(context: TaskContext) -> String {
    format!("{} {}/{}", context.name(), context.attempt(), context.max_attempts())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    lines: usize,
    title: String,
}

#[tokio::test]
async fn futures_closures_and_functions() {
    let text = String::from("kept");
    let clones = {
        let text = text.clone();
        move || {
            let text = text.clone();
            async move { text }
        }
    };
    let tasks = [
        (Task::builder().handler(async move { text }).build(), "kept"),
        (Task::builder().handler(clones).build(), "kept"),
        (Task::builder().handler(|| async { 1 }).build(), "1"),
        (Task::builder().handler(async || 2.5).build(), "2.5"),
        (Task::builder().handler(named()).build(), "7"),
        (Task::builder().handler(named).build(), "7"),
        (Task::builder().name("told").handler(told).build(), "told 1/1"),
        (Task::builder().handler(|context: TaskContext| async move { context.attempt() }).build(), "1"),
        (Task::builder().handler(async |context: TaskContext| context.cancelled()).build(), "false"),
    ];
    for (at, (task, expected)) in tasks.into_iter().enumerate() {
        assert_eq!(output(task).await.unwrap().to_string(), expected, "number {at}");
    }
}

#[tokio::test]
async fn values_and_results() {
    let report = || Report { lines: 3, title: "a\"b".into() };
    let values = [
        (Task::builder().handler(async {}).build(), "null"),
        (Task::builder().handler(async { Some("x") }).build(), "\"x\""),
        (Task::builder().handler(async { Ok::<_, String>(-1i64) }).build(), "-1"),
        (Task::builder().handler(async { Ok::<u32, TaskError>(5) }).build(), "5"),
        (Task::builder().handler(async { Ok("inferred".into()) }).build(), "\"inferred\""),
        (Task::builder().handler(async { TaskOutput::new(&[1]) }).build(), "[1]"),
        (Task::builder().handler(async move { report() }).build(), r#"{"lines":3,"title":"a\"b"}"#),
    ];
    for (task, json) in values {
        assert_eq!(output(task).await.unwrap().as_json(), json);
    }
    let task =
        Task::builder().handler(async move { Ok::<_, Box<dyn Error + Send + Sync>>(report()) }).build();
    assert_eq!(output(task).await.unwrap().parse::<Report>().unwrap(), report());
}

#[tokio::test]
async fn errors_come_back_as_they_were() {
    let missing = || std::fs::read("/there/is/no/such/file").map(|bytes| bytes.len());
    let error = output(Task::builder().handler(async move { missing() }).build()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_FAILED");
    let original = error.downcast_ref::<std::io::Error>().expect("the handler's own");
    assert_eq!(original.kind(), std::io::ErrorKind::NotFound);
    assert!(error.downcast_ref::<std::fmt::Error>().is_none());

    let error = output(Task::builder().handler(async { Err::<(), _>("no luck") }).build()).await.unwrap_err();
    assert_eq!(error.to_string(), "Error: no luck");

    let error = output(Task::builder().handler(async { Err::<(), _>(TaskError::Expired) }).build()).await;
    assert!(matches!(error, Err(TaskError::Expired)));

    // What an error names as its source is found by those who print chains of errors.
    let chained = std::io::Error::other("x".parse::<u8>().unwrap_err());
    let error =
        output(Task::builder().handler(async move { Err::<(), _>(chained) }).build()).await.unwrap_err();
    let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    assert!(inner.is_some_and(|inner| inner.is::<std::num::ParseIntError>()));
}

#[tokio::test]
async fn what_json_cannot_carry_fails_the_attempt_for_good() {
    let odd = async || std::collections::HashMap::from([([1, 2], 3)]);
    let task = Task::builder().retry(RetryPolicy::fixed(5, 0)).handler(odd).build();
    assert_eq!(output(task).await.unwrap_err().code(), "ERR_TASK_SERIALIZE");
}

#[tokio::test]
async fn a_panic_is_an_attempt_that_failed() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let panics: fn() -> std::future::Ready<u8> = || panic!("before the future");
    for (task, text) in [
        (Task::builder().handler(panics).build(), "Panic: before the future"),
        (Task::builder().handler(async || -> u8 { panic!("in {}", "it") }).build(), "Panic: in it"),
        (Task::builder().handler(async { std::panic::panic_any(7) }).build(), "Panic: the handler panicked"),
    ] {
        assert_eq!(ends(executor.execute(task)).await.unwrap_err().to_string(), text);
    }
    let retried = async |context: TaskContext| match context.attempt() {
        1 => panic!("once"),
        attempt => attempt,
    };
    let task = Task::builder().retry(RetryPolicy::fixed(2, 0)).handler(retried).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "2");
}

/// Panics when it is dropped.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        panic!("a destructor of the user's");
    }
}

#[tokio::test]
async fn a_destructor_that_panics_harms_nobody() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let mine = Arc::new(Mine);
    let closure = move || {
        let held = Arc::strong_count(&mine) > 0;
        async move { held }
    };
    assert_eq!(
        ends(executor.execute(Task::builder().handler(closure).build())).await.unwrap().to_string(),
        "true"
    );
    let task = Task::builder().handler(async { "still there" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "still there");
}

#[tokio::test]
async fn a_builder_builds_one_task_and_keeps_nothing_of_it() {
    let executor = TaskExecutor::new();
    let held = Arc::new(());
    let captured = held.clone();
    let builder = Task::builder().handler(move || std::future::ready(Arc::strong_count(&captured)));
    assert_eq!(ends(executor.execute(builder.build())).await.unwrap().to_string(), "2");
    ends(executor.on_idle()).await.unwrap();
    until(|| Arc::strong_count(&held) == 1).await;
    let error = ends(executor.execute(builder.build())).await.unwrap_err();
    assert_eq!(error.to_string(), "a builder builds one task; this one has built it");
}

#[tokio::test]
async fn ids_of_tasks_differ() {
    let executor = TaskExecutor::new();
    let task = || Task::builder().handler(async |context: TaskContext| context.id()).build();
    let (one, two) = (executor.execute(task()).await.unwrap(), executor.execute(task()).await.unwrap());
    assert_ne!(one, two);
}

#[tokio::test]
async fn settings_that_cannot_be_are_named() {
    let refused = |text: Result<TaskOutput, TaskError>| match text {
        Err(error) => (error.code().to_owned(), error.to_string()),
        Ok(output) => panic!("accepted, and gave {output}"),
    };
    let long = "x".repeat(129);
    for (task, text) in [
        (
            Task::builder().name(""),
            "the name of a task is empty; 1 to 128 bytes of UTF-8 are allowed; got \"\"",
        ),
        (Task::builder().name("a\nb"), "the name of a task has a control character at byte 1"),
        (Task::builder().name(long), "the name of a task has 129 bytes of UTF-8; 1 to 128 are allowed"),
        (Task::builder().timeout(Duration::ZERO), "timeout must be longer than 0; got 0"),
        (
            Task::builder().timeout(Duration::ZERO).timeout(Duration::MAX),
            "timeout must be longer than 0; got 0",
        ),
    ] {
        let (code, message) = refused(output(task.handler(async {}).build()).await);
        assert_eq!(code, "ERR_OPTION");
        assert!(message.starts_with(text), "{message}");
    }
    let built = TaskExecutor::builder().concurrency(0).build().map(|_| ());
    assert_eq!(built.unwrap_err().to_string(), "concurrency must be from 1 to 1000000; got 0");
    let built = TaskExecutor::builder().timeout(Duration::ZERO).build().map(|_| ());
    assert_eq!(built.unwrap_err().code(), "ERR_OPTION");
}
