//! Plan and transactions and state to touched keys, accumulators and documents; pure but for state.
