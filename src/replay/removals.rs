//! What goes with applications that are removed, and what of it goes on to others.
//!
//! An object that another application wants now is no deletion: it is that one's from then on. That
//! holds for applications below, too, where another one defines them. Whoever goes as well keeps
//! nothing.

use std::collections::BTreeSet;
use std::iter::Sum;
use std::ops::Add;

use super::cluster::Owned;
use super::world::World;
use crate::ledger::event::Origin;
use crate::model::{AppName, Digest, ObjectKey, Removal, Ruling, Seq};

/// Applications that are removed together.
#[derive(Debug)]
pub struct Removals<'a> {
    world: &'a World,
    /// These.
    removed: BTreeSet<&'a AppName>,
    /// And those below them that go with them.
    going: BTreeSet<&'a AppName>,
    /// The others that want objects of theirs, and stay.
    heirs: BTreeSet<&'a AppName>,
}

/// How much goes, as the gate counts it. What is left behind counts as well, because nobody has it
/// from then on: nothing keeps it as Git says, and nothing removes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoingCount {
    /// What is deleted: objects, and the applications that take theirs along.
    pub deletes: usize,
    /// The applications that are removed without their objects.
    pub apps: usize,
    /// The objects that those leave behind.
    pub leaves: usize,
}

impl GoingCount {
    /// So many deletions.
    #[must_use]
    pub fn of_deletions(deletes: usize) -> Self {
        Self { deletes, ..Self::default() }
    }

    /// All of it.
    #[must_use]
    pub fn total(self) -> usize {
        self.deletes + self.apps + self.leaves
    }
}

impl Add for GoingCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            deletes: self.deletes + other.deletes,
            apps: self.apps + other.apps,
            leaves: self.leaves + other.leaves,
        }
    }
}

impl Sum for GoingCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}

