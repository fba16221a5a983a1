//! Attempts, their timeout, and the error in the end. Run it with `cargo run --example retry`.

use std::time::Duration;

use task::{RetryPolicy, Task, TaskContext, TaskError, TaskExecutor};

/// A service that answers the third time, and the first time takes too long even to say no.
async fn fetch(attempt: u32) -> Result<String, std::io::Error> {
    if attempt == 1 {
        std::future::pending::<()>().await;
    }
    if attempt == 2 {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    Ok(format!("fetched at attempt {attempt}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Three runs at most, the first included.
    let policy = RetryPolicy::exponential_backoff(3, Duration::from_millis(20));
    let executor = TaskExecutor::builder().retry(policy).timeout(Duration::from_millis(100)).build()?;

    let task = Task::builder()
        .name("fetch")
        .handler(async |context: TaskContext| {
            println!("attempt {} of {}", context.attempt(), context.max_attempts());
            fetch(context.attempt()).await
        })
        .build();
    println!("{}", executor.execute(task).await?);

    // Where another run cannot help, the handler says so.
    let task = Task::builder().handler(async || Err::<(), _>(TaskError::fatal("no such page"))).build();
    println!("{}", executor.execute(task).await.unwrap_err());

    executor.close().await;
    Ok(())
}
