//! Unique keys: at most one unfinished task of a queue holds one.

use crate::policy::RetryPolicy;
use crate::store::{Amend, Push, Refusal};
use crate::task::{Cause, Conflict, Outcome, Quiet, Spec, State, View, When};

use super::stage::{LONG, Stage, after, blocked, done, failure, id, keyed, quiet, spec};

pub async fn a_held_key_gives_its_holder(on: &Stage) {
    on.add(keyed("holder", Conflict::Ignore)).await;
    for _ in 0..2 {
        let pushed = on.push(vec![keyed("second", Conflict::Ignore)]).await;
        assert_eq!((&pushed[0].id, pushed[0].created), (&id("holder"), false));
    }
    assert!(on.find(&id("second")).await.is_none());
    on.claim_one("node").await;
    assert_eq!(
        on.push(vec![keyed("second", Conflict::Ignore)]).await[0].id,
        id("holder"),
        "a running one too"
    );
}

pub async fn a_key_belongs_to_its_queue(on: &Stage) {
    on.add(keyed("here", Conflict::Refuse)).await;
    on.add(Spec { queue: "there".into(), ..keyed("there", Conflict::Refuse) }).await;
}

pub async fn a_key_is_refused_while_it_is_held(on: &Stage) {
    on.add(keyed("holder", Conflict::Ignore)).await;
    assert_eq!(on.refused(vec![keyed("second", Conflict::Refuse)]).await, Refusal::KeyHeld(id("holder")));
    on.run_one("node").await;
    on.add(keyed("second", Conflict::Refuse)).await;
}

pub async fn a_key_is_free_as_soon_as_its_holder_has_ended(on: &Stage) {
    for (n, outcome) in [done(), failure(), Outcome::Cancelled("no".into())].into_iter().enumerate() {
        on.add(keyed(&format!("running-{n}"), Conflict::Refuse)).await;
        let run = on.claim_one("node").await;
        on.end("node", &run, outcome).await;
    }
    on.add(keyed("waiting", Conflict::Refuse)).await;
    on.amend(&id("waiting"), crate::store::Amend::Cancel("no".into())).await;
    on.add(keyed("last", Conflict::Refuse)).await;
}

pub async fn a_holder_that_will_run_again_keeps_its_key(on: &Stage) {
    let retry = RetryPolicy::fixed(9, 0);
    on.add(Spec { retry, ..keyed("holder", Conflict::Ignore) }).await;
    for outcome in [failure(), Outcome::Snooze(0), Outcome::Released, Outcome::Lost] {
        let run = on.claim_one("node").await;
        on.end("node", &run, outcome).await;
        assert_eq!(on.refused(vec![keyed("second", Conflict::Refuse)]).await, Refusal::KeyHeld(id("holder")));
    }
}

pub async fn two_of_one_push_meet_like_any_others(on: &Stage) {
    let both = vec![keyed("first", Conflict::Ignore), keyed("second", Conflict::Ignore)];
    let pushed = on.push(both).await;
    assert_eq!((&pushed[1].id, pushed[1].created), (&id("first"), false));
    assert_eq!(on.run_one("node").await, id("first"));
    let refused = on.refused(vec![keyed("third", Conflict::Ignore), keyed("fourth", Conflict::Refuse)]).await;
    assert_eq!(refused, Refusal::KeyHeld(id("third")));
    assert!(on.find(&id("third")).await.is_none());
    on.push(vec![keyed("fifth", Conflict::Ignore), keyed("sixth", Conflict::Replace)]).await;
    assert_eq!(on.fate(&id("fifth")).await, (State::Cancelled, Some(Cause::Supersede)));
    assert_eq!(on.run_one("node").await, id("sixth"));
}

pub async fn a_blocker_that_stands_for_another_task_is_that_task(on: &Stage) {
    on.add(keyed("holder", Conflict::Ignore)).await;
    on.push(vec![keyed("double", Conflict::Ignore), after("child", &["double"])]).await;
    let child = on.get(&id("child")).await;
    assert_eq!((child.status.blockers, &child.spec.blockers.as_ref().unwrap().ids), (1, &vec![id("holder")]));
    assert_eq!(on.run_one("node").await, id("holder"));
    assert_eq!(on.run_one("node").await, id("child"));
    let circle = vec![
        Spec { blockers: after("", &["copy"]).blockers, ..keyed("task", Conflict::Ignore) },
        keyed("copy", Conflict::Ignore),
    ];
    assert_eq!(
        on.refused(circle).await,
        Refusal::Cycle(vec![id("task"), id("task")]),
        "it would wait for itself"
    );
}

