//! Settling: every way a run can end, and the fence.

use std::sync::Arc;

use crate::policy::RetryPolicy;
use crate::store::{Amend, Settled};
use crate::task::{Cause, Claimed, Conflict, Failure, KEPT_ATTEMPTS, Outcome, Spec, State, View};

use super::stage::{LONG, Stage, after, done, failure, fate, id, spec, specs};

/// A task that may fail often, and its first run.
async fn started(on: &Stage, task: &str) -> Claimed {
    on.add(Spec { retry: RetryPolicy::fixed(u32::MAX, 0), ..spec(task) }).await;
    on.claim_one("node").await
}

pub async fn a_success_completes(on: &Stage) {
    let run = started(on, "task").await;
    assert_eq!(on.end("node", &run, Outcome::Ok("[1]".into())).await, Cause::Complete);
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.state, status.output.as_deref()), (State::Completed, Some("[1]")));
    assert!(status.owner.is_none() && status.finished_at >= status.started_at && status.attempts.is_empty());
}

pub async fn the_last_failure_fails(on: &Stage) {
    on.add(spec("task")).await;
    let run = on.claim_one("node").await;
    assert_eq!(on.end("node", &run, failure()).await, Cause::Fail);
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.state, status.failures, status.output), (State::Failed, 1, None));
    assert_eq!((status.attempts[0].number, &*status.attempts[0].message), (1, "it went wrong"));
    assert!(status.attempts[0].at >= status.started_at.unwrap());
}

pub async fn other_failures_wait_for_their_retry(on: &Stage) {
    on.add(Spec { retry: RetryPolicy::fixed(2, LONG), ..spec("task") }).await;
    let run = on.claim_one("node").await;
    let before = on.now().await;
    assert_eq!(on.end("node", &run, Outcome::Timeout).await, Cause::Retry);
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.state, status.failures), (State::Waiting, 1));
    assert!(status.run_at >= before + LONG && status.owner.is_none());
    assert_eq!(on.counts().await.of(View::Scheduled), 1);
}

pub async fn a_snooze_waits_and_costs_nothing(on: &Stage) {
    let run = started(on, "task").await;
    let before = on.now().await;
    assert_eq!(on.end("node", &run, Outcome::Snooze(LONG)).await, Cause::Snooze);
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.state, status.failures, status.losses), (State::Waiting, 0, 0));
    assert!(status.run_at >= before + LONG);
}

pub async fn a_release_is_ready_at_once_and_costs_nothing(on: &Stage) {
    let run = started(on, "task").await;
    assert_eq!(on.end("node", &run, Outcome::Released).await, Cause::Release);
    let again = on.claim_one("other").await;
    assert_eq!((again.failures, again.losses), (0, 0));
}

pub async fn losses_are_counted_and_the_fourth_is_the_last(on: &Stage) {
    let run = started(on, "task").await;
    assert_eq!(on.end("healer", &run, Outcome::Lost).await, Cause::Lose, "any node may settle it");
    for losses in 1..4 {
        on.amend(&id("task"), Amend::Promote).await;
        let run = on.claim_one("node").await;
        assert_eq!((run.losses, run.failures), (losses, 0));
        let cause = if losses == 3 { Cause::Poison } else { Cause::Lose };
        assert_eq!(on.end("healer", &run, Outcome::Lost).await, cause);
    }
    let status = on.get(&id("task")).await.status;
    assert_eq!((status.state, status.losses), (State::Failed, 4));
    assert_eq!(status.attempts.last().unwrap().code, "ERR_TASK_LOST");
}

pub async fn a_cancelled_run_ends_cancelled(on: &Stage) {
    let run = started(on, "task").await;
    assert_eq!(on.end("node", &run, Outcome::Cancelled("enough".into())).await, Cause::Cancel);
    assert_eq!(on.fate(&id("task")).await, (State::Cancelled, Some(Cause::Cancel)));
}

