//! A stored version of an object, taken apart only as far as somebody looks. Pure.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
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

/// The bytes of a value, for longer than what they are part of.
#[derive(Debug)]
pub(super) struct Bytes(Arc<[u8]>, Range<usize>);

impl Bytes {
    pub(super) fn get(&self) -> &[u8] {
        self.0.get(self.1.clone()).unwrap_or_default()
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

    /// A manifest: the object and nothing else.
    pub(super) fn plain(bytes: Arc<[u8]>) -> Self {
        Self { object: Node::new(0..bytes.len()), bytes }
    }

    /// The same, as nobody looked at it yet.
    pub(super) fn anew(&self) -> Self {
        Self { bytes: Arc::clone(&self.bytes), object: Node::new(self.object.at.clone()) }
    }

    /// The object alone.
    pub(super) fn object(&self) -> &Node {
        &self.object
    }

    /// The bytes of a value in it.
    pub(super) fn bytes(&self, node: &Node) -> &[u8] {
        self.bytes.get(node.at.clone()).unwrap_or_default()
    }

    /// The same, to be kept.
    pub(super) fn part(&self, node: &Node) -> Bytes {
        Bytes(Arc::clone(&self.bytes), node.at.clone())
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

    /// The same, where another version of the value with its fields is at hand: what has the same
    /// bytes there is not read.
    ///
    /// # Errors
    /// It is no JSON. Where what seems to be a field's value is several, reading that value fails.
    pub(super) fn fields_as<'s>(
        &'s self,
        node: &'s Node,
        (other, fields): (&Self, &BTreeMap<String, Node>),
    ) -> Result<&'s BTreeMap<String, Node>, serde_json::Error> {
        if node.fields.get().is_none()
            && let Some(places) = alike(self.bytes(node), (&other.bytes, fields))
        {
            let nodes = fields.keys().zip(places).map(|(name, at)| {
                (name.clone(), Node::new(node.at.start + at.start..node.at.start + at.end))
            });
            return Ok(node.fields.get_or_init(|| nodes.collect()));
        }
        self.fields(node)
    }
}

/// Where the values of `fields` are in `bytes`, if it has the same fields in the same order as the
/// value that `fields` are of. Both are canonical JSON: from either end what has the same bytes
/// as a whole field, up to what ends a field, is that field.
fn alike(
    bytes: &[u8],
    (other, fields): (&[u8], &BTreeMap<String, Node>),
) -> Option<Vec<Range<usize>>> {
    let first = fields.values().next()?;
    let begin = other.get(..first.at.start)?.iter().rposition(|byte| *byte == b'{')?;
    // From the end of a value to the end of the next one: what stands before it, and itself.
    let mut spans = Vec::with_capacity(fields.len());
    let mut last = begin;
    for Node { at, .. } in fields.values() {
        spans.push((other.get(last..at.start)?, other.get(at.clone())?));
        last = at.end;
    }
    let mut end = bytes.len() - bytes.strip_suffix(b"}").map(|_| 1)?;
    let mut after = Vec::new();
    while let Some((lead, value)) = spans.last().filter(|_| spans.len() > 1) {
        let rest = bytes.get(..end)?.strip_suffix(*value).and_then(|it| it.strip_suffix(*lead));
        let Some(rest) = rest else { break };
        after.push(end - value.len()..end);
        (end, _) = (rest.len(), spans.pop());
    }
    let (mut at, mut found) = (0, Vec::with_capacity(fields.len()));
    let only = spans.len() - 1;
    for (number, (lead, value)) in spans.into_iter().enumerate() {
        at += bytes.get(at..end)?.strip_prefix(lead).map(|_| lead.len())?;
        let rest = bytes.get(at..end)?;
        let len = match rest.strip_prefix(value).map(<[u8]>::first) {
            Some(None | Some(b',')) => value.len(),
            _ if number == only => rest.len(),
            _ => {
                let mut values =
                    serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
                values.next()?.ok()?;
                values.byte_offset()
            }
        };
        found.push(at..at + len);
        at += len;
    }
    found.extend(after.into_iter().rev());
    (at == end).then_some(found)
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

    #[test]
    fn fields_are_found_beside_another_version_as_they_are_found_alone() {
        let cases = [
            r#"{"a":1,"b":{"x":[1,2],"y":"}"},"c":"d"}"#,
            r#"{"a":12,"b":{"x":[1,2],"y":"}"},"c":"d"}"#,
            r#"{"a":1,"b":{"x":[1,2],"y":",\"c\":\"d\""},"c":"d"}"#,
            r#"{"a":{"z":1},"b":{"x":{},"y":1},"c":{"d":2}}"#,
            r#"{"a":1,"b":2,"c":"d"}"#,
            r#"{"a":1,"c":"d"}"#,
            r#"{"a":1,"b":{"x":[1,2],"y":"}"},"bb":3,"c":"d"}"#,
            r#"{"a":1,"b":{"x":[1,2],"y":"}"},"c":"d","d":4}"#,
            r#"{"{":1,"b":2}"#,
            r#"{"b":2}"#,
            "{}",
            r#""text""#,
        ];
        let stored = |text: &str| Stored::plain(text.as_bytes().to_vec().into());
        for was in cases {
            for now in cases {
                let (was, beside, alone) = (stored(was), stored(now), stored(now));
                let fields = was.fields(was.object()).unwrap();
                let found = beside.fields_as(beside.object(), (&was, fields)).unwrap();
                let found: Vec<_> = found.iter().map(|(k, node)| (k, beside.bytes(node))).collect();
                let right = alone.fields(alone.object()).unwrap();
                let right: Vec<_> = right.iter().map(|(k, node)| (k, alone.bytes(node))).collect();
                // Of what seems to be one value and is several, reading it says so.
                let several = found.len() < right.len();
                let whole = |(_, bytes): &(_, &[u8])| {
                    serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
                };
                assert!(found == right || several && !found.iter().all(whole), "{now}");
            }
        }
    }
}
