//! Small shared values: compare-and-set, and those with a date.

use super::stage::{LONG, Stage, cell, id, spec};

pub async fn a_swap_needs_the_value_that_is_there(on: &Stage) {
    let absent = on.swap("key", Some("1"), Some(cell("2", None))).await;
    assert_eq!(absent, Err(None), "there is no cell");
    on.swap("key", None, Some(cell("1", Some(7)))).await.unwrap();
    assert_eq!(on.swap("key", None, Some(cell("2", None))).await, Err(Some(cell("1", Some(7)))));
    assert_eq!(
        on.swap("key", Some("0"), None).await,
        Err(Some(cell("1", Some(7)))),
        "it brings what is there"
    );
    on.swap("key", Some("1"), Some(cell("2", None))).await.unwrap();
    assert_eq!(on.store().read("key".into()).await.unwrap(), Some(cell("2", None)));
    on.swap("key", Some("2"), None).await.unwrap();
    assert_eq!(on.store().read("key".into()).await.unwrap(), None);
    on.swap("key", None, None).await.expect("what is absent can be removed");
}

pub async fn due_cells_come_soonest_first(on: &Stage) {
    let now = on.now().await;
    for (key, at) in
        [("c", Some(3)), ("a", Some(1)), ("later", Some(now + LONG)), ("b", Some(2)), ("dateless", None)]
    {
        on.swap(key, None, Some(cell(key, at))).await.unwrap();
    }
    let due = async |max| {
        let (due, next) = on.store().due(max).await.unwrap();
        (due.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), next)
    };
    assert_eq!(due(9).await, (["a", "b", "c"].map(String::from).to_vec(), Some(now + LONG)));
    assert_eq!(due(1).await, (vec!["a".into()], Some(2)), "the next one is due as well");
    on.swap("a", Some("a"), Some(cell("a", Some(now + LONG + 1)))).await.unwrap();
    on.swap("b", Some("b"), None).await.unwrap();
    on.swap("c", Some("c"), Some(cell("c", None))).await.unwrap();
    assert_eq!(due(9).await, (Vec::new(), Some(now + LONG)), "a new date takes the place of the old one");
}

pub async fn a_cell_becomes_due_in_time(on: &Stage) {
    let now = on.now().await;
    on.swap("key", None, Some(cell("1", Some(now + 300)))).await.unwrap();
    assert_eq!(on.store().due(9).await.unwrap(), (Vec::new(), Some(now + 300)));
    on.pass(400).await;
    let (due, next) = on.store().due(9).await.unwrap();
    assert_eq!((due.len(), next), (1, None));
}

pub async fn cells_and_tasks_do_not_meet(on: &Stage) {
    on.add(spec("key")).await;
    on.swap("key", None, Some(cell("1", None))).await.unwrap();
    on.swap("key", Some("1"), None).await.unwrap();
    assert_eq!(on.run_one("node").await, id("key"));
}
