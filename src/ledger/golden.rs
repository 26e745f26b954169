//! Holds `docs/ledger-format.md` to the code: the list of kinds and the worked example.

use uuid::Uuid;

use super::codec::{self, SCHEMA};
use super::event::{Event, LedgerCreatedV1};
use super::frame::{Codec, Envelope, PayloadSeal, Stored, valid_at};
use super::record::{FORMAT, HEADER_BYTES, Header, Record, parse, put_event};
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

const DOCUMENT: &str = include_str!("../../docs/ledger-format.md");

/// The bytes of the first block after `heading`, which holds hexadecimal digits and comments.
fn example(heading: &str) -> Vec<u8> {
    let after = DOCUMENT.split_once(heading).unwrap().1;
    let block = after.split("```").nth(1).unwrap();
    let lines = block.lines().skip(1).map(|line| line.split('#').next().unwrap());
    let digits: String = lines.flat_map(|line| line.split_whitespace()).collect();
    hex::decode(digits).unwrap()
}

/// The first bytes of a ledger: its header and its first event.
fn first_bytes() -> (Vec<u8>, Digest) {
    let event = Event::from(LedgerCreatedV1 { version: "0.1.0".into() });
    let payload = codec::encode_event(&event).unwrap();
    let recorded = Timestamp(1_795_392_000_000_000_000);
    let id = Uuid::from_u128(0x0193_5c00_0000_7000_8000_0000_0000_0001);
    let stored = Stored::Inline { codec: Codec::Raw, len: payload.len() as u32 };
    let mut envelope = Envelope {
        seq: Seq(1),
        id,
        cluster: Uuid::nil(),
        correlation: id,
        causes: vec![],
        actor: BlobAddr::default(),
        recorded,
        valid: valid_at(recorded),
        prev: Digest::default(),
        hash: Digest::default(),
        kind: event.code(),
        schema: SCHEMA,
        payload: PayloadSeal::of(&payload, *b"sixteen salty by"),
        stored,
    };
    let frame = envelope.seal().unwrap();
    let ledger = Uuid::from_u128(0x0193_5c00_0000_7000_8000_0000_0000_0000);
    let header = Header { ledger, first: Seq(1), prev: Digest::default(), key: *b"keyprint" };
    let mut bytes = header.encode();
    put_event(&mut bytes, &frame, stored, &payload);
    (bytes, envelope.hash)
}

#[test]
fn every_kind_is_in_the_document() {
    for (code, name, body) in Event::KINDS {
        let row = format!("| {code:#06x} | `{name}` | `{body}` |");
        assert!(DOCUMENT.contains(&row), "docs/ledger-format.md lacks the line\n{row}");
    }
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| 0x")).count();
    assert_eq!(rows, Event::KINDS.len(), "docs/ledger-format.md lists kinds that do not exist");
    assert!(DOCUMENT.contains(&format!("**This is format {FORMAT}.**")));
}

#[test]
fn the_worked_example_is_what_the_code_writes_and_reads() {
    let (bytes, hash) = first_bytes();
    assert_eq!(hex::encode(example("## Worked example")), hex::encode(&bytes));
    assert!(DOCUMENT.contains(&hash.to_string()), "the hash of the example's frame is {hash}");
    let header = Header::decode(&bytes).unwrap();
    assert_eq!(header.first, Seq(1));
    let (Record::Event(event), length) = parse(&bytes[HEADER_BYTES..]).unwrap() else {
        panic!("an event was expected")
    };
    assert_eq!(HEADER_BYTES + length, bytes.len());
    assert_eq!(event.envelope.hash, hash);
    let body = codec::decode_event(event.envelope.kind, SCHEMA, event.payload).unwrap();
    assert_eq!(body, Some(Event::from(LedgerCreatedV1 { version: "0.1.0".into() })));
    assert!(event.envelope.payload.matches(event.payload));
}
