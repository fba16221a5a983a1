//! Named tasks in a queue, by handle. Run it with `cargo run --example queue`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use task::{RetryPolicy, TaskContext, TaskError, TaskExecutor, TaskKind, TaskState};

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    prices: Vec<u32>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor = TaskExecutor::new();

    let kind = TaskKind::new("invoice")
        .concurrency(2)
        .timeout(Duration::from_secs(5))
        .retry(RetryPolicy::exponential_backoff(3, Duration::from_millis(10)));
    executor.register(kind, async |order: Order, context: TaskContext| {
        if context.attempt() == 1 && order.prices.is_empty() {
            return Err(TaskError::fatal("an order without items"));
        }
        Ok(format!("{} pays {}", order.customer, order.prices.iter().sum::<u32>()))
    })?;

    let ada = Order { customer: "Ada".into(), prices: vec![10, 32] };
    let handle = executor.enqueue("invoice", &ada).priority(5).key("order-1").await?;
    println!("{}", handle.result().await?);

    let empty = Order { customer: "Bob".into(), prices: Vec::new() };
    let handle = executor.enqueue("invoice", &empty).await?;
    if let Err(error) = handle.result().await {
        println!("{error}");
    }
    println!("its state: {}", handle.status().await?.state.as_str());

    let counts = executor.counts().await?;
    println!("{} completed, {} failed", counts.of(TaskState::Completed), counts.of(TaskState::Failed));
    executor.close().await;
    Ok(())
}
