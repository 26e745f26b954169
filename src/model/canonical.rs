//! Canonical JSON: the one byte form that is digested, compared and stored.
//!
//! It is RFC 8785, but for whole numbers: they are written with all their digits. That RFC has
//! doubles alone and writes 9007199254740993 as …992; Kubernetes has 64-bit integers, and what is
//! stored here is also what is applied.
//!
//! Otherwise the output is that of the `serde_json_canonicalizer` crate, byte for byte, at about the
//! cost of plain serialisation: every observation of an object is written several times, and the
//! crate's way costs ten times as much as all the rest.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// Returns the canonical bytes of a JSON value.
#[must_use]
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write(value, &mut bytes);
    bytes
}

fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.extend_from_slice(b"null"),
        Value::Bool(true) => bytes.extend_from_slice(b"true"),
        Value::Bool(false) => bytes.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, bytes),
        Value::String(text) => put_canonical_string(bytes, text),
        Value::Array(items) => {
            bytes.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    bytes.push(b',');
                }
                write(item, bytes);
            }
            bytes.push(b']');
        }
        Value::Object(map) => write_object(map, bytes),
    }
}

fn write_object(map: &Map<String, Value>, bytes: &mut Vec<u8>) {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_unstable_by(|(a, _), (b, _)| by_utf16(a, b));
    bytes.push(b'{');
    for (index, (name, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        put_canonical_string(bytes, name);
        bytes.push(b':');
        write(value, bytes);
    }
    bytes.push(b'}');
}

/// RFC 8785 orders names by UTF-16 units, which differs from the order of UTF-8 bytes only where
/// a character lies beyond the basic plane.
fn by_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// Appends a string as canonical JSON writes it.
pub fn put_canonical_string(bytes: &mut Vec<u8>, text: &str) {
    // serde_json escapes exactly what RFC 8785 escapes, in the same way.
    let written = serde_json::to_writer(bytes, text);
    debug_assert!(written.is_ok(), "writing a string to memory does not fail");
}

fn write_number(number: &Number, bytes: &mut Vec<u8>) {
    let text = if number.is_f64() {
        // Doubles are written the way ECMAScript does it.
        serde_json_canonicalizer::to_vec(number).unwrap_or_else(|_| number.to_string().into_bytes())
    } else {
        number.to_string().into_bytes()
    };
    bytes.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_sorted_and_numbers_are_ecmascript() {
        let value = json!({"b": [1, -1, 1.0, 1.5e300, 0.000_000_1, 9_007_199_254_740_993_u64], "a": null, "\u{e000}": 1, "😀": 2, "é": "\u{7f}\u{1}\n\"\\"});
        let text = String::from_utf8(canonical_json(&value)).unwrap();
        let expected = "{\"a\":null,\"b\":[1,-1,1,1.5e+300,1e-7,9007199254740993],\
             \"é\":\"\u{7f}\\u0001\\n\\\"\\\\\",\"😀\":2,\"\u{e000}\":1}";
        assert_eq!(text, expected);
    }

    #[test]
    fn whole_numbers_keep_every_digit() {
        for text in ["-9007199254740993", "1234567890123456789", "18446744073709551615"] {
            let read: Value = serde_json::from_str(text).unwrap();
            assert_eq!(String::from_utf8(canonical_json(&read)).unwrap(), text);
        }
    }

    /// What RFC 8785 can write: whole numbers are exact as doubles up to 2⁵³.
    fn interoperable() -> impl Strategy<Value = Value> {
        let exact = 1_i64 << 53;
        any_json((-exact..=exact).prop_map(Value::from), (0..=exact).prop_map(Value::from))
    }

    fn any_json(
        signed: impl Strategy<Value = Value> + 'static,
        unsigned: impl Strategy<Value = Value> + 'static,
    ) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            signed,
            unsigned,
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_reference(value in interoperable()) {
            prop_assert_eq!(canonical_json(&value), serde_json_canonicalizer::to_vec(&value).unwrap());
        }

        #[test]
        fn what_is_read_back_is_written_alike(
            value in any_json(any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from))
        ) {
            let bytes = canonical_json(&value);
            let read: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(canonical_json(&read), bytes);
        }
    }
}
