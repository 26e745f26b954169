//! The observer's part: one watch per kind over the fake cluster's history, and the queue to the
//! recorder. What it has said it remembers apart from the world, as the real one does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::cluster::FakeCluster;
use crate::cluster::{Fingerprint, Normalised, Observation, SecretDigest, normalize};
use crate::ledger::event::{
    Event, KindListedV1, KindsServedV1, Learned, ObjectGoneV1, ServedKind, WatchGapV1,
};
use crate::ledger::{Blob, Draft};
use crate::model::{Digest, GroupKind, ObjectKey, Scope};
use crate::reconcile::record;
use crate::replay::World;

/// What the cluster serves, and whether it lives in namespaces.
const KINDS: &[(&str, &str, bool)] = &[
    ("", "Namespace", false),
    ("", "ConfigMap", true),
    ("", "Secret", true),
    ("", "PersistentVolumeClaim", true),
    ("apps", "Deployment", true),
];

/// The ledger's key.
pub(super) struct Key;

impl SecretDigest for Key {
    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of(&[b"key".as_slice(), bytes].concat())
    }
}

/// What the recorder appends as one event.
pub(super) type Report = (Event, Option<Blob>);

/// What has been said of an object.
struct Known {
    uid: String,
    print: Fingerprint,
    /// The version in which it was seen last, if that is known.
    version: Option<String>,
}

/// The watch of one kind.
struct Task {
    kind: GroupKind,
    /// Where in the cluster's history it goes on; `None` = it lists first.
    next: Option<usize>,
    known: BTreeMap<ObjectKey, Known>,
}

/// All watches of one run of the daemon.
pub(super) struct Observer {
    tasks: Vec<Task>,
    /// What was said and is not recorded yet.
    pub(super) queue: VecDeque<Report>,
}

impl Observer {
    /// An observer that knows what the ledger has.
    pub(super) fn new(world: &World) -> Self {
        let mut tasks = Vec::new();
        for (group, kind, _) in KINDS {
            let kind = GroupKind::new(*group, *kind);
            let live = world.observed().filter(|(key, _)| key.group_kind() == kind);
            let known = live.map(|(key, live)| {
                let print = Fingerprint::of(
                    &live.uid,
                    (live.digest, live.owned),
                    live.managers,
                    (live.health, &live.health_message),
                    live.images.as_deref().copied(),
                    live.deleting,
                );
                (key.clone(), Known { uid: live.uid.clone(), print, version: None })
            });
            let known = known.collect();
            tasks.push(Task { kind, next: None, known });
        }
        let kinds = KINDS.iter().map(|(group, kind, namespaced)| ServedKind {
            kind: GroupKind::new(*group, *kind),
            version: "v1".into(),
            plural: format!("{}s", kind.to_lowercase()),
            scope: if *namespaced { Scope::Namespaced } else { Scope::Cluster },
            watched: true,
            watchable: true,
        });
        let served = KindsServedV1 { kinds: kinds.collect(), broken_groups: Vec::new() };
        Self { tasks, queue: VecDeque::from([(served.into(), None)]) }
    }

    /// One word about the kind whose turn it is; false when there is nothing new.
    pub(super) fn step(&mut self, turn: usize, cluster: &FakeCluster) -> bool {
        let at = turn % self.tasks.len();
        let task = &mut self.tasks[at];
        match task.next {
            None => task.list(cluster, &mut self.queue),
            Some(next) => {
                let changes = cluster.history[next..].iter();
                let found = changes.enumerate().find(|(_, c)| c.key.group_kind() == task.kind);
                let Some((ahead, change)) = found else { return false };
                task.next = Some(next + ahead + 1);
                if change.deleted {
                    let uid = change.object["metadata"]["uid"].as_str().unwrap().to_owned();
                    task.gone(&change.key, uid, Learned::Watched, &mut self.queue);
                } else {
                    task.observe(&change.object, Learned::Watched, &mut self.queue);
                }
            }
        }
        true
    }

    // --- faults

    /// A watch ends and cannot be continued. Returns its kind.
    pub(super) fn gap(&mut self, turn: usize) -> GroupKind {
        let at = turn % self.tasks.len();
        let task = &mut self.tasks[at];
        let kind = task.kind.clone();
        if task.next.take().is_some() {
            let gap = WatchGapV1 { kind: kind.clone(), reason: "gap".into(), refused: false };
            self.queue.push_back((gap.into(), None));
        }
        kind
    }

