//! A stored version of an object, taken apart only as far as somebody looks. Pure.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What comes before and between the two fields of what is stored (see `cluster::normalize`).
const BEFORE: &[u8] = b"{\"fields\":[";
const BETWEEN: &[u8] = b"],\"object\":";

/// A stored version.
#[derive(Debug)]
pub(super) struct Stored {
    bytes: Arc<[u8]>,
    object: Node,
}

/// A value in it: where its bytes are and, once somebody looked, where those of its fields are.
#[derive(Debug)]
pub(super) struct Node {
    at: Range<usize>,
    fields: OnceCell<BTreeMap<String, Self>>,
}

impl Node {
    fn new(at: Range<usize>) -> Self {
        Self { at, fields: OnceCell::new() }
    }
}

#[derive(Deserialize)]
struct ObjectOnly<'b> {
    #[serde(borrow)]
    object: &'b RawValue,
}

impl Stored {
    /// What is stored as an object with its field ownership.
    ///
    /// # Errors
    /// It is no such thing.
    pub(super) fn read(bytes: Arc<[u8]>) -> Result<Self, serde_json::Error> {
        let object = serde_json::from_slice::<ObjectOnly<'_>>(&bytes)?.object;
        let object = Node::new(place(&bytes, object.get()));
        Ok(Self { bytes, object })
    }

    /// The same, without reading the field ownership: the object begins where the bytes say so
    /// first. Should they say so within the ownership, what is there is no JSON, and reading it
    /// fails. `None` = they do not.
    pub(super) fn guess(bytes: Arc<[u8]>) -> Option<Self> {
        let rest = bytes.strip_prefix(BEFORE)?;
        let begin = BEFORE.len() + memmem::find(rest, BETWEEN)? + BETWEEN.len();
        let end = bytes.len() - bytes.strip_suffix(b"}").map(|_| 1)?;
        (begin < end).then(|| Self { object: Node::new(begin..end), bytes })
    }

    /// The object alone.
    pub(super) fn object(&self) -> &Node {
        &self.object
    }

    /// The bytes of a value in it.
    pub(super) fn bytes(&self, node: &Node) -> &[u8] {
        self.bytes.get(node.at.clone()).unwrap_or_default()
    }

    /// The fields of a value; none where it is no map, or an empty one.
    ///
    /// # Errors
    /// It is no JSON.
    pub(super) fn fields<'s>(
        &'s self,
        node: &'s Node,
    ) -> Result<&'s BTreeMap<String, Node>, serde_json::Error> {
        if let Some(fields) = node.fields.get() {
            return Ok(fields);
        }
        let mut fields = BTreeMap::new();
        let bytes = self.bytes(node);
        if bytes.starts_with(b"{") {
            let raw: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes)?;
            let nodes = raw.into_iter().map(|(name, value)| {
                let Range { start, end } = place(bytes, value.get());
                (name, Node::new(node.at.start + start..node.at.start + end))
            });
            fields.extend(nodes);
        }
        Ok(node.fields.get_or_init(|| fields))
    }
}

/// Where in `bytes` a part of them is.
fn place(bytes: &[u8], part: &str) -> Range<usize> {
    let begin = part.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
    begin..begin + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(stored: &Stored) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(stored.bytes(stored.object()))
    }

    #[test]
    fn the_object_is_found_where_it_is_and_never_taken_for_another() {
        let managers = r#"{"fieldsV1":{"f:spec":{"f:object":{}}},"manager":"],\"object\":1"}"#;
        let plain = format!(r#"{{"fields":[{managers}],"object":{{"a":{{"b":[1]}},"c":2}}}}"#);
        let bytes: Arc<[u8]> = plain.into_bytes().into();
        for stored in [Stored::guess(bytes.clone()).unwrap(), Stored::read(bytes).unwrap()] {
            assert_eq!(object(&stored).unwrap(), serde_json::json!({"a": {"b": [1]}, "c": 2}));
            let fields = stored.fields(stored.object()).unwrap();
            let told = fields.iter().map(|(name, node)| (name.as_str(), stored.bytes(node)));
            let told: Vec<_> = told.collect();
            assert_eq!(told, [("a", &br#"{"b":[1]}"#[..]), ("c", b"2")]);
            let below = stored.fields(&fields["a"]).unwrap();
            assert_eq!(stored.bytes(&below["b"]), b"[1]");
            assert!(stored.fields(&fields["c"]).unwrap().is_empty());
        }
        // An ownership that the API server does not write.
        let strange = br#"{"fields":[{"fieldsV1":{"f:a":[],"object":{}}}],"object":{"a":1}}"#;
        let bytes: Arc<[u8]> = strange.to_vec().into();
        let guessed = Stored::guess(bytes.clone()).unwrap();
        assert!(object(&guessed).is_err() && guessed.fields(guessed.object()).is_err());
        assert_eq!(object(&Stored::read(bytes).unwrap()).unwrap(), serde_json::json!({"a": 1}));
        for broken in ["", "{}", r#"{"fields":[]}"#, r#"{"fields":[],"object":}"#, "]"] {
            let bytes: Arc<[u8]> = broken.as_bytes().into();
            assert!(Stored::read(bytes.clone()).is_err(), "{broken}");
            assert!(Stored::guess(bytes).is_none(), "{broken}");
        }
    }
}
