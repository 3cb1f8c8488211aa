//! Refuses memory and tables beyond the limits; not the place where the limits are chosen.
//!
//! A refusal is a trap, not the `-1` that `memory.grow` may answer: a guest that could see the limit
//! could answer differently on a host with another one, which would be skew. Growth beyond the module's
//! own declared maximum does answer `-1`, as it does so everywhere.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::CallError;
use crate::stop::Watch;
use crate::ticker::Demand;

/// What a store knows: its limits, what it refused last, and whether its calls can be stopped.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    host_can: bool,
    pub(crate) refused: Option<CallError>,
    /// The flag that ends its calls, if its worker has one.
    pub(crate) watch: Option<Watch>,
    /// Who is told that it begins to run.
    pub(crate) demand: Arc<Demand>,
}

impl Limiter {
    pub(crate) fn new(engine: &Engine) -> Self {
        let EngineConfig { memory_bytes_max, table_elements_max, .. } = *engine.config();
        Self {
            memory_bytes_max,
            table_elements_max,
            host_can: true,
            refused: None,
            watch: None,
            demand: Arc::clone(engine.demand()),
        }
    }

    fn decide(
        &mut self,
        desired: usize,
        maximum: Option<usize>,
        limit: usize,
        refusal: CallError,
    ) -> wasmtime::Result<bool> {
        let declared = maximum.is_some_and(|maximum| maximum < limit && desired > maximum);
        self.host_can = !declared;
        if desired <= limit || declared {
            return Ok(true);
        }
        self.refused = Some(refusal);
        Err(wasmtime::Error::msg("limit reached"))
    }

    fn failed(&self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if self.host_can { Err(error) } else { Ok(()) }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let max = self.memory_bytes_max;
        self.decide(desired, maximum, max, CallError::Memory { max, came: desired })
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(error)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let max = self.table_elements_max;
        self.decide(desired, maximum, max, CallError::Table { max, came: desired })
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(error)
    }
}
