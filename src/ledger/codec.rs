//! Bodies of events and actors as bytes: the only place that uses bincode.
//!
//! One fixed configuration for ever: variable-length integers, little-endian, at most
//! [`PAYLOAD_BYTES_MAX`] bytes. bincode is positional and tells nothing about itself, so the kind
//! and schema of the frame select the struct, and a decode that does not consume every byte is an
//! error. This module is pure and never panics on bytes from outside: the size limit also bounds
//! what a forged length can allocate.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::{BodyDecoder, BodyEncoder, Event};
use crate::model::Actor;

/// How long the plaintext of a payload may be, in bytes. A render of 5 000 objects takes about
/// 2 MiB without embedded Applications; the rest is room for those.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The schema of every body that this greffier writes.
pub const SCHEMA: u16 = 1;

type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<PAYLOAD_BYTES_MAX>,
>;

const CONFIG: Config = bincode::config::standard().with_limit::<PAYLOAD_BYTES_MAX>();

/// Why bytes and values could not be turned into each other.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value has no encoding.
    #[error("the body cannot be encoded")]
    Encode(#[source] bincode::error::EncodeError),
    /// The encoding is longer than [`PAYLOAD_BYTES_MAX`].
    #[error("the body takes {0} bytes, more than the limit of {PAYLOAD_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes are not an encoding of the value.
    #[error("the body cannot be decoded")]
    Decode(#[source] bincode::error::DecodeError),
    /// The bytes go on after the value.
    #[error("the body is followed by {0} further bytes")]
    Trailing(usize),
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let bytes = bincode::serde::encode_to_vec(value, CONFIG).map_err(Error::Encode)?;
    if bytes.len() > PAYLOAD_BYTES_MAX { Err(Error::TooLarge(bytes.len())) } else { Ok(bytes) }
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (value, consumed) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(Error::Decode)?;
    if consumed == bytes.len() { Ok(value) } else { Err(Error::Trailing(bytes.len() - consumed)) }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl BodyEncoder for Writer {
    type Error = Error;

    fn encode<T: Serialize>(&mut self, body: &T) -> Result<(), Error> {
        self.0 = to_bytes(body)?;
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl BodyDecoder for Reader<'_> {
    type Error = Error;

    fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        from_bytes(self.0)
    }
}

/// Encodes the body of an event, as schema [`SCHEMA`].
///
/// # Errors
/// [`Error::Encode`] or [`Error::TooLarge`].
pub fn encode_event(event: &Event) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::default();
    event.encode_with(&mut writer)?;
    Ok(writer.0)
}

/// Decodes the body of an event; `None` for a kind or schema that this greffier does not know.
///
/// # Errors
/// [`Error::Decode`] or [`Error::Trailing`] when the kind is known and the bytes are not its body.
pub fn decode_event(kind: u16, schema: u16, bytes: &[u8]) -> Result<Option<Event>, Error> {
    if schema == SCHEMA { Event::decode_with(kind, &Reader(bytes)) } else { Ok(None) }
}

/// Encodes an actor, the content of an actor blob.
///
/// # Errors
/// [`Error::Encode`] or [`Error::TooLarge`].
pub fn encode_actor(actor: &Actor) -> Result<Vec<u8>, Error> {
    to_bytes(actor)
}

/// Decodes the content of an actor blob.
///
/// # Errors
/// [`Error::Decode`] or [`Error::Trailing`].
pub fn decode_actor(bytes: &[u8]) -> Result<Actor, Error> {
    from_bytes(bytes)
}

/// How long a projection may be, in bytes. A world takes about 1 KiB an object; a snapshot that
/// would be larger is not worth reading.
pub const PROJECTION_BYTES_MAX: usize = 1024 * 1024 * 1024;

const PROJECTION: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<PROJECTION_BYTES_MAX>,
> = bincode::config::standard().with_limit::<PROJECTION_BYTES_MAX>();

/// Encodes a projection for a snapshot. Snapshots are derived and disposable: their encoding may
/// change with the projection's version.
///
/// # Errors
/// [`Error::Encode`].
pub fn encode_projection<T: Serialize>(projection: &T) -> Result<Vec<u8>, Error> {
    bincode::serde::encode_to_vec(projection, PROJECTION).map_err(Error::Encode)
}

/// Decodes a projection.
///
/// # Errors
/// [`Error::Decode`] or [`Error::Trailing`].
pub fn decode_projection<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (value, consumed) =
        bincode::serde::decode_from_slice(bytes, PROJECTION).map_err(Error::Decode)?;
    if consumed == bytes.len() { Ok(value) } else { Err(Error::Trailing(bytes.len() - consumed)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::samples::sample_events;

    #[test]
    fn every_kind_of_event_survives_encoding() {
        for event in sample_events() {
            let bytes = encode_event(&event).unwrap();
            let decoded = decode_event(event.code(), SCHEMA, &bytes).unwrap();
            assert_eq!(decoded.as_ref(), Some(&event), "{}", event.name());
            assert_eq!(encode_event(&decoded.unwrap()).unwrap(), bytes, "{}", event.name());
        }
    }

    #[test]
    fn bodies_that_end_early_or_late_are_refused() {
        for event in sample_events() {
            let mut bytes = encode_event(&event).unwrap();
            bytes.push(0);
            let late = decode_event(event.code(), SCHEMA, &bytes);
            assert!(matches!(late, Err(Error::Trailing(1))), "{}", event.name());
            bytes.truncate(bytes.len().saturating_sub(2));
            if !bytes.is_empty() {
                assert!(decode_event(event.code(), SCHEMA, &bytes).is_err(), "{}", event.name());
            }
        }
    }

    #[test]
    fn unknown_kinds_and_schemas_stay_opaque() {
        assert!(decode_event(0xffff, SCHEMA, b"anything").unwrap().is_none());
        assert!(decode_event(0x0101, 2, b"anything").unwrap().is_none());
    }

    #[test]
    fn actors_survive_encoding() {
        for actor in [Actor::default(), Actor::greffier(), Actor::os_user("alice")] {
            assert_eq!(decode_actor(&encode_actor(&actor).unwrap()).unwrap(), actor);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(
            kind in prop::sample::select(Event::KINDS), bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = decode_event(kind.0, SCHEMA, &bytes);
        }
    }
}
