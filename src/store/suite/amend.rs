//! What operators change: cancel, remove, by id and by filter.

use crate::store::{Amend, Filter, Target};
use crate::task::{Cause, Spec, State, View, When};

use super::stage::{LONG, Stage, after, done, failure, fate, id, ids, spec, specs};

pub async fn cancel_ends_what_waits_at_once(on: &Stage) {
    let delayed = Spec { when: When::After(LONG), ..spec("delayed") };
    on.push(vec![spec("ready"), delayed, spec("blocker"), after("blocked", &["blocker"])]).await;
    for task in ["ready", "delayed", "blocked"] {
        let amended = on.amend(&id(task), Amend::Cancel("enough".into())).await;
        assert_eq!((&amended.changed, &amended.ended), (&vec![id(task)], &vec![id(task)]));
        assert!(amended.stopping.is_empty() && !amended.more);
        assert_eq!(on.fate(&id(task)).await, (State::Cancelled, Some(Cause::Cancel)));
        assert_eq!(on.get(&id(task)).await.status.cancel.as_deref(), Some("enough"));
    }
    assert_eq!(ids(&on.claim("node", 9).await), ["blocker"]);
}

pub async fn cancel_asks_a_run_to_stop_once(on: &Stage) {
    on.add(spec("task")).await;
    let run = on.claim_one("node").await;
    let amended = on.amend(&id("task"), Amend::Cancel("enough".into())).await;
    assert_eq!((&amended.changed, &amended.stopping), (&vec![id("task")], &vec![(id("task"), run.epoch)]));
    assert!(amended.ended.is_empty());
    let again = on.amend(&id("task"), Amend::Cancel("once more".into())).await;
    assert!(again.changed.is_empty() && again.stopping.is_empty());
    assert_eq!(on.get(&id("task")).await.status.cancel.as_deref(), Some("enough"));
}

pub async fn what_does_not_apply_changes_nothing(on: &Stage) {
    on.push(specs("task", 2)).await;
    on.run_one("node").await;
    on.claim_one("node").await;
    let now = on.now().await;
    let before = format!("{:?}", on.store().get(vec![id("task-0"), id("task-1")]).await.unwrap().records);
    let all = Target::Ids(vec![id("task-0"), id("task-1"), id("nobody")]);
    for change in [Amend::Reschedule(now), Amend::Promote, Amend::Prioritise(4)] {
        let amended = on.store().amend(all.clone(), change).await.unwrap();
        assert!(amended.changed.is_empty() && amended.ended.is_empty() && !amended.more);
    }
    assert!(on.amend(&id("task-0"), Amend::Cancel("late".into())).await.changed.is_empty());
    for change in [Amend::Retry, Amend::Remove] {
        assert!(on.amend(&id("task-1"), change).await.changed.is_empty(), "it runs");
    }
    assert_eq!(
        format!("{:?}", on.store().get(vec![id("task-0"), id("task-1")]).await.unwrap().records),
        before
    );
}

pub async fn several_ids_are_changed_in_one_step(on: &Stage) {
    on.push(specs("task", 5)).await;
    let some = [3, 1].map(|n| id(&format!("task-{n}")));
    let target = Target::Ids(vec![some[0].clone(), id("nobody"), some[1].clone(), some[0].clone()]);
    let amended = on.store().amend(target, Amend::Cancel("enough".into())).await.unwrap();
    assert_eq!(amended.changed, some);
    assert_eq!(ids(&on.claim("node", 9).await), ["task-0", "task-2", "task-4"]);
}

pub async fn remove_forgets_what_does_not_run(on: &Stage) {
    on.push(specs("task", 3)).await;
    on.run_one("node").await;
    let run = on.claim_one("node").await;
    for task in ["task-0", "task-2"] {
        assert_eq!(on.amend(&id(task), Amend::Remove).await.changed, [id(task)]);
        assert!(on.find(&id(task)).await.is_none());
    }
    assert_eq!(on.counts().await.by_view.iter().sum::<u64>(), 1);
    on.add(spec("task-0")).await;
    on.end("node", &run, done()).await;
    assert_eq!(on.run_one("node").await, id("task-0"));
}