    /// The next deletion of a kind is never shown, if that is what comes next.
    pub(super) fn miss_deletion(&mut self, turn: usize, cluster: &FakeCluster) -> bool {
        let at = turn % self.tasks.len();
        let task = &mut self.tasks[at];
        let Some(next) = task.next else { return false };
        let mut changes = cluster.history[next..].iter().enumerate();
        let found = changes.find(|(_, change)| change.key.group_kind() == task.kind);
        let Some((ahead, _)) = found.filter(|(_, change)| change.deleted) else { return false };
        task.next = Some(next + ahead + 1);
        true
    }

    /// A watch shows again what it has shown.
    pub(super) fn repeat(&mut self, turn: usize, back: usize) {
        let at = turn % self.tasks.len();
        let task = &mut self.tasks[at];
        task.next = task.next.map(|next| next.saturating_sub(back));
    }

    /// The API server went back in time: every watch breaks, and versions count anew.
    pub(super) fn went_back(&mut self) {
        for task in &mut self.tasks {
            task.next = None;
            let doubted = task.known.values_mut();
            doubted.for_each(|known| known.version = Some("doubted".into()));
            let gap = WatchGapV1 {
                kind: task.kind.clone(),
                reason: "back in time".into(),
                refused: false,
            };
            self.queue.push_back((gap.into(), None));
        }
    }

    /// Another cluster answers, or another life of the same: nothing is known of it.
    pub(super) fn begin_anew(&mut self) {
        for task in &mut self.tasks {
            task.next = None;
            task.known.clear();
        }
    }

    /// Everything is listed again.
    pub(super) fn relist(&mut self) {
        for task in &mut self.tasks {
            task.next = None;
        }
    }
}

impl Task {
    fn list(&mut self, cluster: &FakeCluster, queue: &mut VecDeque<Report>) {
        let mut shown = BTreeSet::new();
        for object in cluster.list(&self.kind) {
            shown.insert(self.observe(&object, Learned::Listed, queue));
        }
        let known: Vec<_> =
            self.known.iter().map(|(key, known)| (key.clone(), known.uid.clone())).collect();
        for (key, uid) in known.into_iter().filter(|(key, _)| !shown.contains(key)) {
            self.gone(&key, uid, Learned::Listed, queue);
        }
        let objects = shown.len() as u64;
        let (kind, resource_version) = (self.kind.clone(), cluster.version().to_string());
        queue.push_back((
            KindListedV1 { kind, objects, resource_version, named: Vec::new() }.into(),
            None,
        ));
        self.next = Some(cluster.history.len());
    }

    fn observe(
        &mut self,
        raw: &Value,
        learned: Learned,
        queue: &mut VecDeque<Report>,
    ) -> ObjectKey {
        let normalised = normalize(raw, &Key).unwrap();
        let print = fingerprint(&normalised);
        let key = normalised.key.clone();
        let (uid, version) = (normalised.uid.clone(), Some(normalised.resource_version.clone()));
        let former = self.known.insert(key.clone(), Known { uid, print, version });
        // What changed between two lists is said again even if it came back to what was said.
        let missed = |former: &Known| {
            learned == Learned::Listed
                && former.version.as_ref().is_some_and(|v| *v != normalised.resource_version)
        };
        if former.as_ref().is_some_and(|former| former.print == print && !missed(former)) {
            return key;
        }
        let replaced = former.as_ref().filter(|former| former.uid != normalised.uid);
        if let Some(former) = replaced {
            let gone = ObjectGoneV1 {
                key: key.clone(),
                uid: former.uid.clone(),
                learned: Learned::Listed,
            };
            queue.push_back((gone.into(), None));
        }
        let added = former.is_none_or(|former| former.uid != normalised.uid);
        let observation = Observation { normalised, added, learned };
        let (draft, blob, _): (Draft, Blob, _) = record::observed(observation, None, None);
        queue.push_back((draft.event, Some(blob)));
        key
    }

    fn gone(
        &mut self,
        key: &ObjectKey,
        uid: String,
        learned: Learned,
        queue: &mut VecDeque<Report>,
    ) {
        self.known.remove(key);
        queue.push_back((ObjectGoneV1 { key: key.clone(), uid, learned }.into(), None));
    }
}

fn fingerprint(object: &Normalised) -> Fingerprint {
    Fingerprint::of(
        &object.uid,
        (object.digest, object.owned),
        crate::ledger::event::ManagerStamp::digest_of(&object.managers()),
        (object.health, &object.health_message),
        crate::ledger::event::PulledImage::digest_of(&object.images),
        object.deleting,
    )
}
