//! Every limit of the plugin host with its unit, default and reason; not the code that enforces it.
//!
//! A guest that reaches a limit costs its own features ([`crate::CallError`]), a plugin over a limit
//! isn't loaded ([`crate::PluginError`]). Nothing here is read from the environment.

/// Bytes of a Wasm page, the unit in which memories are declared and grow.
pub(crate) const PAGE_BYTES: u64 = 65_536;

/// Alignment in bytes of the input batch inside a guest, as the core lane demands.
pub const INPUT_ALIGN_BYTES: u32 = 64;

/// Most bytes of a plugin's or the engine's message that are kept; the rest is cut at a character.
/// Messages are for a person and are copied into every answer that asks for them.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// The limits of an engine. `EngineConfig::default()` holds the documented defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// Linear memory of one instance, in bytes, a multiple of 64 KiB. Default 64 MiB: 8,192 rows of 500
    /// `f64` columns fit in and out; growing past it is a trap, so that no answer can depend on it.
    pub memory_bytes_max: usize,
    /// Elements of one table. Default 20,000: Python and JavaScript components need about 10,000.
    pub table_elements_max: usize,
    /// Stack of Wasm frames in bytes. Default 512 KiB: a thread's own stack must hold it with room left.
    pub stack_bytes_max: usize,
    /// Bytes of one output batch. Default 32 MiB: half of `memory_bytes_max`, input and output share it.
    pub output_bytes_max: usize,
    /// Bytes of one input batch. Default 32 MiB, for the same reason; larger batches are halved.
    pub input_bytes_max: usize,
    /// Rows of one call. Default 8,192: past it a call gets no cheaper, only longer. More rows are split.
    pub rows_max: usize,
    /// Bytes of one `.wasm` file. Default 64 MiB: a Python component has 18 MiB, and compile time and memory
    /// grow with it.
    pub module_bytes_max: usize,
    /// Bytes of the signature section. Default 1 MiB: 4,096 columns with their documentation.
    pub signature_bytes_max: usize,
    /// Instances that can live at once in this engine, all workers and plugins together; of core modules so many, and of
    /// components. Default 512. Each reserves (but doesn't use) 4 GiB of address space.
    pub instances_max: u32,
    /// Warm instances one worker keeps. Default 64; the least recently used one is dropped. Workers times
    /// this should stay below `instances_max`.
    pub warm_instances_max: usize,
    /// Ticks of [`crate::Engine::tick`] one call may last. Default 100: 100 ms at the usual tick of 1 ms; a
    /// batch of 8,192 rows at 10 us a row fits.
    pub deadline_ticks: u64,
    /// Largest memory that is restored rather than thrown away after a call, in bytes. Default 512 KiB: above
    /// it copying the image costs more than the 10 us of a new instance.
    pub reset_bytes_max: usize,
    /// Bytes of a dropped instance's memory that are zeroed and kept instead of returned to the system.
    /// Default 512 KiB: saves the page faults of the next fresh instance.
    pub keep_resident_bytes: usize,
    /// Whether plugins are compiled on all cores. Default true. Not in a process forked from one that compiled: it has the
    /// pool of threads that this is done by, but none of its threads, and would wait for them for ever. The machine code
    /// is the same either way.
    pub parallel_compilation: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            table_elements_max: 20_000,
            stack_bytes_max: 512 << 10,
            output_bytes_max: 32 << 20,
            input_bytes_max: 32 << 20,
            rows_max: 8_192,
            module_bytes_max: 64 << 20,
            signature_bytes_max: 1 << 20,
            instances_max: 512,
            warm_instances_max: 64,
            deadline_ticks: 100,
            reset_bytes_max: 512 << 10,
            keep_resident_bytes: 512 << 10,
            parallel_compilation: true,
        }
    }
}

impl EngineConfig {
    /// Every value that can't work, each as (field, what was expected); empty if the configuration is good.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let mut mistakes = Vec::new();
        let mut expect = |good: bool, field, what| {
            if !good {
                mistakes.push((field, what));
            }
        };
        let pages = (self.memory_bytes_max as u64).is_multiple_of(PAGE_BYTES);
        let memory = (1 << 16..=1 << 31).contains(&self.memory_bytes_max);
        expect(pages && memory, "memory_bytes_max", "a multiple of 65536 from 64 KiB to 2 GiB");
        let table = (1..=10_000_000).contains(&self.table_elements_max);
        expect(table, "table_elements_max", "1 to 10000000");
        let stack = (16 << 10..=16 << 20).contains(&self.stack_bytes_max);
        expect(stack, "stack_bytes_max", "16 KiB to 16 MiB");
        let batch = |bytes: usize| (1 << 10..=1 << 30).contains(&bytes);
        expect(batch(self.output_bytes_max), "output_bytes_max", "1 KiB to 1 GiB");
        expect(batch(self.input_bytes_max), "input_bytes_max", "1 KiB to 1 GiB");
        expect((1..=1 << 20).contains(&self.rows_max), "rows_max", "1 to 1048576");
        let module = (1 << 10..=1 << 30).contains(&self.module_bytes_max);
        expect(module, "module_bytes_max", "1 KiB to 1 GiB");
        expect(self.signature_bytes_max >= 1 << 10, "signature_bytes_max", "at least 1 KiB");
        expect((1..=10_000).contains(&self.instances_max), "instances_max", "1 to 10000");
        expect(self.warm_instances_max >= 1, "warm_instances_max", "at least 1");
        expect(
            self.deadline_ticks >= 2,
            "deadline_ticks",
            "at least 2, as the first may be cut short",
        );
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_good_and_every_mistake_is_named_at_once() {
        assert_eq!(EngineConfig::default().mistakes(), []);
        let bad = EngineConfig {
            memory_bytes_max: 100_000,
            table_elements_max: 0,
            stack_bytes_max: 1,
            output_bytes_max: 0,
            input_bytes_max: 0,
            rows_max: 0,
            module_bytes_max: 0,
            signature_bytes_max: 0,
            instances_max: 0,
            warm_instances_max: 0,
            deadline_ticks: 0,
            reset_bytes_max: 0,
            keep_resident_bytes: 0,
            parallel_compilation: false,
        };
        let fields: Vec<_> = bad.mistakes().into_iter().map(|(field, _)| field).collect();
        let expected = [
            "memory_bytes_max",
            "table_elements_max",
            "stack_bytes_max",
            "output_bytes_max",
            "input_bytes_max",
            "rows_max",
            "module_bytes_max",
            "signature_bytes_max",
            "instances_max",
            "warm_instances_max",
            "deadline_ticks",
        ];
        assert_eq!(fields, expected);
    }
}