pub async fn a_filter_is_worked_off_in_steps(on: &Stage) {
    let of = |prefix: &str, queue: &str, count: usize| -> Vec<Spec> {
        specs(prefix, count).into_iter().map(|spec| Spec { queue: queue.into(), ..spec }).collect()
    };
    on.push(of("here", "here", 2500)).await;
    on.push(of("there", "there", 5)).await;
    let runs = on.claim("node", 3).await;
    let filter = Filter { queue: Some("here".into()), ..Filter::default() };
    let changed = on.amend_all(filter, Amend::Cancel("all of them".into())).await;
    assert_eq!(changed.len(), 2500);
    let counts = on.counts().await;
    assert_eq!(
        (counts.of(View::Cancelled), counts.of(View::Running), counts.of(View::Waiting)),
        (2497, 3, 5)
    );
    for run in &runs {
        assert_eq!(on.end("node", run, done()).await, Cause::Cancel);
    }
}

pub async fn a_filter_counts_what_waits_for_others_too(on: &Stage) {
    on.add(spec("top")).await;
    let fan = |prefix: &str, blocker: &str| -> Vec<Spec> {
        (0..1500).map(|n| after(&format!("{prefix}-{n}"), &[blocker])).collect()
    };
    on.push(fan("fan", "top")).await;
    let chain = (1..1500).map(|n| after(&format!("{n}"), &[&format!("{}", n - 1)]));
    on.push([spec("0")].into_iter().chain(chain).collect()).await;
    let changed = on.amend_all(Filter::default(), Amend::Cancel("all".into())).await;
    assert_eq!((changed.len(), on.counts().await.of(View::Cancelled)), (3001, 3001));
    assert_eq!(on.fate(&id("1499")).await, (State::Cancelled, Some(Cause::Cancel)));
    assert_eq!(on.amend_all(Filter::default(), Amend::Retry).await.len(), 3001);
    assert_eq!(on.amend_all(Filter::default(), Amend::Remove).await.len(), 3001);
    assert!(on.list(crate::store::Query { limit: 9, ..Default::default() }).await.records.is_empty());
}

pub async fn a_filter_takes_only_what_matches(on: &Stage) {
    on.push(specs("task", 6)).await;
    on.add(Spec { group: Some("g".into()), priority: -1, ..spec("grouped") }).await;
    let runs = on.claim("node", 4).await;
    on.settle("node", vec![fate(&runs[0], done()), fate(&runs[1], failure()), fate(&runs[2], failure())])
        .await;
    let failed = Filter { views: vec![View::Failed], ..Filter::default() };
    assert_eq!(on.amend_all(failed, Amend::Retry).await, [id("task-1"), id("task-2")]);
    let grouped = Filter { group: Some("g".into()), ..Filter::default() };
    assert_eq!(on.amend_all(grouped, Amend::Cancel("no".into())).await, [id("grouped")]);
    let nothing = Filter { name: Some("other".into()), ..Filter::default() };
    assert!(on.amend_all(nothing, Amend::Remove).await.is_empty());
    let ended = Filter { views: vec![View::Completed, View::Cancelled], ..Filter::default() };
    assert_eq!(on.amend_all(ended, Amend::Remove).await.len(), 2);
}

pub async fn an_abandoned_round_does_not_hide_tasks_from_the_next(on: &Stage) {
    on.push(specs("task", 2500)).await;
    let all = Target::Filter(Filter::default());
    assert!(on.store().amend(all, Amend::Prioritise(1)).await.unwrap().more);
    assert_eq!(on.amend_all(Filter::default(), Amend::Cancel("no".into())).await.len(), 2500);
}
