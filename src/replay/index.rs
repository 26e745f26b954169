//! Who wants and who owns which object, and the indexes derived from it.
//!
//! Invariants: `wanted_by` lists exactly the applications for which [`App::wants`] holds and has
//! no empty set; `owned_keys` lists exactly the keys of `owned` by application; `extras` exactly
//! those of them that nobody wants. Planning looks at `extras` instead of at everything that was
//! ever applied, so that a commit that touches all of many applications stays cheap.
//!
//! [`App::wants`]: super::App::wants

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{LiveObject, Owned, rv_older};
use super::world::World;
use crate::ledger::event::KindListedV1;
use crate::model::{AppName, Digest, ObjectKey};

type KeysByApp = BTreeMap<AppName, BTreeSet<ObjectKey>>;

impl World {
    /// The objects that `app` owns.
    pub fn owned_by<'a>(
        &'a self,
        app: &'a AppName,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Owned)> {
        let keys = self.owned_keys.get(app).into_iter().flatten();
        keys.filter_map(|key| self.owned.get_key_value(key))
    }

    /// How many objects `app` owns.
    #[must_use]
    pub fn owned_count(&self, app: &AppName) -> usize {
        self.owned_keys.get(app).map_or(0, BTreeSet::len)
    }

    /// The objects that `app` owns, that nobody wants and that are in the cluster.
    pub fn extras_of<'a>(
        &'a self,
        app: &'a AppName,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Owned, &'a LiveObject)> {
        let keys = self.extras.get(app).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.owned.get(key)?, self.live.get(key)?)))
    }

    /// The applications that own objects which nobody wants.
    pub fn apps_with_extras(&self) -> impl Iterator<Item = &AppName> {
        self.extras.keys()
    }

    /// The objects that are wanted or owned although objects of their kind are not watched unasked:
    /// they are watched by name.
    #[must_use]
    pub fn to_be_named(&self) -> BTreeSet<ObjectKey> {
        let unwatched = self.cluster.kinds.values().filter(|k| !k.watched && k.watchable);
        let mut named = BTreeSet::new();
        for kind in unwatched.map(|served| &served.kind) {
            let from = ObjectKey::new(&kind.group, &kind.kind, "", "");
            let of_kind = |key: &&ObjectKey| key.is(&kind.group, &kind.kind);
            let wanted = self.wanted_by.range(from.clone()..).map(|(key, _)| key);
            named.extend(wanted.take_while(of_kind).cloned());
            let owned = self.owned.range(from..).map(|(key, _)| key);
            named.extend(owned.take_while(of_kind).cloned());
        }
        named
    }

    /// Notes that `app` wants the object.
    pub(super) fn want(&mut self, key: &ObjectKey, app: &AppName) {
        self.wanted_by.entry(key.clone()).or_default().insert(app.clone());
        if let Some(owned) = self.owned.get(key) {
            remove(&mut self.extras, &owned.app, key);
        }
    }

    /// Notes that `app` wants the object no more.
    pub(super) fn unwant(&mut self, key: &ObjectKey, app: &AppName) {
        let Some(apps) = self.wanted_by.get_mut(key) else { return };
        apps.remove(app);
        if !apps.is_empty() {
            return;
        }
        self.wanted_by.remove(key);
        if let Some(owned) = self.owned.get(key) {
            insert(&mut self.extras, &owned.app, key);
        }
    }

    /// Notes that `app` wants none of what it rendered.
    pub(super) fn unwant_all(&mut self, app: &AppName) {
        for key in self.desired_keys(app) {
            self.unwant(&key, app);
        }
    }

    /// Notes that `app` wants everything that it rendered.
    pub(super) fn want_all(&mut self, app: &AppName) {
        for key in self.desired_keys(app) {
            self.want(&key, app);
        }
    }

    fn desired_keys(&self, app: &AppName) -> Vec<ObjectKey> {
        let desired = self.apps.get(app).and_then(|app| app.desired.as_ref());
        desired.into_iter().flat_map(|desired| desired.objects.keys().cloned()).collect()
    }

    /// Notes what was applied to the object, and by which application.
    pub(super) fn own(&mut self, key: &ObjectKey, owned: Owned) {
        self.disown(key);
        insert(&mut self.owned_keys, &owned.app, key);
        if !self.wanted_by.contains_key(key) {
            insert(&mut self.extras, &owned.app, key);
        }
        self.owned.insert(key.clone(), owned);
    }

    /// Forgets that the object was ever applied.
    pub(super) fn disown(&mut self, key: &ObjectKey) {
        if let Some(owned) = self.owned.remove(key) {
            remove(&mut self.owned_keys, &owned.app, key);
            remove(&mut self.extras, &owned.app, key);
        }
    }

    /// Passes on what `app` applied and another application wants: to the first of those by
    /// definition, which has not applied it itself, but removes it when it drops it. Otherwise
    /// nobody would ever.
    pub(super) fn bequeath(&mut self, app: &AppName) {
        let heirs = self.owned_keys.get(app).into_iter().flatten().filter_map(|key| {
            let heirs = self.wanted_by.get(key)?.iter();
            let owned = self.owned.get(key)?;
            // What somebody put in its place was never greffier's.
            let same = self.live.get(key).is_none_or(|live| live.uid == owned.uid);
            let heir = heirs.filter(|_| same).min_by_key(|heir| self.rank(key, heir))?.clone();
            Some((key.clone(), Owned { app: heir, applied: Digest::default(), ..owned.clone() }))
        });
        for (key, owned) in heirs.collect::<Vec<_>>() {
            self.own(&key, owned);
        }
    }

    /// Forgets everything that `app` applied; the objects stay.
    pub(super) fn disown_all(&mut self, app: &AppName) {
        for key in self.owned_keys.get(app).cloned().unwrap_or_default() {
            self.disown(&key);
        }
    }

    /// Forgets the objects of `app` that nobody wants and that are not there anyway. While the
    /// cluster begins anew, what is not there may not have been seen yet; and while the application
    /// is paused, what somebody deleted by hand is protected from those that want it.
    pub(super) fn disown_absent(&mut self, app: &AppName) {
        if self.cluster.doubt().is_some() || self.is_paused(app) {
            return;
        }
        let anew = self.cluster.identity.anew;
        let extras = self.extras.get(app).into_iter().flatten();
        let absent: Vec<ObjectKey> = extras
            .filter(|key| !self.live.contains_key(*key) && (!anew || self.cluster.is_known(key)))
            .cloned()
            .collect();
        for key in &absent {
            self.disown(key);
        }
    }

    /// Whether the application is paused.
    fn is_paused(&self, app: &AppName) -> bool {
        self.apps.get(app).is_some_and(|app| app.is_paused(self.now))
    }

    /// Forgets an object that is gone and that nobody wants, unless its application is paused.
    pub(super) fn disown_gone(&mut self, key: &ObjectKey) {
        if self.owned.get(key).is_some_and(|owned| !self.is_paused(&owned.app)) {
            self.disown(key);
        }
    }

    /// The same for what a list does not show that nobody knew to be there: nobody will say that
    /// it is gone. A list that is older than what was applied has not seen that yet.
    pub(super) fn disown_unlisted(
        &mut self,
        list: &KindListedV1,
        covers: &dyn Fn(&ObjectKey) -> bool,
    ) {
        if !self.cluster.identity.anew || self.cluster.doubt().is_some() {
            return;
        }
        let absent: Vec<ObjectKey> = self
            .extras
            .values()
            .flatten()
            .filter(|key| key.group_kind() == list.kind && covers(key))
            .filter(|key| !self.live.contains_key(*key))
            .filter(|key| {
                let owned = self.owned.get(*key);
                !owned.is_some_and(|o| rv_older(&list.resource_version, &o.resource_version))
            })
            .cloned()
            .collect();
        for key in &absent {
            self.disown(key);
        }
    }
}

fn insert(index: &mut KeysByApp, app: &AppName, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(app) {
        keys.insert(key.clone());
    } else {
        index.insert(app.clone(), BTreeSet::from([key.clone()]));
    }
}

fn remove(index: &mut KeysByApp, app: &AppName, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(app) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(app);
        }
    }
}
