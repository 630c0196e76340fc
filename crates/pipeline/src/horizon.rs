//! For how long the changelog has not had what the source wrote.
//!
//! In: ends of the source's WAL as they are heard of, and how far the changelog has come. Out: the age of the oldest end that it has
//! not reached.
//!
//! Always: bounded; what is thinned out makes the answer younger by one sample at most, and never hides that something is missing.

use std::collections::VecDeque;
use std::time::Instant;

use readside_model::Lsn;

/// Samples that are kept; at one every few seconds, the oldest ones stay exact for an hour.
const SAMPLES_MAX: usize = 512;

/// Ends of WAL that have not been reached, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Horizon(VecDeque<(Instant, Lsn)>);

impl Horizon {
    /// The source's WAL ended here at this moment.
    pub(crate) fn seen(&mut self, at: Instant, end: Lsn) {
        if self.0.back().is_some_and(|(_, last)| *last >= end) {
            return;
        }
        if self.0.len() >= SAMPLES_MAX {
            let mut index = 0_usize;
            self.0.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.0.push_back((at, end));
    }

    /// The changelog has everything up to here; since when has it lacked something?
    pub(crate) fn behind_since(&mut self, durable: Lsn) -> Option<Instant> {
        while self.0.front().is_some_and(|(_, end)| *end <= durable) {
            self.0.pop_front();
        }
        self.0.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_as_old_as_the_first_end_that_was_not_reached() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut horizon = Horizon::default();
        assert_eq!(horizon.behind_since(Lsn(0)), None);
        for (second, end) in [(0, 10), (5, 10), (10, 20), (15, 30)] {
            horizon.seen(at(second), Lsn(end));
        }
        assert_eq!(horizon.behind_since(Lsn(9)), Some(at(0)));
        assert_eq!(horizon.behind_since(Lsn(10)), Some(at(10)));
        assert_eq!(horizon.behind_since(Lsn(29)), Some(at(15)));
        assert_eq!(horizon.behind_since(Lsn(30)), None);
    }

    #[test]
    fn days_behind_take_no_more_room_than_an_hour() {
        let start = Instant::now();
        let mut horizon = Horizon::default();
        for n in 1..100_000_u64 {
            horizon.seen(start + Duration::from_secs(n), Lsn(n));
        }
        assert!(horizon.0.len() <= SAMPLES_MAX);
        assert_eq!(
            horizon.behind_since(Lsn(0)),
            Some(start + Duration::from_secs(1))
        );
        assert!(horizon.behind_since(Lsn(99_998)).is_some());
        assert_eq!(horizon.behind_since(Lsn(99_999)), None);
    }
}
