//! Makes a component of a module that exports the world of `sdk/wit/world.wit` by the canonical ABI, with the
//! signature at the component's own top level.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{BuildError, SIGNATURE_SECTION, module};

/// The one definition of the contract.
pub(crate) const WORLD: &str = include_str!("../../wit/world.wit");

pub(crate) fn componentise(wasm: &[u8]) -> Result<Vec<u8>, BuildError> {
    let signature = module::signature(wasm)?;
    let mut core = module::without(wasm, |_| true)?;
    let encoded = encode(&mut core).map_err(|reason| BuildError::Component { reason })?;
    let mut component = module::without(&encoded, |_| true)?;
    module::append(&mut component, SIGNATURE_SECTION, &signature);
    Ok(component)
}

fn encode(core: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("world.wit", WORLD).map_err(|e| format!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some("plugin")).map_err(|e| format!("{e:#}"))?;
    embed_component_metadata(core, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    let encoder = ComponentEncoder::default().validate(true).module(core);
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|e| format!("{e:#}"))
}
