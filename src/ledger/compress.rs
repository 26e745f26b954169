//! zstd, as payloads and blobs use it. Pure: bytes in, bytes out.
//!
//! Contexts are kept per thread, because making one costs more than compressing a small manifest.
//! What begins every zstd frame is left out: the codec of the record says that it is one.
//! Expansion is bounded by the plaintext length that the record states, which is bounded itself.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, DCtx, compress_bound};

/// The zstd level: the cheapest that compresses literals, since it is on the way to an
/// acknowledgement. Level 3 saved nothing measurable on small changes of manifests.
const LEVEL: i32 = 1;
/// The magic number of a zstd frame (RFC 8878, section 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Below this many bytes nothing is tried: what can be saved is less than what it costs to read.
const WORTHWHILE_BYTES_MIN: usize = 192;

thread_local! {
    static DEFLATE: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static INFLATE: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// `plain` compressed, with `base` as dictionary unless it is empty; `None` when that saves less
/// than an eighth.
pub(super) fn deflate(plain: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < WORTHWHILE_BYTES_MIN {
        return None;
    }
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    let done = DEFLATE.with_borrow_mut(|context| {
        if base.is_empty() {
            context.compress(&mut out, plain, LEVEL)
        } else {
            context.compress_using_dict(&mut out, plain, base, LEVEL)
        }
    });
    let worthwhile = out.len() <= plain.len() - plain.len() / 8;
    let frame = out.strip_prefix(&MAGIC).filter(|_| done.is_ok() && worthwhile)?;
    Some(frame.to_vec())
}

/// What [`deflate`] compressed with the same `base`; `None` when it is not exactly `len` bytes.
pub(super) fn inflate(packed: &[u8], base: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len);
    let frame = [&MAGIC, packed].concat();
    let done = INFLATE.with_borrow_mut(|context| {
        if base.is_empty() {
            context.decompress(&mut out, &frame)
        } else {
            context.decompress_using_dict(&mut out, &frame, base)
        }
    });
    (done.is_ok() && out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_change_costs_little_with_the_earlier_version_as_base() {
        let line = |n: u32| format!("\"key{n}\":\"{}\",", n.wrapping_mul(2_654_435_761));
        let old: String = (0..200).map(line).collect();
        let new = old.replace("key7\"", "key7x\"");
        let alone = deflate(new.as_bytes(), &[]).unwrap();
        let based = deflate(new.as_bytes(), old.as_bytes()).unwrap();
        assert!(based.len() * 10 < alone.len(), "{} against {}", based.len(), alone.len());
        assert_eq!(inflate(&based, old.as_bytes(), new.len()).unwrap(), new.as_bytes());
        assert_eq!(inflate(&alone, &[], new.len()).unwrap(), new.as_bytes());
    }

    #[test]
    fn damaged_or_longer_content_is_refused() {
        let plain = [7; 1000];
        let packed = deflate(&plain, &[]).unwrap();
        assert!(inflate(&packed, &[], 999).is_none());
        assert!(inflate(&packed, &[], 1001).is_none());
        assert!(inflate(&packed[1..], &[], 1000).is_none());
    }
}
