//! A timeout that the host decides about: the slot is free at once, the task is settled by the host's word.

use super::super::kinds::Kind;
use super::*;

fn asking() -> (Core, Start) {
    let mut core = started(config(1));
    core.add_kind(Kind { asks: true, ..Kind::new("work") });
    let begun = begin(&mut core, Spec { timeout: Some(10), ..spec() }, 0);
    core.tick(11);
    (core, begun)
}

/// Nothing is settled: the step that the free slot asks for carries nothing.
fn settles_nothing(core: &mut Core, now: Millis) {
    if let Some(step) = core.step(now) {
        assert!(step.settlements.is_empty());
        answer(core, &step, Vec::new(), now);
    }
}

fn judged(fatal: bool, retry_after: Option<Millis>) -> Failure {
    let code = Some("ERR_TASK_TIMEOUT".into());
    Failure { fatal, retry_after, code, ..Failure::new("TaskError", "late") }
}

#[test]
fn the_host_is_asked_while_the_slot_is_free_for_others() {
    let (mut core, begun) = asking();
    assert_eq!(stops(&mut core), [Stop::Asks { limit: 10, kind: begun.kind, attempt: 1 }]);
    settles_nothing(&mut core, 11);
    assert_eq!(core.abandoned(), 1);
    let other = begin(&mut core, Spec { timeout: None, ..spec() }, 12);
    core.judge_timeout(begun.slot, begun.run, judged(false, Some(70)), 13);
    let step = core.step(13).unwrap();
    assert_eq!((step.settlements[0].cause, step.settlements[0].delay), (Cause::Retry, 70));
    assert_eq!(step.settlements[0].attempt.as_ref().unwrap().code, "ERR_TASK_TIMEOUT");
    answer(&mut core, &step, Vec::new(), 13);
    assert!(core.ended(other.slot, other.run, ok(), 14));
    assert_eq!(settle(&mut core, 14), [Cause::Complete]);
    assert!(!core.ended(begun.slot, begun.run, ok(), 15), "its handler ends at last");
    assert_eq!((core.abandoned(), core.is_quiet()), (0, true));
}

#[test]
fn a_handler_that_ends_before_the_word_of_the_host_changes_nothing() {
    let (mut core, begun) = asking();
    assert!(!core.ended(begun.slot, begun.run, ok(), 12));
    assert_eq!(core.abandoned(), 0);
    settles_nothing(&mut core, 12);
    core.judge_timeout(begun.slot, begun.run, judged(true, None), 13);
    assert_eq!(settle(&mut core, 13), [Cause::Fail]);
    core.judge_timeout(begun.slot, begun.run, judged(false, None), 14);
    settles_nothing(&mut core, 14);
}

#[test]
fn who_is_not_there_to_be_asked_leaves_it_to_the_policy() {
    let (mut core, _) = asking();
    core.host_called(100);
    core.tick(60_100);
    assert_eq!(settle(&mut core, 60_100), [Cause::Retry]);
    let (mut core, _) = asking();
    core.close(20, 100);
    core.tick(120);
    assert_eq!(settle(&mut core, 120), [Cause::Retry]);
    assert!(core.is_quiet());
}

#[test]
fn the_last_attempt_and_a_policy_of_its_own_need_no_word() {
    let mut core = started(config(1));
    core.add_kind(Kind { asks: true, ..Kind::new("work") });
    let own = RetryPolicy { own: true, ..RetryPolicy::fixed(3, 10) };
    for (retry, cause) in [(RetryPolicy::none(), Cause::Fail), (own, Cause::Retry)] {
        begin(&mut core, Spec { timeout: Some(10), retry, ..spec() }, 0);
        core.tick(11);
        assert_eq!(settle(&mut core, 11), [cause]);
    }
}