pub async fn a_request_to_stop_beats_every_outcome(on: &Stage) {
    let outcomes = [
        done(),
        failure(),
        Outcome::Timeout,
        Outcome::Snooze(1),
        Outcome::Lost,
        Outcome::Released,
        Outcome::Cancelled("x".into()),
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let task = format!("task-{n}");
        let run = started(on, &task).await;
        let asked = on.amend(&id(&task), Amend::Cancel("enough".into())).await;
        assert_eq!(asked.stopping, [(id(&task), run.epoch)]);
        assert_eq!(on.state(&id(&task)).await, State::Running, "it is only asked");
        assert_eq!(on.end("node", &run, outcome).await, Cause::Cancel);
        let status = on.get(&id(&task)).await.status;
        assert_eq!((status.cancel.as_deref(), status.output), (Some("enough"), None));
    }
}

pub async fn stale_settlements_change_nothing(on: &Stage) {
    let old = started(on, "task").await;
    on.end("node", &old, failure()).await;
    let run = on.claim_one("node").await;
    on.add(spec("other")).await;
    let other = on.claim_one("node").await;
    let forged = |epoch, id: &str| {
        let mut end = fate(&run, done());
        (end.epoch, end.id) = (epoch, id.into());
        end
    };
    let stale = vec![
        forged(old.epoch, "task"),
        forged(run.epoch + 1000, "task"),
        forged(other.epoch, "task"),
        forged(0, "task"),
        forged(run.epoch, "other"),
        forged(run.epoch, "nobody"),
    ];
    let before = format!("{:?}", on.get(&id("task")).await);
    assert_eq!(on.settle("node", stale.clone()).await, [Settled::Stale; 6]);
    assert_eq!(on.settle("stranger", stale).await, [Settled::Stale; 6]);
    assert_eq!(format!("{:?}", on.get(&id("task")).await), before);
    assert_eq!(on.end("node", &run, done()).await, Cause::Complete);
}

pub async fn a_run_ends_once(on: &Stage) {
    let run = started(on, "task").await;
    let twice = on.settle("node", vec![fate(&run, done()), fate(&run, failure())]).await;
    assert_eq!(twice, [Settled::Applied(Cause::Complete), Settled::Stale]);
    assert_eq!(on.settle("node", vec![fate(&run, Outcome::Lost)]).await, [Settled::Stale]);
    assert_eq!(on.fate(&id("task")).await, (State::Completed, Some(Cause::Complete)));
}

pub async fn stale_ones_do_not_disturb_the_rest_of_their_batch(on: &Stage) {
    on.push(specs("task", 3)).await;
    let runs = on.claim("node", 3).await;
    on.end("node", &runs[1], Outcome::Released).await;
    let all = on.settle("node", runs.iter().map(|run| fate(run, done())).collect()).await;
    let complete = Settled::Applied(Cause::Complete);
    assert_eq!(all, [complete, Settled::Stale, complete]);
    assert_eq!(on.state(&id("task-1")).await, State::Waiting);
}

pub async fn an_id_that_is_used_again_is_fenced_too(on: &Stage) {
    let old = started(on, "task").await;
    on.end("node", &old, done()).await;
    on.amend(&id("task"), Amend::Remove).await;
    let run = started(on, "task").await;
    assert!(run.epoch > old.epoch);
    assert_eq!(on.settle("node", vec![fate(&old, failure())]).await, [Settled::Stale]);
    assert_eq!(on.end("node", &run, done()).await, Cause::Complete);
}

pub async fn the_newest_attempts_are_kept(on: &Stage) {
    let mut run = started(on, "task").await;
    for n in 1..=KEPT_ATTEMPTS + 3 {
        let error = Failure::new("Error", format!("failure {n}"));
        on.end("node", &run, Outcome::Error(Arc::new(error))).await;
        run = on.claim_one("node").await;
    }
    let status = on.get(&id("task")).await.status;
    let numbers: Vec<_> = status.attempts.iter().map(|attempt| attempt.number as usize).collect();
    assert_eq!(numbers, (4..=KEPT_ATTEMPTS + 3).collect::<Vec<_>>());
    assert_eq!(status.attempts.last().unwrap().message, format!("failure {}", KEPT_ATTEMPTS + 3));
}

