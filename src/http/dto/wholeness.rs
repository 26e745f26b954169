//! How whole the ledger is.

use serde::{Deserialize, Serialize};

use crate::ledger::{self, DAMAGE_HINT, DAMAGE_MEANS};

/// How whole the ledger is, as far as the daemon knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wholeness {
    /// Up to which event the last complete check since the start read it; absent before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<u64>,
    /// When that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
    /// The damaged places that are known: file, offset, and what is wrong.
    #[serde(default)]
    pub damage: Vec<String>,
    /// What follows from the damage; empty where there is none.
    #[serde(default)]
    pub means: String,
    /// What to do about it; empty where there is none.
    #[serde(default)]
    pub hint: String,
}

impl From<&ledger::Wholeness> for Wholeness {
    fn from(known: &ledger::Wholeness) -> Self {
        let said = |text: &str| if known.damage.is_empty() { "" } else { text }.to_owned();
        Self {
            checked: known.checked.map(|(seq, _)| seq.0),
            checked_at: known.checked.map(|(_, at)| at.to_string()),
            damage: known.places(),
            means: said(DAMAGE_MEANS),
            hint: said(DAMAGE_HINT),
        }
    }
}
