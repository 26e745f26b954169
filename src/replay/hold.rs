//! Holds: what a person keeps as it is, against Git, until it is released or expires.
//!
//! A hold of fields lays the values that somebody set by hand, or that were wanted at an earlier
//! instant, over the manifest that is applied; everything else of the object follows Git. A hold of
//! absence keeps an object away that somebody deleted. A hold of an object has it wanted as it was,
//! in the place of what Git says of it and also where Git does not have it: what Git says waits in
//! the hold. What is held is no drift. Holds go with their object from one application to another
//! (`adrift.rs`); those of an object that leaves Git for good end, but for one of the whole object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::application::{App, Desired};
use super::fold::several_waves;
use super::world::{Touched, World};
use crate::ledger::event::{
    BackTo, DesiredObject, DriftDetectedV1, DriftKind, FieldChange, HoldBegunV1, HoldEnd,
    HoldEndedV1, HoldOf,
};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};
use crate::plan::secret::is_recorded;

/// Bound: a drift with so many fields may have more that were not recorded.
const FIELDS_MAX: usize = 100;

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The event that began it; others may have begun with it.
    pub seq: Seq,
    /// What it holds.
    pub of: HoldOf,
    /// What it goes back to.
    pub from: BackTo,
    /// When it was recorded.
    pub made: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// What Git says of an object that is held as a whole; `None` = it does not have it.
    pub git: Option<Box<DesiredObject>>,
}

impl Hold {
    /// Whether its time is over at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether it is in force at `now`. What is held as a whole is wanted until an event says that
    /// it is not any more.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.is_of_object() || !self.is_over(now)
    }

    /// The fields that it holds; none when it holds an absence or an object.
    #[must_use]
    pub fn fields(&self) -> &[FieldChange] {
        match &self.of {
            HoldOf::Fields(held) => &held.fields,
            HoldOf::Absence(_) | HoldOf::Object(_) => &[],
        }
    }

    /// Whether it keeps its object away.
    #[must_use]
    pub fn is_of_absence(&self) -> bool {
        matches!(self.of, HoldOf::Absence(_))
    }

    /// Whether it holds its object as a whole.
    #[must_use]
    pub fn is_of_object(&self) -> bool {
        matches!(self.of, HoldOf::Object(_))
    }

    /// The drift that it keeps.
    #[must_use]
    pub fn drift(&self) -> Option<Seq> {
        match self.from {
            BackTo::Drift(seq) => Some(seq),
            BackTo::Instant(_) | BackTo::Undone(_) => None,
        }
    }

    /// Whether it lasts when a person begins a hold of the same object.
    pub(super) fn goes_with(&self, of: &HoldOf, from: BackTo) -> bool {
        match (&self.of, of) {
            (HoldOf::Fields(held), HoldOf::Fields(new)) => {
                // Who goes back with the same fields again means the later instant.
                let same = held.places.iter().all(|place| new.places.contains(place));
                matches!(from, BackTo::Drift(_)) || !same
            }
            (HoldOf::Object(_), HoldOf::Fields(_)) | (HoldOf::Absence(_), HoldOf::Absence(_)) => {
                true
            }
            // An object is kept away, or it is as it was, or it follows Git but for some fields,
            // whoever said what last.
            _ => false,
        }
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
    pub fn of<'a>(app: AppName, over: impl IntoIterator<Item = &'a Hold>, end: HoldEnd) -> Self {
        let (mut objects, mut holds) = (Vec::new(), Vec::new());
        for hold in over {
            if !holds.contains(&hold.seq) {
                holds.push(hold.seq);
            }
            if !objects.contains(hold.of.key()) {
                objects.push(hold.of.key().clone());
            }
        }
        Self { app, objects, holds, end }
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

    /// Whether a person holds the object as a whole.
    #[must_use]
    pub fn is_held_as_it_was(&self, key: &ObjectKey) -> bool {
        self.holds.iter().any(|hold| hold.is_of_object() && hold.of.key() == key)
    }

    /// What is in force, without the objects that people hold as they were.
    #[must_use]
    pub fn unheld(&self) -> Option<Cow<'_, Desired>> {
        let desired = self.desired.as_ref()?;
        if !self.holds.iter().any(Hold::is_of_object) {
            return Some(Cow::Borrowed(desired));
        }
        let mut desired = desired.clone();
        self.holds.iter().for_each(|hold| desired.lift(hold));
        Some(Cow::Owned(desired))
    }

    /// Forgets what was found of an object that it wants no more.
    fn forget_object(&mut self, key: &ObjectKey) {
        self.attempts.remove(key);
        self.drift.remove(key);
        self.rivals.remove(key);
        self.unwell.remove(key);
        self.ignore_failures.remove(key);
        self.replicas_left.retain(|(left, _)| left != key);
    }

    /// Has the objects that people hold wanted as they were, in the place of what `new` says.
    pub(super) fn lay_over(&mut self, new: &mut Desired) {
        let mut laid = false;
        for hold in &mut self.holds {
            let HoldOf::Object(held) = &hold.of else { continue };
            let object = held.object.clone();
            hold.git = new.objects.insert(object.key.clone(), object).map(Box::new);
            laid = true;
        }
        if laid {
            new.several_waves = several_waves(&new.objects);
        }
    }

    /// The holds that Git has caught up with: it says of the object what is held.
    pub fn same_as_git(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(|hold| match (&hold.of, &hold.git) {
            (HoldOf::Object(held), Some(git)) => held.object.digest == git.digest,
            _ => false,
        })
    }
}

