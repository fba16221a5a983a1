//! Where a waiting task stands: ready, timed or blocked, and for how long.

use crate::policy::RetryPolicy;
use crate::store::{Amend, Claims, Filter, LaneClaim};
use crate::task::{Cause, Outcome, Spec, State, View, When};

use super::stage::{KIND, LONG, Stage, after, failure, id, spec, specs};

fn delayed(task: &str, delay: u64) -> Spec {
    Spec { when: When::After(delay), ..spec(task) }
}

fn expiring(task: &str, at: u64) -> Spec {
    Spec { expires_at: Some(at), ..spec(task) }
}

pub async fn a_delayed_task_is_never_early(on: &Stage) {
    on.push(vec![delayed("soon", 500), delayed("late", LONG)]).await;
    let run_at = on.get(&id("soon")).await.status.run_at;
    let turn = on.step("node", Vec::new(), Claims { max: 9, lanes: vec![LaneClaim::of(KIND, 9)] }).await;
    assert!(turn.claimed.is_empty());
    assert_eq!(turn.next_at, Some(run_at), "it says when to come again");
    assert_eq!(on.counts().await.of(View::Scheduled), 2);
    on.pass(600).await;
    assert_eq!(on.counts().await.of(View::Waiting), 1, "due tasks count as waiting");
    let run = on.claim_one("node").await;
    assert_eq!(run.spec.id, id("soon"));
    assert!(on.get(&id("soon")).await.status.started_at.unwrap() >= run_at);
    assert!(on.claim("node", 9).await.is_empty());
}

pub async fn a_date_is_taken_as_it_is(on: &Stage) {
    let now = on.now().await;
    let at = |task: &str, at| Spec { when: When::At(at), ..spec(task) };
    on.push(vec![at("past", 1), at("ahead", now + LONG)]).await;
    assert_eq!(on.get(&id("ahead")).await.status.run_at, now + LONG);
    assert_eq!(on.run_one("node").await, id("past"));
    assert!(on.claim("node", 9).await.is_empty());
}

pub async fn the_longest_delay_is_no_overflow(on: &Stage) {
    on.add(delayed("never", u64::MAX)).await;
    assert!(on.claim("node", 9).await.is_empty());
    assert_eq!(on.counts().await.of(View::Scheduled), 1);
}

pub async fn many_due_tasks_become_ready_in_bounded_steps(on: &Stage) {
    let due: Vec<Spec> = (0..2500).map(|n| delayed(&format!("task-{n}"), 200)).collect();
    on.push(due).await;
    on.pass(300).await;
    let mut claimed = Vec::new();
    loop {
        let turn =
            on.step("node", Vec::new(), Claims { max: 9999, lanes: vec![LaneClaim::of(KIND, 9999)] }).await;
        claimed.extend(turn.claimed.iter().map(|run| run.spec.id.clone()));
        if !turn.more {
            break;
        }
    }
    assert_eq!(claimed.len(), 2500);
    assert_eq!(claimed[2499], id("task-2499"), "in the order in which they came");
}

pub async fn promote_starts_a_delayed_task_now(on: &Stage) {
    on.push(vec![delayed("task", LONG), spec("ready")]).await;
    let changed = on.amend(&id("task"), Amend::Promote).await.changed;
    assert_eq!(changed, [id("task")]);
    assert_eq!(on.claim("node", 9).await.len(), 2);
    assert!(on.amend(&id("ready"), Amend::Promote).await.changed.is_empty(), "others are left alone");
}

pub async fn promote_ends_a_backoff_but_not_a_wait_for_others(on: &Stage) {
    on.add(Spec { retry: RetryPolicy::fixed(2, LONG), ..spec("task") }).await;
    let run = on.claim_one("node").await;
    on.end("node", &run, failure()).await;
    assert!(on.claim("node", 9).await.is_empty());
    on.amend(&id("task"), Amend::Promote).await;
    assert_eq!(on.claim_one("node").await.failures, 1);
    on.push(vec![Spec { when: When::After(LONG), ..after("child", &["task"]) }]).await;
    on.amend(&id("child"), Amend::Promote).await;
    assert!(on.claim("node", 9).await.is_empty());
}

