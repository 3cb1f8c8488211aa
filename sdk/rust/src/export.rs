//! What a guest exports, for either lane: the functions of `sdk/wit/CORE.md`, or the component's of
//! `sdk/wit/world.wit` by the canonical ABI. Which lane is the builder's choice (`--cfg
//! skewless_lane="component"`), not the author's: the same crate builds for both.

#[cfg(target_arch = "wasm32")]
pub use guest::{call, reserve};

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
    use skewless_batch::abi::CallStatus;
    use skewless_batch::{BATCH_BYTES_MAX, BatchView, encode, encoded_len};

    use crate::answer::Answer;
    use crate::arena;
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
        let rows = batch.rows();
        let mut answer = Answer::new();
        (plugin.run)(batch, &mut answer)?;
        answer.finish(rows)?;
        let views = answer.views();
        let len = encoded_len(rows, &views);
        let place = arena::take(len);
        if place.is_null() {
            return Err(CallStatus::OutOfMemory);
        }
        // SAFETY: the arena has just given these `len` bytes, to nobody else.
        let out = unsafe { core::slice::from_raw_parts_mut(place, len) };
        encode(rows, &views, out).map_err(|_| CallStatus::Failed)?;
        Ok((place as u32, len as u32))
    }
}
