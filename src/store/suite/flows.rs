//! Workflows: tasks that are found, counted and changed together.

use crate::store::{Amend, Filter, Keep, Query, Retention};
use crate::task::{Spec, View};

use super::stage::{Stage, after, id, spec};

fn of(flow: &str, spec: Spec) -> Spec {
    Spec { flow: Some(flow.into()), ..spec }
}

fn in_flow(flow: &str) -> Filter {
    Filter { flow: Some(flow.into()), ..Filter::default() }
}

async fn listed(on: &Stage, filter: Filter) -> Vec<String> {
    let mut ids = Vec::new();
    let mut query = Query { filter, limit: 2, cursor: None };
    loop {
        let page = on.list(query.clone()).await;
        ids.extend(page.records.iter().map(|record| record.spec.id.to_string()));
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return ids,
        }
    }
}

pub async fn a_flow_is_its_tasks_and_no_others(on: &Stage) {
    on.push(vec![of("one", after("b", &["a"])), of("one", spec("a")), of("one", spec("c"))]).await;
    on.push(vec![of("two", spec("other")), spec("lonely")]).await;
    on.add(of("one", Spec { group: Some("g".into()), queue: "q".into(), ..spec("d") })).await;
    assert_eq!(listed(on, in_flow("one")).await, ["d", "c", "a", "b"], "newest first");
    assert_eq!(listed(on, in_flow("two")).await, ["other"]);
    assert!(listed(on, in_flow("three")).await.is_empty());
    on.run_one("node").await;
    let states = |views: &[View]| Filter { views: views.to_vec(), ..in_flow("one") };
    assert_eq!(listed(on, states(&[View::Completed])).await, ["a"]);
    assert_eq!(listed(on, states(&[View::Waiting])).await, ["d", "c", "b"]);
    assert_eq!(listed(on, Filter { group: Some("g".into()), ..in_flow("one") }).await, ["d"]);
    assert_eq!(listed(on, Filter { queue: Some("q".into()), ..in_flow("one") }).await, ["d"]);
}

pub async fn a_flow_comes_back_with_the_task(on: &Stage) {
    let kept = |on: Option<&Spec>| on.and_then(|spec| spec.flow.as_deref().map(str::to_owned));
    on.push(vec![of("flow", spec("plain")), of("flow", after("child", &["plain"]))]).await;
    let run = on.claim_one("node").await;
    assert_eq!(kept(Some(&run.spec)).as_deref(), Some("flow"), "a claim tells it");
    assert_eq!(kept(Some(&on.get(&id("child")).await.spec)).as_deref(), Some("flow"));
    on.add(spec("free")).await;
    assert_eq!(kept(Some(&on.get(&id("free")).await.spec)), None);
}

pub async fn what_a_filter_changes_of_a_flow_is_nothing_else(on: &Stage) {
    on.push(vec![of("one", spec("a")), of("one", spec("b")), of("two", spec("c")), spec("d")]).await;
    let changed = on.amend_all(in_flow("one"), Amend::Cancel("no".into())).await;
    assert_eq!(changed.len(), 2);
    assert_eq!(on.counts().await.of(View::Cancelled), 2);
    assert_eq!(on.amend_all(in_flow("one"), Amend::Retry).await.len(), 2);
    assert_eq!(on.amend_all(in_flow("two"), Amend::Prioritise(7)).await, [id("c")]);
    assert!(on.amend_all(in_flow("three"), Amend::Cancel("no".into())).await.is_empty());
}

pub async fn a_pruned_task_is_not_in_its_flow(on: &Stage) {
    on.push(vec![of("flow", spec("a")), of("flow", spec("b"))]).await;
    on.run_one("node").await;
    let keep = Keep { count: Some(0), ..Keep::default() };
    let limits = Retention { completed: keep, failed: keep, cancelled: keep };
    assert_eq!(on.store().prune(limits, 10).await.expect("the store works"), 1);
    assert_eq!(listed(on, in_flow("flow")).await, ["b"]);
    on.amend(&id("b"), Amend::Remove).await;
    assert!(listed(on, in_flow("flow")).await.is_empty());
}
