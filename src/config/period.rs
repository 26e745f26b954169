//! Spans of time as people write them: `500ms`, `60s`, `1h30m`, `2d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units, longest first: suffix and milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{input}` is not a duration: write a number and a unit (ms, s, m, h, d), e.g. 90s or 1h30m"
)]
pub struct ParsePeriodError {
    /// What was given.
    pub input: String,
}

/// A span of time, in whole milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    ms: u64,
}

impl Period {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self { ms: seconds.saturating_mul(1_000) }
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.duration()
    }
}

impl FromStr for Period {
    type Err = ParsePeriodError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        parse(s).map(|ms| Self { ms }).ok_or_else(|| ParsePeriodError { input: s.to_owned() })
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = tail;
    }
    Some(total)
}

impl fmt::Display for Period {
    /// The shortest form that parses to the same, e.g. `1h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (unit, factor) in UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_print_and_parse() {
        for text in ["500ms", "60s", "1h30m", "2d", "1m500ms"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period, "{text}");
        }
        assert_eq!("90s".parse::<Period>().unwrap().to_string(), "1m30s");
        assert_eq!("1h30m".parse::<Period>().unwrap().ms(), 5_400_000);
    }

    #[test]
    fn what_is_no_period_is_refused_with_an_example() {
        for text in
            ["", "5", "h", "5x", "1.5h", "-1s", "99999999999999999999s", "9999999999999999d"]
        {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains("1h30m"), "{text}: {error}");
        }
    }
}
