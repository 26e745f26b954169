//! Holds: what a person keeps as it is, against Git, until it is released or expires.
//!
//! A hold of fields lays the values that somebody set by hand over the manifest that is applied;
//! everything else of the object follows Git. A hold of absence keeps an object away that somebody
//! deleted. What is held is no drift. An object that leaves Git takes its holds with it.

use serde::{Deserialize, Serialize};

use super::application::App;
use super::world::{Touched, World};
use crate::ledger::event::{
    DriftDetectedV1, DriftKind, FieldChange, HoldBegunV1, HoldEndedV1, HoldOf,
};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};
use crate::plan::secret::is_recorded;

/// Bound: a drift with so many fields may have more that were not recorded.
const FIELDS_MAX: usize = 100;

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The event that began it.
    pub seq: Seq,
    /// What it holds.
    pub of: HoldOf,
    /// The drift that it keeps.
    pub drift: Seq,
    /// When it was recorded.
    pub made: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl Hold {
    /// Whether it is in force at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// The fields that it holds; none when it holds an absence.
    #[must_use]
    pub fn fields(&self) -> &[FieldChange] {
        match &self.of {
            HoldOf::Fields(held) => &held.fields,
            HoldOf::Absence(_) => &[],
        }
    }

    /// Whether it keeps its object away.
    #[must_use]
    pub fn is_of_absence(&self) -> bool {
        matches!(self.of, HoldOf::Absence(_))
    }
}

/// Why a drift cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Others added fields: Git says nothing about them.
    #[error("it adds what Git says nothing about, and that is no change of what greffier applied")]
    Addition,
    /// The values are as Git says.
    #[error("nothing in it differs from Git")]
    NothingDiffers,
    /// Values of Secrets are not recorded, nor most of their annotations.
    #[error("it changes values or annotations of a Secret, which are recorded nowhere")]
    Secret,
    /// It is not known which fields it changed.
    #[error("the object was applied by replacing it, so its fields cannot be told apart")]
    NoPlaces,
    /// There may be more fields than were recorded.
    #[error("it changes {FIELDS_MAX} fields or more, and no more are recorded")]
    TooMany,
    /// A place in a list that nothing but its position tells.
    #[error("it changes an item of a list that is known by its position only")]
    Position,
}

/// Why the drift cannot be kept; `None` when it can.
#[must_use]
pub fn why_not_kept(drift: &DriftDetectedV1) -> Option<NotKept> {
    match drift.kind {
        DriftKind::Deleted => return None,
        DriftKind::Addition => return Some(NotKept::Addition),
        DriftKind::OwnershipLost | DriftKind::None => return Some(NotKept::NothingDiffers),
        DriftKind::Drift => {}
    }
    let unrecorded = |place: &Vec<String>| !is_recorded(place);
    let by_position = |place: &Vec<String>| place.iter().any(|edge| edge.starts_with("i:"));
    let places = &drift.places;
    if drift.key.is_secret() && (places.is_empty() || places.iter().any(unrecorded)) {
        Some(NotKept::Secret)
    } else if places.is_empty() || drift.saved.is_none() || places.iter().any(Vec::is_empty) {
        Some(NotKept::NoPlaces)
    } else if places.len() >= FIELDS_MAX {
        Some(NotKept::TooMany)
    } else if places.iter().any(by_position) {
        Some(NotKept::Position)
    } else {
        None
    }
}

impl HoldEndedV1 {
    /// That holds of `app` end.
    #[must_use]
    pub fn of<'a>(app: AppName, over: impl IntoIterator<Item = &'a Hold>, expired: bool) -> Self {
        let (mut objects, mut holds) = (Vec::new(), Vec::new());
        for hold in over {
            holds.push(hold.seq);
            if !objects.contains(hold.of.key()) {
                objects.push(hold.of.key().clone());
            }
        }
        Self { app, objects, holds, expired }
    }
}

impl App {
    /// The holds on an object that are in force at `now`, in the order in which they began.
    pub fn holds_of<'a>(
        &'a self,
        key: &'a ObjectKey,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Hold> {
        self.holds.iter().filter(move |hold| hold.of.key() == key && hold.holds(now))
    }

    /// The events that began them.
    #[must_use]
    pub fn held(&self, key: &ObjectKey, now: Timestamp) -> Vec<Seq> {
        self.holds_of(key, now).map(|hold| hold.seq).collect()
    }

    /// Whether a person keeps the object away.
    #[must_use]
    pub fn is_kept_away(&self, key: &ObjectKey, now: Timestamp) -> bool {
        self.holds_of(key, now).any(Hold::is_of_absence)
    }
}

impl World {
    pub(super) fn hold_begun(&mut self, seq: Seq, body: &HoldBegunV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        // Who keeps the same drift again changes for how long; an object is kept away or it is
        // not, whoever said what last.
        let key = body.of.key();
        let absence = matches!(body.of, HoldOf::Absence(_));
        app.holds.retain(|hold| {
            hold.drift != body.drift && (hold.of.key() != key || hold.is_of_absence() == absence)
        });
        app.holds.push(Hold {
            seq,
            of: body.of.clone(),
            drift: body.drift,
            made: self.now,
            until: body.until,
            reason: body.reason.clone(),
        });
        // What failed without the hold may go well with it.
        app.attempts.remove(key);
        Touched::app(&body.app)
    }

    pub(super) fn hold_ended(&mut self, body: &HoldEndedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        app.holds.retain(|hold| !body.holds.contains(&hold.seq));
        for key in &body.objects {
            app.attempts.remove(key);
        }
        Touched::app(&body.app)
    }
}