impl Desired {
    /// Has what Git says wanted, where a hold of the whole object is in its place.
    pub(super) fn lift(&mut self, hold: &Hold) {
        if !hold.is_of_object() {
            return;
        }
        let key = hold.of.key();
        match &hold.git {
            Some(git) => drop(self.objects.insert(key.clone(), (**git).clone())),
            None => drop(self.objects.remove(key)),
        }
        self.several_waves = several_waves(&self.objects);
    }
}

impl World {
    pub(super) fn hold_begun(&mut self, seq: Seq, body: &HoldBegunV1) -> Touched {
        if !self.apps.contains_key(&body.app) {
            return Touched::nothing();
        }
        for of in &body.of {
            // Who keeps the same drift again changes for how long.
            let again = |hold: &Hold| hold.drift().is_some() && hold.from == body.from;
            self.end_holds(&body.app, |hold| {
                let same = hold.of.key() == of.key();
                hold.seq != seq && (again(hold) || (same && !hold.goes_with(of, body.from)))
            });
            let git = self.lay_object(&body.app, of);
            let made = self.now;
            if let Some(app) = self.apps.get_mut(&body.app) {
                let (of, from, until) = (of.clone(), body.from, body.until);
                // What failed without the hold may go well with it.
                app.attempts.remove(of.key());
                app.holds.push(Hold {
                    seq,
                    of,
                    from,
                    made,
                    until,
                    reason: body.reason.clone(),
                    git,
                });
            }
        }
        // Its object may have passed to another application since a person said so.
        let passed = self.cast_off_unwanted(&body.app);
        touched(&body.app, passed || body.of.iter().any(|of| matches!(of, HoldOf::Object(_))))
    }

    pub(super) fn hold_ended(&mut self, body: &HoldEndedV1) -> Touched {
        let ends =
            |hold: &Hold| body.holds.contains(&hold.seq) && body.objects.contains(hold.of.key());
        match body.end {
            // That of the application: whoever has the object now may say something else.
            HoldEnd::SameAsGit => self.end_with(std::slice::from_ref(&body.app), body, ends),
            HoldEnd::Released | HoldEnd::Expired => {
                // It may have passed to another application since that was decided.
                let has = |(_, app): &(&AppName, &App)| app.holds.iter().any(ends);
                let apps = self.apps.iter().filter(has).map(|(name, _)| name.clone());
                let apps: Vec<AppName> = apps.collect();
                self.end_adrift(ends);
                self.end_with(&apps, body, ends)
            }
            // Somebody may have come for it meanwhile.
            HoldEnd::NewerInGit => {
                self.end_adrift(ends);
                Touched::nothing()
            }
        }
    }

    fn end_with(
        &mut self,
        apps: &[AppName],
        body: &HoldEndedV1,
        ends: impl Fn(&Hold) -> bool,
    ) -> Touched {
        let mut all = Touched::nothing();
        for name in apps {
            let Some(app) = self.apps.get_mut(name) else { continue };
            for key in &body.objects {
                app.attempts.remove(key);
            }
            let objects = self.end_holds(name, &ends);
            all = all.and(touched(name, objects));
        }
        all
    }

    /// Ends holds of an application: what Git says of their objects is wanted again. Returns whether
    /// there are any of whole objects among them.
    pub(super) fn end_holds(&mut self, name: &AppName, ends: impl Fn(&Hold) -> bool) -> bool {
        let Some(app) = self.apps.get_mut(name) else { return false };
        let (over, last) = std::mem::take(&mut app.holds).into_iter().partition(|hold| ends(hold));
        app.holds = last;
        let over: Vec<Hold> = over;
        let objects = over.into_iter().filter(Hold::is_of_object);
        objects.map(|hold| self.lift_object(name, hold)).count() > 0
    }

    /// From here on the object is wanted as it was; returns what Git says of it.
    pub(super) fn lay_object(&mut self, name: &AppName, of: &HoldOf) -> Option<Box<DesiredObject>> {
        let HoldOf::Object(held) = of else { return None };
        let app = self.apps.get_mut(name)?;
        let (desired, wants) = (app.desired.as_mut()?, !app.removing);
        let key = &held.object.key;
        let git = desired.objects.insert(key.clone(), held.object.clone());
        desired.several_waves = several_waves(&desired.objects);
        app.previews.remove(key);
        if git.is_none() && wants {
            self.want(key, name);
        }
        git.map(Box::new)
    }

    /// From here on the object is wanted as Git says.
    fn lift_object(&mut self, name: &AppName, hold: Hold) {
        let key = hold.of.key();
        let Some(app) = self.apps.get_mut(name) else { return };
        app.previews.remove(key);
        let Some(desired) = app.desired.as_mut() else { return };
        desired.lift(&hold);
        if hold.git.is_none() {
            app.forget_object(key);
            let others = app.holds.extract_if(.., |hold| hold.is_of(key)).collect();
            self.unwant(key, name);
            self.disown_absent(name);
            self.cast_off(name, others);
        }
    }
}

/// Others may wait for an object that comes or goes as a whole.
fn touched(app: &AppName, objects: bool) -> Touched {
    if objects { Touched::all() } else { Touched::app(app) }
}
