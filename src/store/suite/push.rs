//! Pushing: atomic, idempotent by id, bounded, guarded.

use std::sync::Arc;

use crate::store::{Push, Refusal};
use crate::task::{Conflict, Outcome, Spec, State, When};

use super::stage::{Stage, after, cell, change, done, failure, id, keyed, spec, specs};

pub async fn a_refused_push_leaves_nothing_and_does_not_touch_the_others(on: &Stage) {
    on.add(keyed("holder", Conflict::Ignore)).await;
    let answers = on.store().push(Arc::new([
        Push::of([spec("first")]),
        Push::of([spec("beside"), keyed("refused", Conflict::Refuse)]),
        Push::of([spec("last")]),
    ]));
    let answers = answers.await.unwrap();
    assert_eq!(answers[1], Err(Refusal::KeyHeld(id("holder"))));
    for (at, new) in [(0, "first"), (2, "last")] {
        let pushed = answers[at].as_ref().unwrap();
        assert_eq!((&pushed[0].id, pushed[0].created), (&id(new), true));
    }
    for gone in ["beside", "refused"] {
        assert!(on.find(&id(gone)).await.is_none(), "{gone} was refused");
    }
}

pub async fn answers_come_in_order(on: &Stage) {
    let pushed = on.push(specs("task", 20)).await;
    let expected: Vec<_> = specs("task", 20).into_iter().map(|spec| (spec.id, true)).collect();
    assert_eq!(pushed.into_iter().map(|pushed| (pushed.id, pushed.created)).collect::<Vec<_>>(), expected);
}

pub async fn an_id_is_taken_once_whatever_became_of_it(on: &Stage) {
    on.add(spec("task")).await;
    let push_again = async |state: State| {
        assert_eq!(on.state(&id("task")).await, state);
        let again = on.push(vec![Spec { priority: 9, ..spec("task") }]).await;
        assert_eq!((&again[0].id, again[0].created), (&id("task"), false));
    };
    push_again(State::Waiting).await;
    let run = on.claim_one("node").await;
    push_again(State::Running).await;
    on.end("node", &run, done()).await;
    push_again(State::Completed).await;
    assert_eq!(on.get(&id("task")).await.spec.priority, 0, "the first push counts");
    assert!(on.claim("node", 9).await.is_empty(), "there is one task");
}

pub async fn an_id_with_another_input_is_refused(on: &Stage) {
    let other = || Spec { input: "2".into(), ..spec("task") };
    let twice = on.refused(vec![spec("task"), other()]).await;
    assert_eq!(twice, Refusal::IdTaken(id("task")));
    assert!(on.find(&id("task")).await.is_none());
    on.add(spec("task")).await;
    assert_eq!(on.refused(vec![other()]).await, Refusal::IdTaken(id("task")));
    assert_eq!(&*on.get(&id("task")).await.spec.input, "null");
}

pub async fn an_id_with_another_input_is_refused_whatever_became_of_it(on: &Stage) {
    on.push(specs("run", 4)).await;
    for (at, outcome) in [done(), failure(), Outcome::Cancelled("no".into())].into_iter().enumerate() {
        let run = on.claim_one("node").await;
        assert_eq!(run.spec.id, id(&format!("run-{at}")));
        on.end("node", &run, outcome).await;
    }
    on.claim_one("node").await;
    let delayed = Spec { when: When::After(super::stage::LONG), ..spec("delayed") };
    on.push(vec![spec("ready"), delayed, after("blocked", &["ready"])]).await;
    let all = ["run-0", "run-1", "run-2", "run-3", "ready", "delayed", "blocked"];
    for task in all {
        let before = format!("{:?}", on.get(&id(task)).await);
        let other = Spec { input: "2".into(), ..spec(task) };
        let refused = on.refused(vec![spec("beside"), other]).await;
        assert_eq!(refused, Refusal::IdTaken(id(task)), "it is {before}");
        let again = on.push(vec![Spec { priority: 7, ..after(task, &["ready"]) }]).await.remove(0);
        assert_eq!((again.id, again.created), (id(task), false));
        assert_eq!(format!("{:?}", on.get(&id(task)).await), before);
    }
    assert!(on.find(&id("beside")).await.is_none());
}

pub async fn an_id_twice_in_one_push_is_one_task(on: &Stage) {
    let pushed = on.push(vec![spec("task"), spec("task")]).await;
    assert_eq!(pushed.iter().map(|pushed| pushed.created).collect::<Vec<_>>(), [true, false]);
    assert_eq!(on.claim("node", 9).await.len(), 1);
}

