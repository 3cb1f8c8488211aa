//! End-to-end harness: parity, faults, architecture, benches.