pub async fn replace_cancels_a_waiting_holder(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    on.add(after("child", &["old"])).await;
    let pushed = on.push(vec![keyed("new", Conflict::Replace)]).await.remove(0);
    assert_eq!((pushed.created, pushed.ousted), (true, Some(id("old"))), "it says which");
    assert_eq!(on.fate(&id("old")).await, (State::Cancelled, Some(Cause::Supersede)));
    assert_eq!(on.get(&id("old")).await.status.cancel.as_deref(), Some("superseded"), "it says why");
    assert_eq!(on.fate(&id("child")).await, (State::Cancelled, Some(Cause::Block)));
    assert_eq!(on.run_one("node").await, id("new"));
}

pub async fn replace_takes_the_key_of_a_running_holder_and_waits_for_it(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("a").await;
    let pushed = on.push(vec![keyed("new", Conflict::Replace)]).await.remove(0);
    assert_eq!((pushed.created, pushed.ousted), (true, None), "a run goes on");
    assert_eq!(on.counts().await.of(View::Blocked), 1);
    assert!(on.claim("b", 9).await.is_empty());
    assert_eq!(on.push(vec![keyed("third", Conflict::Ignore)]).await[0].id, id("new"), "it holds the key");
    assert_eq!(on.end("a", &old, done()).await, Cause::Complete, "a success still counts");
    assert_eq!(on.run_one("b").await, id("new"));
}

pub async fn a_superseded_run_is_not_repeated(on: &Stage) {
    let outcomes = [failure(), Outcome::Lost, Outcome::Released, Outcome::Snooze(5)];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let (old, new) = (format!("old-{n}"), format!("new-{n}"));
        on.add(Spec { retry: RetryPolicy::fixed(9, 0), ..keyed(&old, Conflict::Ignore) }).await;
        let run = on.claim_one("node").await;
        on.add(keyed(&new, Conflict::Replace)).await;
        assert_eq!(on.end("node", &run, outcome).await, Cause::Supersede);
        assert_eq!(on.state(&id(&old)).await, State::Cancelled);
        assert_eq!(on.get(&id(&old)).await.status.cancel.as_deref(), Some("superseded"));
        assert_eq!(on.run_one("node").await, id(&new));
    }
}

pub async fn every_later_holder_waits_for_the_superseded_run(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("node").await;
    on.add(keyed("second", Conflict::Replace)).await;
    on.add(keyed("third", Conflict::Replace)).await;
    assert_eq!(on.fate(&id("second")).await, (State::Cancelled, Some(Cause::Supersede)));
    on.amend(&id("third"), crate::store::Amend::Cancel("no".into())).await;
    on.add(keyed("fourth", Conflict::Refuse)).await;
    assert!(on.claim("node", 9).await.is_empty(), "the run of the old one is not over");
    on.end("node", &old, done()).await;
    assert_eq!(on.run_one("node").await, id("fourth"));
}

pub async fn a_successor_runs_even_if_the_superseded_run_fails(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("node").await;
    on.add(keyed("new", Conflict::Replace)).await;
    on.add(blocked("child", &["old"], Default::default())).await;
    on.end("node", &old, failure()).await;
    assert_eq!(on.state(&id("child")).await, State::Cancelled);
    assert_eq!(on.run_one("node").await, id("new"));
}

pub async fn replace_cancels_a_holder_whatever_it_waits_for(on: &Stage) {
    on.add(spec("gate")).await;
    on.claim_one("node").await;
    let holders = [
        Spec { when: When::After(LONG), ..keyed("delayed", Conflict::Ignore) },
        Spec { blockers: after("", &["gate"]).blockers, ..keyed("blocked", Conflict::Ignore) },
        quiet("debounced", Conflict::Ignore, Quiet::Debounce { wait: LONG, max_wait: LONG }),
        Spec { retry: RetryPolicy::fixed(2, LONG), ..keyed("tried", Conflict::Ignore) },
        Spec { group: Some("g".into()), priority: -1, ..keyed("grouped", Conflict::Ignore) },
    ];
    for holder in holders {
        let old = on.add(holder).await;
        if old == id("tried") {
            let run = on.claim_one("node").await;
            on.end("node", &run, failure()).await;
        }
        let new = keyed(&format!("instead of {old}"), Conflict::Replace);
        let pushed = on.push(vec![new]).await.remove(0);
        assert_eq!(pushed.ousted, Some(old.clone()));
        assert_eq!(on.fate(&old).await, (State::Cancelled, Some(Cause::Supersede)));
        assert_eq!(on.run_one("node").await, pushed.id);
    }
}

