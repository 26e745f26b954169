//! Whether an application is rolled back by itself: the annotation `greffier.dev/rollback`.
//!
//! `degraded, not-healthy, within=10m`: what it is rolled back for, and for how long a revision is on
//! trial. `off` overrules the configuration.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::retry;

/// The annotation.
const ROLLBACK: &str = "greffier.dev/rollback";
/// How the warning begins that the annotation is not understood.
const MISREAD: &str = "annotation greffier.dev/rollback ";
/// For how long a revision is on trial where nobody says otherwise, in milliseconds.
const WITHIN_MS: u64 = 300_000;

/// When an application is rolled back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRule {
    /// When it turns Degraded while a revision is on trial.
    pub degraded: bool,
    /// When it is not Healthy at the end of the trial.
    pub not_healthy: bool,
    /// For how long a revision is on trial, from its first write on.
    pub within_ms: u64,
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self { degraded: false, not_healthy: false, within_ms: WITHIN_MS }
    }
}

impl RollbackRule {
    /// Whether it ever rolls anything back.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.degraded || self.not_healthy
    }

    /// Reads `off`, or what it is rolled back for and `within=TIME`, with commas between.
    fn parse(text: &str) -> Option<Self> {
        let mut rule = Self::default();
        if text.trim() == "off" {
            return Some(rule);
        }
        for part in text.split(',').map(str::trim) {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("within", time)) => {
                    rule.within_ms = retry::parse(time).filter(|ms| *ms > 0)?;
                }
                None if part == "degraded" => rule.degraded = true,
                None if part == "not-healthy" => rule.not_healthy = true,
                _ => return None,
            }
        }
        rule.is_on().then_some(rule)
    }
}

/// Reads the annotation of a manifest; `None` = it has none, and the configuration counts.
pub(super) fn read(manifest: &Value, warnings: &mut Vec<String>) -> Option<RollbackRule> {
    let annotations = manifest.pointer("/metadata/annotations")?;
    let value = annotations.get(ROLLBACK)?;
    let read = value.as_str().and_then(RollbackRule::parse);
    if read.is_none() {
        let allowed = "`off`, or `degraded`, `not-healthy` and `within=5m` with commas between";
        warnings
            .push(format!("{MISREAD}{value} is not {allowed}: nothing is rolled back by itself"));
    }
    // What is not understood rolls nothing back, whatever the configuration says.
    Some(read.unwrap_or_default())
}

impl super::AppSpec {
    /// What its rollback rule says and is not understood: nothing is rolled back by itself then.
    pub fn misread(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().filter(|warning| warning.starts_with(MISREAD))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> (Option<RollbackRule>, usize) {
        let mut warnings = Vec::new();
        let manifest = json!({"metadata": {"annotations": {ROLLBACK: value}}});
        (read(&manifest, &mut warnings), warnings.len())
    }

    #[test]
    fn the_annotation_says_what_for_and_for_how_long() {
        let rule = |degraded, not_healthy, within_ms| {
            Some(RollbackRule { degraded, not_healthy, within_ms })
        };
        for (text, expected) in [
            ("degraded", rule(true, false, 300_000)),
            ("not-healthy , within= 90s", rule(false, true, 90_000)),
            ("within=1h,degraded,not-healthy", rule(true, true, 3_600_000)),
            ("off", rule(false, false, 300_000)),
        ] {
            assert_eq!(of(json!(text)), (expected, 0), "{text}");
        }
        assert_eq!(read(&json!({"metadata": {}}), &mut Vec::new()), None);
        for wrong in
            [json!("of"), json!(""), json!("within=5m"), json!("degraded,within=0s"), json!(true)]
        {
            let (rule, warned) = of(wrong.clone());
            assert_eq!((rule.map(|rule| rule.is_on()), warned), (Some(false), 1), "{wrong}");
        }
    }
}
