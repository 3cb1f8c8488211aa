//! A plan of one plugin alone and values for its inputs: what a step costs is measured on. Also part of the benches,
//! which measure the same in time.

use skewless_catalog::{InstancePolicy, Plan, Slot, Step};
use skewless_engine::Plugin;

/// One step that takes the first slots and fills the others.
pub(crate) fn plan(plugin: &Plugin, policy: InstancePolicy) -> Plan {
    let signature = plugin.signature();
    let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
    let fields = signature.inputs.iter().chain(&signature.outputs);
    Plan {
        slots: fields.map(|field| Slot { name: field.name.clone(), ty: field.ty }).collect(),
        steps: vec![Step {
            transform: signature.name.clone(),
            digest: *plugin.digest(),
            policy,
            inputs: (0..inputs).collect(),
            outputs: (0..outputs).map(|output| (output, inputs + output)).collect(),
            output_fields: signature.outputs.clone(),
        }],
        ..Plan::default()
    }
}

/// From -90 to 90, another series for each input.
pub(crate) fn degrees(input: usize, rows: usize) -> Vec<f64> {
    let turn = |row: usize| (row as f64).mul_add(0.618_034, input as f64 * 0.271).fract();
    (0..rows).map(|row| turn(row) * 180.0 - 90.0).collect()
}
