//! What a person decided to keep as it is, against Git, until it is released.

use serde::{Deserialize, Serialize};

use super::write::FieldChange;
use crate::model::{AppName, BlobAddr, ObjectKey, Seq, Timestamp};

/// Fields of one object, as somebody set them by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFields {
    /// The object.
    pub key: ObjectKey,
    /// The object as it was found: the values are in it.
    pub saved: BlobAddr,
    /// Where the fields are: the edges of a field set that lead to each.
    pub places: Vec<Vec<String>>,
    /// The fields for people: `was` before, `now` as they are held.
    pub fields: Vec<FieldChange>,
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldOf {
    /// Fields of an object keep the values that they were given by hand.
    Fields(HeldFields),
    /// An object that was deleted by hand stays absent.
    Absence(ObjectKey),
}

impl HoldOf {
    /// The object.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Fields(fields) => &fields.key,
            Self::Absence(key) => key,
        }
    }
}

/// A person holds something as it is, whatever Git says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldBegunV1 {
    /// The application.
    pub app: AppName,
    /// What is held.
    pub of: HoldOf,
    /// The drift that is kept.
    pub drift: Seq,
    /// When the hold ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
}

/// Holds ended: what they held follows Git again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEndedV1 {
    /// The application.
    pub app: AppName,
    /// The objects whose holds they are.
    pub objects: Vec<ObjectKey>,
    /// The events that began them.
    pub holds: Vec<Seq>,
    /// Whether they expired, rather than a person releasing them.
    pub expired: bool,
}
