//! Local state: rows, indexes, accumulators, pending keys and the position, in one atomic commit.
