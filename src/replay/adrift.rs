//! Holds of objects that pass from one application to another.
//!
//! What a person holds of an object lasts when the object leaves its application: whoever has the
//! object next has the hold, from the very event on with which it has the object. Until somebody
//! has it, the hold is adrift; it ends, with an event, once nobody can come any more.
//!
//! Invariant: no hold of fields or of an absence is with an application that does not want the
//! object. A hold of the whole object makes its application want it.

use serde::{Deserialize, Serialize};

use super::hold::Hold;
use super::world::World;
use crate::model::{AppName, ObjectKey, Seq};

/// A hold of an object that no application wants now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adrift {
    /// The application that had the object last.
    pub app: AppName,
    /// The hold.
    pub hold: Hold,
}

impl World {
    /// Holds of objects that `name` does not want any more go to whoever wants them.
    pub(super) fn cast_off(&mut self, name: &AppName, holds: Vec<Hold>) {
        let keys: Vec<ObjectKey> = holds.iter().map(|hold| hold.of.key().clone()).collect();
        let holds = holds.into_iter().map(|hold| Adrift { app: name.clone(), hold });
        self.adrift.extend(holds);
        for key in &keys {
            self.gather_holds(key);
        }
    }

    /// The same of those that are with an application that does not want the object. Returns whether
    /// there are any.
    pub(super) fn cast_off_unwanted(&mut self, name: &AppName) -> bool {
        let Some(app) = self.apps.get_mut(name) else { return false };
        // What was never rendered is not known to be without it.
        let desired = app.desired.as_ref();
        let wants = |key: &ObjectKey| desired.is_none_or(|d| d.objects.contains_key(key));
        let holds = app.holds.extract_if(.., |hold| app.removing || !wants(hold.of.key()));
        let holds: Vec<Hold> = holds.collect();
        let any = !holds.is_empty();
        self.cast_off(name, holds);
        any
    }

    /// All holds of an application that wants nothing any more go to whoever wants the objects.
    pub(super) fn cast_off_all(&mut self, name: &AppName) {
        let Some(app) = self.apps.get_mut(name) else { return };
        let holds = std::mem::take(&mut app.holds);
        if let Some(desired) = &mut app.desired {
            holds.iter().for_each(|hold| desired.lift(hold));
        }
        self.cast_off(name, holds);
    }

    /// The holds of objects that `name` wants again come back to it.
    pub(super) fn gather_all(&mut self, name: &AppName) {
        let wants =
            |key: &ObjectKey| self.wanted_by.get(key).is_some_and(|apps| apps.contains(name));
        let keys = self.adrift.iter().map(|adrift| adrift.hold.of.key());
        let keys: Vec<ObjectKey> = keys.filter(|key| wants(key)).cloned().collect();
        for key in &keys {
            self.gather_holds(key);
        }
    }

    /// What is held of an object goes to the application that has it: that owns it and wants it, or
    /// has it held as a whole, or is the first by definition. What is held as a whole stays.
    pub(super) fn gather_holds(&mut self, key: &ObjectKey) {
        let Some(wanted_by) = self.wanted_by.get(key) else { return };
        if self.adrift.is_empty() && wanted_by.len() < 2 {
            return;
        }
        let owner = self.owned.get(key).map(|owned| &owned.app);
        let rank = |name: &&AppName| (Some(*name) != owner, self.rank(key, name));
        let Some(heir) = wanted_by.iter().min_by_key(rank).cloned() else { return };
        let others: Vec<AppName> = wanted_by.iter().filter(|app| **app != heir).cloned().collect();
        let mut came = Vec::new();
        self.adrift.retain(|adrift| {
            let comes = adrift.hold.is_of(key);
            came.extend(comes.then(|| adrift.hold.clone()));
            !comes
        });
        for other in others {
            let other = self.apps.get_mut(&other).filter(|app| !app.is_held_as_it_was(key));
            let holds =
                other.into_iter().flat_map(|app| app.holds.extract_if(.., |hold| hold.is_of(key)));
            came.extend(holds);
        }
        if !came.is_empty() {
            self.take_holds(&heir, key, came);
        }
    }

