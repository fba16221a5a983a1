//! The Redis store on real servers, which the tests start for themselves: the contract of a store, and what
//! happens when the server, the line or the memory gives way.
#![cfg(all(unix, feature = "redis"))]

#[path = "redis/access.rs"]
mod access;
#[path = "redis/conformance.rs"]
mod conformance;
#[path = "redis/crew.rs"]
mod crew;
#[path = "redis/engine.rs"]
mod engine;
#[path = "redis/failover.rs"]
mod failover;
#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/limits.rs"]
mod limits;
#[path = "redis/line.rs"]
mod line;
#[path = "limits/mod.rs"]
mod promises;
#[path = "redis/proxy.rs"]
mod proxy;
#[path = "redis/race.rs"]
mod race;
#[path = "redis/rig.rs"]
mod rig;
#[path = "redis/sentinel.rs"]
mod sentinel;
mod storm;
#[path = "redis/throughput.rs"]
mod throughput;
#[path = "redis/verify.rs"]
mod verify;

/// Runs a test on a runtime of its own.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test)
}
