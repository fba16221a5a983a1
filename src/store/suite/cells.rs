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
        let due = on.store().due(max).await.unwrap();
        assert!(due.now >= now, "it says what time it is there");
        (due.cells.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), due.next_at)
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
    let due = on.store().due(9).await.unwrap();
    assert_eq!((due.cells, due.next_at), (Vec::new(), Some(now + 300)));
    on.pass(400).await;
    let due = on.store().due(9).await.unwrap();
    assert_eq!((due.cells.len(), due.next_at), (1, None));
}

pub async fn cells_are_listed_by_what_their_keys_begin_with(on: &Stage) {
    let keys =
        ["list", "list/", "list/a", "list/aa", "list/b", "list/\u{10ffff}", "list/\u{1f980}", "list0", "lis"];
    for (at, key) in keys.into_iter().enumerate() {
        on.swap(key, None, Some(cell(&at.to_string(), (at % 2 == 0).then_some(at as u64)))).await.unwrap();
    }
    let page = async |after: Option<&str>, max| {
        let cells = on.store().cells("list/".into(), after.map(Into::into), max).await.unwrap();
        cells.into_iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    let all = ["list/", "list/a", "list/aa", "list/b", "list/\u{1f980}", "list/\u{10ffff}"];
    assert_eq!(page(None, 99).await, all);
    assert_eq!(page(None, 2).await, all[..2]);
    assert_eq!(page(Some("list/a"), 2).await, all[2..4]);
    assert_eq!(page(Some("list/ab"), 1).await, all[3..4], "also after a key that is not there");
    assert_eq!(page(Some("a"), 1).await, all[..1], "nothing before the prefix");
    assert_eq!(page(Some(all[5]), 9).await, [""; 0]);
    let cells = on.store().cells("list/a".into(), None, 9).await.unwrap();
    assert_eq!(cells[0], ("list/a".into(), cell("2", Some(2))), "with value and date");
    assert_eq!(cells[1], ("list/aa".into(), cell("3", None)));
    on.swap("list/a", Some("2"), None).await.unwrap();
    assert_eq!(page(None, 2).await, ["list/", "list/aa"], "what was removed is not there");
}

pub async fn cells_and_tasks_do_not_meet(on: &Stage) {
    on.add(spec("key")).await;
    on.swap("key", None, Some(cell("1", None))).await.unwrap();
    on.swap("key", Some("1"), None).await.unwrap();
    assert_eq!(on.run_one("node").await, id("key"));
}
