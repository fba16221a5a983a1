//! Three forms of one rate limit decide alike over many random arrivals: the gate of an engine, the integers
//! of a store, and the crate `governor`.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use task::policy::rate::{RateGate, RateLimit};
use task::store::Rate;
use task::time::Millis;

/// A limit whose interval is a whole number of milliseconds or microseconds, and the waits before arrivals:
/// mostly more than the limit allows, now and then so far apart that all is forgotten.
#[derive(Clone, Debug)]
struct Traffic {
    limit: u32,
    per: Millis,
    burst: u32,
    waits: Vec<Millis>,
}

fn traffic(arrivals: usize) -> impl Strategy<Value = Traffic> {
    let rates =
        prop::sample::select(vec![(1, 7), (1, 1000), (100, 1000), (8, 1000), (2000, 1000), (5, 60_000)]);
    (rates, 1..12u32).prop_flat_map(move |((limit, per), burst)| {
        let interval = per / u64::from(limit);
        let wait = prop_oneof![
            24 => Just(0),
            12 => 0..=interval,
            1 => 0..=20u64,
            1 => 0..=(interval + 1) * 60,
        ];
        prop::collection::vec(wait, arrivals).prop_map(move |waits| Traffic { limit, per, burst, waits })
    })
}

/// How many arrivals have passed, of how many.
fn play(traffic: &Traffic) -> Result<(usize, usize), TestCaseError> {
    let Traffic { limit, per, burst, ref waits } = *traffic;
    let settings = RateLimit::new(limit, per).unwrap().with_burst(burst).unwrap();
    prop_assert_eq!(settings.interval_ns() % 1000, 0);
    let mut gate = RateGate::new(settings);

    let interval_us = settings.interval_ns() / 1000;
    let shared = Rate { key: "rate".into(), by_group: false, interval_us, burst };
    let mut arrival_us = 0;

    let interval = Duration::from_nanos(settings.interval_ns());
    let quota = Quota::with_period(interval).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
    let clock = FakeRelativeClock::default();
    let governor = RateLimiter::direct_with_clock(quota, clock.clone());

    // `governor` counts from its own beginning; the store's clock shows a date.
    let begin = 1_700_000_000_000;
    let (mut now, mut passed) = (begin, 0);
    for wait in waits {
        now += wait;
        clock.advance(Duration::from_millis(*wait));
        let room = gate.room(now);
        let local = room.slots > 0;
        let (next, answer) = shared.take(arrival_us, now);
        arrival_us = next;
        match answer {
            Ok(()) => prop_assert!(local, "the store starts one at {}, the gate none", now - begin),
            Err(at) => prop_assert_eq!(room.reopens_at, Some(at), "at {}", now - begin),
        }
        let theirs = governor.check().is_ok();
        prop_assert_eq!(local, theirs, "governor differs at {}", now - begin);
        if local {
            gate.take(1, now);
            passed += 1;
        }
    }
    Ok((passed, waits.len()))
}

#[test]
fn a_hundred_thousand_arrivals() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(50) };
    let counts = Cell::new((0, 0));
    TestRunner::new(config)
        .run(&traffic(2000), |traffic| {
            let (some, all) = play(&traffic)?;
            let (passed, refused) = counts.get();
            counts.set((passed + some, refused + all - some));
            Ok(())
        })
        .unwrap();
    let (passed, refused) = counts.get();
    // Both answers have to be common, or nothing has been compared.
    assert!(
        passed + refused >= 100_000 && passed.min(refused) > 10_000,
        "{passed} passed, {refused} did not"
    );
}
