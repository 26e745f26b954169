//! What has been said about each object, so that it is not said twice.
//!
//! Pure bookkeeping: a fingerprint per object, and which objects the list in progress has shown.
//!
//! What changed between two lists is said again even if it came back to what was said: in between
//! it may have been something else, and greffier may know that from the answer to its own write.

use std::collections::HashMap;

use crate::cluster::normalize::Normalised;
use crate::ledger::event::{Health, Learned, ManagerStamp, ObjectObservedV1, PulledImage};
use crate::model::{Digest, GroupKind, ObjectKey, Timestamp};

/// The digest of everything about an object whose change is worth an event. Status counts by its
/// verdict, and by the images that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// The fingerprint of an object; `managers` is [`ManagerStamp::digest_of`] its field managers,
    /// `images` is [`PulledImage::digest_of`] what its containers run.
    #[must_use]
    pub fn of(
        uid: &str,
        (digest, owned): (Digest, Option<Digest>),
        managers: Digest,
        (health, message): (Health, &str),
        images: Option<Digest>,
        deleting: bool,
    ) -> Self {
        let mut bytes = Vec::with_capacity(160 + message.len());
        bytes.extend_from_slice(uid.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&digest.0);
        bytes.push(u8::from(owned.is_some()));
        bytes.extend_from_slice(&owned.unwrap_or_default().0);
        bytes.extend_from_slice(&managers.0);
        bytes.extend_from_slice(health.as_str().as_bytes());
        bytes.push(u8::from(deleting));
        bytes.extend_from_slice(&images.unwrap_or_default().0);
        bytes.extend_from_slice(message.as_bytes());
        Self(Digest::of(&bytes))
    }

    /// The fingerprint of what an event says.
    #[must_use]
    pub fn of_event(body: &ObjectObservedV1) -> Self {
        Self::of(
            &body.uid,
            (body.digest, body.owned),
            ManagerStamp::digest_of(&body.managers),
            (body.health, &body.health_message),
            PulledImage::digest_of(&body.images),
            body.deleting,
        )
    }

    pub(super) fn of_object(object: &Normalised) -> Self {
        Self::of(
            &object.uid,
            (object.digest, object.owned),
            ManagerStamp::digest_of(object.fields.iter().map(|entry| &entry.stamp)),
            (object.health, &object.health_message),
            PulledImage::digest_of(&object.images),
            object.deleting,
        )
    }
}

/// What the ledger already has of the cluster.
#[derive(Debug, Default)]
pub struct Known {
    kinds: HashMap<GroupKind, KindKnown>,
    /// Up to when greffier may have written what the ledger knows of.
    written: Option<Timestamp>,
}

impl Known {
    /// Nothing yet of a ledger whose writes were made until `written`, by the cluster's clock;
    /// `None` = it never wrote. An object that greffier wrote later is said although it is as the
    /// ledger has it.
    #[must_use]
    pub fn written_until(written: Option<Timestamp>) -> Self {
        Self { written, ..Self::default() }
    }

    /// Notes an object that the ledger has.
    pub fn insert(&mut self, key: &ObjectKey, uid: &str, fingerprint: Fingerprint) {
        self.kinds.entry(key.group_kind()).or_default().set(
            key.namespace(),
            key.name(),
            (uid, UNKNOWN),
            fingerprint,
        );
    }

    /// Returns how many objects are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.values().map(KindKnown::len).sum()
    }

    /// Returns whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn take(&mut self, kind: &GroupKind) -> KindKnown {
        let known = self.kinds.remove(kind).unwrap_or_default();
        KindKnown { written: self.written, ..known }
    }

    /// Puts back what a task knew.
    pub(super) fn put(&mut self, kind: GroupKind, known: KindKnown) {
        if known.len() > 0 {
            self.kinds.insert(kind, known);
        }
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &GroupKind> {
        self.kinds.keys()
    }
}

/// What has been said about the objects of one kind.
#[derive(Debug, Default)]
pub(super) struct KindKnown {
    /// By `namespace/name`; cluster-scoped names begin with the slash.
    objects: HashMap<Box<str>, Seen>,
    /// The list in progress, or the last one.
    round: u32,
    /// When the kind was last seen whole by this process: a vanished object was there then.
    pub(super) whole: Option<Timestamp>,
    /// Up to when greffier may have written what the ledger knows of.
    written: Option<Timestamp>,
}

/// The ledger has the object, at whatever version: what is not said is as it has it, unless
/// greffier wrote it since.
const UNKNOWN: u64 = 0;
/// Versions count anew: whatever is listed is said.
const DOUBTED: u64 = u64::MAX;

#[derive(Debug)]
struct Seen {
    uid: Box<str>,
    fingerprint: Fingerprint,
    /// The list that last showed it.
    round: u32,
    /// The version in which it was seen last; [`UNKNOWN`] or [`DOUBTED`] where that is not known.
    version: u64,
}

/// What an observation means beside what was said before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It has been said.
    Same,
    /// The object was not there before.
    Added,
    /// It changed.
    Changed,
    /// Another object of the same name took the place of the one with this uid.
    Replaced(String),
}