pub async fn a_blocked_task_keeps_the_start_that_it_was_given(on: &Stage) {
    let late = |task: &str| Spec { when: When::After(LONG), ..after(task, &["gate"]) };
    on.push(vec![spec("gate"), late("promoted"), late("earlier"), after("later", &["gate"])]).await;
    let now = on.now().await;
    assert_eq!(on.amend(&id("promoted"), Amend::Promote).await.changed, [id("promoted")]);
    assert!(on.amend(&id("later"), Amend::Promote).await.changed.is_empty(), "it waits for no time");
    on.amend(&id("earlier"), Amend::Reschedule(now.saturating_sub(5))).await;
    on.amend(&id("later"), Amend::Reschedule(now + LONG)).await;
    assert_eq!(on.counts().await.of(View::Blocked), 3);
    assert_eq!(on.run_one("node").await, id("gate"));
    assert_eq!(super::stage::ids(&on.claim("node", 9).await), ["promoted", "earlier"]);
    assert_eq!(on.counts().await.of(View::Scheduled), 1);
    assert_eq!(on.get(&id("later")).await.status.run_at, now + LONG);
}

/// Stores keep tasks that nothing is said about in short ways of their own.
pub async fn plain_tasks_are_changed_like_any_others(on: &Stage) {
    let names: Vec<String> = (0..8).map(|n| format!("00000000-0000-7000-8000-00000000000{n}")).collect();
    let plain = |name: &String| Spec { minted: true, ..spec(name) };
    on.push(names.iter().map(plain).collect()).await;
    let all: Vec<_> = names.iter().map(|name| id(name)).collect();
    let now = on.now().await;
    let changes = [
        (3, Amend::Prioritise(5)),
        (4, Amend::Reschedule(now + 200)),
        (1, Amend::Cancel("no".into())),
        (6, Amend::Prioritise(-5)),
        (5, Amend::Reschedule(now + LONG)),
        (2, Amend::Remove),
        (5, Amend::Promote),
    ];
    for (at, change) in changes {
        assert_eq!(on.amend(&all[at], change.clone()).await.changed, [all[at].clone()], "{at}: {change:?}");
    }
    on.pass(300).await;
    for at in [3, 0, 4, 5, 7, 6] {
        let run = on.claim_one("node").await;
        assert_eq!(run.spec.id, all[at]);
        on.end("node", &run, failure()).await;
    }
    assert_eq!(on.amend_all(Filter::default(), Amend::Retry).await.len(), 7);
    assert_eq!(on.claim("node", 9).await.len(), 7);
}

pub async fn a_start_can_be_moved_both_ways(on: &Stage) {
    on.push(vec![spec("task"), delayed("late", LONG)]).await;
    let now = on.now().await;
    on.amend(&id("task"), Amend::Reschedule(now + LONG)).await;
    on.amend(&id("late"), Amend::Reschedule(now)).await;
    assert_eq!(on.get(&id("task")).await.status.run_at, now + LONG);
    assert_eq!(on.run_one("node").await, id("late"));
    assert!(on.claim("node", 9).await.is_empty());
    let run_at = on.get(&id("late")).await.status.run_at;
    assert!(on.amend(&id("late"), Amend::Reschedule(now + 5)).await.changed.is_empty(), "it has ended");
    assert_eq!(on.get(&id("late")).await.status.run_at, run_at);
}

