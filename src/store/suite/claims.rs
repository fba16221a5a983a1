//! Claiming: order, and what was asked for.

use std::collections::HashSet;

use crate::policy::RetryPolicy;
use crate::store::{Claims, LaneClaim, pause_cell};
use crate::task::{Outcome, Spec, View};

use super::stage::{KIND, Stage, done, failure, fate, id, ids, spec, specs};

fn ranked(task: &str, priority: i32) -> Spec {
    Spec { priority, ..spec(task) }
}

fn of(task: &str, name: &str, queue: &str) -> Spec {
    Spec { name: name.into(), queue: queue.into(), ..spec(task) }
}

pub async fn a_larger_priority_goes_first_and_equals_in_order(on: &Stage) {
    let order = [("c", 0), ("a", i32::MAX), ("e", i32::MIN), ("b", 1), ("d", 0)];
    on.push(order.into_iter().map(|(task, priority)| ranked(task, priority)).collect()).await;
    assert_eq!(ids(&on.claim("node", 2).await), ["a", "b"]);
    on.add(ranked("late", 1)).await;
    assert_eq!(ids(&on.claim("node", 9).await), ["late", "c", "d", "e"]);
}

pub async fn retries_go_to_the_back_and_what_was_given_back_keeps_its_place(on: &Stage) {
    let retried = |spec: Spec| Spec { retry: RetryPolicy::fixed(3, 0), ..spec };
    on.push(specs("task", 6).into_iter().map(retried).collect()).await;
    let runs = on.claim("node", 4).await;
    let outcomes = [failure(), Outcome::Released, Outcome::Snooze(0), Outcome::Lost];
    let ends = runs.iter().zip(outcomes).map(|(run, outcome)| fate(run, outcome)).collect();
    on.settle("node", ends).await;
    let order = ids(&on.claim("node", 9).await);
    assert_eq!(order, ["task-1", "task-4", "task-5", "task-0", "task-2", "task-3"]);
}

pub async fn a_claim_shows_how_far_the_task_has_come(on: &Stage) {
    on.add(Spec { retry: RetryPolicy::fixed(3, 0), ..ranked("task", 4) }).await;
    let first = on.claim_one("node").await;
    assert_eq!((first.priority, first.failures, first.losses, first.elapsed), (4, 0, 0, 0));
    on.end("node", &first, failure()).await;
    on.pass(50).await;
    let second = on.claim_one("node").await;
    assert_eq!((second.failures, second.losses), (1, 0));
    assert!(second.elapsed >= 50 && second.epoch > first.epoch);
    on.end("node", &second, Outcome::Lost).await;
    let third = on.claim_one("other").await;
    assert_eq!((third.failures, third.losses), (1, 1));
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.epoch, status.owner.as_deref()), (third.epoch, Some("other")));
    assert!(status.first_started_at.unwrap() < status.started_at.unwrap());
}

pub async fn no_claim_is_given_twice(on: &Stage) {
    on.push(specs("task", 30)).await;
    let (mut tasks, mut epochs) = (HashSet::new(), HashSet::new());
    for node in ["a", "b", "c", "a", "b", "c", "a"] {
        for run in on.claim(node, 5).await {
            assert!(tasks.insert(run.spec.id.clone()) && epochs.insert(run.epoch));
        }
    }
    assert_eq!(tasks.len(), 30);
}

pub async fn only_named_kinds_are_claimed(on: &Stage) {
    on.push(vec![of("known", KIND, "default"), of("foreign", "foreign", "default")]).await;
    let unknown = LaneClaim::of("nobody pushed this", 9);
    assert_eq!(ids(&on.claim_lanes("node", vec![unknown, LaneClaim::of(KIND, 9)]).await), ["known"]);
    assert_eq!(on.counts().await.of(View::Waiting), 1, "a task that nobody can run waits");
    assert!(on.claim_lanes("node", Vec::new()).await.is_empty());
}

pub async fn a_queue_can_be_picked(on: &Stage) {
    on.push(vec![of("here", KIND, "here"), of("there", KIND, "there")]).await;
    let picked = |queue: &str| LaneClaim { queue: Some(queue.into()), ..LaneClaim::of(KIND, 9) };
    assert_eq!(ids(&on.claim_lanes("node", vec![picked("there")]).await), ["there"]);
    assert!(on.claim_lanes("node", vec![picked("nowhere")]).await.is_empty());
    assert_eq!(ids(&on.claim("node", 9).await), ["here"], "no queue named is all of them");
}

