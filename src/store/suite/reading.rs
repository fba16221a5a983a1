//! Reading: by id, in pages, by filter, in numbers.

use std::sync::Arc;

use crate::store::{Filter, Query};
use crate::task::{Failure, Outcome, Spec, TaskId, View, When};

use super::stage::{LONG, Stage, after, done, failure, fate, id, spec, specs};

/// The ids of all pages, newest first.
async fn pages(on: &Stage, filter: Filter, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = on.list(Query { filter: filter.clone(), limit, cursor }).await;
        assert!(page.records.len() <= limit);
        found.extend(page.records.iter().map(|record| record.spec.id.to_string()));
        cursor = page.cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

pub async fn records_come_in_the_order_of_their_ids(on: &Stage) {
    on.push(specs("task", 3)).await;
    let wanted = ["task-2", "nobody", "task-0", "task-2"].map(id);
    let records = on.store().get(wanted.to_vec()).await.unwrap().records;
    let found: Vec<Option<TaskId>> =
        records.iter().map(|record| record.as_ref().map(|r| r.spec.id.clone())).collect();
    assert_eq!(found, [Some(id("task-2")), None, Some(id("task-0")), Some(id("task-2"))]);
    assert!(on.store().get(Vec::new()).await.unwrap().records.is_empty());
}

pub async fn a_list_has_all_tasks_once_newest_first(on: &Stage) {
    on.push(specs("task", 23)).await;
    let expected: Vec<String> = (0..23).rev().map(|n| format!("task-{n}")).collect();
    for limit in [1, 5, 23, 100] {
        assert_eq!(pages(on, Filter::default(), limit).await, expected, "pages of {limit}");
    }
}

pub async fn a_list_goes_on_where_it_was_while_tasks_come_and_go(on: &Stage) {
    on.push(specs("task", 10)).await;
    let first = on.list(Query { limit: 4, ..Query::default() }).await;
    on.push(specs("new", 3)).await;
    on.amend(&id("task-6"), crate::store::Amend::Remove).await;
    on.amend(&id("task-3"), crate::store::Amend::Remove).await;
    let query = Query { limit: 9, cursor: first.cursor, ..Query::default() };
    let rest: Vec<String> =
        on.list(query).await.records.iter().map(|record| record.spec.id.to_string()).collect();
    assert_eq!(rest, ["task-5", "task-4", "task-2", "task-1", "task-0"]);
}

pub async fn the_id_of_a_task_is_a_cursor_too(on: &Stage) {
    on.push(specs("task", 5)).await;
    let query = Query { limit: 2, cursor: Some("task-3".into()), ..Query::default() };
    let page = on.list(query).await;
    let found: Vec<_> = page.records.iter().map(|record| record.spec.id.as_str()).collect();
    assert_eq!(found, ["task-2", "task-1"]);
    let query = Query { limit: 2, cursor: page.cursor, ..Query::default() };
    assert_eq!(on.list(query).await.records[0].spec.id, id("task-0"));
}

pub async fn a_foreign_cursor_is_an_error(on: &Stage) {
    on.push(specs("task", 3)).await;
    for cursor in ["", "nonsense", "-1", "1 OR 1=1"] {
        let query = Query { limit: 1, cursor: Some(cursor.into()), ..Query::default() };
        assert!(on.store().list(query).await.is_err(), "{cursor:?}");
    }
}

/// One task in each state that people see, named by it.
async fn one_of_each(on: &Stage) {
    on.push(["completed", "failed", "running"].map(spec).to_vec()).await;
    let runs = on.claim("node", 9).await;
    on.settle("node", vec![fate(&runs[0], done()), fate(&runs[1], failure())]).await;
    let scheduled = Spec { when: When::After(LONG), ..spec("scheduled") };
    on.push(vec![spec("cancelled"), scheduled, spec("waiting"), after("blocked", &["waiting"])]).await;
    on.amend(&id("cancelled"), crate::store::Amend::Cancel("no".into())).await;
}

pub async fn filters_pick_states(on: &Stage) {
    one_of_each(on).await;
    for view in View::ALL {
        let filter = Filter { views: vec![view], ..Filter::default() };
        assert_eq!(pages(on, filter, 9).await, [view.as_str()]);
    }
    let filter = Filter { views: vec![View::Failed, View::Blocked], ..Filter::default() };
    assert_eq!(pages(on, filter, 1).await, ["blocked", "failed"]);
}

pub async fn filters_pick_queues_kinds_groups_and_times(on: &Stage) {
    on.add(Spec { queue: "q".into(), ..spec("queue") }).await;
    on.add(Spec { name: "k".into(), ..spec("kind") }).await;
    on.add(Spec { group: Some("g".into()), ..spec("group") }).await;
    on.pass(10).await;
    let all = Spec { queue: "q".into(), name: "k".into(), group: Some("g".into()), ..spec("all") };
    on.add(all).await;
    let queue = || Filter { queue: Some("q".into()), ..Filter::default() };
    assert_eq!(pages(on, queue(), 9).await, ["all", "queue"]);
    assert_eq!(pages(on, Filter { name: Some("k".into()), ..Filter::default() }, 9).await, ["all", "kind"]);
    assert_eq!(pages(on, Filter { group: Some("g".into()), ..Filter::default() }, 9).await, ["all", "group"]);
    assert_eq!(
        pages(on, Filter { name: Some("k".into()), group: Some("g".into()), ..queue() }, 9).await,
        ["all"]
    );
    let created_at = on.get(&id("all")).await.status.created_at;
    let before = Filter { created_before: Some(created_at), ..Filter::default() };
    assert_eq!(pages(on, before, 9).await, ["group", "kind", "queue"]);
    let after = Filter { created_after: Some(created_at - 1), ..Filter::default() };
    assert_eq!(pages(on, after, 9).await, ["all"]);
}

pub async fn a_search_looks_at_names_inputs_and_errors_in_any_case(on: &Stage) {
    on.push(vec![
        Spec { name: "Mail.Send".into(), ..spec("name") },
        Spec { input: "{\"to\":\"MAIL@example\"}".into(), ..spec("input") },
        Spec { priority: 1, ..spec("error") },
        spec("mail-in-the-id-only"),
    ])
    .await;
    let run = on.claim_one("node").await;
    let error = Outcome::Error(Arc::new(Failure::new("MailError", "no route")));
    on.end("node", &run, error).await;
    let search = |text: &str| Filter { search: Some(text.into()), ..Filter::default() };
    assert_eq!(pages(on, search("mAIL"), 1).await, ["error", "input", "name"]);
    assert_eq!(pages(on, search("No Route"), 9).await, ["error"]);
    assert!(pages(on, search("%"), 9).await.is_empty(), "it is plain text");
    assert_eq!(
        pages(on, Filter { views: vec![View::Waiting], ..search("mail") }, 9).await,
        ["input", "name"]
    );
}

pub async fn counts_are_those_of_the_tasks(on: &Stage) {
    assert_eq!(on.counts().await.by_view, [0; 7]);
    one_of_each(on).await;
    on.add(Spec { queue: "other".into(), ..spec("elsewhere") }).await;
    assert_eq!(on.counts().await.by_view, [1, 2, 1, 1, 1, 1, 1]);
    assert_eq!(on.counts().await.unfinished(), 5);
    let of = async |queue: &str| on.store().counts(Some(queue.into())).await.unwrap();
    assert_eq!(of("default").await.by_view, [1; 7]);
    assert_eq!(of("other").await.by_view, [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(of("nowhere").await.by_view, [0; 7]);
}