pub async fn a_priority_can_be_changed_while_a_task_waits(on: &Stage) {
    on.push(specs("task", 3)).await;
    on.push(vec![delayed("delayed", 200), after("blocked", &["task-0"])]).await;
    for task in ["task-2", "delayed", "blocked"] {
        assert_eq!(on.amend(&id(task), Amend::Prioritise(7)).await.changed, [id(task)]);
    }
    on.pass(300).await;
    for task in ["task-2", "delayed", "task-0", "blocked", "task-1"] {
        let run = on.claim_one("node").await;
        let priority = if task.starts_with("task-") && task != "task-2" { 0 } else { 7 };
        assert_eq!((run.spec.id.clone(), run.priority), (id(task), priority));
        on.end("node", &run, super::stage::done()).await;
    }
}

pub async fn a_task_that_was_not_started_in_time_expires(on: &Stage) {
    let now = on.now().await;
    on.add(spec("blocker")).await;
    on.claim_one("node").await;
    let blocked = Spec { expires_at: Some(now + 300), ..after("blocked", &["blocker"]) };
    let delayed = Spec { expires_at: Some(now + 300), ..delayed("delayed", LONG) };
    on.push(vec![expiring("ready", now + 300), blocked, delayed, expiring("patient", now + LONG)]).await;
    on.add(after("child", &["ready"])).await;
    let turn = on.step("node", Vec::new(), Claims::default()).await;
    assert_eq!(turn.next_at, Some(now + 300), "it says when to come again");
    on.pass(400).await;
    let mut ended = on.drain("node").await;
    ended.sort();
    assert_eq!(ended, ["blocked", "child", "delayed", "ready"].map(id));
    for task in ["blocked", "delayed", "ready"] {
        let record = on.get(&id(task)).await;
        assert_eq!((record.status.state, record.status.cause), (State::Failed, Some(Cause::Expire)));
        assert_eq!(record.status.attempts.last().unwrap().code, "ERR_TASK_EXPIRED");
    }
    assert_eq!(on.fate(&id("child")).await, (State::Cancelled, Some(Cause::Block)));
    assert_eq!(on.run_one("node").await, id("patient"));
}

pub async fn an_expired_task_is_not_claimed_however_many_there_are(on: &Stage) {
    let now = on.now().await;
    on.push((0..2500).map(|n| expiring(&format!("task-{n}"), now + 2000)).collect()).await;
    on.add(spec("other")).await;
    on.pass(2100).await;
    let mut claimed = Vec::new();
    loop {
        let turn = on.step("node", Vec::new(), Claims { max: 9, lanes: vec![LaneClaim::of(KIND, 9)] }).await;
        assert!(turn.ended.len() <= 1000, "a step ends at most 1000");
        claimed.extend(super::stage::ids(&turn.claimed));
        if !turn.more {
            break;
        }
    }
    assert_eq!(claimed, ["other"]);
    assert_eq!(on.counts().await.of(View::Failed), 2500);
}

pub async fn a_task_that_has_run_does_not_expire(on: &Stage) {
    let now = on.now().await;
    on.add(Spec { retry: RetryPolicy::fixed(2, 0), ..expiring("tried", now + 1000) }).await;
    let tried = on.claim_one("node").await;
    on.end("node", &tried, failure()).await;
    on.add(Spec { priority: 1, ..expiring("given-back", now + 1000) }).await;
    let given_back = on.claim_one("node").await;
    on.end("node", &given_back, Outcome::Released).await;
    on.pass(1100).await;
    assert_eq!(on.drain("node").await, [id("given-back")], "what was given back has not been started");
    assert_eq!(on.run_one("node").await, id("tried"));
}

pub async fn changes_of_all_waiting_tasks_come_to_an_end(on: &Stage) {
    on.push(specs("task", 2500)).await;
    let now = on.now().await;
    for change in [Amend::Prioritise(5), Amend::Reschedule(now + LONG), Amend::Promote] {
        assert_eq!(on.amend_all(Filter::default(), change).await.len(), 2500);
    }
    assert_eq!(on.claim("node", 9999).await.iter().filter(|run| run.priority == 5).count(), 2500);
}
