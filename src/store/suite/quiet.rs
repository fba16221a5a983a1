//! Coalescing over time: debounce and throttle.

use crate::policy::RetryPolicy;
use crate::store::{Amend, Retention};
use crate::task::{Cause, Conflict, Outcome, Quiet, Spec, State, View};

use super::stage::{LONG, Stage, done, failure, id, quiet};

fn debounced(task: &str, input: &str, wait: u64, max_wait: u64) -> Spec {
    let spec = quiet(task, Conflict::Ignore, Quiet::Debounce { wait, max_wait });
    Spec { input: input.into(), ..spec }
}

fn throttled(task: &str, time: u64) -> Spec {
    quiet(task, Conflict::Ignore, Quiet::Throttle(time))
}

pub async fn a_debounce_keeps_the_newest_input_and_slides(on: &Stage) {
    on.add(debounced("first", "1", 1000, LONG)).await;
    let at_first = on.get(&id("first")).await.status.run_at;
    on.pass(600).await;
    let pushed = on.push(vec![debounced("second", "2", 1000, LONG)]).await;
    assert_eq!((&pushed[0].id, pushed[0].created), (&id("first"), false));
    let holder = on.get(&id("first")).await;
    assert_eq!((&*holder.spec.input, holder.status.state), ("2", State::Waiting));
    assert!(holder.status.run_at >= at_first + 600, "it starts later now");
    on.pass(600).await;
    assert!(on.claim("node", 9).await.is_empty(), "600 ms are not quiet enough");
    on.pass(600).await;
    assert_eq!(&*on.claim_one("node").await.spec.input, "2");
}

pub async fn a_debounce_slides_no_further_than_max_wait(on: &Stage) {
    on.add(debounced("first", "1", 800, 1000)).await;
    let created_at = on.get(&id("first")).await.status.created_at;
    on.pass(500).await;
    on.push(vec![debounced("second", "2", 800, 1000)]).await;
    assert_eq!(on.get(&id("first")).await.status.run_at, created_at + 1000);
    on.pass(600).await;
    assert_eq!(&*on.claim_one("node").await.spec.input, "2");
}

pub async fn a_debounce_past_all_numbers_is_just_long(on: &Stage) {
    on.add(debounced("first", "1", u64::MAX, u64::MAX)).await;
    on.push(vec![debounced("second", "2", u64::MAX, u64::MAX)]).await;
    assert_eq!(on.counts().await.of(View::Scheduled), 1);
}

pub async fn a_debounce_leaves_a_started_task_alone(on: &Stage) {
    on.add(Spec { retry: RetryPolicy::fixed(2, LONG), ..debounced("first", "1", 0, 0) }).await;
    let run = on.claim_one("node").await;
    let pushed = on.push(vec![debounced("second", "2", 0, 0)]).await;
    assert!(pushed[0].created, "the input of a run cannot change any more");
    assert!(on.claim("node", 9).await.is_empty(), "and the new one waits for it");
    on.end("node", &run, failure()).await;
    assert_eq!(on.fate(&id("first")).await, (State::Cancelled, Some(Cause::Supersede)));
    let run = on.claim_one("node").await;
    assert_eq!((&run.spec.id, &*run.spec.input), (&id("second"), "2"));
    on.end("node", &run, Outcome::Snooze(LONG)).await;
    let pushed = on.push(vec![debounced("third", "3", 0, 0)]).await;
    assert!(pushed[0].created, "nor can that of a task that has run before");
    assert_eq!(on.fate(&id("second")).await, (State::Cancelled, Some(Cause::Supersede)));
    assert_eq!(on.run_one("node").await, id("third"));
}

pub async fn the_same_id_may_come_again_with_the_input_before_the_debounce(on: &Stage) {
    on.add(debounced("first", "1", LONG, LONG)).await;
    on.push(vec![debounced("second", "2", LONG, LONG)]).await;
    let again = on.push(vec![debounced("first", "1", LONG, LONG)]).await;
    assert_eq!((&again[0].id, again[0].created), (&id("first"), false));
    assert_eq!(&*on.get(&id("first")).await.spec.input, "2");
}

pub async fn a_throttle_gives_the_first_task_back_for_its_time(on: &Stage) {
    on.add(throttled("first", 1000)).await;
    assert_eq!(on.push(vec![throttled("second", 1000)]).await[0].id, id("first"));
    on.run_one("node").await;
    let pushed = on.push(vec![throttled("second", 1000)]).await;
    assert_eq!((&pushed[0].id, pushed[0].created), (&id("first"), false), "even though it has ended");
    on.pass(1100).await;
    on.add(throttled("third", 1000)).await;
    assert_eq!(on.run_one("node").await, id("third"));
}

pub async fn a_throttle_outlives_its_task(on: &Stage) {
    on.add(throttled("first", LONG)).await;
    on.run_one("node").await;
    on.amend(&id("first"), Amend::Remove).await;
    on.store().prune(Retention::default(), 1000).await.unwrap();
    assert!(on.find(&id("first")).await.is_none());
    let pushed = on.push(vec![throttled("second", LONG)]).await;
    assert_eq!((&pushed[0].id, pushed[0].created), (&id("first"), false));
}

pub async fn a_throttle_comes_before_conflicts(on: &Stage) {
    on.add(throttled("first", LONG)).await;
    for conflict in [Conflict::Ignore, Conflict::Replace, Conflict::Refuse] {
        let pushed = on.push(vec![quiet("next", conflict, Quiet::Throttle(LONG))]).await;
        assert_eq!(pushed[0].id, id("first"), "{conflict:?}");
    }
    on.add(quiet("new", Conflict::Replace, Quiet::Off)).await;
    assert_eq!(on.state(&id("first")).await, State::Cancelled, "who does not throttle is not held back");
}

pub async fn after_its_time_a_throttled_key_is_like_any_other(on: &Stage) {
    on.add(throttled("first", 100)).await;
    on.pass(200).await;
    assert_eq!(on.push(vec![throttled("second", 100)]).await[0].id, id("first"), "it has not ended");
    let run = on.claim_one("node").await;
    on.end("node", &run, done()).await;
    on.add(throttled("third", 100)).await;
}