    /// Which of those that want an object has it, where nobody of them owns it: the lowest.
    pub(super) fn rank(&self, key: &ObjectKey, name: &AppName) -> (bool, Option<Seq>) {
        let app = self.apps.get(name);
        let as_it_was = app.is_some_and(|app| app.is_held_as_it_was(key));
        (!as_it_was, app.map(|app| app.declared))
    }

    /// `name` has these holds of an object from here on, with its own of it: whoever said what last.
    fn take_holds(&mut self, name: &AppName, key: &ObjectKey, came: Vec<Hold>) {
        let own = self.apps.get(name).map(|app| app.holds.as_slice()).unwrap_or_default();
        let own = own.iter().filter(|hold| hold.is_of(key));
        let mut all: Vec<Hold> = own.chain(&came).cloned().collect();
        all.sort_by_key(|hold| hold.seq);
        let mut last: Vec<Hold> = Vec::new();
        for hold in all {
            last.retain(|former| !hold.takes_the_place_of(former));
            last.push(hold);
        }
        self.end_holds(name, |hold| hold.is_of(key) && !last.contains(hold));
        for mut hold in came.into_iter().filter(|hold| last.contains(hold)) {
            hold.git = self.lay_object(name, &hold.of);
            if let Some(app) = self.apps.get_mut(name) {
                app.holds.push(hold);
            }
        }
        if let Some(app) = self.apps.get_mut(name) {
            app.holds.sort_by_key(|hold| hold.seq);
            // What failed without the hold may go well with it.
            app.attempts.remove(key);
        }
    }

    /// Ends holds that are adrift.
    pub(super) fn end_adrift(&mut self, ends: impl Fn(&Hold) -> bool) {
        self.adrift.retain(|adrift| !ends(&adrift.hold));
    }

    /// The holds of objects that the application had last and that nobody wants now.
    pub fn cast_off_by<'a>(&'a self, name: &'a AppName) -> impl Iterator<Item = &'a Hold> {
        self.adrift.iter().filter(move |adrift| adrift.app == *name).map(|adrift| &adrift.hold)
    }

    /// The holds of objects that have left Git for good: nobody wants them, and nobody may.
    pub fn left_for_good(&self) -> impl Iterator<Item = &Adrift> {
        let settled = !self.adrift.is_empty() && self.behind().is_none();
        self.adrift.iter().filter(move |adrift| settled && !self.may_be_taken(adrift))
    }

    /// Whether an application may come to want the object of a hold that is adrift.
    fn may_be_taken(&self, adrift: &Adrift) -> bool {
        let key = adrift.hold.of.key();
        if self.apps.values().any(|app| app.proposes(key)) {
            return true;
        }
        match self.apps.get_key_value(&adrift.app) {
            Some((name, app)) => self.may_have_what_left(name, app, &[]).is_some(),
            // Nothing says which commit dropped it.
            None => self.is_anything_unknown(),
        }
    }

    /// Whether of any application it is not known what it would have.
    fn is_anything_unknown(&self) -> bool {
        self.apps.values().filter(|app| !app.removing && !app.spec.skip).any(|app| {
            let rendered = app.newest().is_some_and(|newest| newest.declared == app.declared);
            let objects = app.desired.iter().flat_map(|desired| desired.objects.keys());
            let mut children = objects.filter(|key| key.is_application());
            let undefined = |key: &ObjectKey| !self.apps.keys().any(|a| a.as_str() == key.name());
            !rendered || app.render_problem.is_some() || children.any(undefined)
        })
    }
}

impl Hold {
    /// Whether it ends what a person said before of the same object.
    fn takes_the_place_of(&self, former: &Hold) -> bool {
        let again = former.drift().is_some() && former.from == self.from;
        former.seq != self.seq && (again || !former.goes_with(&self.of, self.from))
    }

    /// Whether it is of this object.
    #[must_use]
    pub fn is_of(&self, key: &ObjectKey) -> bool {
        self.of.key() == key
    }
}
