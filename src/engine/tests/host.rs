//! A host that does not answer: what it has not begun goes back, what it has begun is lost in the end.

use super::*;

#[test]
fn what_a_blocked_host_has_not_begun_goes_back_after_250_ms() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![spec(), spec(), spec()], 0);
    assert!(core.begin_stored(handed[0].slot, handed[0].run, 0));
    core.host_called(100);
    assert_eq!(core.wake_at(), Some(350));
    core.tick(349);
    assert_eq!(settle(&mut core, 349), []);
    core.tick(350);
    assert_eq!(settle(&mut core, 350), [Cause::Release, Cause::Release]);
    assert!(!core.begin_stored(handed[1].slot, handed[1].run, 351));
    core.hint();
    assert!(core.step(400).is_none(), "nothing is claimed for it");
    assert!(core.host_turned(1_000));
    assert!(!core.host_turned(1_001));
    assert!(core.step(1_001).is_some());
    assert!(core.ended(handed[0].slot, handed[0].run, ok(), 1_002), "what it had begun is its own");
}

#[test]
fn a_host_that_answers_in_time_keeps_everything() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![spec(), spec()], 0);
    for now in (0..5_000).step_by(200) {
        core.host_called(now);
        core.tick(now + 199);
        assert!(!core.host_turned(now + 199));
    }
    assert_eq!(settle(&mut core, 5_000), []);
    assert!(core.begin_stored(handed[1].slot, handed[1].run, 5_000));
}

#[test]
fn a_hung_host_loses_what_it_has_begun_once() {
    for stall_limit in [60_000, 100] {
        let mut core = started(Config { stall_limit, ..config(1) });
        let begun = begin(&mut core, spec(), 0);
        core.host_called(0);
        // Also where the limit is shorter than the time after which the unbegun go back.
        assert_eq!(core.wake_at(), Some(stall_limit.min(250)));
        core.tick(stall_limit.min(250) - 1);
        core.tick(250.min(stall_limit - 1));
        if stall_limit > 250 {
            assert_eq!(core.wake_at(), Some(stall_limit));
        }
        core.tick(stall_limit - 1);
        assert_eq!(settle(&mut core, stall_limit - 1), []);
        core.tick(stall_limit);
        assert_eq!(settle(&mut core, stall_limit), [Cause::Lose]);
        assert_eq!((stops(&mut core), core.abandoned()), (vec![Stop::Lost], 1));
        core.tick(stall_limit + 1);
        assert_eq!(settle(&mut core, stall_limit + 1), []);
        core.host_turned(stall_limit + 2);
        assert!(!core.ended(begun.slot, begun.run, ok(), stall_limit + 3), "its result comes too late");
        assert_eq!((core.abandoned(), core.is_quiet()), (0, true));
    }
}

#[test]
fn what_is_claimed_for_a_host_that_has_gone_silent_goes_back_at_once() {
    let mut core = started(config(4));
    let begun = begin(&mut core, spec(), 0);
    core.host_called(0);
    core.hint();
    let step = core.step(10).expect("under way when the host goes silent");
    core.tick(300);
    answer(&mut core, &step, vec![claimed(spec(), 8)], 301);
    assert!(starts(&mut core).is_empty());
    assert_eq!(settle(&mut core, 301), [Cause::Release]);
    // And the driver is not sent round in circles: what comes next is the loss of what has begun.
    assert_eq!(core.wake_at(), Some(60_000));
    assert!(core.host_turned(400));
    assert!(core.ended(begun.slot, begun.run, ok(), 401));
}

#[test]
fn a_silent_host_is_pinged_only_while_it_has_something() {
    let mut core = started(config(1));
    core.host_turned(0);
    assert!(!core.wants_ping(100_000));
    assert_eq!(core.host_deadline(), None);
    let handed = claim(&mut core, vec![spec()], 0).remove(0);
    assert!(!core.wants_ping(100));
    assert!(core.wants_ping(125), "half the time after which it goes back");
    assert!(core.begin_stored(handed.slot, handed.run, 125));
    assert!(!core.wants_ping(999));
    assert!(core.wants_ping(1_000));
    core.host_called(1_000);
    assert!(!core.wants_ping(5_000), "it has been called, and has not answered");
}
