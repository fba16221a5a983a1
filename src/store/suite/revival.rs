//! `Retry` of an ended task: it waits again as if it were new.

use crate::policy::RetryPolicy;
use crate::store::{Amend, Filter, Target};
use crate::task::{Cause, Conflict, OnBlockerFailure, Outcome, Spec, State, View};

use super::stage::{Stage, after, blocked, done, failure, id, ids, keyed, spec};

pub async fn every_ended_task_can_be_revived(on: &Stage) {
    for (task, outcome) in
        [("ok", done()), ("failed", failure()), ("cancelled", Outcome::Cancelled("no".into()))]
    {
        on.add(spec(task)).await;
        let run = on.claim_one("node").await;
        on.end("node", &run, outcome).await;
        assert_eq!(on.amend(&id(task), Amend::Retry).await.changed, [id(task)]);
        assert_eq!(on.fate(&id(task)).await, (State::Waiting, Some(Cause::Revive)));
        let again = on.claim_one("node").await;
        assert!(again.epoch > run.epoch, "the fence goes on");
        assert_eq!(on.end("node", &again, done()).await, Cause::Complete);
    }
}

pub async fn a_revival_resets_budgets_and_results(on: &Stage) {
    on.add(Spec { retry: RetryPolicy::fixed(2, 0), ..spec("task") }).await;
    for outcome in [Outcome::Lost, failure(), failure()] {
        let run = on.claim_one("node").await;
        on.end("node", &run, outcome).await;
    }
    on.amend(&id("task"), Amend::Retry).await;
    let status = on.get(&id("task")).await.status;
    assert_eq!(
        (status.failures, status.losses, status.finished_at, status.first_started_at),
        (0, 0, None, None)
    );
    assert_eq!(status.attempts.len(), 2, "the history stays");
    let run = on.claim_one("node").await;
    assert_eq!((run.failures, run.losses, run.elapsed), (0, 0, 0));
    assert_eq!(on.end("node", &run, done()).await, Cause::Complete);
    on.amend(&id("task"), Amend::Retry).await;
    assert!(on.get(&id("task")).await.status.output.is_none());
    let run = on.claim_one("node").await;
    on.amend(&id("task"), Amend::Cancel("no".into())).await;
    on.end("node", &run, done()).await;
    on.amend(&id("task"), Amend::Retry).await;
    assert!(on.get(&id("task")).await.status.cancel.is_none());
    let run = on.claim_one("node").await;
    assert_eq!(on.end("node", &run, done()).await, Cause::Complete, "the old request to stop is forgotten");
}

pub async fn a_revived_task_stands_at_the_back(on: &Stage) {
    on.push(vec![spec("old"), spec("other")]).await;
    on.run_one("node").await;
    on.amend(&id("old"), Amend::Retry).await;
    assert_eq!(ids(&on.claim("node", 9).await), ["other", "old"]);
}

pub async fn a_revival_takes_its_key_or_does_not_happen(on: &Stage) {
    on.add(keyed("first", Conflict::Refuse)).await;
    on.run_one("node").await;
    on.add(keyed("second", Conflict::Refuse)).await;
    assert!(on.amend(&id("first"), Amend::Retry).await.changed.is_empty());
    assert_eq!(on.state(&id("first")).await, State::Completed);
    on.run_one("node").await;
    assert_eq!(
        on.amend_all(Filter::default(), Amend::Retry).await,
        [id("first")],
        "the key is held by the first then"
    );
    assert_eq!(on.push(vec![keyed("third", Conflict::Ignore)]).await[0].id, id("first"));
    assert_eq!(on.run_one("node").await, id("first"));
}

pub async fn a_superseded_task_may_come_back(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let run = on.claim_one("node").await;
    on.add(keyed("new", Conflict::Replace)).await;
    on.end("node", &run, failure()).await;
    on.run_one("node").await;
    on.amend(&id("old"), Amend::Retry).await;
    let run = on.claim_one("node").await;
    assert_eq!(on.end("node", &run, Outcome::Snooze(0)).await, Cause::Snooze, "its key is its own again");
}

pub async fn a_revived_task_expires_no_more(on: &Stage) {
    let now = on.now().await;
    on.add(Spec { expires_at: Some(now + 100), ..spec("task") }).await;
    on.pass(200).await;
    assert_eq!(on.drain("node").await, [id("task")]);
    on.amend(&id("task"), Amend::Retry).await;
    assert_eq!(on.run_one("node").await, id("task"));
}

pub async fn a_revived_task_waits_for_revived_blockers(on: &Stage) {
    on.push(vec![after("child", &["parent"]), spec("parent")]).await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    let ended = Filter { views: vec![View::Failed, View::Cancelled], ..Filter::default() };
    assert_eq!(on.amend_all(ended, Amend::Retry).await.len(), 2);
    assert_eq!(on.run_one("node").await, id("parent"));
    assert_eq!(on.run_one("node").await, id("child"));
}

pub async fn a_revived_task_forgives_ended_blockers(on: &Stage) {
    on.push(vec![spec("failing"), spec("slow"), after("child", &["failing", "slow"])]).await;
    let failing = on.claim_one("node").await;
    let slow = on.claim_one("node").await;
    on.end("node", &failing, failure()).await;
    on.amend(&id("child"), Amend::Retry).await;
    assert_eq!(on.get(&id("child")).await.status.blockers, 1);
    assert!(on.claim("node", 9).await.is_empty(), "the slow one has not ended");
    on.end("node", &slow, done()).await;
    assert_eq!(on.run_one("node").await, id("child"));
}

pub async fn what_needs_a_blocker_that_stays_undone_does_so_too(on: &Stage) {
    let anyway = blocked("anyway", &["head"], OnBlockerFailure::Run);
    let head = keyed("head", Conflict::Ignore);
    on.push(vec![head, after("child", &["head"]), after("grandchild", &["child"]), anyway]).await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    assert_eq!(on.run_one("node").await, id("anyway"));
    on.add(keyed("holder", Conflict::Refuse)).await;
    let all = ["head", "child", "grandchild", "anyway"].map(id);
    let revive = async || on.store().amend(Target::Ids(all.to_vec()), Amend::Retry).await.unwrap().changed;
    assert_eq!(revive().await, [id("anyway")], "that one runs in spite of its blocker");
    for task in &all[1..3] {
        assert_eq!(on.fate(task).await, (State::Cancelled, Some(Cause::Block)));
    }
    assert_eq!(on.run_one("node").await, id("holder"));
    assert_eq!(on.run_one("node").await, id("anyway"));
    assert_eq!(revive().await, all, "nobody has the key now");
    let run = on.claim_one("node").await;
    assert_eq!((&run.spec.id, on.claim("node", 9).await.len()), (&id("head"), 0));
    on.end("node", &run, failure()).await;
    assert_eq!(on.run_one("node").await, id("anyway"));
    on.amend(&id("child"), Amend::Retry).await;
    assert_eq!(on.run_one("node").await, id("child"), "asked for by itself it needs nobody");
}

pub async fn a_revival_leaves_the_throttle_as_it_was(on: &Stage) {
    let throttled =
        |task: &str| super::stage::quiet(task, Conflict::Ignore, crate::task::Quiet::Throttle(1000));
    on.add(throttled("first")).await;
    on.run_one("node").await;
    on.pass(600).await;
    on.amend(&id("first"), Amend::Retry).await;
    on.run_one("node").await;
    assert_eq!(on.push(vec![throttled("second")]).await[0].id, id("first"));
    on.pass(500).await;
    on.add(throttled("third")).await;
}
