//! Every end-to-end test in one binary, so that the heavy parts are linked once.

mod architecture;
mod faults;
mod parity;
mod plugins;
mod scenarios;