impl KindKnown {
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Says what an observation means, without recording it.
    pub(super) fn judge(
        &self,
        object: &Normalised,
        fingerprint: Fingerprint,
        learned: Learned,
    ) -> Noted {
        match self.objects.get(&*name_of(object.key.namespace(), object.key.name())) {
            None => Noted::Added,
            Some(seen) if seen.fingerprint == fingerprint => {
                let missed = match seen.version {
                    UNKNOWN => self.is_written_later(object),
                    version => version != version_of(object),
                };
                if learned == Learned::Listed && missed { Noted::Changed } else { Noted::Same }
            }
            Some(seen) if *seen.uid != *object.uid => Noted::Replaced(seen.uid.to_string()),
            Some(_) => Noted::Changed,
        }
    }

    /// Whether greffier wrote the object later than what the ledger knows of, by its own word.
    fn is_written_later(&self, object: &Normalised) -> bool {
        let own = object.fields.iter().find(|entry| entry.stamp.is_own());
        self.written.is_some_and(|until| own.and_then(|own| own.stamp.time) > Some(until))
    }

    /// Records what was said. An object recorded during a list counts as shown by it.
    pub(super) fn set(
        &mut self,
        namespace: &str,
        name: &str,
        (uid, version): (&str, u64),
        fingerprint: Fingerprint,
    ) {
        let seen = Seen { uid: uid.into(), fingerprint, round: self.round, version };
        self.objects.insert(name_of(namespace, name), seen);
    }

    /// Records that an object is known which was shown just now, in this state.
    pub(super) fn shown(&mut self, object: &Normalised) {
        let name = name_of(object.key.namespace(), object.key.name());
        if let Some(seen) = self.objects.get_mut(&*name) {
            seen.round = self.round;
            seen.version = version_of(object);
        }
    }

    /// Forgets an object; its uid, if it was known.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> Option<String> {
        self.objects.remove(&*name_of(namespace, name)).map(|seen| seen.uid.into())
    }

    /// Notes that resource versions tell nothing about what was seen before: the API server went
    /// back in time.
    pub(super) fn doubt(&mut self) {
        self.objects.values_mut().for_each(|seen| seen.version = DOUBTED);
    }

    /// Begins a list.
    pub(super) fn begin_list(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The objects that the list in progress has not shown, in order: namespace, name, uid.
    pub(super) fn not_shown(&self) -> Vec<(String, String, String)> {
        self.named(|seen| seen.round != self.round)
    }

    /// All objects, in order.
    pub(super) fn all(&self) -> Vec<(String, String, String)> {
        self.named(|_| true)
    }

    fn named(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<(String, String, String)> {
        let mut named: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, seen)| wanted(seen))
            .filter_map(|(place, seen)| {
                let (namespace, name) = place.split_once('/')?;
                Some((namespace.to_owned(), name.to_owned(), seen.uid.to_string()))
            })
            .collect();
        named.sort();
        named
    }
}

/// The resource version as a number; 0 where it is none.
pub(super) fn version_of(object: &Normalised) -> u64 {
    object.resource_version.parse().unwrap_or_default()
}

