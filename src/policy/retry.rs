//! Retry policies: how many runs, and how long between them.
//!
//! `attempts` counts every run, the first included. The jitter is computed, not drawn: the same seed and
//! number give the same delay on every node and after a crash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// What follows a failed attempt. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Runs in all, the first included; at least 1.
    pub attempts: u32,
    /// The delay before jitter.
    #[serde(flatten)]
    pub backoff: Backoff,
    /// What is made of the delay.
    #[serde(default)]
    pub jitter: Jitter,
    /// No start later than this after the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_elapsed: Option<Millis>,
    /// It was given with one task: what its kind would say of a failure (`retryIf` in JavaScript) does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// The delay before retry n = 1, 2, ...
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "backoff", rename_all = "camelCase")]
pub enum Backoff {
    /// `base` each time.
    Fixed {
        /// The delay.
        base: Millis,
    },
    /// `base * n`, at most `max`.
    Linear {
        /// The first delay.
        base: Millis,
        /// The largest delay.
        max: Millis,
    },
    /// `base * factor^(n-1)`, at most `max`.
    Exponential {
        /// The first delay.
        base: Millis,
        /// Growth.
        factor: f64,
        /// The largest delay.
        max: Millis,
    },
    /// One delay after the other; the last one repeats.
    List {
        /// The delays.
        delays: Arc<[Millis]>,
    },
}

/// Spreads retries that would otherwise come all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Jitter {
    /// The delay as it is.
    None,
    /// Anything from 0 to the delay.
    Full,
    /// Half of the delay, and up to as much again.
    #[default]
    Equal,
}

const HOUR: Millis = 3_600_000;

impl RetryPolicy {
    /// One run, no retry.
    pub fn none() -> Self {
        Self::fixed(1, 0)
    }

    /// `attempts` runs, the first included, `delay` ms apart.
    pub fn fixed(attempts: u32, delay: Millis) -> Self {
        Self {
            attempts,
            backoff: Backoff::Fixed { base: delay },
            jitter: Jitter::None,
            max_elapsed: None,
            own: false,
        }
    }

    /// `attempts` runs, the first included; the delay grows by `base` ms each time, to at most an hour.
    pub fn linear(attempts: u32, base: Millis) -> Self {
        let backoff = Backoff::Linear { base, max: HOUR };
        Self { attempts, backoff, jitter: Jitter::Equal, max_elapsed: None, own: false }
    }

    /// `attempts` runs, the first included; the delay starts at `base` and doubles, to at most an hour.
    pub fn exponential_backoff(attempts: u32, base: std::time::Duration) -> Self {
        let base = base.as_millis().min(u128::from(u64::MAX)) as Millis;
        let backoff = Backoff::Exponential { base, factor: 2.0, max: HOUR };
        Self { attempts, backoff, jitter: Jitter::Equal, max_elapsed: None, own: false }
    }

    /// A run more than there are delays.
    pub fn list(delays: impl Into<Arc<[Millis]>>) -> Self {
        let delays = delays.into();
        let attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            attempts,
            backoff: Backoff::List { delays },
            jitter: Jitter::None,
            max_elapsed: None,
            own: false,
        }
    }

    /// The delay before the next run after `failures` failed ones, or `None` when there is none.
    /// `elapsed` is the time since the first start, `seed` makes the jitter, `instead` replaces the delay.
    pub fn next(&self, failures: u32, elapsed: Millis, seed: u64, instead: Option<Millis>) -> Option<Millis> {
        if failures >= self.attempts {
            return None;
        }
        let delay =
            instead.unwrap_or_else(|| self.jitter.apply(self.backoff.delay(failures), seed, failures));
        match self.max_elapsed {
            Some(max) if elapsed.saturating_add(delay) > max => None,
            _ => Some(delay),
        }
    }
}

