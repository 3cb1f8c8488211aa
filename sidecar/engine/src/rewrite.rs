//! Exports a module's mutable globals under reserved names, so that the host can restore them; nothing
//! else of the module changes, and its identity stays the digest of the original bytes.
//!
//! A soft reset writes a fresh instance's memory and globals back into a used one. Memory is exported
//! by the contract, globals (the stack pointer at least) usually aren't. This file appends entries to
//! the export section, byte by byte: every other section is copied as it is, and the result is
//! validated again by the compiler.

use wasmparser::{BinaryReader, Parser, Payload};

use crate::error::PluginError;

/// The reserved export name of the `n`th restorable global. A plugin that exports this name itself
/// gets a duplicate export and is refused by the compiler.
pub(crate) fn global_name(n: usize) -> String {
    format!("skewless-global-{n}")
}

/// `wasm` with the globals of these indexes exported; `wasm` must have been validated.
pub(crate) fn export_globals(wasm: &[u8], globals: &[u32]) -> Result<Vec<u8>, PluginError> {
    let lost = |_| PluginError::Invalid("expected a validated module".to_owned());
    let mut out = Vec::with_capacity(wasm.len() + 32 * globals.len());
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ExportSection(section) = payload.map_err(lost)? else { continue };
        let range = section.range();
        let (start, end) = (range.start, range.end);
        let header = section_header_start(wasm, start, end - start);
        let mut count = BinaryReader::new(&wasm[start..end], 0);
        let entries = count.read_var_u32().map_err(lost)?;
        let entries_start = start + count.original_position();

        let mut body = Vec::with_capacity(end - start + 32 * globals.len());
        leb128(&mut body, entries + globals.len() as u32);
        body.extend_from_slice(&wasm[entries_start..end]);
        for (n, &global) in globals.iter().enumerate() {
            let name = global_name(n);
            leb128(&mut body, name.len() as u32);
            body.extend_from_slice(name.as_bytes());
            body.push(GLOBAL_KIND);
            leb128(&mut body, global);
        }
        out.extend_from_slice(&wasm[..header]);
        out.push(EXPORT_SECTION);
        leb128(&mut out, body.len() as u32);
        out.extend_from_slice(&body);
        out.extend_from_slice(&wasm[end..]);
        return Ok(out);
    }
    Err(PluginError::Invalid("expected an export section".to_owned()))
}

/// Section id of exports in the binary format.
const EXPORT_SECTION: u8 = 7;

/// Export kind of globals in the binary format.
const GLOBAL_KIND: u8 = 3;

/// Where a section's id byte is, given its body. Its length may be written in up to five bytes, with
/// padding, so the distance isn't known: the first byte to the left that isn't part of a length that
/// reads as `len` is the id.
fn section_header_start(wasm: &[u8], body: usize, len: usize) -> usize {
    let fits = |&width: &usize| {
        let mut reader = BinaryReader::new(&wasm[body - width..body], 0);
        let read = reader.read_var_u32();
        read.is_ok_and(|read| read as usize == len)
            && reader.original_position() == width
            && wasm[body - width - 1] == EXPORT_SECTION
    };
    let width = (1..=5).find(fits).expect("a parsed section has a header");
    body - width - 1
}

fn leb128(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn exports(wasm: &[u8]) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                found.extend(
                    section.into_iter().map(|e| e.unwrap()).map(|e| (e.name.to_owned(), e.index)),
                );
            }
        }
        found
    }

    #[test]
    fn globals_are_appended_and_everything_else_stays() {
        let wat = r#"(module (memory (export "memory") 1) (global (mut i32) (i32.const 5))
            (global i32 (i32.const 6)) (global (mut f64) (f64.const 7)) (func (export "f") (result i32) global.get 0))"#;
        let wasm = wat::parse_str(wat).unwrap();
        let out = export_globals(&wasm, &[0, 2]).unwrap();
        wasmparser::Validator::new().validate_all(&out).unwrap();
        let expected =
            [("memory", 0), ("f", 0), ("skewless-global-0", 0), ("skewless-global-1", 2)];
        assert_eq!(exports(&out), expected.map(|(name, index)| (name.to_owned(), index)));
        assert_eq!(exports(&export_globals(&wasm, &[]).unwrap()), exports(&wasm));
    }

    #[test]
    fn a_padded_section_length_is_found() {
        let wasm = wat::parse_str(r#"(module (memory (export "memory") 1))"#).unwrap();
        let at = wasm.windows(2).position(|w| w == [EXPORT_SECTION, 10]).unwrap();
        let mut padded = wasm[..=at].to_vec();
        padded.extend_from_slice(&[0x8a, 0x80, 0x80, 0x80, 0x00]);
        padded.extend_from_slice(&wasm[at + 2..]);
        wasmparser::Validator::new().validate_all(&padded).unwrap();
        let out = export_globals(&padded, &[]).unwrap();
        assert_eq!(exports(&out), exports(&wasm));
    }

    #[test]
    fn a_length_that_looks_like_an_id_is_not_taken_for_one() {
        // The body is 7 bytes long, so that the length byte equals the section's id.
        let wasm = wat::parse_str(r#"(module (memory (export "mem") 1))"#).unwrap();
        let out = export_globals(&wasm, &[]).unwrap();
        assert_eq!(out, wasm);
    }
}
