//! Workflows: tasks that are found, counted and changed together.

use crate::store::{Amend, Filter, Keep, Query, Retention};
use crate::task::{OnBlockerFailure, Record, Spec, View, When};
use crate::time::Millis;

use super::stage::{LONG, Stage, after, blocked, done, failure, fate, id, spec};

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

/// A flow of every sort of task, whose blockers may come after them.
fn mixed(prefix: &str, is_new: bool, now: Millis) -> Vec<Spec> {
    let name = |text: &str| format!("{prefix}-{text}");
    let tied = |text: &str, blockers: &[&str]| {
        let blockers: Vec<String> = blockers.iter().map(|blocker| name(blocker)).collect();
        after(&name(text), &blockers.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut specs = vec![
        tied("end", &["left", "right", "grouped"]),
        Spec { when: When::After(LONG), ..tied("late", &["root"]) },
        Spec { expires_at: Some(now + LONG), ..tied("left", &["root"]) },
        Spec { priority: 3, ..tied("right", &["root", "first"]) },
        Spec { group: Some("tenant".into()), ..tied("grouped", &["root"]) },
        Spec { priority: -1, ..spec(&name("root")) },
        Spec { group: Some("tenant".into()), ..spec(&name("first")) },
        Spec { when: When::After(10_000), ..spec(&name("soon")) },
        blocked(&name("anyway"), &[&name("soon")], OnBlockerFailure::Run),
    ];
    for spec in &mut specs {
        (spec.minted, spec.flow) = (is_new, Some(prefix.into()));
    }
    specs
}

pub async fn a_flow_that_nothing_can_refuse_is_as_any_other(on: &Stage) {
    for (prefix, is_new) in [("new", true), ("given", false)] {
        let specs = mixed(prefix, is_new, on.now().await);
        let state = async || {
            let mut seen = Vec::new();
            for spec in &specs {
                let Record { status, spec, .. } = on.get(&spec.id).await;
                let blockers = spec.blockers.as_ref().map(|blockers| blockers.ids.clone());
                seen.push((status.state, status.cause, status.blockers, blockers));
            }
            (seen, on.counts().await)
        };
        let pushed = on.push(specs.clone()).await;
        assert!(pushed.iter().all(|task| task.created));
        assert_eq!(listed(on, in_flow(prefix)).await.len(), specs.len());
        let fresh = state().await;
        assert_eq!(fresh.0.iter().map(|one| one.2).collect::<Vec<_>>(), [3, 1, 1, 2, 1, 0, 0, 0, 1]);
        // The push again, before and after some of it has run, is the push that was.
        for ends in [&[][..], &["first", "root"][..], &["right"][..]] {
            for end in ends {
                assert_eq!(on.run_one("node").await, id(&format!("{prefix}-{end}")));
            }
            let before = state().await;
            let again = on.push(specs.clone()).await;
            assert_eq!(again.iter().all(|task| task.created), is_new);
            assert_eq!(state().await, before);
        }
        assert_eq!(on.counts().await.of(View::Scheduled), 2, "the late one, and the one that is soon due");
        on.pass(20_000).await;
        let soon = id(&format!("{prefix}-soon"));
        let runs = on.claim("node", 9).await;
        let fates = runs.iter().map(|run| fate(run, if run.spec.id == soon { failure() } else { done() }));
        on.settle("node", fates.collect()).await;
        let mut rest = [on.run_one("node").await.to_string(), on.run_one("node").await.to_string()];
        rest.sort_unstable();
        assert_eq!(rest, ["anyway", "end"].map(|text| format!("{prefix}-{text}")));
        on.amend(&id(&format!("{prefix}-late")), Amend::Cancel("no".into())).await;
        on.verify();
    }
}