impl Backoff {
    /// The delay before retry `n` (1, 2, ...), without jitter.
    pub fn delay(&self, n: u32) -> Millis {
        match self {
            Self::Fixed { base } => *base,
            Self::Linear { base, max } => base.saturating_mul(u64::from(n)).min(*max),
            Self::Exponential { base, factor, max } => {
                let grown =
                    *base as f64 * factor.powi(i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX));
                // A cast of a float saturates, and NaN (0 * infinity) becomes 0: both are right here.
                (grown as Millis).min(*max)
            }
            Self::List { delays } => {
                let at = (n.max(1) as usize - 1).min(delays.len().saturating_sub(1));
                delays.get(at).copied().unwrap_or(0)
            }
        }
    }
}

impl Jitter {
    fn apply(self, delay: Millis, seed: u64, n: u32) -> Millis {
        match self {
            Self::None => delay,
            Self::Full => (unit(seed, n) * delay as f64) as Millis,
            Self::Equal => delay / 2 + (unit(seed, n) * (delay - delay / 2) as f64) as Millis,
        }
    }
}

/// A number in [0, 1) from a seed and a count: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) fn unit(seed: u64, n: u32) -> f64 {
    let mut z = seed.wrapping_add(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn delays(policy: &RetryPolicy) -> Vec<Option<Millis>> {
        (1..=policy.attempts).map(|failures| policy.next(failures, 0, 1, None)).collect()
    }

    #[test]
    fn attempts_include_the_first_run() {
        assert_eq!(delays(&RetryPolicy::none()), [None]);
        assert_eq!(delays(&RetryPolicy::fixed(3, 5)), [Some(5), Some(5), None]);
        assert_eq!(delays(&RetryPolicy::list([1, 20])), [Some(1), Some(20), None]);
    }

    #[test]
    fn growth_is_capped_before_jitter() {
        let calm = |backoff| RetryPolicy { backoff, ..RetryPolicy::fixed(5, 0) };
        let exponential = calm(Backoff::Exponential { base: 100, factor: 2.0, max: 350 });
        assert_eq!(delays(&exponential), [Some(100), Some(200), Some(350), Some(350), None]);
        let linear = calm(Backoff::Linear { base: 100, max: 250 });
        assert_eq!(delays(&linear), [Some(100), Some(200), Some(250), Some(250), None]);
    }

    #[test]
    fn the_wire_form_is_flat() {
        let text = r#"{"attempts":3,"backoff":"exponential","base":10,"factor":2,"max":99,"jitter":"none"}"#;
        let policy: RetryPolicy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.next(1, 0, 0, None), Some(10));
        let again = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<RetryPolicy>(&again).unwrap(), policy);
    }

    #[test]
    fn max_elapsed_looks_at_the_next_start() {
        let policy = RetryPolicy { max_elapsed: Some(1000), ..RetryPolicy::fixed(9, 400) };
        assert_eq!(policy.next(1, 600, 0, None), Some(400));
        assert_eq!(policy.next(1, 601, 0, None), None);
        assert_eq!(policy.next(1, 0, 0, Some(1001)), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_bounds(base in 0..10_000_000u64, n in 1u32..200, seed: u64) {
            for (jitter, low) in [(Jitter::Full, 0), (Jitter::Equal, base / 2)] {
                let delay = jitter.apply(base, seed, n);
                prop_assert!(delay >= low && delay <= base);
                prop_assert_eq!(delay, jitter.apply(base, seed, n));
            }
        }

        #[test]
        fn no_number_overflows(base: u64, factor in 1.0..1e9f64, n: u32, seed: u64) {
            let policy = RetryPolicy {
                backoff: Backoff::Exponential { base, factor, max: u64::MAX },
                ..RetryPolicy::exponential_backoff(u32::MAX, Duration::MAX)
            };
            policy.next(n, u64::MAX, seed, None);
            Backoff::Linear { base, max: u64::MAX }.delay(n);
        }
    }
}
