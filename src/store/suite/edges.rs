//! Tasks that wait for other tasks.

use crate::policy::RetryPolicy;
use crate::store::{Amend, Refusal};
use crate::task::{Cause, OnBlockerFailure, Spec, State, TaskId, View, When};

use super::stage::{LONG, Stage, after, blocked, done, failure, fate, id, ids, spec, specs};

const BLOCKED: (State, Option<Cause>) = (State::Cancelled, Some(Cause::Block));

pub async fn a_diamond_runs_in_order(on: &Stage) {
    on.push(vec![after("d", &["b", "c"]), after("b", &["a"]), spec("a"), after("c", &["a"])]).await;
    assert_eq!(on.get(&id("d")).await.status.blockers, 2);
    assert_eq!(on.counts().await.of(View::Blocked), 3);
    assert_eq!(on.run_one("node").await, id("a"));
    let both = on.claim("node", 9).await;
    assert_eq!(ids(&both), ["b", "c"]);
    on.end("node", &both[1], done()).await;
    assert!(on.claim("node", 9).await.is_empty(), "one blocker is not all of them");
    on.end("node", &both[0], done()).await;
    assert_eq!(on.run_one("node").await, id("d"));
}

pub async fn the_last_blocker_releases_in_the_same_step(on: &Stage) {
    let parents = specs("parent", 50);
    let names: Vec<String> = parents.iter().map(|spec| spec.id.to_string()).collect();
    on.push(parents).await;
    on.add(after("child", &names.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let runs = on.claim("node", 99).await;
    on.settle("node", runs[..49].iter().map(|run| fate(run, done())).collect()).await;
    assert_eq!(on.get(&id("child")).await.status.blockers, 1);
    let claims =
        crate::store::Claims { max: 9, lanes: vec![crate::store::LaneClaim::of(super::stage::KIND, 9)] };
    let turn = on.step("node", vec![fate(&runs[49], done())], claims).await;
    assert_eq!(ids(&turn.claimed), ["child"]);
}

pub async fn a_blocker_that_fails_cancels_all_that_wait_for_it(on: &Stage) {
    for (n, cancel) in [false, true].into_iter().enumerate() {
        let name = |text: &str| format!("{text}-{n}");
        let (a, b, c) = (name("a"), name("b"), name("c"));
        on.push(vec![spec(&a), after(&b, &[&a]), after(&c, &[&b]), spec(&name("bystander"))]).await;
        let ended = if cancel {
            on.amend(&id(&a), Amend::Cancel("no".into())).await.ended
        } else {
            let run = on.claim_one("node").await;
            on.step("node", vec![fate(&run, failure())], Default::default()).await.ended.clone()
        };
        for task in [&b, &c] {
            assert!(ended.contains(&id(task)), "the end of {task} is told");
            assert_eq!(on.fate(&id(task)).await, BLOCKED);
        }
        assert!(on.get(&id(&b)).await.status.cancel.is_some(), "it says why");
        assert_eq!(on.run_one("node").await, id(&name("bystander")));
    }
}

pub async fn a_retry_does_not_count_as_the_end_of_a_blocker(on: &Stage) {
    on.push(vec![Spec { retry: RetryPolicy::fixed(2, 0), ..spec("a") }, after("b", &["a"])]).await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    assert_eq!(on.run_one("node").await, id("a"));
    assert_eq!(on.run_one("node").await, id("b"));
}

pub async fn on_failure_run_runs_all_the_same(on: &Stage) {
    let run_anyway = |task: &str, blockers: &[&str]| blocked(task, blockers, OnBlockerFailure::Run);
    on.push(vec![spec("a"), spec("b"), run_anyway("child", &["a", "b"]), after("grandchild", &["child"])])
        .await;
    let a = on.claim_one("node").await;
    on.end("node", &a, failure()).await;
    assert_eq!(on.get(&id("child")).await.status.blockers, 1);
    on.amend(&id("b"), Amend::Cancel("no".into())).await;
    assert_eq!(on.run_one("node").await, id("child"));
    assert_eq!(on.run_one("node").await, id("grandchild"));
}

pub async fn a_blocker_may_have_ended_before(on: &Stage) {
    on.push(specs("task", 2)).await;
    on.run_one("node").await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    let run_anyway = blocked("anyway", &["task-0", "task-1"], OnBlockerFailure::Run);
    on.push(vec![after("good", &["task-0"]), after("bad", &["task-0", "task-1"]), run_anyway]).await;
    on.push(vec![after("worse", &["bad"])]).await;
    assert_eq!((on.fate(&id("bad")).await, on.fate(&id("worse")).await), (BLOCKED, BLOCKED));
    assert_eq!(ids(&on.claim("node", 9).await), ["good", "anyway"]);
}

pub async fn an_unknown_blocker_is_refused(on: &Stage) {
    on.add(spec("known")).await;
    let refused = on.refused(vec![spec("beside"), after("child", &["known", "beside", "unknown"])]).await;
    assert_eq!(refused, Refusal::NoBlocker(id("unknown")));
    assert!(on.find(&id("beside")).await.is_none());
    assert_eq!(on.run_one("node").await, id("known"));
}

pub async fn a_circle_is_refused_with_its_path(on: &Stage) {
    let circle = vec![spec("free"), after("a", &["free", "b"]), after("b", &["c"]), after("c", &["a"])];
    assert_eq!(on.refused(circle).await, Refusal::Cycle(["a", "b", "c", "a"].map(id).to_vec()));
    assert!(on.find(&id("free")).await.is_none());
    assert_eq!(
        on.refused(vec![after("self", &["self"])]).await,
        Refusal::Cycle(["self", "self"].map(id).to_vec())
    );
}

pub async fn the_same_blocker_twice_is_one(on: &Stage) {
    on.push(vec![spec("a"), after("b", &["a", "a"])]).await;
    assert_eq!(on.get(&id("b")).await.status.blockers, 1);
    on.run_one("node").await;
    assert_eq!(on.run_one("node").await, id("b"));
}

pub async fn a_blocked_task_waits_for_its_time_as_well(on: &Stage) {
    let late = Spec { when: When::After(300), ..after("late", &["a"]) };
    on.push(vec![spec("a"), late, spec("b"), Spec { when: When::After(LONG), ..after("never", &["b"]) }])
        .await;
    on.pass(400).await;
    assert_eq!(on.counts().await.of(View::Blocked), 2, "its time has come, its blocker has not ended");
    for task in ["a", "late", "b"] {
        assert_eq!(on.run_one("node").await, id(task));
    }
    assert_eq!(on.counts().await.of(View::Scheduled), 1);
}

pub async fn a_wide_cascade_is_worked_off(on: &Stage) {
    let wide = |prefix: &str, parent: &str| -> Vec<Spec> {
        (0..2500).map(|n| after(&format!("{prefix}-{n}"), &[parent])).collect()
    };
    on.push(specs("parent", 2)).await;
    on.push(wide("good", "parent-0")).await;
    on.push(wide("bad", "parent-1")).await;
    let runs = on.claim("node", 2).await;
    let turn = on.step("node", vec![fate(&runs[0], done())], Default::default()).await;
    assert!(turn.more, "a step tells at most 1000");
    assert_eq!(on.counts().await.of(View::Waiting), 1000, "and no fewer");
    on.drain("node").await;
    assert_eq!(on.counts().await.of(View::Waiting), 2500);
    let turn = on.step("node", vec![fate(&runs[1], failure())], Default::default()).await;
    let mut ended = turn.ended.clone();
    ended.extend(on.drain("other").await);
    ended.sort();
    let mut expected: Vec<TaskId> = (0..2500).map(|n| id(&format!("bad-{n}"))).collect();
    expected.sort();
    assert_eq!(ended, expected, "every end is told once");
}

pub async fn a_long_chain_is_worked_off(on: &Stage) {
    let chain = (1..2500).map(|n| after(&format!("{n}"), &[&format!("{}", n - 1)]));
    on.push([spec("0")].into_iter().chain(chain).collect()).await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    on.drain("node").await;
    let counts = on.counts().await;
    assert_eq!((counts.of(View::Cancelled), counts.of(View::Failed), counts.unfinished()), (2499, 1, 0));
}

pub async fn a_removed_blocker_counts_as_cancelled(on: &Stage) {
    on.push(vec![spec("a"), after("b", &["a"]), blocked("c", &["a"], OnBlockerFailure::Run)]).await;
    on.amend(&id("a"), Amend::Remove).await;
    assert!(on.find(&id("a")).await.is_none());
    assert_eq!(on.fate(&id("b")).await, BLOCKED);
    assert_eq!(on.run_one("node").await, id("c"));
}

pub async fn an_edge_ends_with_the_wait_that_it_was_made_for(on: &Stage) {
    on.push(vec![spec("a"), spec("b"), after("child", &["a", "b"])]).await;
    let a = on.claim_one("node").await;
    let b = on.claim_one("node").await;
    on.end("node", &a, failure()).await;
    assert_eq!(on.fate(&id("child")).await, BLOCKED);
    on.amend(&id("child"), Amend::Remove).await;
    on.add(spec("child")).await;
    on.end("node", &b, failure()).await;
    assert_eq!(on.run_one("node").await, id("child"), "this one waits for nobody");
}
