//! The engine and the store under faults, in virtual time and from a seed: the chief test.
//!
//! `SEED=7 cargo test --test simulator` plays one world, `SEEDS=1000` so many. Without either as many as fit
//! into a test run are played. A failure names its seed.

// Not every test binary needs all of it.
#[allow(dead_code)]
mod bench;
#[path = "sim/deeds.rs"]
mod deeds;
#[path = "sim/dice.rs"]
mod dice;
#[path = "sim/judge.rs"]
mod judge;
#[path = "sim/node.rs"]
mod node;
#[path = "sim/truth.rs"]
mod truth;
#[path = "sim/world.rs"]
mod world;

use task::task::TRANSITIONS;

use bench::{Open, number};
use world::{Seen, World};

/// Plays as many worlds as the environment says, or `usual`.
fn play(open: Open, usual: u64, verified_every: u64) {
    let one = number("SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(usual * bench::soak(20)),
    };
    let mut seen = Seen { transitions: Some(vec![0; TRANSITIONS.len()]), ..Seen::default() };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| World::new(seed, open, verified_every).play());
        let this = match played {
            Ok(Ok(this)) => this,
            Ok(Err(what)) => panic!("SEED={seed}, {what}"),
            Err(_) => panic!("SEED={seed} panicked, see above"),
        };
        match (&mut seen.transitions, &this.transitions) {
            (Some(sums), Some(these)) => sums.iter_mut().zip(these).for_each(|(sum, n)| *sum += n),
            (sums, _) => *sums = None,
        }
        seen.claims += this.claims;
        seen.stale += this.stale;
        seen.faults += this.faults;
    }
    println!("{} claims, {} stale settlements, {} calls", seen.claims, seen.stale, seen.faults);
    // That the worlds show everything is seen where the store counts.
    let Some(transitions) = seen.transitions else { return };
    for ((from, cause, to), n) in TRANSITIONS.iter().zip(&transitions) {
        println!("{from} by {} to {to}: {n}", cause.as_str());
    }
    if one.is_none() {
        let never = TRANSITIONS.iter().zip(&transitions).find(|(_, n)| **n == 0);
        assert!(never.is_none(), "{never:?} was never taken");
    }
}

#[test]
fn every_promise_holds_in_every_world() {
    play(bench::memory, 800, 1);
}

#[cfg(feature = "sqlite")]
#[test]
fn every_promise_holds_in_every_world_in_a_file() {
    play(bench::sqlite, 30, 20);
}

#[cfg(all(unix, feature = "redis"))]
#[test]
fn every_promise_holds_in_every_world_on_a_server() {
    play(bench::redis, 24, 20);
}
