//! `syncPolicy.retry`: how often, and after how long, what was refused is tried again.
//!
//! The values, their defaults and the arithmetic are Argo CD's. Two things differ on purpose: a
//! wait is never shorter than a second, whatever the block says, and a try always has the newest
//! revision, so `refresh` changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tries after the first one, for an automated application that does not say.
const LIMIT_AUTOMATED: i64 = 5;
const FIRST_MS: u64 = 5_000;
const FACTOR: u64 = 2;
const LONGEST_MS: u64 = 180_000;
/// Bound: nothing is tried again sooner, so that no block makes a hot loop.
const SHORTEST_MS: u64 = 1_000;

/// How what was refused is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often after the first try; negative = for ever.
    pub limit: i64,
    /// The first wait, in milliseconds.
    pub first_ms: u64,
    /// What each wait is longer than the one before by.
    pub factor: u64,
    /// The longest wait, in milliseconds; 0 = any.
    pub longest_ms: u64,
}

impl Retry {
    /// The wait after the `failures`th try failed, in milliseconds; `None` = it is not tried again.
    #[must_use]
    pub fn wait_ms(&self, failures: u32) -> Option<u64> {
        let retried = failures.saturating_sub(1);
        if self.limit >= 0 && i64::from(retried) >= self.limit {
            return None;
        }
        let wait = self.first_ms.saturating_mul(self.factor.saturating_pow(retried));
        let longest = if self.longest_ms == 0 { u64::MAX } else { self.longest_ms };
        Some(wait.min(longest).max(SHORTEST_MS))
    }
}

/// Reads the block of a `syncPolicy`. What cannot be read is a warning and has its default.
pub(super) fn read(policy: &Value, automated: bool, warnings: &mut Vec<String>) -> Retry {
    let mut retry = Retry {
        limit: if automated { LIMIT_AUTOMATED } else { 0 },
        first_ms: FIRST_MS,
        factor: FACTOR,
        longest_ms: LONGEST_MS,
    };
    let Some(block) = policy.get("retry").filter(|block| block.is_object()) else { return retry };
    let mut unread = |field: &str, value: &Value| {
        warnings.push(format!("syncPolicy.retry.{field} `{value}` cannot be read: ignored"));
    };
    // A block without a limit has none of Argo CD's own: its zero value counts.
    retry.limit = match block.get("limit") {
        None | Some(Value::Null) => 0,
        Some(limit) => limit.as_i64().unwrap_or_else(|| {
            unread("limit", limit);
            retry.limit
        }),
    };
    let given = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    let backoff = block.get("backoff").unwrap_or(&Value::Null);
    for (name, read, value) in [
        ("duration", duration_ms as fn(&Value) -> Option<u64>, &mut retry.first_ms),
        ("maxDuration", duration_ms, &mut retry.longest_ms),
        ("factor", Value::as_u64, &mut retry.factor),
    ] {
        let Some(found) = backoff.get(name).filter(given) else { continue };
        match read(found) {
            Some(found) => *value = found,
            None => unread(&format!("backoff.{name}"), found),
        }
    }
    retry
}

/// A duration in milliseconds.
fn duration_ms(value: &Value) -> Option<u64> {
    match value {
        Value::Number(seconds) => Some(seconds.as_u64()?.saturating_mul(1_000)),
        Value::String(text) => parse(text),
        _ => None,
    }
}

/// A duration as Go writes it, e.g. `1m30s` or `1.5h`; a bare number is seconds.
pub(super) fn parse(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let (mut rest, mut total) = (text, 0.0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let ms = match &rest[..unit] {
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" | "μs" => 0.001,
            "ns" => 0.000_001,
            _ => return None,
        };
        total += number * ms;
        rest = &rest[unit..];
    }
    // Saturates, which is what a duration of centuries deserves.
    (!text.is_empty()).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waits(policy: Value, automated: bool) -> Vec<u64> {
        let mut warnings = Vec::new();
        let retry = read(&policy, automated, &mut warnings);
        assert_eq!(warnings, [""; 0], "{policy}");
        (1..=8).map_while(|failures| retry.wait_ms(failures)).map(|ms| ms / 1_000).collect()
    }

    #[test]
    fn the_defaults_are_those_of_argo_cd() {
        assert_eq!(waits(json!({}), true), [5, 10, 20, 40, 80], "automated and no block");
        assert_eq!(waits(json!({"retry": null}), true), [5, 10, 20, 40, 80]);
        assert_eq!(waits(json!({}), false), [0; 0], "synced by hand and no block");
        assert_eq!(waits(json!({"retry": {}}), true), [0; 0], "a block without a limit");
        assert_eq!(waits(json!({"retry": {"limit": 0}}), true), [0; 0]);
        assert_eq!(waits(json!({"retry": {"limit": 2}}), false), [5, 10]);
        let endless = waits(json!({"retry": {"limit": -1, "refresh": true}}), true);
        assert_eq!(endless, [5, 10, 20, 40, 80, 160, 180, 180], "capped, and for ever");
    }

    #[test]
    fn the_backoff_is_what_the_block_says() {
        let backoff =
            |backoff: Value| waits(json!({"retry": {"limit": 4, "backoff": backoff}}), true);
        assert_eq!(
            backoff(json!({"duration": "10s", "factor": 3, "maxDuration": "1m"})),
            [10, 30, 60, 60]
        );
        assert_eq!(
            backoff(json!({"duration": "15"})),
            [15, 30, 60, 120],
            "bare numbers are seconds"
        );
        assert_eq!(backoff(json!({"duration": 15, "factor": 1})), [15; 4]);
        assert_eq!(
            backoff(json!({"duration": "1m30s", "maxDuration": "1.5h"})),
            [90, 180, 360, 720]
        );
        assert_eq!(
            backoff(json!({"duration": "100s", "maxDuration": "0s"})),
            [100, 200, 400, 800],
            "no cap"
        );
        assert_eq!(backoff(json!({"duration": "", "maxDuration": ""})), [5, 10, 20, 40]);
    }

    #[test]
    fn no_block_makes_a_hot_loop() {
        for backoff in [
            json!({"duration": "0s"}),
            json!({"duration": "1ns", "factor": 1}),
            json!({"factor": 0, "duration": "1s"}),
            json!({"maxDuration": "1ms"}),
        ] {
            let policy = json!({"retry": {"limit": -1, "backoff": backoff}});
            assert_eq!(waits(policy.clone(), true), [1; 8], "{policy}");
        }
        let far = json!({"retry": {"limit": -1, "backoff": {"duration": "9h", "factor": 99, "maxDuration": "0"}}});
        assert_eq!(waits(far, true).len(), 8, "nothing overflows");
    }

    #[test]
    fn what_cannot_be_read_is_a_warning() {
        for (block, field) in [
            (json!({"limit": "many"}), "retry.limit"),
            (json!({"limit": 1, "backoff": {"duration": "soon"}}), "backoff.duration"),
            (json!({"limit": 1, "backoff": {"duration": "-5s"}}), "backoff.duration"),
            (json!({"limit": 1, "backoff": {"maxDuration": true}}), "backoff.maxDuration"),
            (json!({"limit": 1, "backoff": {"factor": -2}}), "backoff.factor"),
        ] {
            let mut warnings = Vec::new();
            let retry = read(&json!({"retry": block}), true, &mut warnings);
            assert!(warnings.len() == 1 && warnings[0].contains(field), "{block}: {warnings:?}");
            assert!(retry.wait_ms(1).is_some_and(|ms| ms == 5_000), "{block}");
        }
    }
}
