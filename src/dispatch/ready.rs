//! Ready tasks of one lane: larger priority first, then arrival.
//!
//! Most tasks have priority 0 and arrive in order: for them a queue is enough, which costs neither
//! comparisons nor rotations. All others go through a heap; the two meet at their heads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A run of a slot. A slot that has moved on to another run makes its old entries worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Number of the slot.
    pub slot: u32,
    /// Which of its runs.
    pub run: u32,
}

/// Order among ready tasks: the smallest is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<i32>,
    arrival: u64,
}

#[derive(Default)]
pub(super) struct ReadyQueue {
    fifo: VecDeque<(u64, Entry)>,
    heap: BinaryHeap<Reverse<(Rank, Entry)>>,
}

impl Rank {
    pub fn new(priority: i32, arrival: u64) -> Self {
        Self { priority: Reverse(priority), arrival }
    }
}

impl ReadyQueue {
    pub fn push(&mut self, rank: Rank, entry: Entry) {
        let in_order = self.fifo.back().is_none_or(|(last, _)| *last < rank.arrival);
        if rank.priority.0 == 0 && in_order {
            self.fifo.push_back((rank.arrival, entry));
        } else {
            self.heap.push(Reverse((rank, entry)));
        }
    }

    /// Takes out those that `is_gone` says are; gives their number.
    pub fn drop_those(&mut self, mut is_gone: impl FnMut(Entry) -> bool) -> usize {
        let before = self.len();
        self.fifo.retain(|(_, entry)| !is_gone(*entry));
        self.heap.retain(|Reverse((_, entry))| !is_gone(*entry));
        before - self.len()
    }

    /// Entries, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.fifo.len() + self.heap.len()
    }

    pub fn first(&self) -> Option<Rank> {
        let plain = self.fifo.front().map(|(arrival, _)| Rank::new(0, *arrival));
        let ranked = self.heap.peek().map(|Reverse((rank, _))| *rank);
        plain.into_iter().chain(ranked).min()
    }

    pub fn pop(&mut self) -> Option<(Rank, Entry)> {
        let plain = self.fifo.front().map(|(arrival, _)| Rank::new(0, *arrival));
        match (plain, self.heap.peek()) {
            (Some(plain), Some(Reverse((ranked, _)))) if *ranked < plain => {}
            (Some(plain), _) => return self.fifo.pop_front().map(|(_, entry)| (plain, entry)),
            (None, _) => {}
        }
        self.heap.pop().map(|Reverse(best)| best)
    }
}
