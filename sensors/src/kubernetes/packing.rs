//! What is remembered of an object, packed: its JSON text deflated, in base64.

use std::cell::RefCell;
use std::io::{Cursor, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use model::Value;

/// Most characters of a packed object: of what is larger, only that it was there is remembered, and its
/// conditions. An entry is one fact, and one fact has 512 KiB.
const MAX_PACKED: usize = 256 * 1024;
/// Most bytes that a remembered object can unpack to.
const MAX_UNPACKED: u64 = 8 << 20;

thread_local! {
    // Either has hundreds of KiB to set up, which costs more than packing an object does.
    static PACKER: RefCell<DeflateEncoder<Vec<u8>>> =
        RefCell::new(DeflateEncoder::new(Vec::new(), Compression::fast()));
    static UNPACKER: RefCell<DeflateDecoder<Cursor<Vec<u8>>>> =
        RefCell::new(DeflateDecoder::new(Cursor::default()));
}

/// None: it is too large.
pub(super) fn pack(value: &Value) -> Option<String> {
    let text = value.to_string();
    let packed = PACKER.with_borrow_mut(|packer| {
        packer.write_all(text.as_bytes())?;
        packer.reset(Vec::new())
    });
    let packed = STANDARD_NO_PAD.encode(packed.ok()?);
    (packed.len() <= MAX_PACKED).then_some(packed)
}

/// None: it is damaged.
pub(super) fn unpack(packed: &str) -> Option<Value> {
    let packed = STANDARD_NO_PAD.decode(packed).ok()?;
    let mut text = Vec::new();
    UNPACKER.with_borrow_mut(|unpacker| {
        unpacker.reset(Cursor::new(packed));
        unpacker.take(MAX_UNPACKED).read_to_end(&mut text).ok()
    })?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_packed_alike_whatever_was_packed_before_it() {
        let fresh = |value: &Value| {
            let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(value.to_string().as_bytes()).unwrap();
            STANDARD_NO_PAD.encode(packer.finish().unwrap())
        };
        let noise = |n: u32| (0..n).map(|i| i.wrapping_mul(2_654_435_761).to_string());
        let objects = [
            json!({ "a": "x".repeat(1000) }),
            json!(noise(3_000).collect::<Vec<_>>()),
            json!({ "a": "x".repeat(999) }),
            json!(null),
        ];
        for object in objects.iter().chain(objects.iter().rev()) {
            let packed = pack(object).unwrap();
            assert_eq!(packed, fresh(object));
            assert_eq!(unpack(&packed).as_ref(), Some(object));
        }
    }

    #[test]
    fn what_is_damaged_or_too_large_harms_nothing_that_comes_after() {
        let good = pack(&json!({ "a": 1 })).unwrap();
        for damaged in ["", "!", "AAAA", &good[..good.len() / 2]] {
            assert_eq!(unpack(damaged), None, "{damaged}");
            assert_eq!(unpack(&good), Some(json!({ "a": 1 })));
        }
        let noise: Vec<u64> = (1..60_000).map(|n: u64| n.wrapping_pow(7)).collect();
        assert_eq!(pack(&json!(noise)), None);
        assert_eq!(pack(&json!({ "a": 1 })), Some(good));
    }
}
