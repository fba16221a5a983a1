//! Hashing of numbers that this library draws itself: nobody can choose them to collide.

use std::hash::{BuildHasher, Hasher};

/// For maps by lane, epoch or number of a task.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbered;

/// Fibonacci hashing: one multiplication (Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Default)]
pub(super) struct Fibonacci(u64);

impl BuildHasher for Numbered {
    type Hasher = Fibonacci;

    fn build_hasher(&self) -> Fibonacci {
        Fibonacci(0)
    }
}

impl Hasher for Fibonacci {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }
}
