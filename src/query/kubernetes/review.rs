//! Access reviews: clients that ask first what they may do are told that they may read.
//!
//! Clients of Kubernetes' own types send Protocol Buffers; of those, what is needed here is read by hand:
//! two nested messages and a string, by the field numbers of
//! `k8s.io/api/authorization/v1/generated.proto`.

use serde_json::{Value, json};

use super::status::Refusal;

/// What stands before an encoded object: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`.
const PROTOBUF: &[u8] = b"k8s\0";
/// `Unknown.raw`, `SelfSubjectAccessReview.spec`, `….resourceAttributes`, `….verb`.
const VERB: [u64; 4] = [2, 2, 1, 2];

/// Answers a SelfSubjectAccessReview.
pub(super) fn review(body: &[u8]) -> Result<Value, Refusal> {
    let verb = match body.strip_prefix(PROTOBUF) {
        Some(message) => {
            let verb = VERB.iter().try_fold(message, |message, number| field(message, *number));
            verb.map(|verb| String::from_utf8_lossy(verb).into_owned())
        }
        None => {
            let review: Value = serde_json::from_slice(body)
                .map_err(|_| Refusal::bad("the review is neither JSON nor Protocol Buffers"))?;
            let verb = review.pointer("/spec/resourceAttributes/verb").and_then(Value::as_str);
            verb.map(str::to_owned)
        }
    };
    let allowed = matches!(verb.as_deref(), Some("get" | "list" | "watch"));
    let reason = if allowed { "" } else { "the past cannot be changed" };
    Ok(json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {}, "spec": {}, "status": {"allowed": allowed, "reason": reason}}))
}

/// The first field of a message that has this number and a length.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        let skipped = match tag & 7 {
            0 => {
                message = varint(rest)?.1;
                continue;
            }
            1 => (8, rest),
            2 => {
                let (length, rest) = varint(rest)?;
                (usize::try_from(length).ok()?, rest)
            }
            5 => (4, rest),
            _ => return None,
        };
        let (length, rest) = skipped;
        let content = rest.get(..length)?;
        if tag == number << 3 | 2 {
            return Some(content);
        }
        message = &rest[length..];
    }
    None
}

/// A number, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * index).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length][..], content].concat()
    }

    fn is_allowed(body: &[u8]) -> bool {
        review(body).unwrap()["status"]["allowed"] == true
    }

    #[test]
    fn reading_is_allowed_however_it_is_asked() {
        for (verb, allowed) in [("get", true), ("list", true), ("watch", true), ("delete", false)] {
            let json = json!({"spec": {"resourceAttributes": {"verb": verb}}});
            assert_eq!(is_allowed(json.to_string().as_bytes()), allowed, "{verb}");
            let attributes = [message(1, b"prod"), message(2, verb.as_bytes())].concat();
            let spec = message(2, &message(1, &attributes));
            let number = [1 << 3, 0x96, 0x01]; // A number before it is passed over.
            let raw = message(2, &[message(1, b"meta"), spec].concat());
            let body = [PROTOBUF, &number, &message(1, b"type"), &raw].concat();
            assert_eq!(is_allowed(&body), allowed, "{verb}");
            for end in 4..body.len() {
                // Cut anywhere it is no permission to write, and no panic.
                assert!(!is_allowed(&body[..end]) || allowed, "{verb} {end}");
            }
        }
        assert!(!is_allowed(b"{}"));
        assert_eq!(review(b"what").unwrap_err().code, 400);
        let endless = [PROTOBUF, &[0xff; 20]].concat();
        assert!(!is_allowed(&endless));
    }
}
