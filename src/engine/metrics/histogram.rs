//! A histogram of bounded size: log-linear, as HdrHistogram, with 16 steps to each doubling.
//!
//! A step is at most a sixteenth of its value wide and stands for its middle, so no quantile is off by more than
//! about 3 %. Recording is one addition to a plain integer, since whoever records holds a lock already. Buckets are
//! there up to the largest value seen: at most 688 of them, and what nobody has seen is neither copied nor searched.

/// Steps of each doubling, as a power of two.
const FINE: u32 = 4;
const STEPS: usize = 1 << FINE;
/// Values from here on count as this one: two years in microseconds.
const LARGEST: u64 = (1 << 46) - 1;

/// Whole numbers, counted by size.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Vec::new(), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

const fn index(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let doubling = value.ilog2() - FINE;
    ((doubling as usize) << FINE) + (value >> doubling) as usize
}

/// The smallest value of a bucket, and how many values it holds.
fn span(bucket: usize) -> (u64, u64) {
    if bucket < STEPS {
        return (bucket as u64, 1);
    }
    let doubling = (bucket >> FINE) - 1;
    (((bucket - (doubling << FINE)) as u64) << doubling, 1 << doubling)
}

impl Histogram {
    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        let value = value.min(LARGEST);
        let at = index(value);
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (sum, n) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *sum += n;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Values that were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest of them; 0 where there are none.
    pub fn min(&self) -> u64 {
        self.min.min(self.max)
    }

    /// The largest of them.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The values that these shares of them do not exceed; the shares grow.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [u64; N] {
        let (mut seen, mut next) = (0, 0);
        shares.map(|share| {
            let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
            while seen < rank && next < self.buckets.len() {
                seen += self.buckets[next];
                next += 1;
            }
            let (from, width) = span(next.saturating_sub(1));
            (from + width / 2).clamp(self.min(), self.max)
        })
    }

    /// How many do not exceed each of these bounds, which grow. Values in the step of a bound count by its middle.
    pub fn at_most<const N: usize>(&self, bounds: &[u64; N]) -> [u64; N] {
        let mut found = [0; N];
        let (mut seen, mut bucket) = (0, 0);
        for (bound, found) in bounds.iter().zip(&mut found) {
            while bucket < self.buckets.len() && span(bucket).0 + span(bucket).1 / 2 <= *bound {
                seen += self.buckets[bucket];
                bucket += 1;
            }
            *found = seen;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut next = 0;
        for bucket in 0..=index(LARGEST) {
            let (from, width) = span(bucket);
            assert_eq!(from, next, "bucket {bucket}");
            assert_eq!((index(from), index(from + width - 1)), (bucket, bucket));
            next = from + width;
        }
        assert_eq!(next, LARGEST + 1);
    }

    #[test]
    fn quantiles_are_within_a_step() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|value| histogram.record(value));
        assert_eq!((histogram.count(), histogram.min(), histogram.max()), (100_000, 1, 100_000));
        assert_eq!(histogram.sum(), 5_000_050_000);
        let shares = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0];
        for (share, found) in shares.into_iter().zip(histogram.quantiles(shares)) {
            let exact = (share * 100_000.0).max(1.0);
            assert!((found as f64 - exact).abs() / exact < 1.0 / 16.0, "{share}: {found}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_the_immense_is_cut() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantiles([0.5]), histogram.min(), histogram.max()), ([0], 0, 0));
        histogram.record(u64::MAX);
        assert_eq!(histogram.max(), LARGEST);
    }

    #[test]
    fn bounds_count_what_lies_below() {
        let mut one = Histogram::default();
        let mut other = Histogram::default();
        [5, 10, 10].iter().for_each(|value| one.record(*value));
        [11, 1000].iter().for_each(|value| other.record(*value));
        one.add(&other);
        assert_eq!(one.at_most(&[4, 5, 10, 100, 1_000_000]), [0, 1, 3, 4, 5]);
        assert_eq!((one.count(), one.sum(), one.min(), one.max()), (5, 1036, 5, 1000));
    }
}