pub async fn a_minted_id_again_is_the_same_push(on: &Stage) {
    let minted = Spec { minted: true, ..spec("task") };
    for _ in 0..3 {
        let pushed = on.push(vec![minted.clone(), keyed("holder", Conflict::Refuse)]).await;
        assert_eq!(
            (&pushed[0].id, pushed[0].created),
            (&id("task"), true),
            "the answer was lost, not the task"
        );
        assert_eq!(pushed[1].id, id("holder"));
    }
    assert_eq!(on.claim("node", 9).await.len(), 2);
}

pub async fn what_was_pushed_comes_back_byte_for_byte(on: &Stage) {
    let nasty = "{\"__proto__\":1,\"a\":1e400,\"b\":[],\"\u{1f980}\":\"\\u0000\"}  ";
    let pushed = Spec {
        input: nasty.into(),
        name: "'; DROP TABLE tasks; --".into(),
        queue: "{}:*".into(),
        group: Some("\u{202e}group%s".into()),
        metadata: Some("{\"a\":\"1\"}".into()),
        timeout: Some(77),
        priority: i32::MIN,
        retry: crate::policy::RetryPolicy::list([5, 6]),
        ..spec("..//__proto__")
    };
    on.add(pushed.clone()).await;
    let kept = on.get(&pushed.id).await.spec;
    assert_eq!((&kept.input, &kept.metadata), (&pushed.input, &pushed.metadata));
    assert_eq!((&kept.name, &kept.queue, &kept.group), (&pushed.name, &pushed.queue, &pushed.group));
    assert_eq!((kept.timeout, kept.priority, &kept.retry), (Some(77), i32::MIN, &pushed.retry));
}

pub async fn names_that_look_alike_are_different(on: &Stage) {
    let names = ["a", "A", "a ", "a:", ":a", "a/b", "a//b", "\u{e9}", "e\u{301}", "1", "01", "%61"];
    for name in names {
        let spec = Spec { queue: name.into(), key: keyed("", Conflict::Refuse).key, ..spec(name) };
        on.add(spec).await;
    }
    for name in names {
        let counts = on.store().counts(Some(name.into())).await.unwrap();
        assert_eq!(counts.unfinished(), 1, "queue {name:?}");
    }
}

pub async fn more_waiting_tasks_than_allowed_are_refused(on: &Stage) {
    let bounded = |specs: Vec<Spec>| on.offer(Push { max_waiting: Some(3), ..Push::of(specs) });
    bounded(specs("task", 3)).await.unwrap();
    let more = vec![spec("task-0"), spec("more")];
    assert_eq!(bounded(more.clone()).await, Err(Refusal::Full { waiting: 3, limit: 3 }));
    assert!(on.find(&id("more")).await.is_none());
    bounded(specs("task", 3)).await.expect("known tasks add nothing");
    on.claim_one("node").await;
    bounded(more).await.expect("running tasks do not wait");
    let late = Spec { when: crate::task::When::After(super::stage::LONG), ..spec("late") };
    assert!(bounded(vec![late]).await.is_err(), "delayed ones would wait too");
    assert!(bounded(vec![after("blocked", &["more"])]).await.is_err(), "and so would blocked ones");
}

pub async fn what_takes_no_more_room_is_not_refused_for_want_of_it(on: &Stage) {
    let bounded = |specs: Vec<Spec>| on.offer(Push { max_waiting: Some(1), ..Push::of(specs) });
    bounded(vec![keyed("holder", Conflict::Ignore)]).await.unwrap();
    let found = bounded(vec![keyed("ignored", Conflict::Ignore)]).await.unwrap();
    assert_eq!(found[0].id, id("holder"));
    let next = bounded(vec![keyed("next", Conflict::Replace)]).await.unwrap();
    assert!(next[0].created, "it takes the place of the one that it cancels");
}

pub async fn a_guard_moves_with_the_push_or_refuses_it(on: &Stage) {
    let fire = |task: &str, old: Option<&str>, new: &str| {
        let guard = Some(change("cursor", old, Some(cell(new, None))));
        on.offer(Push { guard, ..Push::of([spec(task)]) })
    };
    fire("slot-1", None, "1").await.unwrap();
    assert_eq!(on.store().read("cursor".into()).await.unwrap(), Some(cell("1", None)));
    assert_eq!(fire("late", None, "1").await, Err(Refusal::Moved));
    assert_eq!(fire("wrong", Some("0"), "1").await, Err(Refusal::Moved));
    fire("slot-2", Some("1"), "2").await.unwrap();
    for gone in ["late", "wrong"] {
        assert!(on.find(&id(gone)).await.is_none());
    }
    let guard = Some(change("cursor", Some("2"), Some(cell("3", None))));
    let push = Push { guard, ..Push::of([after("orphan", &["nowhere"])]) };
    assert_eq!(on.offer(push).await, Err(Refusal::NoBlocker(id("nowhere"))));
    assert_eq!(
        on.store().read("cursor".into()).await.unwrap(),
        Some(cell("2", None)),
        "and the cell is as it was"
    );
}
