//! Sections taken off, and every refusal, on modules put together by hand: an empty module is eight bytes.

use super::{append, check, clean, signature};
use crate::BuildError;

const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

fn module(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut wasm = EMPTY.to_vec();
    sections.iter().for_each(|(name, content)| append(&mut wasm, name, content));
    wasm
}

#[test]
fn tools_names_go_and_the_signature_stays() {
    let long = [b'x'; 300];
    let wasm = module(&[("producers", b"rustc"), ("skewless.signature", &long), ("name", b"")]);
    let cleaned = clean(&wasm).expect("sections");
    assert_eq!(cleaned, module(&[("skewless.signature", &long)]));
    assert_eq!(signature(&cleaned).expect("one"), long);
    check(&cleaned, 1 << 20).expect("a module");
}

#[test]
fn a_module_without_one_signature_is_refused() {
    let two = [("skewless.signature", b"{}".as_slice()); 2];
    for count in [0, 2] {
        let error = check(&module(&two[..count]), 1 << 20).expect_err("refused");
        assert!(matches!(error, BuildError::Signature { found } if found == count), "{error}");
    }
}

#[test]
fn a_module_over_the_limit_is_refused_and_one_at_it_is_not() {
    let wasm = module(&[("skewless.signature", b"{}")]);
    check(&wasm, wasm.len()).expect("at the limit");
    let error = check(&wasm, wasm.len() - 1).expect_err("over the limit");
    assert!(matches!(error, BuildError::TooLarge { .. }), "{error}");
}

#[test]
fn a_module_with_an_import_is_refused_by_its_name() {
    // One function type, one import `env.now` of it.
    let mut wasm = EMPTY.to_vec();
    wasm.extend_from_slice(&[1, 4, 1, 0x60, 0, 0]);
    wasm.extend_from_slice(&[2, 11, 1, 3, b'e', b'n', b'v', 3, b'n', b'o', b'w', 0, 0]);
    append(&mut wasm, "skewless.signature", b"{}");
    let error = check(&wasm, 1 << 20).expect_err("an import");
    assert!(matches!(&error, BuildError::Imports { names } if names == &["env.now"]), "{error}");
}

#[test]
fn what_is_cut_off_or_no_module_is_refused() {
    let wasm = module(&[("skewless.signature", b"{}")]);
    for bytes in [&wasm[..wasm.len() - 1], &wasm[..9], b"\0as", b"text that is no module", &[]] {
        let error = clean(bytes).expect_err("not a module");
        assert!(matches!(error, BuildError::Invalid { .. }), "{error}");
    }
}