pub async fn no_more_than_asked_for_in_a_lane_and_in_all(on: &Stage) {
    on.push(
        (0..9).flat_map(|n| [of(&format!("a-{n}"), "a", "q"), of(&format!("b-{n}"), "b", "q")]).collect(),
    )
    .await;
    let lanes = || vec![LaneClaim::of("a", 2), LaneClaim::of("b", 4)];
    let take = async |max| on.step("node", Vec::new(), Claims { max, lanes: lanes() }).await.claimed.clone();
    assert_eq!(ids(&take(3).await), ["a-0", "b-0", "a-1"]);
    assert_eq!(ids(&take(100).await), ["b-1", "a-2", "b-2", "a-3", "b-3", "b-4"]);
    assert!(take(0).await.is_empty());
}

pub async fn lanes_are_merged_by_priority_and_arrival(on: &Stage) {
    let at = |task: &str, name: &str, queue: &str, priority| Spec { priority, ..of(task, name, queue) };
    on.push(vec![at("5", "a", "x", 0), at("1", "b", "x", 2), at("6", "a", "y", 0), at("2", "b", "y", 1)])
        .await;
    on.push(vec![at("3", "a", "x", 1), at("7", "b", "x", 0), at("4", "a", "z", 1)]).await;
    let lanes = vec![LaneClaim::of("b", 9), LaneClaim::of("a", 9)];
    assert_eq!(ids(&on.claim_lanes("node", lanes).await), ["1", "2", "3", "4", "5", "6", "7"]);
}

pub async fn a_lane_that_is_named_twice_gives_each_task_once(on: &Stage) {
    on.push(specs("task", 6)).await;
    let picked = LaneClaim { queue: Some("default".into()), ..LaneClaim::of(KIND, 2) };
    let claimed = ids(&on.claim_lanes("node", vec![picked, LaneClaim::of(KIND, 2)]).await);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), claimed.len());
    assert!(claimed.len() >= 2);
}

pub async fn a_paused_queue_starts_nothing(on: &Stage) {
    on.push(vec![of("here", KIND, "here"), of("there", KIND, "there")]).await;
    on.pause("here").await;
    on.pause("new").await;
    on.add(of("new", KIND, "new")).await;
    assert_eq!(ids(&on.claim("node", 9).await), ["there"]);
    let mut paused = on.pulse("node").await.paused;
    paused.sort();
    assert_eq!(
        paused.iter().map(|queue| &**queue).collect::<Vec<_>>(),
        ["here", "new"],
        "every node hears of it"
    );
    assert_eq!(on.counts().await.of(View::Waiting), 2);
    on.swap(&pause_cell("here"), Some("1"), None).await.unwrap();
    assert_eq!(ids(&on.claim("node", 9).await), ["here"]);
}

pub async fn a_pause_does_not_touch_what_runs(on: &Stage) {
    on.add(spec("task")).await;
    let run = on.claim_one("node").await;
    on.pause("default").await;
    on.end("node", &run, done()).await;
}

pub async fn groups_take_turns(on: &Stage) {
    let of = |group: Option<&str>, n: usize| Spec {
        group: group.map(Into::into),
        ..spec(&format!("{}-{n}", group.unwrap_or("none")))
    };
    let crowd = (0..50).map(|n| of(Some("crowd"), n));
    on.push(crowd.chain((0..3).map(|n| of(None, n))).collect()).await;
    assert_eq!(on.claim("node", 10).await.len(), 10);
    on.push(vec![of(Some("late"), 0), of(Some("late"), 1)]).await;
    let next = ids(&on.claim("node", 6).await);
    let of_late = next.iter().filter(|task| task.starts_with("late")).count();
    assert_eq!(of_late, 2, "a small group does not wait for a large one: {next:?}");
    let all = ids(&on.claim("node", 99).await);
    assert!(all.windows(2).all(|pair| pair[0].starts_with("crowd") && pair[1].starts_with("crowd")));
}

pub async fn one_task_waits_two_turns_at_most_for_a_crowd(on: &Stage) {
    let crowd = specs("crowd", 400).into_iter();
    on.push(crowd.map(|spec| Spec { group: Some("crowd".into()), ..spec }).collect()).await;
    for alone in ["first", "second", "third"] {
        on.claim("node", 7).await;
        on.add(Spec { group: Some("alone".into()), ..spec(alone) }).await;
        let next = [on.claim_one("a").await, on.claim_one("b").await];
        assert!(next.iter().any(|run| run.spec.id == id(alone)), "{:?}", ids(&next));
    }
}

pub async fn turns_never_go_before_priorities(on: &Stage) {
    let of = |task: &str, group: &str, priority| Spec { group: Some(group.into()), ..ranked(task, priority) };
    on.push(vec![of("3", "a", 1), of("4", "a", 1), of("5", "b", 0), of("1", "a", 2), of("2", "a", 2)]).await;
    assert_eq!(ids(&on.claim("node", 9).await), ["1", "2", "3", "4", "5"]);
}
