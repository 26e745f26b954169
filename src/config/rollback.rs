//! `[rollback]`: when applications are rolled back by themselves, unless they say otherwise.

use serde::{Deserialize, Serialize};

use super::Period;
use crate::model::RollbackRule;

/// What an application is rolled back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackWhen {
    /// It turns Degraded while a revision is on trial.
    Degraded,
    /// It is not Healthy when the trial ends.
    NotHealthy,
}

/// When applications are rolled back by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackConfig {
    /// What for; nothing when empty.
    pub when: Vec<RollbackWhen>,
    /// For how long a revision is on trial, from its first write on.
    pub within: Period,
}

impl Default for RollbackConfig {
    fn default() -> Self {
        let within = Period::from_ms(RollbackRule::default().within_ms);
        Self { when: Vec::new(), within }
    }
}

impl RollbackConfig {
    /// As applications have it.
    #[must_use]
    pub fn rule(&self) -> RollbackRule {
        RollbackRule {
            degraded: self.when.contains(&RollbackWhen::Degraded),
            not_healthy: self.when.contains(&RollbackWhen::NotHealthy),
            within_ms: self.within.ms(),
        }
    }
}

/// The rule of a recorded configuration, whatever else it says: other keys may be those of another
/// version of greffier. What cannot be read rolls nothing back.
#[must_use]
pub fn rollback_of(toml: &str) -> RollbackRule {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        rollback: RollbackConfig,
    }
    toml::from_str::<Part>(toml).unwrap_or_default().rollback.rule()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_read_out_of_a_recorded_configuration_of_any_version() {
        let toml = "later = 1\n[rollback]\nwhen = [\"not-healthy\"]\nwithin = \"90s\"\n";
        let expected = RollbackRule { degraded: false, not_healthy: true, within_ms: 90_000 };
        assert_eq!(rollback_of(toml), expected);
        for nothing in ["", "[rollback]\nwhen = [\"later\"]", "not toml"] {
            assert!(!rollback_of(nothing).is_on(), "{nothing}");
        }
    }
}
