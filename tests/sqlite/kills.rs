//! Producers and workers are killed at random instants, again and again: nothing that was acknowledged is lost,
//! and nothing completes twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use task::store::Store;
use task::store::sqlite::Durability;

use crate::bench::{now, soak};
use crate::dice::Dice;
use crate::history::judge;
use crate::parts::word_of;
use crate::process::{Actor, Log};

const WORKERS: usize = 3;
const PRODUCERS: usize = 2;

struct Play<'a> {
    file: &'a Path,
    durability: Durability,
    log: Log,
    born: usize,
}

impl Play<'_> {
    fn begin(&mut self, part: &str) -> Actor {
        self.born += 1;
        let name = format!("{part}{}", self.born);
        let file = self.file.to_str().expect("a path of UTF-8");
        let words = [file, word_of(self.durability), &name, "16", "20", "30000"];
        Actor::begin(&self.log, part, &words)
    }
}

fn loop_of_kills(durability: Durability, kills: u64, usual: u64) {
    let mut dice = Dice::new(crate::seed(usual));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.db");
    let mut play = Play { file: &file, durability, log: Log::default(), born: 0 };
    let mut actors: Vec<Actor> = (0..WORKERS).map(|_| play.begin("worker")).collect();
    actors.extend((0..PRODUCERS).map(|_| play.begin("producer")));
    play.log.wait_for(0, "COMMIT");
    let mut killed = BTreeSet::new();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(dice.within(30, 200)));
        let victim = dice.within(0, actors.len() as u64) as usize;
        let part = if victim < WORKERS { "worker" } else { "producer" };
        let next = play.begin(part);
        killed.insert(std::mem::replace(&mut actors[victim], next).kill());
    }
    // The calm: nothing new comes, and what is there ends.
    for mut producer in actors.split_off(WORKERS) {
        producer.tell("end");
        producer.finish();
    }
    let store = crate::open(&file, durability);
    let until = Instant::now() + Duration::from_secs(60);
    while now(store.counts(None)).unfinished() > 0 {
        assert!(Instant::now() < until, "it does not come to its end: {:?}", now(store.counts(None)));
        std::thread::sleep(Duration::from_millis(10));
    }
    for mut worker in actors {
        worker.tell("end");
        worker.finish();
    }
    let tasks = crate::dump(&store);
    let seen = judge(&play.log.lines(), &killed, &tasks).unwrap_or_else(|what| panic!("{what}"));
    println!("{} tasks, {seen:?}", tasks.len());
    assert!(seen.acknowledged > 0 && seen.losses > 0, "the kills met nobody at work: {seen:?}");
    crate::assert_sound(&store);
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_strict() {
    loop_of_kills(Durability::Strict, 12 * soak(30), 1);
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_relaxed() {
    loop_of_kills(Durability::Relaxed, 12 * soak(30), 2);
}
