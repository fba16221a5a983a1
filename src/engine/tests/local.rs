//! Decision table of the local lane: phase by event.

use super::*;
use Word::*;

/// Submits, starts and reads the start.
fn run(core: &mut Core, task: Submission, now: Millis) -> u32 {
    let slot = task.slot;
    core.submit(task);
    core.poll(now);
    assert_eq!(words(core), [Start(slot)]);
    slot
}

#[test]
fn as_many_as_there_are_slots_then_in_order() {
    let mut core = core(2);
    (0..4).for_each(|slot| core.submit(local(slot)));
    core.poll(0);
    assert_eq!(words(&mut core), [Start(0), Start(1)]);
    core.done(1, Done::Ok, 0);
    core.done(0, Done::Failed, 0);
    core.poll(0);
    assert_eq!(words(&mut core), [Start(2), Start(3)]);
    assert_eq!(core.local_live(), 2);
}

#[test]
fn a_begun_attempt_times_out_once_and_never_early() {
    let mut core = core(1);
    run(&mut core, timed(0, 10), 100);
    core.submit(local(1));
    assert!(core.begin_local(0, 1, 105));
    core.tick(115);
    assert_eq!(words(&mut core), []);
    core.tick(116);
    assert_eq!(words(&mut core), [Timeout(0), Start(1)]);
    assert_eq!(core.abandoned(), 1);
    // What its handler does later is only its end.
    assert!(!core.finish_local(0, 1, 120));
    core.done(0, Done::Ok, 120);
    core.late_end();
    assert_eq!((core.abandoned(), core.local_live()), (0, 1));
    core.tick(10_000);
    assert_eq!(words(&mut core), []);
}

#[test]
fn an_attempt_that_has_not_begun_does_not_time_out() {
    let mut core = core(1);
    run(&mut core, timed(0, 10), 0);
    core.tick(5_000);
    assert_eq!(words(&mut core), []);
    assert!(core.begin_local(0, 1, 5_000));
    assert!(!core.begin_local(0, 1, 5_000), "twice");
    core.tick(5_010);
    assert_eq!(words(&mut core), []);
    core.tick(5_011);
    assert_eq!(words(&mut core), [Timeout(0)]);
}

#[test]
fn a_handler_that_has_had_its_time_is_late_even_if_the_timer_is_later() {
    let mut core = core(1);
    run(&mut core, timed(0, 10), 0);
    assert!(core.begin_local(0, 1, 0));
    assert!(!core.finish_local(0, 1, 12));
    assert_eq!(words(&mut core), [Timeout(0)]);
    assert_eq!(core.abandoned(), 1);
    core.late_end();
    core.tick(100);
    assert_eq!((words(&mut core), core.abandoned(), core.local_live()), (vec![], 0, 0));
    run(&mut core, timed(0, 10), 100);
    assert!(core.begin_local(0, 2, 100));
    assert!(core.finish_local(0, 2, 111), "in time, as far as whole milliseconds can tell");
}

#[test]
fn after_its_end_nothing_but_a_close_ends_a_run() {
    let mut core = core(1);
    run(&mut core, timed(0, 10), 0);
    assert!(core.begin_local(0, 1, 0));
    assert!(!core.finish_local(0, 2, 0), "another run");
    assert!(core.finish_local(0, 1, 0));
    core.tick(1_000);
    core.withdraw(0, 1_000);
    core.tick(5_000);
    assert_eq!((words(&mut core), core.abandoned()), (vec![], 0));
    core.done(0, Done::Ok, 5_000);
    assert_eq!(core.local_live(), 0);
    assert!(!core.finish_local(0, 1, 5_000));
}

#[test]
fn a_failure_waits_for_its_delay_and_goes_to_the_back() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(2, 10)));
    run(&mut core, Submission { policy, ..local(0) }, 0);
    core.submit(local(1));
    core.submit(local(2));
    core.done(0, failed(), 100);
    core.poll(100);
    assert_eq!(words(&mut core), [Retry(0), Start(1)]);
    core.tick(110);
    core.done(1, Done::Ok, 110);
    core.poll(110);
    assert_eq!(words(&mut core), [Start(2)], "its delay is not over");
    core.tick(111);
    core.done(2, Done::Ok, 111);
    core.poll(111);
    assert_eq!(words(&mut core), [Start(0)]);
    core.done(0, failed(), 112);
    assert_eq!(words(&mut core), [Fail(0)]);
    assert!(core.is_quiet());
}

#[test]
fn a_handler_may_name_the_delay_and_a_snooze_costs_no_attempt() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(2, 10)));
    run(&mut core, Submission { policy, ..local(0) }, 0);
    for now in [1_000, 2_000, 3_000] {
        core.done(0, Done::Snoozed(500), now);
        assert_eq!(words(&mut core), [Retry(0)]);
        core.tick(now + 500);
        assert_eq!(words(&mut core), []);
        core.tick(now + 501);
        assert_eq!(words(&mut core), [Start(0)]);
    }
    core.done(0, Done::Error { retry_after: Some(70) }, 4_000);
    core.tick(4_070);
    assert_eq!(words(&mut core), [Retry(0)]);
    core.tick(4_071);
    assert_eq!(words(&mut core), [Start(0)]);
}

