//! Identifiers: sequence numbers, digests, blob addresses, commit ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// An id that was not in the form it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not a {what}")]
pub struct ParseIdError {
    /// What was expected, as words for a person.
    pub what: &'static str,
    /// What was given.
    pub input: String,
}

/// The position of an event in the ledger. The first event has sequence number 1; 0 means
/// "before the first event".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first event.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Seq {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s.strip_prefix('#').unwrap_or(s);
        digits
            .parse()
            .map(Self)
            .map_err(|_| ParseIdError { what: "sequence number", input: s.to_owned() })
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The first twelve hexadecimal digits: what people are shown.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }

            /// Whether this is the all-zero value, which stands for "none".
            #[must_use]
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 32]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0u8; 32];
                hex::decode_to_slice(s, &mut bytes)
                    .map_err(|_| ParseIdError { what: $what, input: s.to_owned() })?;
                Ok(Self(bytes))
            }
        }

        // Binary in the ledger, hexadecimal for people: bincode is not human readable.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

hash_type!(
    /// A SHA-256 digest (keyed where what is digested is secret).
    Digest,
    "digest (64 hexadecimal digits)"
);
hash_type!(
    /// The address of a blob: SHA-256 of its plaintext, or HMAC-SHA-256 under the ledger's key
    /// for sealed blobs, so that low-entropy secrets cannot be guessed from their address.
    BlobAddr,
    "blob address (64 hexadecimal digits)"
);
hash_type!(
    /// The hash of a plan's actions. An approval names it and lapses when the plan changes.
    PlanHash,
    "plan hash (64 hexadecimal digits)"
);

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl BlobAddr {
    /// The address of a blob that is not sensitive.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// A Git commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitId(String);

impl CommitId {
    /// The first ten digits: what people are shown.
    #[must_use]
    pub fn short(&self) -> &str {
        // Another program's ledger may say anything here.
        self.0.get(..10).unwrap_or(&self.0)
    }

    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let hexadecimal = s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hexadecimal && (s.len() == 40 || s.len() == 64) {
            Ok(Self(s.to_owned()))
        } else {
            Err(ParseIdError { what: "commit id", input: s.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_hexadecimal_for_people_and_binary_in_the_ledger() {
        let digest = Digest::of(b"x");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        let bytes = bincode::serde::encode_to_vec(digest, bincode::config::standard()).unwrap();
        assert_eq!(bytes.len(), 32);
    }

    #[test]
    fn commit_ids_are_checked() {
        assert!("0123456789012345678901234567890123456789".parse::<CommitId>().is_ok());
        assert!("main".parse::<CommitId>().is_err());
        // What is read from a ledger is not.
        assert_eq!(serde_json::from_str::<CommitId>("\"abc\"").unwrap().short(), "abc");
        assert!("0123456789012345678901234567890123456ABC".parse::<CommitId>().is_err());
    }
}
