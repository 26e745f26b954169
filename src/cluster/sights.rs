//! The objects that changed last. An object's resource version only rises: one that shows an
//! earlier one than was seen of it proves that the cluster was set back, however far it has come
//! since.

use std::collections::BTreeMap;

use crate::model::ObjectKey;

/// Bound: how many are remembered. What was restored lacks the newest changes first.
pub const SIGHTS_MAX: usize = 32;

/// An object as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group that it was read in.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub revision: u64,
}

/// What the cluster shows of an object that was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The very version: it was not set back behind it.
    Same,
    /// An earlier version of it.
    Earlier,
    /// Nothing, another object, or a later version: that tells nothing.
    Else,
}

impl Sight {
    /// What it means that the cluster shows the object with this uid and resource version.
    pub(super) fn compare(&self, uid: &str, revision: &str) -> Shown {
        match revision.parse::<u64>() {
            Ok(revision) if uid == self.uid && revision < self.revision => Shown::Earlier,
            Ok(revision) if uid == self.uid && revision == self.revision => Shown::Same,
            _ => Shown::Else,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Sights(BTreeMap<ObjectKey, Sight>);

impl Sights {
    /// Notes how an object was seen.
    pub(super) fn note(&mut self, sight: Sight) {
        if let Some(known) = self.0.get_mut(&sight.key) {
            if known.uid != sight.uid || known.revision < sight.revision {
                *known = sight;
            }
            return;
        }
        if self.0.len() >= SIGHTS_MAX {
            let oldest = self.0.values().min_by_key(|sight| sight.revision);
            let Some(oldest) = oldest.filter(|oldest| oldest.revision < sight.revision) else {
                return;
            };
            let key = oldest.key.clone();
            self.0.remove(&key);
        }
        self.0.insert(sight.key.clone(), sight);
    }

    /// Notes that an object is gone.
    pub(super) fn gone(&mut self, key: &ObjectKey) {
        self.0.remove(key);
    }

    /// All of them, the one that changed last first.
    pub(super) fn latest(&self) -> Vec<Sight> {
        let mut all: Vec<Sight> = self.0.values().cloned().collect();
        all.sort_by(|a, b| b.revision.cmp(&a.revision).then_with(|| a.key.cmp(&b.key)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(name: &str, uid: &str, revision: u64) -> Sight {
        let key = ObjectKey::new("", "ConfigMap", "n", name);
        Sight { key, version: "v1".into(), uid: uid.into(), revision }
    }

    #[test]
    fn only_the_same_object_at_an_earlier_version_proves_that_it_was_set_back() {
        let seen = sight("a", "u", 10);
        for (uid, revision, shown) in [
            ("u", "9", Shown::Earlier),
            ("u", "10", Shown::Same),
            ("u", "11", Shown::Else),
            ("other", "9", Shown::Else),
            ("u", "", Shown::Else),
        ] {
            assert_eq!(seen.compare(uid, revision), shown, "{uid} {revision}");
        }
    }

    #[test]
    fn the_newest_are_remembered_each_as_it_was_seen_last() {
        let mut sights = Sights::default();
        for n in 0..40 {
            sights.note(sight(&format!("m{n}"), "u", n));
        }
        sights.note(sight("late", "u", 1));
        sights.note(sight("m39", "u", 20));
        sights.note(sight("m38", "v", 5));
        let latest = sights.latest();
        assert_eq!((latest.len(), latest[0].revision), (SIGHTS_MAX, 39), "an echo is no news");
        assert!(!latest.iter().any(|sight| sight.key.name() == "m7" || sight.key.name() == "late"));
        assert!(latest.iter().any(|sight| sight.uid == "v"), "a new object of the name");
        sights.gone(&latest[0].key);
        assert_eq!(sights.latest()[0].revision, 37);
    }
}
