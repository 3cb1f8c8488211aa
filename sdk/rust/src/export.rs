//! What a guest exports, for either lane: the functions of `sdk/wit/CORE.md`, or the component's of
//! `sdk/wit/world.wit` by the canonical ABI. Which lane is the builder's choice (`--cfg
//! skewless_lane="component"`), not the author's: the same crate builds for both.

#[cfg(target_arch = "wasm32")]
pub use guest::{call, reserve};

/// Of this SDK. It travels in a section of its own until the build puts it where tools look for it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// [`VERSION`] as what a section is made of; `N` is its length.
#[must_use]
pub const fn version<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(VERSION.as_bytes());
    bytes
}

/// Exports a plugin from a guest; nothing natively. Used by the attribute.
#[doc(hidden)]
#[macro_export]
#[cfg(not(target_arch = "wasm32"))]
macro_rules! export {
    ($plugin:expr) => {};
}

/// Exports a plugin by the core lane. Used by the attribute.
#[doc(hidden)]
#[macro_export]
#[cfg(all(target_arch = "wasm32", not(skewless_lane = "component")))]
macro_rules! export {
    ($plugin:expr) => {
        const _: () = {
            const LEN: usize = $crate::glue::json_len(&$plugin.spec);
            #[used]
            #[unsafe(link_section = "skewless.signature")]
            static SIGNATURE: [u8; LEN] = $crate::glue::json(&$plugin.spec);
            #[used]
            #[unsafe(link_section = "skewless.sdk")]
            static SDK: [u8; $crate::glue::VERSION.len()] = $crate::glue::version();

            #[unsafe(no_mangle)]
            extern "C" fn skewless_reserve(len: u32) -> u32 {
                $crate::glue::reserve(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn skewless_transform(address: u32, len: u32) -> i64 {
                match $crate::glue::call(&$plugin, address, len) {
                    Ok((address, len)) => (i64::from(address) << 32) | i64::from(len),
                    Err(status) => status.code(),
                }
            }
        };
    };
}

/// Exports a plugin by the component lane. Used by the attribute.
///
/// `transform: func(batch: list<u8>) -> result<list<u8>, string>` becomes a function of (address, length)
/// that returns the address of {0 = ok or 1 = error, address, length}; the host has the argument placed by
/// `cabi_realloc`.
#[doc(hidden)]
#[macro_export]
#[cfg(all(target_arch = "wasm32", skewless_lane = "component"))]
macro_rules! export {
    ($plugin:expr) => {
        const _: () = {
            const LEN: usize = $crate::glue::json_len(&$plugin.spec);
            #[used]
            #[unsafe(link_section = "skewless.signature")]
            static SIGNATURE: [u8; LEN] = $crate::glue::json(&$plugin.spec);
            #[used]
            #[unsafe(link_section = "skewless.sdk")]
            static SDK: [u8; $crate::glue::VERSION.len()] = $crate::glue::version();

            #[unsafe(no_mangle)]
            extern "C" fn cabi_realloc(_old: u32, _old_len: u32, _align: u32, len: u32) -> u32 {
                $crate::glue::reserve(len)
            }

            #[unsafe(export_name = "transform")]
            extern "C" fn transform(address: u32, len: u32) -> u32 {
                let answer = match $crate::glue::call(&$plugin, address, len) {
                    Ok((address, len)) => [0, address, len],
                    Err(status) => {
                        let meaning = status.meaning();
                        [1, meaning.as_ptr() as u32, meaning.len() as u32]
                    }
                };
                Box::leak(Box::new(answer)).as_ptr() as u32
            }
        };
    };
}

#[cfg(target_arch = "wasm32")]
mod guest {
    use core::mem::ManuallyDrop;

    use skewless_batch::abi::CallStatus;
    use skewless_batch::{BATCH_BYTES_MAX, BatchView, encode_iter, encoded_len_iter};

    use crate::answer::{Answer, Part};
    use crate::arena;
    use crate::places::Places;
    use crate::plugin::Plugin;

    /// Takes all memory back and gives `len` bytes for the input batch; 0: no room.
    pub fn reserve(len: u32) -> u32 {
        arena::reset();
        if len as usize > BATCH_BYTES_MAX { 0 } else { arena::take(len as usize) as u32 }
    }

    /// Runs a plugin over the batch that the host wrote; gives address and length of its output.
    #[expect(unsafe_code, reason = "the host hands over an address in this module's own memory")]
    pub fn call(plugin: &Plugin, address: u32, len: u32) -> Result<(u32, u32), CallStatus> {
        if address == 0 {
            return Err(CallStatus::BadBatch);
        }
        // SAFETY: the contract (CORE.md, section 2) says that the address and length are those of the
        // last `reserve`, whose bytes the arena has given to nobody else; a host that lies can only make
        // this module read or trap within its own sandbox.
        let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) };
        let batch = BatchView::parse(bytes).map_err(|_| CallStatus::BadBatch)?;
        plugin.check(&batch)?;
        let (rows, outputs) = (batch.rows(), plugin.spec.outputs);
        let out = take(Places::byte_len(rows, outputs).map_err(|_| CallStatus::Failed)?)?;
        let in_place = (out.as_ptr() as u32, out.len() as u32);
        // Nothing of it is given back: the next call takes all memory back at once.
        let mut answer = ManuallyDrop::new(Answer::new(Places::new(rows, outputs, out)));
        (plugin.run)(batch, &mut answer)?;
        match answer.finish(rows) {
            None => Ok(in_place),
            Some(parts) => encoded(rows, parts),
        }
    }

    /// Encodes an output batch that isn't in its place.
    fn encoded(rows: usize, parts: &[Part<'_>]) -> Result<(u32, u32), CallStatus> {
        let views = || parts.iter().map(Part::view);
        let out = take(encoded_len_iter(rows, views()))?;
        encode_iter(rows, views(), out).map_err(|_| CallStatus::Failed)?;
        Ok((out.as_ptr() as u32, out.len() as u32))
    }

    /// Memory for an output batch; it holds anything.
    #[expect(unsafe_code, reason = "the arena gives addresses")]
    fn take(len: usize) -> Result<&'static mut [u8], CallStatus> {
        let place = arena::take(len);
        if place.is_null() {
            return Err(CallStatus::OutOfMemory);
        }
        // SAFETY: the arena has just given these `len` bytes, to nobody else until it takes everything back, which is
        // after this call, when nothing of the guest holds them any more; memory is made of bytes, whatever they are.
        Ok(unsafe { core::slice::from_raw_parts_mut(place, len) })
    }
}