impl<'a> Removals<'a> {
    /// They, and those below them that go with them.
    #[must_use]
    pub fn going(&self) -> &BTreeSet<&'a AppName> {
        &self.going
    }

    /// The application that has the object from then on: of those that want it the first by
    /// definition.
    #[must_use]
    pub fn heir(&self, key: &ObjectKey) -> Option<&'a AppName> {
        let owned = self.world.owned.get(key)?;
        // What somebody put in its place was never greffier's.
        self.world.live.get(key).filter(|live| live.uid == owned.uid)?;
        let heirs = self.world.wanted_by.get(key)?.iter().filter(|heir| self.heirs.contains(heir));
        heirs.min_by_key(|heir| self.world.rank(key, heir))
    }

    /// The applications whose objects go when `app` is removed; see [`World::cascade`].
    #[must_use]
    pub fn cascade(&self, app: &'a AppName) -> BTreeSet<&'a AppName> {
        self.world.below(app, Some(&self.removed))
    }

    /// The objects that go when `app` is removed.
    pub fn keys(&self, app: &'a AppName) -> impl Iterator<Item = &'a ObjectKey> {
        let owned = self.cascade(app).into_iter().flat_map(|name| self.world.owned_by(name));
        let owned = owned.filter(|(key, owned)| !self.world.stays(key, owned, Removal::Delete));
        owned.map(|(key, _)| key).filter(|key| self.heir(key).is_none())
    }

    /// How much goes when `app` is removed: its definition, and its objects with those of the
    /// applications below it.
    #[must_use]
    pub fn count(&self, app: &'a AppName) -> GoingCount {
        match self.cascade(app).len() {
            // Without its finalizer the objects are left, but nothing keeps them any more.
            0 => {
                let left = self.world.owned_by(app).filter(|(key, _)| self.heir(key).is_none());
                GoingCount { apps: 1, leaves: left.count(), deletes: 0 }
            }
            apps => GoingCount::of_deletions(apps + self.keys(app).count()),
        }
    }

    /// The same where what `app` wants now is no reason to stay: it is to want something else.
    #[must_use]
    pub fn but_for(mut self, app: &AppName) -> Self {
        self.heirs.remove(app);
        self
    }
}

impl World {
    /// What goes when these applications are removed together.
    #[must_use]
    pub fn removals<'a>(&'a self, apps: impl IntoIterator<Item = &'a AppName>) -> Removals<'a> {
        let removed: BTreeSet<&AppName> = apps.into_iter().collect();
        let below = removed.iter().flat_map(|app| self.below(app, Some(&removed)));
        let going: BTreeSet<&AppName> = removed.iter().copied().chain(below).collect();
        let keys = going.iter().flat_map(|app| self.owned_by(app)).map(|(key, _)| key);
        let wanting = keys.filter_map(|key| self.wanted_by.get(key)).flatten();
        let wanting: BTreeSet<&AppName> = wanting.collect();
        let heirs = wanting.into_iter().filter(|app| !self.goes_with(app, &going)).collect();
        Removals { world: self, removed, going, heirs }
    }

    /// The applications whose objects go when `app` is removed: itself, if its finalizer says
    /// so, and, as far as theirs do, the applications that it declared and that no other defines.
    #[must_use]
    pub fn cascade<'a>(&'a self, app: &'a AppName) -> BTreeSet<&'a AppName> {
        self.below(app, Some(&BTreeSet::from([app])))
    }

    /// How much is counted of `app`: its definition, and its objects with those of the applications
    /// below it, also those that others want.
    #[must_use]
    pub fn removal_count(&self, app: &AppName) -> usize {
        let below = self.below(app, None);
        let stays = |(key, owned): &(&ObjectKey, &Owned)| self.stays(key, owned, Removal::Delete);
        let owned = below.iter().flat_map(|name| self.owned_by(name));
        let all = below.len() + owned.filter(|owned| !stays(owned)).count();
        // Without its finalizer the objects are left, but nothing keeps them any more.
        if all == 0 { self.owned_count(app) + 1 } else { all }
    }

    /// How many objects of `app` and of those below it were greffier's at `then` already, whoever had
    /// them.
    #[must_use]
    pub fn count_before(&self, app: &AppName, then: Seq) -> usize {
        let below = self.below(app, None);
        let all = if below.is_empty() { BTreeSet::from([app]) } else { below };
        let owned = all.into_iter().flat_map(|name| self.owned_by(name));
        owned.filter(|(_, owned)| owned.made.since() <= then).count()
    }

    /// The objects that go when `app` is removed; not those that something keeps.
    pub fn removal_keys<'a>(&'a self, app: &'a AppName) -> impl Iterator<Item = &'a ObjectKey> {
        let apps = self.cascade(app).into_iter();
        let owned = apps.flat_map(|name| self.owned_by(name));
        owned.filter(|(key, owned)| !self.stays(key, owned, Removal::Delete)).map(|(key, _)| key)
    }

    /// `app` and those below it, as far as their finalizers say that they go with their objects;
    /// where `removed` go, not those that another application defines which stays.
    fn below<'a>(
        &'a self,
        app: &'a AppName,
        removed: Option<&BTreeSet<&'a AppName>>,
    ) -> BTreeSet<&'a AppName> {
        let mut found = BTreeSet::new();
        let mut open = vec![app];
        while let Some(name) = open.pop() {
            let cascades =
                self.apps.get(name).is_some_and(|app| app.spec.removals.cascade.is_some());
            if cascades && found.insert(name) {
                let of_app = self.apps.get(name).map(|app| app.spec.removals.delete);
                open.extend(self.children(name).filter(|child| {
                    let own = self.apps.get(*child).map(|child| child.spec.removals.own);
                    let own = own.unwrap_or_default();
                    let ruling = own.ruling(Removal::Delete, of_app.unwrap_or_default());
                    let passes = || removed.is_some_and(|gone| self.passes(child, name, gone));
                    !matches!(ruling, Ruling::Stays(_)) && !passes()
                }));
            }
        }
        found
    }

    /// Whether another application than its parent defines the child, and stays when `removed` go.
    fn passes(&self, child: &AppName, parent: &AppName, removed: &BTreeSet<&AppName>) -> bool {
        let mut others = self.definers(child).filter(|other| *other != child && *other != parent);
        others.any(|other| !self.goes_with(other, removed))
    }

    /// The applications that define `child`.
    fn definers<'a>(&'a self, child: &'a AppName) -> impl Iterator<Item = &'a AppName> {
        let from = ObjectKey::new("argoproj.io", "Application", "", "");
        let all = self.wanted_by.range(from..).take_while(|(key, _)| key.is_application());
        all.filter(|(key, _)| key.name() == child.as_str()).flat_map(|(_, apps)| apps)
    }

    /// Whether an application goes once these do, or goes already: what defines it is removed, or
    /// does not define it any more, and no other does that stays.
    fn goes_with(&self, app: &AppName, removed: &BTreeSet<&AppName>) -> bool {
        let mut name = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            let there = self.apps.get(name).filter(|app| !app.removing && !removed.contains(name));
            let Some(there) = there else { return true };
            let Origin::Parent(parent) = &there.origin else { return false };
            let definers = self.definers(name);
            let others = definers.filter(|other| *other != name && !removed.contains(other));
            let next = others.min_by_key(|other| *other != parent);
            let Some(next) = next else { return true };
            name = next;
        }
        true
    }

    /// Passes on what `app`, which is removed now, applied and an application that stays wants: it
    /// is that one's from here on, and judged by what that one says of it.
    pub(super) fn pass_on(&mut self, app: &AppName) {
        let removals = self.removals([app]);
        let passes = self.owned_by(app).filter_map(|(key, owned)| {
            let heir = removals.heir(key)?.clone();
            Some((key.clone(), Owned { app: heir, applied: Digest::default(), ..owned.clone() }))
        });
        for (key, owned) in passes.collect::<Vec<_>>() {
            self.own(&key, owned);
        }
    }
}
