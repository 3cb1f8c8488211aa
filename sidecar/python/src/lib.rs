//! The Python package `skewless`: the engine, backfills and a client in process; a leaf, with no logic of its own.
//!
//! This is the compiled half (`skewless._skewless`); the Python half is in `python/skewless`. Here is what needs the
//! engine, Arrow or gRPC; there is what needs pandas, polars or a notebook.
//!
//! Python's lock is let go wherever something is computed, read or waited for ([`interrupt`]). What a process has once
//! (engine, runtime) is made again in a forked child ([`process`]).

mod address;
mod client;
mod code;
mod description;
mod errors;
mod frames;
mod interrupt;
mod plugin;
mod process;
mod ready;
mod repo;
mod values;
mod wanted;

use pyo3::prelude::*;

/// The compiled half of `skewless`; not for direct use.
#[pymodule]
fn _skewless(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<frames::Batches>()?;
    module.add_class::<plugin::Plugin>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<description::Description>()?;
    module.add_class::<client::Question>()?;
    module.add_class::<client::Call>()?;
    module.add_class::<repo::FeatureRepo>()?;
    module.add_function(wrap_pyfunction!(repo::read_parquet, module)?)?;
    module.add_function(wrap_pyfunction!(repo::write_parquet, module)?)?;
    Ok(())
}
