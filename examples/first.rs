//! One task, here and now. Run it with `cargo run --example first`.

use task::{Task, TaskExecutor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();

    let task = Task::builder().name("Process Data").handler(async { "processed" }).build();

    let result = executor.execute(task).await?;
    println!("Result: {result}");

    executor.close().await;
    Ok(())
}
