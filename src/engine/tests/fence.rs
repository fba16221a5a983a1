//! What a node does while its beat does not get through.

use super::*;
use crate::store::Pulse;

const LEASE: Millis = 1_000;

fn fenced() -> Core {
    let mut core = started(Config { lease: LEASE, ..config(2) });
    core.tick(0);
    core
}

#[test]
fn half_a_lease_without_a_beat_nothing_begins_and_what_was_claimed_goes_back() {
    let mut core = fenced();
    let starts = claim(&mut core, vec![spec(), spec(), spec()], 10);
    assert!(core.begin_stored(starts[0].slot, starts[0].run, 10));
    assert_eq!(core.wake_at(), Some(125), "the host is asked first");
    core.host_turned(499);
    core.tick(499);
    assert_eq!(core.wake_at(), Some(500));
    core.tick(500);
    assert!(!core.begin_stored(starts[1].slot, starts[1].run, 500));
    assert_eq!(settle(&mut core, 500), [Cause::Release, Cause::Release]);
    core.hint();
    assert!(core.step(501).is_none(), "nothing is claimed");
    assert!(!core.is_stopped_stored(starts[0].slot, starts[0].run), "what runs goes on");
    core.beaten(510);
    core.tick(511);
    assert!(core.step(511).expect("it claims again").claims.max > 0);
}

#[test]
fn a_claim_that_arrives_late_goes_back() {
    let mut core = fenced();
    let step = core.step(0).unwrap();
    core.tick(600);
    answer(&mut core, &step, vec![claimed(spec(), 3)], 600);
    assert!(starts(&mut core).is_empty());
    assert_eq!(settle(&mut core, 600), [Cause::Release]);
}

#[test]
fn a_lease_without_a_beat_tells_what_runs_once_and_still_offers_what_it_returns() {
    let mut core = fenced();
    let starts = claim(&mut core, vec![spec(), spec()], 10);
    starts.iter().for_each(|start| assert!(core.begin_stored(start.slot, start.run, 10)));
    for now in [500, 999, 1_000, 1_001] {
        core.host_turned(now);
        core.tick(now);
    }
    assert_eq!(stops(&mut core), [Stop::Doubtful, Stop::Doubtful]);
    assert!(core.is_stopped_stored(starts[0].slot, starts[0].run));
    assert!(core.ended(starts[0].slot, starts[0].run, ok(), 1_100));
    assert!(core.ended(starts[1].slot, starts[1].run, error(), 1_100));
    assert_eq!(settle(&mut core, 1_100), [Cause::Complete, Cause::Lose], "its error costs no attempt");
}

#[test]
fn local_runs_need_no_beat() {
    let mut core = fenced();
    core.tick(5_000);
    core.submit(local(0));
    core.poll(5_000);
    assert_eq!(words(&mut core), [Word::Start(0)]);
}

#[test]
fn a_node_that_does_nothing_has_no_fence() {
    let mut core = Core::new(Config { lease: LEASE, ..config(1) });
    core.add_kind(Kind::new("work"));
    core.tick(0);
    core.tick(90_000);
    core.start();
    core.tick(90_001);
    assert!(core.step(90_001).is_some());
    let mut producer = Core::new(Config { lease: LEASE, queues: Some(Vec::new()), ..config(1) });
    producer.add_kind(Kind::new("work"));
    producer.start();
    producer.tick(0);
    assert!(!producer.beats() && producer.step(0).is_none());
}

#[test]
fn a_beat_that_brings_death_takes_what_runs() {
    let mut core = fenced();
    let start = begin(&mut core, spec(), 10);
    core.tick(1_000);
    stops(&mut core);
    core.beaten(1_100);
    core.pulsed(&Pulse { declared_dead: true, ..Pulse::default() }, 1_100);
    assert_eq!(stops(&mut core), [Stop::Lost]);
    assert!(!core.ended(start.slot, start.run, ok(), 1_200));
}
