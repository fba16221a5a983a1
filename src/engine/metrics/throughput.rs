//! Ends over the last minutes: a count for each second of a quarter of an hour, in a ring.

use crate::time::Millis;

/// Seconds that are kept.
const KEPT: usize = 15 * 60;

pub(super) struct Throughput {
    seconds: Box<[u32; KEPT]>,
    /// The second that counts now; those before it in the ring are the past.
    second: u64,
}

impl Default for Throughput {
    fn default() -> Self {
        Self { seconds: Box::new([0; KEPT]), second: 0 }
    }
}

impl Throughput {
    pub fn add(&mut self, ends: u32, now: Millis) {
        self.roll(now);
        let count = &mut self.seconds[(self.second % KEPT as u64) as usize];
        *count = count.saturating_add(ends);
    }

    /// Ends a second over the last `minutes`, or since the start where that is not so long ago.
    pub fn over(&mut self, minutes: u64, now: Millis) -> f64 {
        self.roll(now);
        let kept = (minutes * 60).min(KEPT as u64).min(self.second + 1);
        let past = (0..kept).map(|ago| u64::from(self.seconds[((self.second - ago) % KEPT as u64) as usize]));
        // The second that counts now has not passed.
        let length = ((kept - 1) * 1000 + now.max(self.second * 1000) % 1000).max(1000);
        past.sum::<u64>() as f64 * 1000.0 / length as f64
    }

    fn roll(&mut self, now: Millis) {
        let second = now / 1000;
        for passed in (self.second + 1..=second).take(KEPT) {
            self.seconds[(passed % KEPT as u64) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_over_each_window() {
        let mut throughput = Throughput::default();
        for second in 0..20 * 60 {
            throughput.add(if second < 19 * 60 { 10 } else { 40 }, second * 1000);
        }
        let now = 20 * 60 * 1000 - 1;
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.01 * wanted, "{found}");
        close(throughput.over(1, now), 40.0);
        close(throughput.over(5, now), 16.0);
        close(throughput.over(15, now), 12.0);
        // An hour later all of that is long ago.
        assert_eq!(throughput.over(15, now + 3_600_000), 0.0);
    }

    #[test]
    fn a_young_engine_is_measured_by_its_age() {
        let mut throughput = Throughput::default();
        throughput.add(30, 500);
        assert_eq!(throughput.over(15, 900), 30.0);
        assert_eq!(throughput.over(15, 3000), 10.0);
    }

    #[test]
    fn a_clock_that_is_behind_adds_to_the_second_that_counts() {
        let mut throughput = Throughput::default();
        throughput.add(1, 5000);
        throughput.add(1, 4000);
        assert_eq!(throughput.over(1, 5000), 0.4);
    }
}