pub async fn a_successor_waits_for_its_own_blockers_as_well(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("node").await;
    let tied = |task: &str, blocker: &str| Spec {
        blockers: after("", &[blocker]).blockers,
        ..keyed(task, Conflict::Replace)
    };
    on.push(vec![spec("good"), spec("bad"), tied("first", "bad")]).await;
    assert_eq!(on.get(&id("first")).await.status.blockers, 2);
    assert_eq!(on.run_one("node").await, id("good"));
    let bad = on.claim_one("node").await;
    on.end("node", &bad, failure()).await;
    assert_eq!(on.fate(&id("first")).await, (State::Cancelled, Some(Cause::Block)));
    on.add(tied("second", "good")).await;
    assert_eq!(on.get(&id("second")).await.status.blockers, 1, "the run of the old one goes on");
    on.end("node", &old, failure()).await;
    assert_eq!(on.run_one("node").await, id("second"));
}

pub async fn a_superseded_run_may_be_asked_to_stop(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("node").await;
    on.add(keyed("new", Conflict::Replace)).await;
    let asked = on.amend(&id("old"), Amend::Cancel("enough".into())).await;
    assert_eq!(asked.stopping, [(id("old"), old.epoch)]);
    assert!(on.claim("node", 9).await.is_empty());
    assert_eq!(on.end("node", &old, done()).await, Cause::Cancel);
    assert_eq!(on.get(&id("old")).await.status.cancel.as_deref(), Some("enough"));
    assert_eq!(on.run_one("node").await, id("new"));
}

pub async fn a_revived_successor_waits_for_a_run_that_goes_on(on: &Stage) {
    on.add(keyed("old", Conflict::Ignore)).await;
    let old = on.claim_one("node").await;
    on.add(keyed("new", Conflict::Replace)).await;
    on.amend(&id("new"), Amend::Cancel("no".into())).await;
    assert_eq!(on.amend(&id("new"), Amend::Retry).await.changed, [id("new")]);
    assert!(on.claim("node", 9).await.is_empty());
    assert_eq!(on.end("node", &old, Outcome::Lost).await, Cause::Supersede);
    assert_eq!(on.run_one("node").await, id("new"));
}

pub async fn a_key_is_free_when_its_holder_ends_with_a_blocker(on: &Stage) {
    on.add(spec("gate")).await;
    let gate = on.claim_one("node").await;
    on.add(Spec { blockers: after("", &["gate"]).blockers, ..keyed("blocked", Conflict::Ignore) }).await;
    assert_eq!(on.refused(vec![keyed("next", Conflict::Refuse)]).await, Refusal::KeyHeld(id("blocked")));
    on.end("node", &gate, failure()).await;
    on.add(keyed("next", Conflict::Refuse)).await;
    let dead = Spec { blockers: after("", &["gate"]).blockers, ..keyed("dead", Conflict::Replace) };
    on.push(vec![dead]).await;
    assert_eq!(on.fate(&id("dead")).await, (State::Cancelled, Some(Cause::Block)), "it never waited");
    on.add(keyed("last", Conflict::Refuse)).await;
}

pub async fn an_id_that_is_known_comes_before_its_key(on: &Stage) {
    on.add(spec("known")).await;
    on.add(keyed("holder", Conflict::Ignore)).await;
    for conflict in [Conflict::Ignore, Conflict::Replace, Conflict::Refuse] {
        let again = on.push(vec![keyed("known", conflict)]).await.remove(0);
        assert_eq!((again.id, again.created, again.ousted), (id("known"), false, None), "{conflict:?}");
    }
    assert_eq!(on.state(&id("holder")).await, State::Waiting, "it was not replaced");
    let ignored = on.push(vec![keyed("new", Conflict::Ignore)]).await.remove(0);
    assert_eq!((ignored.id, ignored.created), (id("holder"), false));
    on.amend(&id("holder"), Amend::Cancel("no".into())).await;
    on.add(keyed("new", Conflict::Ignore)).await;
}

pub async fn what_was_refused_has_taken_no_key(on: &Stage) {
    on.push(vec![spec("one"), keyed("holder", Conflict::Ignore)]).await;
    let full = |specs: Vec<Spec>| on.offer(Push { max_waiting: Some(2), ..Push::of(specs) });
    let other = |task: &str, quiet_for| {
        let mut spec = quiet(task, Conflict::Replace, Quiet::Throttle(quiet_for));
        spec.key.as_mut().unwrap().text = "other".into();
        spec
    };
    let specs = vec![keyed("new", Conflict::Replace), other("throttled", LONG), after("child", &["one"])];
    assert_eq!(full(specs).await, Err(Refusal::Full { waiting: 2, limit: 2 }));
    assert_eq!(on.state(&id("holder")).await, State::Waiting);
    assert_eq!(on.refused(vec![keyed("next", Conflict::Refuse)]).await, Refusal::KeyHeld(id("holder")));
    on.add(other("fresh", 0)).await;
    assert_eq!(on.run_one("node").await, id("one"));
    assert!(on.find(&id("child")).await.is_none());
}
