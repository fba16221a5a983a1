//! What is kept of ended tasks, and what is forgotten.

use crate::store::{Keep, Retention, Settled};
use crate::task::{Outcome, Spec, State, TaskId};

use super::stage::{Stage, done, failure, fate, id, ids, spec, specs};

const ALL: Keep = Keep { age: None, count: None, bytes: None };
const KEEP_ALL: Retention = Retention { completed: ALL, failed: ALL, cancelled: ALL };

async fn prune(on: &Stage, limits: Retention, max: usize) -> usize {
    on.store().prune(limits, max).await.unwrap()
}

/// Completed tasks `task-0`, `task-1`, ..., in the order of their ends.
async fn completed(on: &Stage, count: usize) {
    on.push(specs("task", count)).await;
    for run in on.claim("node", count as u32).await {
        on.end("node", &run, done()).await;
    }
}

async fn left(on: &Stage) -> Vec<String> {
    let records = on.list(crate::store::Query { limit: 10_000, ..Default::default() }).await.records;
    records.iter().rev().map(|record| record.spec.id.to_string()).collect()
}

pub async fn the_newest_are_kept_by_count(on: &Stage) {
    completed(on, 5).await;
    let limits = Retention { completed: Keep { count: Some(2), ..ALL }, ..KEEP_ALL };
    assert_eq!(prune(on, limits, 2).await, 2, "no more than asked for");
    assert_eq!(left(on).await, ["task-2", "task-3", "task-4"], "oldest first");
    assert_eq!(prune(on, limits, 99).await, 1);
    assert_eq!(prune(on, limits, 99).await, 0);
    assert_eq!(left(on).await, ["task-3", "task-4"]);
}

pub async fn age_counts_from_the_end(on: &Stage) {
    on.push(specs("task", 2)).await;
    on.run_one("node").await;
    on.pass(1000).await;
    on.run_one("node").await;
    let limits = Retention { completed: Keep { age: Some(700), ..ALL }, ..KEEP_ALL };
    assert_eq!(prune(on, limits, 99).await, 1);
    assert_eq!(left(on).await, ["task-1"]);
}

pub async fn bytes_are_those_of_inputs_and_outputs(on: &Stage) {
    let sized =
        |task: &str, size: usize| Spec { input: format!("\"{}\"", "x".repeat(size)).into(), ..spec(task) };
    on.push(vec![sized("a", 1000), sized("b", 10), sized("c", 1000)]).await;
    for run in on.claim("node", 9).await {
        on.end("node", &run, Outcome::Ok(format!("\"{}\"", "y".repeat(500)).into())).await;
    }
    let within = |bytes| Retention { completed: Keep { bytes: Some(bytes), ..ALL }, ..KEEP_ALL };
    assert_eq!(prune(on, within(4000), 99).await, 0);
    assert_eq!(prune(on, within(3500), 99).await, 1);
    assert_eq!(left(on).await, ["b", "c"]);
    assert_eq!(prune(on, within(0), 99).await, 2);
}

pub async fn each_final_state_has_limits_of_its_own(on: &Stage) {
    on.push(specs("task", 6)).await;
    let runs = on.claim("node", 6).await;
    for (n, outcome) in [done(), failure(), Outcome::Cancelled("no".into())].into_iter().enumerate() {
        on.settle("node", runs[2 * n..2 * n + 2].iter().map(|run| fate(run, outcome.clone())).collect())
            .await;
    }
    let one = Keep { count: Some(1), ..ALL };
    for (limits, gone) in [
        (Retention { completed: one, ..KEEP_ALL }, "task-0"),
        (Retention { failed: one, ..KEEP_ALL }, "task-2"),
        (Retention { cancelled: one, ..KEEP_ALL }, "task-4"),
    ] {
        assert_eq!(prune(on, limits, 99).await, 1);
        assert!(on.find(&id(gone)).await.is_none());
    }
    assert_eq!(left(on).await, ["task-1", "task-3", "task-5"]);
}

pub async fn the_tightest_limit_wins(on: &Stage) {
    completed(on, 4).await;
    let keep = Keep { count: Some(3), age: Some(super::stage::LONG), bytes: Some(u64::MAX) };
    assert_eq!(prune(on, Retention { completed: keep, ..KEEP_ALL }, 99).await, 1);
    let keep = Keep { count: Some(99), bytes: Some(0), ..ALL };
    assert_eq!(prune(on, Retention { completed: keep, ..KEEP_ALL }, 99).await, 3);
}

pub async fn what_has_not_ended_is_kept(on: &Stage) {
    on.push(specs("task", 3)).await;
    on.claim_one("node").await;
    let none = Keep { age: Some(0), count: Some(0), bytes: Some(0) };
    on.pass(10).await;
    assert_eq!(prune(on, Retention { completed: none, failed: none, cancelled: none }, 99).await, 0);
    assert_eq!(on.claim("node", 9).await.len(), 2);
}

pub async fn a_revived_task_counts_from_its_new_end(on: &Stage) {
    completed(on, 3).await;
    on.amend(&id("task-0"), crate::store::Amend::Retry).await;
    let limits = |count| Retention { completed: Keep { count: Some(count), ..ALL }, ..KEEP_ALL };
    assert_eq!(prune(on, limits(1), 99).await, 1);
    assert_eq!(left(on).await, ["task-0", "task-2"]);
    on.run_one("node").await;
    assert_eq!(prune(on, limits(1), 99).await, 1);
    assert_eq!(left(on).await, ["task-0"]);
}

pub async fn a_pruned_id_is_free_and_its_epochs_are_not(on: &Stage) {
    on.add(spec("task")).await;
    let mut runs = vec![on.claim_one("node").await];
    for _ in 0..3 {
        on.end("node", runs.last().unwrap(), done()).await;
        let none = Keep { count: Some(0), ..ALL };
        assert_eq!(prune(on, Retention { completed: none, ..KEEP_ALL }, 99).await, 1);
        assert!(on.find(&id("task")).await.is_none());
        on.add(Spec { input: "2".into(), ..spec("task") }).await;
        let run = on.claim_one("node").await;
        assert!(run.epoch > runs.last().unwrap().epoch);
        let old = runs.iter().map(|run| fate(run, failure())).collect();
        assert!(on.settle("node", old).await.iter().all(|settled| *settled == Settled::Stale));
        runs.push(run);
    }
    assert_eq!(on.state(&id("task")).await, State::Running);
}

pub async fn a_key_outlives_no_pruned_task(on: &Stage) {
    on.add(super::stage::keyed("first", crate::task::Conflict::Refuse)).await;
    on.run_one("node").await;
    let none = Keep { count: Some(0), ..ALL };
    prune(on, Retention { completed: none, ..KEEP_ALL }, 99).await;
    on.add(super::stage::keyed("second", crate::task::Conflict::Refuse)).await;
    assert_eq!(ids(&on.claim("node", 9).await), ["second"]);
}

pub async fn many_are_pruned_in_bounded_steps(on: &Stage) {
    on.push(specs("task", 2500)).await;
    let runs = on.claim("node", 2500).await;
    on.settle("node", runs.iter().map(|run| fate(run, done())).collect()).await;
    let limits = Retention { completed: Keep { count: Some(100), ..ALL }, ..KEEP_ALL };
    assert_eq!(prune(on, limits, 1000).await, 1000);
    assert_eq!(prune(on, limits, 10_000).await, 1400);
    let ids: Vec<TaskId> = (2400..2500).map(|n| id(&format!("task-{n}"))).collect();
    assert!(on.store().get(ids).await.unwrap().records.iter().all(Option::is_some), "the newest stay");
}
