//! Many tasks, so many at once. Run it with `cargo run --example parallel`.

use std::time::{Duration, Instant};

use task::{Task, TaskError, TaskExecutor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::builder().concurrency(5).build()?;

    let tasks = (0..10)
        .map(|i| {
            Task::builder()
                .name(format!("Task {i}"))
                .handler(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok::<_, TaskError>(format!("Result {i}").into())
                })
                .build()
        })
        .collect();

    let began = Instant::now();
    let results = executor.execute_all(tasks).await?;
    println!("Completed {} tasks in {:?}, five at a time", results.len(), began.elapsed());
    println!("The last one says: {}", results[9]);

    executor.close().await;
    Ok(())
}
