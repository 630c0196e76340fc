//! Times, counted in buckets that are an eighth of a power of two wide.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PER_OCTAVE: usize = 8;
/// Up to two minutes and more, in microseconds.
const OCTAVES: usize = 28;
const BUCKETS: usize = OCTAVES * PER_OCTAVE;

#[derive(Debug)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
}

/// Times as they stood at a moment.
#[derive(Debug, Clone)]
pub struct Times {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl Histogram {
    pub(super) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Times {
        let counts = self.counts.iter();
        Times {
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
        }
    }
}

fn bucket(micros: u64) -> usize {
    let octave = usize::try_from(micros.max(1).ilog2()).unwrap_or(0);
    // The three bits after the highest one.
    let eighth = if octave >= 3 {
        micros >> (octave - 3)
    } else {
        micros << (3 - octave)
    };
    let eighth = usize::try_from(eighth & 7).unwrap_or(0);
    (octave * PER_OCTAVE + eighth).min(BUCKETS - 1)
}

/// The first time that is beyond a bucket.
fn end(bucket: usize) -> Duration {
    let octave = bucket / PER_OCTAVE;
    let eighths = bucket % PER_OCTAVE + 9;
    Duration::from_micros((u64::try_from(eighths).unwrap_or(16) << octave) >> 3)
}

impl Times {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What so many of a hundred do not exceed, to within an eighth; `None` if there are none.
    #[must_use]
    pub fn percentile(&self, of_hundred: u64) -> Option<Duration> {
        let wanted = (self.count() * of_hundred).div_ceil(100).max(1);
        let mut so_far = 0;
        for (number, count) in self.counts.iter().enumerate() {
            so_far += count;
            if so_far >= wanted {
                return Some(end(number));
            }
        }
        None
    }

    /// The longest, to within an eighth.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.counts.iter().rposition(|count| *count > 0).map(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth_above() {
        let histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros * 10));
        }
        let times = histogram.now();
        assert_eq!(times.count(), 1000);
        for (percent, micros) in [(1, 100.0), (50, 5000.0), (99, 9900.0), (100, 10_000.0)] {
            let found = times.percentile(percent).unwrap().as_secs_f64() * 1e6;
            assert!(
                (micros..=micros * 1.126).contains(&found),
                "{percent}: {found}"
            );
        }
        assert_eq!(times.max(), times.percentile(100));
        assert_eq!(Histogram::default().now().percentile(50), None);
    }

    #[test]
    fn every_time_has_a_bucket() {
        let histogram = Histogram::default();
        for time in [Duration::ZERO, Duration::MAX, Duration::from_micros(1)] {
            histogram.record(time);
        }
        assert_eq!(histogram.now().count(), 3);
        for micros in [1_u64, 2, 3, 7, 8, 9, 1000, 123_456] {
            let end = end(bucket(micros)).as_micros();
            assert!(end >= u128::from(micros), "{micros} {end}");
        }
    }
}
