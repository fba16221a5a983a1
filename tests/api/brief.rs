//! The lines that the library's users were promised, unchanged but for what they leave out.

use std::time::Duration;

#[cfg(feature = "cron")]
use task::TaskScheduler;
use task::{RateLimiter, RetryPolicy, Task, TaskExecutor};

#[tokio::test]
async fn basic_task_execution() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();

    let task = Task::builder().name("Process Data").handler(async { "processed" }).build();

    let result = executor.execute(task).await?;

    assert_eq!(format!("Result: {}", result), "Result: processed");

    Ok(())
}

#[test]
fn creating_tasks() {
    let task =
        Task::builder().name("Task 1").description("Process user data").handler(async { "result" }).build();

    assert_eq!((task.name(), task.description()), ("Task 1", Some("Process user data")));
}

#[tokio::test]
async fn parallel_execution() -> Result<(), Box<dyn std::error::Error>> {
    let task1 = Task::builder().handler(async { 1 }).build();
    let task2 = Task::builder().handler(async || "two").build();
    let task3 = Task::builder().handler(async { Ok::<_, std::fmt::Error>([3]) }).build();
    let executor = TaskExecutor::new();

    let tasks = vec![task1, task2, task3];
    let results = executor.execute_all(tasks).await?;

    assert_eq!(results.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1", "two", "[3]"]);
    Ok(())
}

#[tokio::test]
async fn example_1_simple_task_with_retry() -> Result<(), Box<dyn std::error::Error>> {
    let retry_policy = RetryPolicy::exponential_backoff(3, Duration::from_secs(1));
    let executor = TaskExecutor::with_retry(retry_policy);

    let task = Task::builder()
        .name("Data Processing")
        .handler(async {
            // Your task logic here
            Ok::<_, task::TaskError>("processed".into())
        })
        .build();

    let result = executor.execute(task).await?;
    assert_eq!(format!("Result: {:?}", result), "Result: \"processed\"");

    Ok(())
}

#[tokio::test]
async fn example_2_parallel_task_execution() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();

    let tasks = (0..10)
        .map(|i| {
            Task::builder()
                .name(format!("Task {}", i))
                .handler(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok::<_, task::TaskError>(format!("Result {}", i).into())
                })
                .build()
        })
        .collect();

    let results = executor.execute_all(tasks).await?;
    assert_eq!(format!("Completed {} tasks", results.len()), "Completed 10 tasks");
    for (i, result) in results.iter().enumerate() {
        assert_eq!(result.to_string(), format!("Result {i}"));
    }

    Ok(())
}

#[cfg(feature = "cron")]
#[tokio::test]
async fn task_scheduling() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = TaskScheduler::new();

    let task = Task::builder()
        .name("Scheduled Task")
        .schedule("0 * * * *") // Every hour
        .handler(async { "executed" })
        .build();

    let info = scheduler.schedule(task).await?;
    assert_eq!(info.next_run.map(|at| seconds_of(at) % 3600), Some(0));
    Ok(())
}

#[cfg(feature = "cron")]
#[tokio::test]
async fn example_3_scheduled_task() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = TaskScheduler::new();

    let task = Task::builder()
        .name("Hourly Cleanup")
        .schedule("0 * * * *") // Every hour
        .handler(async {
            // Cleanup logic here
            Ok::<_, task::TaskError>("cleanup complete".into())
        })
        .build();

    let info = scheduler.schedule(task).await?;
    assert!(info.next_run.is_some());
    Ok(())
}

#[tokio::test]
async fn example_4_task_with_rate_limiting() -> Result<(), Box<dyn std::error::Error>> {
    let rate_limiter = RateLimiter::with_defaults();
    let executor = TaskExecutor::with_rate_limiter(rate_limiter);

    let task = Task::builder()
        .name("API Request")
        .handler(async {
            // Make API request
            Ok::<_, task::TaskError>("response".into())
        })
        .build();

    let result = executor.execute(task).await?;
    assert_eq!(result.to_string(), "response");
    Ok(())
}

#[cfg(feature = "cron")]
fn seconds_of(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn persistence() -> Result<(), Box<dyn std::error::Error>> {
    // As written it names `tasks.db` in the working directory, and touches nothing before it is needed.
    let executor = TaskExecutor::with_persistence("sqlite")?;
    drop(executor);
    assert!(!std::path::Path::new("tasks.db").exists());
    Ok(())
}

#[tokio::test]
async fn metrics() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();
    executor.enable_metrics().await?;

    executor.execute(Task::builder().handler(async { 1 }).build()).await?;
    let metrics = executor.get_metrics().await?;

    assert_eq!(metrics.totals.completed, 1);
    Ok(())
}

#[tokio::test]
async fn an_output_is_shown_as_text_and_read_as_a_value() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();
    let numbers = executor.execute(Task::builder().handler(async { vec![1, 2] }).build()).await?;
    assert_eq!((numbers.to_string(), numbers.parse::<Vec<u8>>()?), ("[1,2]".into(), vec![1, 2]));
    let text = executor.execute(Task::builder().handler(async { "plain" }).build()).await?;
    assert_eq!((text.to_string(), text.parse::<String>()?), ("plain".into(), "plain".into()));
    assert!(text.parse::<u8>().is_err());
    Ok(())
}
