//! Nodes: who is alive, what the dead leave behind, and what the living are told.

use crate::store::{Amend, NodeId};
use crate::task::{Cause, Outcome, State, TaskId};

use super::stage::{Stage, done, failure, id, ids, spec, specs};

/// Lets a lease go by in which only `alive` beats.
async fn outlive(on: &Stage, alive: &[&str]) {
    for _ in 0..5 {
        on.pass(on.lease() / 4).await;
        for node in alive {
            on.pulse(node).await;
        }
    }
}

async fn orphans(on: &Stage, nodes: Vec<NodeId>, max: usize) -> Vec<String> {
    ids(&on.store().orphans(nodes, max).await.unwrap())
}

pub async fn a_silent_node_is_dead_and_its_tasks_are_orphans(on: &Stage) {
    on.push(specs("task", 4)).await;
    for node in ["silent", "alive"] {
        on.pulse(node).await;
        on.claim(node, 2).await;
    }
    assert!(on.pulse("alive").await.dead.is_empty());
    outlive(on, &["alive"]).await;
    let dead = on.pulse("alive").await.dead;
    assert_eq!(dead, [NodeId::from("silent")]);
    let mut found = orphans(on, dead.clone(), 9).await;
    found.sort();
    assert_eq!(found, ["task-0", "task-1"]);
    assert_eq!(orphans(on, dead, 1).await.len(), 1);
}

pub async fn a_beat_keeps_a_node_alive(on: &Stage) {
    on.push(specs("task", 2)).await;
    for node in ["a", "b"] {
        on.pulse(node).await;
        on.claim(node, 1).await;
    }
    outlive(on, &["a", "b"]).await;
    assert!(on.pulse("a").await.dead.is_empty() && on.pulse("b").await.dead.is_empty());
    assert!(!on.pulse("a").await.declared_dead);
}

pub async fn orphans_are_settled_by_anybody_once(on: &Stage) {
    on.add(spec("task")).await;
    on.pulse("silent").await;
    let old = on.claim_one("silent").await;
    outlive(on, &["a", "b"]).await;
    let found = on.store().orphans(on.pulse("a").await.dead, 9).await.unwrap().remove(0);
    assert_eq!((found.epoch, found.losses, found.failures), (old.epoch, 0, 0));
    assert_eq!(on.end("a", &found, Outcome::Lost).await, Cause::Lose);
    let stale = on.settle("b", vec![super::stage::fate(&found, Outcome::Lost)]).await;
    assert_eq!(stale, [crate::store::Settled::Stale]);
    assert!(on.pulse("b").await.dead.is_empty(), "it owns nothing any more");
    let run = on.claim_one("b").await;
    let late = on.settle("silent", vec![super::stage::fate(&old, done())]).await;
    assert_eq!(late, [crate::store::Settled::Stale], "whoever was dead has lost its claims");
    assert_eq!(on.end("b", &run, done()).await, Cause::Complete);
}

pub async fn a_node_that_comes_back_is_told_and_its_old_runs_stay_lost(on: &Stage) {
    on.push(specs("task", 2)).await;
    on.pulse("frozen").await;
    on.claim_one("frozen").await;
    outlive(on, &["alive"]).await;
    assert_eq!(on.pulse("alive").await.dead, [NodeId::from("frozen")]);
    assert!(on.pulse("frozen").await.declared_dead);
    assert!(!on.pulse("frozen").await.declared_dead, "once");
    on.claim_one("frozen").await;
    let dead = on.pulse("alive").await.dead;
    assert_eq!(dead, [NodeId::from("frozen")], "it has been told to drop what it ran");
    assert_eq!(orphans(on, dead, 9).await, ["task-0"], "not what it has claimed since");
    assert!(orphans(on, vec!["alive".into()], 9).await.is_empty());
}

pub async fn a_run_that_ends_in_spite_of_it_all_counts(on: &Stage) {
    on.add(spec("task")).await;
    on.pulse("frozen").await;
    let run = on.claim_one("frozen").await;
    outlive(on, &["alive"]).await;
    assert_eq!(on.end("frozen", &run, done()).await, Cause::Complete, "nobody has settled it yet");
    assert!(on.pulse("alive").await.dead.is_empty());
}

pub async fn a_dead_node_without_tasks_is_forgotten(on: &Stage) {
    on.add(spec("task")).await;
    on.pulse("silent").await;
    on.run_one("silent").await;
    outlive(on, &["alive"]).await;
    assert!(on.pulse("alive").await.dead.is_empty());
}

pub async fn who_beats_is_listed_with_what_it_runs(on: &Stage) {
    on.push(specs("task", 3)).await;
    for node in ["b", "a"] {
        on.pulse(node).await;
    }
    on.claim("b", 2).await;
    let nodes = on.store().nodes().await.unwrap();
    let listed: Vec<_> = nodes.iter().map(|node| (&*node.id, node.running)).collect();
    assert_eq!(listed, [("a", 0), ("b", 2)]);
    assert!(nodes.iter().all(|node| node.pid == std::process::id() && !node.host.is_empty()));
    on.store().leave("a".into()).await.unwrap();
    assert_eq!(on.store().nodes().await.unwrap().len(), 1);
}

pub async fn a_node_leaves_when_it_owns_nothing(on: &Stage) {
    on.add(spec("task")).await;
    on.pulse("leaving").await;
    let run = on.claim_one("leaving").await;
    on.store().leave("leaving".into()).await.unwrap();
    outlive(on, &["alive"]).await;
    assert_eq!(on.pulse("alive").await.dead, [NodeId::from("leaving")], "it cannot leave its tasks alone");
    on.end("alive", &run, Outcome::Lost).await;
    on.store().leave("leaving".into()).await.unwrap();
    on.store().leave("stranger".into()).await.unwrap();
    assert!(on.pulse("alive").await.dead.is_empty());
}

pub async fn stop_requests_are_told_to_the_owner_until_the_run_ends(on: &Stage) {
    on.push(specs("task", 2)).await;
    let run = on.claim_one("owner").await;
    on.claim_one("other").await;
    assert!(on.pulse("owner").await.stop.is_empty());
    on.amend(&id("task-0"), Amend::Cancel("enough".into())).await;
    let expected: (TaskId, u64, std::sync::Arc<str>) = (id("task-0"), run.epoch, "enough".into());
    for _ in 0..2 {
        assert_eq!(on.pulse("owner").await.stop, std::slice::from_ref(&expected), "an answer may get lost");
    }
    assert!(on.pulse("other").await.stop.is_empty());
    assert_eq!(on.end("owner", &run, failure()).await, Cause::Cancel);
    assert!(on.pulse("owner").await.stop.is_empty());
}

pub async fn a_lost_run_that_was_asked_to_stop_is_not_repeated(on: &Stage) {
    on.add(spec("task")).await;
    on.pulse("silent").await;
    on.claim_one("silent").await;
    on.amend(&id("task"), Amend::Cancel("enough".into())).await;
    outlive(on, &["alive"]).await;
    let found = on.store().orphans(on.pulse("alive").await.dead, 9).await.unwrap().remove(0);
    on.end("alive", &found, Outcome::Lost).await;
    assert_eq!(on.state(&id("task")).await, State::Cancelled);
}
