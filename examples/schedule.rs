//! Tasks at dates. Run it with `cargo run --features cron --example schedule`.

use std::time::{Duration, UNIX_EPOCH};

use task::{Schedule, Task, TaskContext, TaskScheduler};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = TaskScheduler::new();

    let task = Task::builder()
        .name("Hourly Cleanup")
        .schedule("0 * * * *") // Every hour
        .handler(async |context: TaskContext| {
            let key = context.schedule().map_or("nobody", |slot| &slot.key).to_owned();
            Ok::<_, task::TaskError>(format!("cleanup complete, for {key}").into())
        })
        .build();
    scheduler.schedule(task).await?;

    // A run beside the slots, to see that it works.
    let run = scheduler.trigger("Hourly Cleanup").await?;
    println!("{}", run.result().await?);

    // Pure functions tell the slots, in any time zone.
    let nightly = Schedule::cron("30 2 * * *").time_zone("America/New_York");
    let march = UNIX_EPOCH + Duration::from_secs(1_772_841_600);
    for slot in TaskScheduler::preview(nightly, 3, march)? {
        println!("{} s later", slot.duration_since(march)?.as_secs());
    }

    if let Err(error) = TaskScheduler::preview("0 25 * * *", 1, march) {
        println!("{}: {error}", error.code());
    }
    scheduler.close().await;
    Ok(())
}
