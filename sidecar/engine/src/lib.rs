//! Plugin host and plan executor; the only home of wasmtime; sync, no clock, no I/O.