#[test]
fn a_withdrawal_by_phase() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(2, 10)));
    // Ready: at once, and its entry starts nothing.
    run(&mut core, local(9), 0);
    core.submit(local(0));
    core.withdraw(0, 0);
    assert_eq!(words(&mut core), [Cancel(0)]);
    core.done(9, Done::Ok, 0);
    core.poll(0);
    assert_eq!(words(&mut core), []);
    // Backoff: at once, and its timer means nothing.
    run(&mut core, Submission { policy, ..local(0) }, 0);
    core.done(0, failed(), 0);
    core.withdraw(0, 0);
    core.tick(1_000);
    assert_eq!(words(&mut core), [Retry(0), Cancel(0)]);
    // Handed over: at once, its slot is free, and it can no longer begin.
    run(&mut core, local(0), 1_000);
    core.submit(local(1));
    core.withdraw(0, 1_000);
    core.poll(1_000);
    assert_eq!(words(&mut core), [Cancel(0), Start(1)]);
    assert!(!core.begin_local(0, 3, 1_000));
    core.done(1, Done::Ok, 1_000);
    // Free: nothing.
    core.withdraw(0, 1_000);
    core.withdraw(77, 1_000);
    assert_eq!((words(&mut core), core.is_quiet()), (vec![], true));
}

#[test]
fn a_running_task_that_is_withdrawn_ends_with_its_handler_or_is_given_up() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(5, 10)));
    run(&mut core, Submission { policy, ..timed(0, 1_000) }, 0);
    assert!(core.begin_local(0, 1, 0));
    core.withdraw(0, 10);
    assert!(core.is_stopped_local(0, 1));
    assert!(core.finish_local(0, 1, 20));
    core.done(0, failed(), 20);
    core.tick(5_000);
    assert_eq!((words(&mut core), core.is_quiet()), (vec![], true), "no retry, no timeout, no grace");

    run(&mut core, timed(0, 1_000), 5_000);
    assert!(core.begin_local(0, 2, 5_000));
    core.submit(local(1));
    core.withdraw(0, 5_010);
    core.tick(5_060);
    assert_eq!(words(&mut core), []);
    core.tick(5_061);
    assert_eq!(words(&mut core), [Abandon(0), Start(1)]);
    assert_eq!(core.abandoned(), 1);
    assert!(!core.finish_local(0, 2, 10_000));
    core.tick(10_000);
    assert_eq!(words(&mut core), [], "its timeout means nothing any more");
}

#[test]
fn beyond_what_may_be_abandoned_nothing_starts() {
    let mut core = Core::new(Config { max_abandoned: 1, ..config(3) });
    (0..2).for_each(|slot| core.submit(timed(slot, 10)));
    core.poll(0);
    (0..2).for_each(|slot| assert!(core.begin_local(slot, 1, 0)));
    core.tick(11);
    core.submit(local(2));
    core.poll(11);
    assert_eq!(words(&mut core), [Start(0), Start(1), Timeout(0), Timeout(1)]);
    core.late_end();
    core.poll(12);
    assert_eq!(words(&mut core), [Start(2)]);
}

#[test]
fn a_host_that_asks_decides_after_a_timeout_too() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(2, 10)));
    let task = Submission { policy, asks: true, ..timed(0, 10) };
    run(&mut core, task, 0);
    assert!(core.begin_local(0, 1, 0));
    core.submit(local(1));
    core.tick(11);
    assert_eq!(words(&mut core), [Expire(0), Start(1)], "the slot is free while it decides");
    core.done(0, failed(), 12);
    core.done(1, Done::Ok, 12);
    core.tick(23);
    assert_eq!(words(&mut core), [Retry(0), Start(0)]);
    assert!(core.begin_local(0, 2, 23));
    core.tick(34);
    core.done(0, Done::Failed, 34);
    assert_eq!((words(&mut core), core.is_quiet()), (vec![Expire(0)], true));
}

#[test]
fn a_closed_lane_keeps_no_other_from_starting() {
    let mut core = core(3);
    let kind = Some(core.add_kind(Kind { per_node: Some(1), ..Kind::new("narrow") }));
    for slot in 0..2 {
        core.submit(Submission { kind, priority: 9, ..local(slot) });
    }
    core.submit(local(2));
    core.poll(0);
    assert_eq!(words(&mut core), [Start(0), Start(2)]);
    core.done(0, Done::Ok, 0);
    core.poll(0);
    assert_eq!(words(&mut core), [Start(1)]);
}

#[test]
fn only_a_timer_that_means_something_holds_the_process() {
    let mut core = core(2);
    run(&mut core, timed(0, 3_600_000), 0);
    assert!(!core.holds_process(0), "nothing can happen by itself");
    assert!(core.begin_local(0, 1, 0));
    assert!(core.holds_process(0));
    assert!(core.finish_local(0, 1, 1));
    core.done(0, Done::Ok, 1);
    run(&mut core, local(1), 1);
    assert!(!core.holds_process(1));
}

#[test]
fn what_cannot_be_submitted_is_known() {
    let mut core = core(1);
    assert!(core.takes(&local(0)));
    assert!(!core.takes(&local(1 << 26)), "far beyond every slot there is");
    assert!(!core.takes(&Submission { policy: Some(0), ..local(0) }));
    assert!(!core.takes(&Submission { kind: Some(0), ..local(0) }));
    run(&mut core, local(0), 0);
    assert!(!core.takes(&local(0)), "in use");
    let policy = core.add_policy(RetryPolicy::fixed(2, 1));
    assert!(core.takes(&Submission { policy: Some(policy), ..local(1) }));
    core.drop_policy(policy);
    core.drop_policy(policy);
    assert!(!core.takes(&Submission { policy: Some(policy), ..local(1) }));
}

#[test]
fn timers_of_ended_tasks_do_not_pile_up() {
    let mut core = core(1);
    for round in 0..10_000 {
        core.submit(timed(0, 3_600_000));
        core.poll(0);
        assert!(core.begin_local(0, round + 1, 0));
        core.done(0, Done::Ok, 0);
    }
    assert!(core.timers.len() <= 2_050, "{}", core.timers.len());
    assert_eq!(core.timers.due(u64::MAX, |_| false), None);
    assert!(core.timers.is_idle());
}
