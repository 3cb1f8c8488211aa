//! A plan bound to loaded plugins and checked against their signatures; not the running of it.
//!
//! The catalog has checked definitions against the signatures it was shown; binding checks the plan
//! against the plugins that will run, so that a worker needs to check neither types nor indexes.

use std::sync::Arc;

use skewless_batch::{Field, Type};
use skewless_catalog::{Digest, InstancePolicy, Plan, Step};

use crate::error::BindError;
use crate::plugin::Plugin;

/// A plan that can be run. Shared read-only by all workers.
#[derive(Debug)]
pub struct Program {
    plan: Arc<Plan>,
    pub(crate) steps: Vec<BoundStep>,
    /// Slots with floats that no step writes: their NaNs are made canonical before the first step.
    pub(crate) float_slots: Vec<usize>,
}

/// A step with its plugin.
#[derive(Debug)]
pub(crate) struct BoundStep {
    pub(crate) plugin: Plugin,
    pub(crate) policy: InstancePolicy,
    /// One slot per input of the signature.
    pub(crate) inputs: Vec<usize>,
    /// (output index in the signature, slot).
    pub(crate) outputs: Vec<(usize, usize)>,
    /// The inputs that another step writes: only they can hold failed rows.
    pub(crate) fallible: Vec<usize>,
}

impl Program {
    /// Binds every step of the plan to the plugin of its digest.
    pub fn bind(
        plan: &Arc<Plan>,
        plugins: &dyn Fn(&Digest) -> Option<Plugin>,
    ) -> Result<Self, BindError> {
        let mut writer: Vec<Option<usize>> = vec![None; plan.slots.len()];
        for (number, step) in plan.steps.iter().enumerate() {
            for &(_, slot) in &step.outputs {
                check_index(step, slot, plan.slots.len())?;
                writer[slot] = Some(number);
            }
        }
        let bind = |(number, step)| bind_step(plan, &writer, number, step, plugins);
        let steps = plan.steps.iter().enumerate().map(bind).collect::<Result<_, _>>()?;
        let float = |slot: &usize| plan.slots[*slot].ty.is_float() && writer[*slot].is_none();
        let float_slots = (0..plan.slots.len()).filter(float).collect();
        Ok(Self { plan: Arc::clone(plan), steps, float_slots })
    }

    /// The plan it was bound from.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The plugins of the steps, in the plan's order; the same plugin may come twice.
    pub fn plugins(&self) -> impl ExactSizeIterator<Item = &Plugin> {
        self.steps.iter().map(|step| &step.plugin)
    }
}

fn bind_step(
    plan: &Plan,
    writer: &[Option<usize>],
    number: usize,
    step: &Step,
    plugins: &dyn Fn(&Digest) -> Option<Plugin>,
) -> Result<BoundStep, BindError> {
    let transform = || step.transform.clone();
    let plugin = plugins(&step.digest)
        .ok_or_else(|| BindError::NoPlugin { transform: transform(), digest: step.digest })?;
    if *plugin.digest() != step.digest {
        let (expected, came) = (step.digest, *plugin.digest());
        return Err(BindError::WrongPlugin { transform: transform(), expected, came });
    }
    let signature = plugin.signature();
    if signature.inputs.len() != step.inputs.len() {
        let (expected, came) = (signature.inputs.len(), step.inputs.len());
        return Err(BindError::Inputs { transform: transform(), expected, came });
    }
    for (field, &slot) in signature.inputs.iter().zip(&step.inputs) {
        check_index(step, slot, plan.slots.len())?;
        check_type(step, field, plan.slots[slot].ty)?;
        if writer[slot].is_some_and(|writer| writer >= number) {
            return Err(BindError::Order { transform: transform(), slot });
        }
    }
    for &(output, slot) in &step.outputs {
        check_index(step, output, signature.outputs.len())?;
        check_type(step, &signature.outputs[output], plan.slots[slot].ty)?;
    }
    let fallible = step.inputs.iter().copied().filter(|&slot| writer[slot].is_some()).collect();
    let (inputs, outputs) = (step.inputs.clone(), step.outputs.clone());
    Ok(BoundStep { plugin, policy: step.policy, inputs, outputs, fallible })
}

fn check_index(step: &Step, came: usize, below: usize) -> Result<(), BindError> {
    if came < below {
        Ok(())
    } else {
        Err(BindError::Index { transform: step.transform.clone(), below, came })
    }
}

fn check_type(step: &Step, field: &Field, came: Type) -> Result<(), BindError> {
    if field.ty == came {
        return Ok(());
    }
    let (transform, column) = (step.transform.clone(), field.name.clone());
    Err(BindError::ColumnType { transform, column, expected: field.ty, came })
}