pub async fn a_success_spawns_tasks_in_the_same_step(on: &Stage) {
    on.add(spec("known")).await;
    on.claim_one("node").await;
    let run = started(on, "parent").await;
    let mut end = fate(&run, done());
    end.spawn =
        spawned([after("second", &["first"]), spec("first"), spec("known"), after("third", &["known"])]);
    assert_eq!(on.settle("node", vec![end]).await, [Settled::Applied(Cause::Complete)]);
    let counts = on.counts().await;
    assert_eq!((counts.of(View::Waiting), counts.of(View::Blocked), counts.of(View::Running)), (1, 2, 1));
    assert_eq!(on.run_one("node").await, id("first"));
    assert_eq!(on.run_one("node").await, id("second"));
}

pub async fn spawned_tasks_meet_keys_like_any_others(on: &Stage) {
    let keyed = |task: &str, key: &str, conflict| {
        let mut spec = super::stage::keyed(task, conflict);
        spec.key.as_mut().unwrap().text = key.into();
        spec
    };
    on.push(vec![keyed("held", "a", Conflict::Ignore), keyed("old", "b", Conflict::Ignore)]).await;
    on.push(vec![keyed("runs", "c", Conflict::Ignore), keyed("parent", "own", Conflict::Ignore)]).await;
    for task in ["held", "old"] {
        on.amend(&id(task), Amend::Reschedule(on.now().await + LONG)).await;
    }
    let runs = on.claim_one("node").await;
    let parent = on.claim_one("node").await;
    let mut end = fate(&parent, done());
    end.spawn = spawned([
        keyed("ignored", "a", Conflict::Ignore),
        keyed("refused", "a", Conflict::Refuse),
        keyed("new", "b", Conflict::Replace),
        keyed("next", "c", Conflict::Replace),
        keyed("again", "own", Conflict::Refuse),
        after("child", &["ignored", "refused", "parent"]),
    ]);
    assert_eq!(on.settle("node", vec![end]).await, [Settled::Applied(Cause::Complete)]);
    for nobody in ["ignored", "refused"] {
        assert!(on.find(&id(nobody)).await.is_none(), "the holder stands for it");
    }
    assert_eq!(on.fate(&id("old")).await, (State::Cancelled, Some(Cause::Supersede)));
    assert_eq!(on.get(&id("child")).await.spec.blockers.as_ref().unwrap().ids, ["held", "parent"].map(id));
    assert_eq!(super::stage::ids(&on.claim("node", 9).await), ["new", "again"], "its key was free by then");
    on.end("node", &runs, failure()).await;
    assert_eq!(on.run_one("node").await, id("next"));
    on.amend(&id("held"), Amend::Promote).await;
    assert_eq!(on.run_one("node").await, id("held"));
    assert_eq!(on.run_one("node").await, id("child"));
}

pub async fn nothing_else_spawns(on: &Stage) {
    let outcomes = [failure(), Outcome::Snooze(LONG), Outcome::Lost, Outcome::Cancelled("no".into()), done()];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        on.add(spec(&format!("task-{n}"))).await;
        let run =
            on.claim_lanes("node", vec![crate::store::LaneClaim::of(super::stage::KIND, 1)]).await.remove(0);
        if matches!(outcome, Outcome::Ok(_)) {
            on.amend(&run.spec.id, Amend::Cancel("stop".into())).await;
        }
        let mut end = fate(&run, outcome);
        end.spawn = spawned(specs("spawned", 2));
        let stale = crate::task::Settlement { epoch: end.epoch + 1, ..end.clone() };
        on.settle("node", vec![stale, end]).await;
        assert!(on.find(&id("spawned-0")).await.is_none(), "outcome {n}");
        on.amend_all(crate::store::Filter::default(), Amend::Remove).await;
    }
}

pub async fn a_circle_among_spawned_tasks_does_not_wait_for_ever(on: &Stage) {
    let run = started(on, "parent").await;
    let mut end = fate(&run, done());
    end.spawn = spawned([after("a", &["b"]), after("b", &["a"]), after("c", &["nowhere"])]);
    on.settle("node", vec![end]).await;
    for _ in 0..3 {
        on.run_one("node").await;
    }
}

fn spawned(specs: impl IntoIterator<Item = Spec>) -> Vec<Arc<Spec>> {
    specs.into_iter().map(Arc::new).collect()
}
