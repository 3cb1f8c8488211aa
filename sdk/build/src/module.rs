//! Reads and rewrites a binary at the level of its sections, the same for modules and components: takes off
//! what names tools, and checks what every plugin must be. What the engine checks besides is the engine's.

use std::ops::Range;

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use crate::{BuildError, SIGNATURE_SECTION, SignatureCheck};

/// Custom sections that must stay: the signature, and what makes a component of a module.
fn stays(name: &str) -> bool {
    name == SIGNATURE_SECTION || name.starts_with("component-type")
}

/// The binary without custom sections other than those that must stay, at its top level.
pub(crate) fn clean(wasm: &[u8]) -> Result<Vec<u8>, BuildError> {
    without(wasm, |name| !stays(name))
}

/// The binary without the custom sections that are named so, at its top level.
pub(crate) fn without(wasm: &[u8], gone: impl Fn(&str) -> bool) -> Result<Vec<u8>, BuildError> {
    let mut kept = Vec::with_capacity(wasm.len());
    let mut from = 0;
    for (name, section, _) in customs(wasm)? {
        if gone(&name) {
            kept.extend_from_slice(&wasm[from..section.start]);
            from = section.end;
        }
    }
    kept.extend_from_slice(&wasm[from..]);
    Ok(kept)
}

/// The contents of the one signature at the top level.
pub(crate) fn signature(wasm: &[u8]) -> Result<Vec<u8>, BuildError> {
    let all = customs(wasm)?;
    let mut found = all.iter().filter(|(name, ..)| name == SIGNATURE_SECTION);
    match (found.next(), found.count()) {
        (Some((_, _, content)), 0) => Ok(wasm[content.clone()].to_vec()),
        (first, more) => Err(BuildError::Signature { found: usize::from(first.is_some()) + more }),
    }
}

/// The contents of the first custom section of a name, at the top level.
pub(crate) fn section(wasm: &[u8], name: &str) -> Result<Option<Vec<u8>>, BuildError> {
    let found = customs(wasm)?.into_iter().find(|(found, ..)| found == name);
    Ok(found.map(|(_, _, content)| wasm[content].to_vec()))
}

/// Adds a custom section at the end.
pub(crate) fn append(wasm: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut body = Vec::new();
    leb128(name.len(), &mut body);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    wasm.push(0);
    leb128(body.len(), wasm);
    wasm.extend_from_slice(&body);
}

/// Refuses what no host would take: too large, not valid, with imports, without one signature.
pub(crate) fn check(wasm: &[u8], bytes_max: usize) -> Result<(), BuildError> {
    if wasm.len() > bytes_max {
        return Err(BuildError::TooLarge { bytes: wasm.len(), max: bytes_max });
    }
    let features =
        WasmFeatures::default().difference(WasmFeatures::RELAXED_SIMD.union(WasmFeatures::THREADS));
    Validator::new_with_features(features).validate_all(wasm).map_err(invalid)?;
    let names = imports(wasm)?;
    if !names.is_empty() {
        return Err(BuildError::Imports { names });
    }
    signature(wasm).map(|_| ())
}

/// Refuses a signature that nothing could read which is to run the plugin.
pub(crate) fn declared(signature: &[u8], check: SignatureCheck) -> Result<(), BuildError> {
    check(signature).map_err(|reason| BuildError::Declared { reason })
}

/// Imports at the top level: those of a module inside a component are met by the component.
fn imports(wasm: &[u8]) -> Result<Vec<String>, BuildError> {
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    names.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Name, whole section and content of each custom section at the top level.
type Custom = (String, Range<usize>, Range<usize>);

fn customs(wasm: &[u8]) -> Result<Vec<Custom>, BuildError> {
    let cut = || BuildError::Invalid { reason: "a section is cut off".to_owned() };
    let mut found = Vec::new();
    let mut at = 8;
    if wasm.get(..4) != Some(b"\0asm") || wasm.len() < at {
        return Err(BuildError::Invalid { reason: "expected it to begin with \\0asm".to_owned() });
    }
    while at < wasm.len() {
        let start = at;
        at += 1;
        let len = read_leb128(wasm, &mut at).ok_or_else(cut)?;
        let end = at.checked_add(len).filter(|end| *end <= wasm.len()).ok_or_else(cut)?;
        if wasm[start] == 0 {
            let name_len = read_leb128(wasm, &mut at).ok_or_else(cut)?;
            let content =
                at.checked_add(name_len).filter(|content| *content <= end).ok_or_else(cut)?;
            found.push((
                String::from_utf8_lossy(&wasm[at..content]).into_owned(),
                start..end,
                content..end,
            ));
        }
        at = end;
    }
    Ok(found)
}

fn invalid(error: wasmparser::BinaryReaderError) -> BuildError {
    BuildError::Invalid { reason: error.to_string() }
}

pub(crate) fn leb128(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An unsigned 32-bit LEB128 number; moves past it.
fn read_leb128(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
#[path = "module/tests.rs"]
mod tests;