fn name_of(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into_boxed_str()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::normalize::{normalize, tests::TestKey};
    use crate::model::BlobAddr;

    fn pod(edit: impl FnOnce(&mut Value)) -> Normalised {
        let mut raw = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "n", "uid": "u1", "resourceVersion": "1",
                "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"x": 1, "containers": [{"name": "c", "image": "a:1"}]},
            "status": {"phase": "Pending", "startTime": "t",
                "containerStatuses": [{"name": "c", "image": "a", "imageID": "a@1"}]}});
        edit(&mut raw);
        normalize(&raw, &TestKey("k")).unwrap()
    }

    fn recorded() -> KindKnown {
        let mut known = KindKnown::default();
        let object = pod(|_| {});
        known.set("n", "a", (&object.uid, 0), Fingerprint::of_object(&object));
        known
    }

    fn judged(edit: impl FnOnce(&mut Value)) -> Noted {
        let object = pod(edit);
        recorded().judge(&object, Fingerprint::of_object(&object), Learned::Watched)
    }

    #[test]
    fn only_significant_changes_are_said() {
        assert_eq!(judged(|_| {}), Noted::Same);
        assert_eq!(judged(|raw| raw["metadata"]["resourceVersion"] = json!("2")), Noted::Same);
        assert_eq!(judged(|raw| raw["status"]["startTime"] = json!("later")), Noted::Same);
        assert_eq!(
            judged(
                |raw| raw["metadata"]["managedFields"][0]["time"] = json!("2026-01-01T00:00:00Z")
            ),
            Noted::Same
        );
        assert_eq!(judged(|raw| raw["spec"]["x"] = json!(2)), Noted::Changed);
        assert_eq!(judged(|raw| raw["status"]["phase"] = json!("Succeeded")), Noted::Changed);
        assert_eq!(
            judged(|raw| raw["status"]["containerStatuses"][0]["image"] = json!("b")),
            Noted::Same
        );
        let pulled =
            |raw: &mut Value| raw["status"]["containerStatuses"][0]["imageID"] = json!("a@2");
        assert_eq!(judged(pulled), Noted::Changed, "a container was made anew with another image");
        assert_eq!(judged(|raw| raw["metadata"]["managedFields"] = json!([])), Noted::Changed);
        assert_eq!(judged(|raw| raw["metadata"]["deletionTimestamp"] = json!("t")), Noted::Changed);
        assert_eq!(judged(|raw| raw["metadata"]["name"] = json!("b")), Noted::Added);
        assert_eq!(
            judged(|raw| raw["metadata"]["uid"] = json!("u2")),
            Noted::Replaced("u1".into())
        );
    }

    #[test]
    fn what_changed_unseen_and_came_back_is_said_again() {
        let mut known = recorded();
        let at = |version: &str| pod(|raw| raw["metadata"]["resourceVersion"] = json!(version));
        let judged = |known: &KindKnown, version, learned| {
            let object = at(version);
            known.judge(&object, Fingerprint::of_object(&object), learned)
        };
        // After a start it is not known at which version the ledger has it.
        assert_eq!(judged(&known, "5", Learned::Listed), Noted::Same);
        let own = |time: &str| {
            pod(|raw| {
                raw["metadata"]["managedFields"][0] = json!({"manager": "greffier",
                    "operation": "Apply", "time": time, "fieldsV1": {"f:spec": {}}});
            })
        };
        let (then, later) = (own("2026-01-01T00:00:00Z"), own("2026-01-01T00:00:01Z"));
        let written = |until: Option<&Normalised>| {
            let until = until.and_then(|object| object.fields[0].stamp.time);
            let mut all = Known::written_until(until);
            all.insert(&then.key, &then.uid, Fingerprint::of_object(&then));
            let known = all.take(&then.key.group_kind());
            known.judge(&later, Fingerprint::of_object(&later), Learned::Listed)
        };
        assert_eq!(written(Some(&then)), Noted::Changed, "another greffier wrote it since");
        assert_eq!(written(Some(&later)), Noted::Same);
        assert_eq!(written(None), Noted::Same);
        known.shown(&at("5"));
        assert_eq!(judged(&known, "5", Learned::Listed), Noted::Same);
        assert_eq!(judged(&known, "7", Learned::Listed), Noted::Changed);
        // A watch would have shown what came in between.
        assert_eq!(judged(&known, "7", Learned::Watched), Noted::Same);
        known.shown(&at("7"));
        assert_eq!(judged(&known, "7", Learned::Listed), Noted::Same);
        // After a restore the same version may be of another life.
        known.doubt();
        assert_eq!(judged(&known, "7", Learned::Listed), Noted::Changed);
    }

    #[test]
    fn an_event_has_the_fingerprint_of_its_object() {
        let object = pod(|_| {});
        let body = ObjectObservedV1 {
            key: object.key.clone(),
            version: object.version.clone(),
            uid: object.uid.clone(),
            resource_version: "other".into(),
            generation: 9,
            added: true,
            learned: Learned::Listed,
            digest: object.digest,
            owned: object.owned,
            object: BlobAddr::default(),
            status: None,
            images: object.images.clone(),
            managers: object.managers(),
            controller: None,
            health: object.health,
            health_message: object.health_message.clone(),
            health_rules: 1,
            deleting: false,
            claimed_by: String::new(),
            protection: object.protection,
            managed_by: String::new(),
            scales: None,
        };
        assert_eq!(Fingerprint::of_event(&body), Fingerprint::of_object(&object));
    }

    #[test]
    fn what_a_list_does_not_show_is_found() {
        let mut known = recorded();
        known.set("", "cluster-wide", ("u2", 0), Fingerprint(Digest::default()));
        known.begin_list();
        assert_eq!(known.not_shown().len(), 2);
        known.shown(&pod(|_| {}));
        assert_eq!(
            known.not_shown(),
            [(String::new(), "cluster-wide".to_owned(), "u2".to_owned())]
        );
        known.set("n", "new", ("u3", 0), Fingerprint(Digest::default()));
        assert_eq!(known.not_shown().len(), 1, "what a list shows for the first time is shown");
        assert_eq!(known.remove("", "cluster-wide"), Some("u2".into()));
        assert_eq!(known.remove("", "cluster-wide"), None);
        assert_eq!((known.not_shown().len(), known.all().len()), (0, 2));
    }

    #[test]
    fn known_objects_are_handed_out_by_kind() {
        let mut known = Known::default();
        let print = Fingerprint(Digest::default());
        known.insert(&ObjectKey::new("", "Pod", "n", "a"), "u1", print);
        known.insert(&ObjectKey::new("apps", "Deployment", "n", "a"), "u2", print);
        assert_eq!(known.len(), 2);
        let pods = known.take(&GroupKind::new("", "Pod"));
        assert_eq!((pods.len(), known.len()), (1, 1));
        known.put(GroupKind::new("", "Pod"), pods);
        assert_eq!(known.kinds().count(), 2);
        assert_eq!(known.take(&GroupKind::new("", "Absent")).len(), 0);
    }
}
