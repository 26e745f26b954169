//! Points in time as the ledger records them, and the only place that reads the wall clock.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z. Sequence numbers order events; clocks only describe.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The wall clock now. Only the outer layers may call this: what decides gets its time from
    /// recorded events.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// From whole seconds since 1970, as Git and Kubernetes give them.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Parses RFC 3339, as Kubernetes writes it.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(instant.as_nanosecond()).ok().map(Self)
    }

    /// This time plus milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
    }

    /// Milliseconds from `earlier` to this time; 0 when `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0) / 1_000_000
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

/// When something was true in the world, as far as known: somewhere in `[lo, hi]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidTime {
    /// Not before.
    pub lo: Timestamp,
    /// Not after.
    pub hi: Timestamp,
    /// What the interval rests on.
    pub basis: Basis,
}

/// What a valid-time interval rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// The moment the event was recorded; nothing better is known.
    Recorded,
    /// A time that a field manager entry of the object states (whole seconds, client-set).
    ManagedFields,
    /// The object's creation or deletion timestamp.
    ObjectTimestamp,
    /// The committer's time of a Git commit (client-set).
    Committer,
    /// Between the last time it was seen and the list that no longer showed it.
    RelistGap,
    /// From when the API server received the request until it had answered, by its clock.
    Audit,
}

impl Basis {
    /// The code in a ledger frame.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Recorded => 0,
            Self::ManagedFields => 1,
            Self::ObjectTimestamp => 2,
            Self::Committer => 3,
            Self::RelistGap => 4,
            Self::Audit => 5,
        }
    }

    /// The basis with this code, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Recorded,
            1 => Self::ManagedFields,
            2 => Self::ObjectTimestamp,
            3 => Self::Committer,
            4 => Self::RelistGap,
            5 => Self::Audit,
            _ => return None,
        })
    }
}
