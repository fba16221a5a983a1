use super::*;

fn entry(slot: u32) -> Entry {
    Entry { slot, run: 1 }
}

fn poll(dispatcher: &mut Dispatcher) -> Vec<u32> {
    let mut started = Vec::new();
    let poll = dispatcher.poll(0, |_| true, |_, _| false, |entry| started.push(entry.slot));
    assert_eq!(poll.started, started.len());
    started
}

fn end(dispatcher: &mut Dispatcher, lane: LaneId) {
    dispatcher.ended(lane, 0, Exit::Unbegun, 0);
}

#[test]
fn larger_priority_first_then_arrival() {
    let mut dispatcher = Dispatcher::new(100);
    for (slot, priority) in [(1, 0), (2, 5), (3, 0), (4, -1), (5, 5), (6, i32::MAX), (7, i32::MIN)] {
        dispatcher.ready(OPEN_LANE, priority, entry(slot));
    }
    assert_eq!(poll(&mut dispatcher), [6, 2, 5, 1, 3, 4, 7]);
}

#[test]
fn never_more_than_the_total() {
    let mut dispatcher = Dispatcher::new(2);
    for slot in 0..5 {
        dispatcher.ready(OPEN_LANE, 0, entry(slot));
    }
    assert_eq!(poll(&mut dispatcher), [0, 1]);
    assert_eq!(poll(&mut dispatcher), [0; 0]);
    end(&mut dispatcher, OPEN_LANE);
    assert_eq!(poll(&mut dispatcher), [2]);
}

#[test]
fn a_closed_lane_delays_no_other_and_stays_in_order() {
    let mut dispatcher = Dispatcher::new(10);
    let gate = dispatcher.add_gate(Gate::concurrency(1), None);
    let narrow = dispatcher.lane(&[gate]);
    assert_eq!(dispatcher.lane(&[gate]), narrow);
    for slot in 0..3 {
        dispatcher.ready(narrow, 9, entry(slot));
    }
    for slot in 10..13 {
        dispatcher.ready(OPEN_LANE, 0, entry(slot));
    }
    assert_eq!(poll(&mut dispatcher), [0, 10, 11, 12]);
    end(&mut dispatcher, narrow);
    assert_eq!(poll(&mut dispatcher), [1]);
    end(&mut dispatcher, narrow);
    assert_eq!(poll(&mut dispatcher), [2]);
}

#[test]
fn lanes_share_a_gate() {
    let mut dispatcher = Dispatcher::new(10);
    let (queue, kind) =
        (dispatcher.add_gate(Gate::concurrency(1), None), dispatcher.add_gate(Gate::concurrency(5), None));
    let (one, other) = (dispatcher.lane(&[queue]), dispatcher.lane(&[queue, kind]));
    dispatcher.ready(one, 0, entry(1));
    dispatcher.ready(other, 0, entry(2));
    assert_eq!(poll(&mut dispatcher), [1]);
    end(&mut dispatcher, one);
    assert_eq!(poll(&mut dispatcher), [2]);
}

#[test]
fn a_withdrawn_task_takes_no_slot() {
    let mut dispatcher = Dispatcher::new(1);
    for slot in 0..3 {
        dispatcher.ready(OPEN_LANE, 0, entry(slot));
    }
    let mut started = Vec::new();
    let poll = dispatcher.poll(0, |entry| entry.slot == 2, |_, _| false, |entry| started.push(entry.slot));
    assert_eq!((poll.started, started), (1, vec![2]));
    assert_eq!(dispatcher.waiting(), 0);
}

#[test]
fn pause_stops_starts_only() {
    let mut dispatcher = Dispatcher::new(2);
    dispatcher.ready(OPEN_LANE, 0, entry(1));
    dispatcher.set_paused(true);
    assert_eq!(poll(&mut dispatcher), [0; 0]);
    dispatcher.set_paused(false);
    assert_eq!(poll(&mut dispatcher), [1]);
}

#[test]
fn a_released_task_keeps_its_place() {
    let mut dispatcher = Dispatcher::new(1);
    let first = dispatcher.ready(OPEN_LANE, 0, entry(1));
    dispatcher.ready(OPEN_LANE, 0, entry(2));
    assert_eq!(poll(&mut dispatcher), [1]);
    dispatcher.ready(OPEN_LANE, 0, entry(3));
    dispatcher.ready_again(OPEN_LANE, 0, first, entry(1));
    end(&mut dispatcher, OPEN_LANE);
    assert_eq!(poll(&mut dispatcher), [1]);
    end(&mut dispatcher, OPEN_LANE);
    assert_eq!(poll(&mut dispatcher), [2]);
}
