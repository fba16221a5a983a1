//! The phases of a close, of both lanes.

use super::*;
use crate::engine::Closing;
use Word::*;

#[test]
fn what_waits_is_refused_and_what_runs_gets_its_grace() {
    let mut core = core(1);
    let policy = Some(core.add_policy(RetryPolicy::fixed(3, 1_000)));
    core.submit(Submission { policy, ..local(0) });
    core.poll(0);
    core.done(0, failed(), 0);
    core.submit(local(1));
    core.submit(local(2));
    core.poll(0);
    assert_eq!(words(&mut core), [Start(0), Retry(0), Start(1)]);
    core.close(100, 1_000);
    core.close(200, 9_000);
    assert_eq!(
        words(&mut core),
        [Closed(0), Closed(2)],
        "the backoff and the waiting one; the second close is none"
    );
    core.submit(local(3));
    assert_eq!(words(&mut core), [Closed(3)]);
    assert_eq!(core.wake_at(), Some(600));
    core.tick(599);
    assert!(!core.is_stopped_local(1, 1));
    core.tick(600);
    assert!(core.is_stopped_local(1, 1));
    assert_eq!(words(&mut core), [AbortAll]);
    core.done(1, Done::Ok, 700);
    core.tick(700);
    assert_eq!((words(&mut core), core.closing()), (vec![End], Closing::Done));
}

#[test]
fn what_outlives_the_grace_is_given_up() {
    let mut core = core(2);
    core.submit(local(0));
    core.submit(timed(1, 3_600_000));
    core.poll(0);
    assert!(core.begin_local(1, 1, 0));
    core.close(0, 100);
    core.tick(100);
    assert_eq!(words(&mut core), [Start(0), Start(1), Closed(0), Closed(1), End]);
    assert!(!core.finish_local(0, 1, 101));
    core.done(0, Done::Ok, 101);
    core.done(1, Done::Ok, 101);
    assert_eq!((core.local_live(), core.holds_process(101)), (0, false));
}

#[test]
fn a_close_without_grace_is_over_at_once() {
    let mut core = core(1);
    core.submit(local(0));
    core.submit(local(1));
    core.poll(0);
    core.close(5, 0);
    assert_eq!(words(&mut core), [Start(0), Closed(1), Closed(0), End]);
    let mut idle = super::core(1);
    idle.close(0, 8_000);
    assert_eq!((words(&mut idle), idle.closing()), (vec![End], Closing::Done));
}

#[test]
fn while_it_closes_nobody_gets_another_attempt() {
    let mut core = core(4);
    let policy = Some(core.add_policy(RetryPolicy::fixed(3, 0)));
    (0..4).for_each(|slot| {
        core.submit(Submission { policy, timeout: Some(50), asks: slot == 3, ..local(slot) })
    });
    core.poll(0);
    (0..4).for_each(|slot| assert!(core.begin_local(slot, 1, 0)));
    words(&mut core);
    core.close(0, 1_000);
    core.done(0, failed(), 10);
    core.done(1, Done::Snoozed(10), 10);
    core.tick(51);
    assert_eq!(words(&mut core), [Fail(0), Closed(1), Timeout(2), Timeout(3), End]);
}

#[test]
fn stored_runs_go_back_unbegun_at_once_and_begun_at_the_end() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![spec(), spec(), spec()], 0);
    assert!(core.begin_stored(handed[0].slot, handed[0].run, 0));
    core.close(10, 100);
    assert_eq!(settle(&mut core, 10), [Cause::Release, Cause::Release]);
    core.hint();
    assert!(core.step(11).is_none(), "nothing is claimed");
    core.tick(60);
    assert!(core.is_stopped_stored(handed[0].slot, handed[0].run));
    core.tick(110);
    assert_eq!(settle(&mut core, 110), [Cause::Release], "no attempt is lost by it");
    assert_eq!((core.closing(), words(&mut core)), (Closing::Done, vec![AbortAll, End]));
    assert!(!core.ended(handed[0].slot, handed[0].run, ok(), 111));
    assert_eq!((settle(&mut core, 112), core.is_quiet()), (vec![], true));
}

#[test]
fn a_claim_that_comes_back_during_a_close_is_returned() {
    let mut core = started(config(2));
    let step = core.step(0).unwrap();
    core.close(1, 1_000);
    answer(&mut core, &step, vec![claimed(spec(), 3)], 2);
    assert!(starts(&mut core).is_empty());
    assert_eq!(settle(&mut core, 2), [Cause::Release]);
}
