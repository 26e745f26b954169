//! Keeps the tasks in step with what the API server serves, and watches over its presence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ClusterInput;
use super::identity::Asked;
use super::kind::{KindTask, Shared};
use super::known::{KindKnown, Known};
use super::reach::{Backoff, Reach};
use super::watched::Watched;
use crate::cluster::connection::{Connection, Identity};
use crate::cluster::discover::Discovered;
use crate::cluster::normalize::{Normalised, SecretDigest};
use crate::cluster::request::Error;
use crate::ledger::event::{Health, Learned, ServedKind};
use crate::model::{GroupKind, ObjectKey};

/// How many kinds are listed at once.
const LISTS_AT_ONCE: usize = 8;
/// How often discovery is asked again without a reason.
const DISCOVER_EVERY: Duration = Duration::from_secs(300);
/// How long hints are collected before discovery is asked.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How long a kind must be absent from discovery before its objects count as gone: an API server
/// that just started may not know all its kinds yet.
const ABSENCE_CERTAIN_AFTER: Duration = Duration::from_secs(10);
/// How often discovery is asked while a kind is missed.
const MISSED_EVERY: Duration = Duration::from_secs(1);
/// How often discovery is asked while a kind is expected.
const EXPECTED_EVERY: Duration = Duration::from_millis(100);
/// How long an established definition may take to show in discovery.
const EXPECTED_FOR: Duration = Duration::from_secs(10);
/// How long an API server that answers may take to become ready. It is held to be ready then: it
/// may forbid the question.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often a silent API server is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What tasks tell the conductor about discovery.
#[derive(Debug, Default)]
pub(super) struct Hints {
    changed: Notify,
    /// Kinds that a definition promises, until when they are waited for.
    expected: Mutex<HashMap<GroupKind, Instant>>,
}

impl Hints {
    /// Discovery may have changed.
    pub(super) fn refresh(&self) {
        self.changed.notify_one();
    }

    /// An object was observed; some say what is served.
    pub(super) fn observed(&self, object: &Normalised) {
        if !says_what_is_served(&object.key.group_kind()) {
            return;
        }
        let spec = |pointer| object.object.pointer(pointer);
        let text = |pointer| spec(pointer).and_then(Value::as_str).unwrap_or_default();
        if object.key.kind() == "CustomResourceDefinition" && object.health == Health::Healthy {
            let kind = GroupKind::new(text("/spec/group"), text("/spec/names/kind"));
            self.expected().insert(kind, Instant::now() + EXPECTED_FOR);
        }
        self.refresh();
    }

    /// An object of a kind is gone.
    pub(super) fn gone(&self, kind: &GroupKind) {
        if says_what_is_served(kind) {
            self.refresh();
        }
    }

    /// Whether something promised is not served yet.
    fn still_expects(&self, served: &BTreeMap<GroupKind, ServedKind>) -> bool {
        let now = Instant::now();
        let mut expected = self.expected();
        expected.retain(|kind, until| !served.contains_key(kind) && *until > now);
        !expected.is_empty()
    }

    fn expected(&self) -> std::sync::MutexGuard<'_, HashMap<GroupKind, Instant>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether objects of this kind say what the API server serves.
fn says_what_is_served(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("apiregistration.k8s.io", "APIService")
    )
}

/// What is served, with patience: kinds that cannot be seen at the moment are not dropped.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) kinds: BTreeMap<GroupKind, ServedKind>,
    broken_groups: Vec<String>,
    /// Since when kinds are absent from discovery.
    absent: BTreeMap<GroupKind, Instant>,
}

impl Catalogue {
    /// Takes over a discovery. `known` are kinds of which objects are known. Returns the kinds
    /// that are certainly no longer served.
    fn update(
        &mut self,
        discovered: Discovered,
        known: &[GroupKind],
        now: Instant,
    ) -> Vec<GroupKind> {
        let mut kinds: BTreeMap<_, _> =
            discovered.kinds.into_iter().map(|served| (served.kind.clone(), served)).collect();
        let missed: BTreeSet<_> = self
            .kinds
            .keys()
            .chain(known)
            .filter(|kind| !kinds.contains_key(kind))
            .cloned()
            .collect();
        self.absent.retain(|kind, _| missed.contains(kind));
        let mut dropped = Vec::new();
        for kind in missed {
            let unknown = discovered.broken_groups.contains(&kind.group);
            let since = *self.absent.entry(kind.clone()).or_insert(now);
            if unknown {
                // Nothing is known about the group, so that its absence begins when it is.
                self.absent.remove(&kind);
            } else if now.duration_since(since) >= ABSENCE_CERTAIN_AFTER {
                self.absent.remove(&kind);
                dropped.push(kind);
                continue;
            }
            if let Some(served) = self.kinds.remove(&kind) {
                kinds.insert(kind, served);
            }
        }
        self.kinds = kinds;
        self.broken_groups = discovered.broken_groups;
        dropped
    }

    fn as_discovered(&self) -> Discovered {
        let kinds = self.kinds.values().cloned().collect();
        Discovered { kinds, broken_groups: self.broken_groups.clone() }
    }
}

/// A task that runs.
pub(super) struct Running {
    watched: Watched,
    stop: CancellationToken,
    id: tokio::task::Id,
}

/// What a task leaves behind.
type Ended = (GroupKind, KindKnown);

/// The part of the observer that is not about single kinds.
pub(super) struct Conductor {
    connection: Connection,
    sealer: Arc<dyn SecretDigest>,
    page_size: u32,
    known: Known,
    /// What is watched by name.
    pub(super) named: Option<Named>,
}

/// Objects that are wanted, whatever is excluded.
type Named = watch::Receiver<BTreeSet<ObjectKey>>;

impl Conductor {
    pub(super) fn new(
        connection: Connection,
        page_size: u32,
        known: Known,
        sealer: Arc<dyn SecretDigest>,
    ) -> Self {
        Self { connection, sealer, page_size, known, named: None }
    }

    pub(super) async fn run(self, tx: mpsc::Sender<ClusterInput>, cancel: CancellationToken) {
        let shared = Shared {
            connection: self.connection,
            sealer: self.sealer,
            reach: Arc::new(Reach::new(tx.clone())),
            hints: Arc::default(),
            lists: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
            page_size: self.page_size,
            tx,
        };
        let mut performance = Performance {
            shared,
            known: self.known,
            named: self.named,
            identity: None,
            identify_due: true,
            catalogue: Catalogue::default(),
            said: None,
            running: HashMap::new(),
            tasks: JoinSet::new(),
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = performance.conduct() => {}
        }
        // Dropping the set aborts the tasks: they hold nothing that must be finished.
        performance.tasks.shutdown().await;
    }
}

/// What made the conductor act.
enum Cue {
    /// Something may have changed in discovery.
    Hint,
    /// Other objects are wanted by name.
    Named,
    /// It is time to ask again.
    Due,
    /// A connection was made since it was asked who answers.
    Unidentified,
    /// It is time to see whether the API server is there.
    Heartbeat,
    /// The API server cannot be reached.
    Lost,
    /// A task ended by itself.
    Ended(Option<GroupKind>),
    /// Nobody listens any more.
    Closed,
}

/// Waits until other objects are wanted by name.
///
/// Cancel safety: a change is kept until it is looked at.
async fn changed(named: &mut Option<Named>) {
    let changed = match named {
        Some(named) => named.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        // Nobody names any, now or ever.
        std::future::pending::<()>().await;
    }
}

/// The conductor at work.
pub(super) struct Performance {
    pub(super) shared: Shared,
    pub(super) known: Known,
    named: Option<Named>,
    pub(super) identity: Option<Identity>,
    identify_due: bool,
    pub(super) catalogue: Catalogue,
    pub(super) said: Option<Discovered>,
    pub(super) running: HashMap<GroupKind, Running>,
    tasks: JoinSet<Ended>,
}

impl Performance {
    async fn conduct(&mut self) {
        let mut due = Instant::now();
        let mut backoff = Backoff::default();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let cue = self.cue(due, &mut heartbeat).await;
            match cue {
                Cue::Closed => return,
                Cue::Heartbeat => {
                    self.heartbeat().await;
                    continue;
                }
                Cue::Named => {
                    self.match_tasks().await;
                    continue;
                }
                Cue::Ended(kind) => {
                    tracing::error!(?kind, "the task of a kind ended and is started again");
                    due = Instant::now() + backoff.wait();
                    continue;
                }
                Cue::Unidentified => {
                    if let Err(error) = self.identify(Asked { served: &[], closely: false }).await {
                        self.identify_due = true;
                        due = self.refresh_failed(&error, &mut backoff).await;
                    }
                    continue;
                }
                Cue::Lost => {
                    self.outlast().await;
                    // It may be another cluster that answers now.
                    self.identify_due = true;
                }
                Cue::Hint => tokio::time::sleep(DEBOUNCE).await,
                Cue::Due => {}
            }
            due = match self.refresh().await {
                Ok(wait) => {
                    backoff.reset();
                    Instant::now() + wait
                }
                Err(error) => self.refresh_failed(&error, &mut backoff).await,
            };
        }
    }

    /// Cancel safety: each arm only waits; a hint, a tick and an ended task are kept for the next
    /// time by what they wait on.
    async fn cue(&mut self, due: Instant, heartbeat: &mut tokio::time::Interval) -> Cue {
        tokio::select! {
            biased;
            () = self.shared.tx.closed() => Cue::Closed,
            () = self.shared.reach.until_lost() => Cue::Lost,
            Some(ended) = self.tasks.join_next_with_id() => Cue::Ended(self.take_back(ended)),
            () = self.shared.connection.guard.until_due() => Cue::Unidentified,
            () = self.shared.hints.changed.notified() => Cue::Hint,
            () = changed(&mut self.named) => Cue::Named,
            () = tokio::time::sleep_until(due) => Cue::Due,
            _ = heartbeat.tick() => Cue::Heartbeat,
        }
    }

    async fn heartbeat(&self) {
        if let Err(error) = self.shared.connection.is_there().await
            && error.is_outage()
        {
            self.shared.reach.lost(&error).await;
        }
    }

    /// Asks the API server whether it is ready until it is. It counts as found once it was asked
    /// which cluster it is.
    async fn outlast(&self) {
        let mut backoff = Backoff::default();
        let mut answered_since = None;
        loop {
            tokio::time::sleep(backoff.wait()).await;
            let ready = match self.shared.connection.is_ready().await {
                Ok(()) => true,
                Err(error) if error.is_outage() => false,
                // It answers. Whether it is not ready, or will never tell, shows with time.
                Err(_) => answered_since.get_or_insert_with(Instant::now).elapsed() > READY_WITHIN,
            };
            if ready {
                return;
            }
        }
    }

    async fn refresh_failed(&self, error: &Error, backoff: &mut Backoff) -> Instant {
        // Nothing is believed before it is known who answers.
        let nameless = self.identify_due && self.shared.connection.guard.keeps();
        if error.is_outage() || nameless {
            if !error.is_outage() {
                tracing::warn!(error = error.chain(), "who answers is not known; asking again");
            }
            self.shared.reach.lost(error).await;
        } else {
            tracing::warn!(error = error.chain(), "discovery failed and is tried again");
        }
        Instant::now() + backoff.wait()
    }

    /// Brings everything in step with what is served. Returns when to look again.
    async fn refresh(&mut self) -> Result<Duration, Error> {
        let discovered = self.shared.connection.discover().await?;
        if self.identify_due {
            let served = &discovered.kinds;
            self.identify(Asked { served, closely: true }).await?;
            self.identify_due = false;
            self.shared.reach.found().await;
        }
        let known: Vec<_> = self.known.kinds().cloned().collect();
        let dropped = self.catalogue.update(discovered, &known, Instant::now());
        for kind in dropped {
            self.drop_kind(&kind).await;
        }
        let discovered = self.catalogue.as_discovered();
        if self.said.as_ref() != Some(&discovered) {
            self.say(ClusterInput::Kinds(discovered.clone())).await;
            self.said = Some(discovered);
        }
        self.match_tasks().await;
        Ok(if self.shared.hints.still_expects(&self.catalogue.kinds) {
            EXPECTED_EVERY
        } else if self.catalogue.absent.is_empty() {
            DISCOVER_EVERY
        } else {
            MISSED_EVERY
        })
    }

    /// Stops the tasks of kinds that are not to be watched as they are, and starts those missing.
    async fn match_tasks(&mut self) {
        let named = self.named.as_mut().map(|named| named.borrow_and_update().clone());
        let wanted = Watched::of(&self.catalogue.kinds, &named.unwrap_or_default());
        let stale: Vec<_> = self
            .running
            .iter()
            .filter(|(kind, running)| wanted.get(kind) != Some(&running.watched))
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in stale {
            self.stop(&kind).await;
        }
        for (kind, watched) in wanted {
            if !self.running.contains_key(&kind) {
                self.start(kind, watched);
            }
        }
    }

    fn start(&mut self, kind: GroupKind, watched: Watched) {
        let stop = CancellationToken::new();
        let known = self.known.take(&kind);
        let task = KindTask::new(self.shared.clone(), watched.clone(), known);
        let stopped = stop.clone().cancelled_owned();
        let name = kind.clone();
        let id = self.tasks.spawn(async move { (name, task.run(stopped).await) }).id();
        self.running.insert(kind, Running { watched, stop, id });
    }

    /// Stops the task of a kind, if one runs, and takes back what it knows.
    pub(super) async fn stop(&mut self, kind: &GroupKind) {
        let Some(running) = self.running.get(kind) else { return };
        running.stop.cancel();
        while self.running.contains_key(kind) {
            match self.tasks.join_next_with_id().await {
                Some(ended) => {
                    self.take_back(ended);
                }
                None => self.running.clear(),
            }
        }
    }

    /// Takes back what an ended task knows. A task that panicked has lost it.
    fn take_back(
        &mut self,
        ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>,
    ) -> Option<GroupKind> {
        match ended {
            Ok((_, (kind, known))) => {
                self.running.remove(&kind);
                self.known.put(kind.clone(), known);
                Some(kind)
            }
            Err(error) => {
                tracing::error!(%error, "the task of a kind ended in disorder");
                let ended = self.running.iter().find(|(_, running)| running.id == error.id());
                let kind = ended.map(|(kind, _)| kind.clone())?;
                self.running.remove(&kind);
                Some(kind)
            }
        }
    }

    /// A kind is served no more: its objects are gone.
    async fn drop_kind(&mut self, kind: &GroupKind) {
        self.stop(kind).await;
        let known = self.known.take(kind);
        let last_seen = known.whole;
        for (namespace, name, uid) in known.all() {
            let key = ObjectKey::new(&kind.group, &kind.kind, namespace, name);
            self.say(ClusterInput::Gone { key, uid, learned: Learned::Listed, last_seen }).await;
        }
    }

    pub(super) async fn say(&self, input: ClusterInput) {
        // A closed channel is the next cue.
        let _ = self.shared.tx.send(input).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    fn kind(name: &str) -> GroupKind {
        GroupKind::new(format!("{}.io", name.to_lowercase()), name)
    }

    fn discovered(names: &[&str], broken: &[&str]) -> Discovered {
        let kinds = names.iter().map(|name| ServedKind {
            kind: kind(name),
            version: "v1".into(),
            plural: format!("{}s", name.to_lowercase()),
            scope: Scope::Namespaced,
            watched: true,
            watchable: true,
        });
        Discovered {
            kinds: kinds.collect(),
            broken_groups: broken.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    fn names(catalogue: &Catalogue) -> Vec<&str> {
        catalogue.kinds.keys().map(|kind| kind.kind.as_str()).collect()
    }

    #[tokio::test]
    async fn an_absent_kind_is_dropped_only_when_its_absence_is_certain() {
        let start = Instant::now();
        let mut catalogue = Catalogue::default();
        assert!(catalogue.update(discovered(&["A", "B"], &[]), &[], start).is_empty());
        assert!(catalogue.update(discovered(&["A"], &[]), &[], start).is_empty());
        assert_eq!(names(&catalogue), ["A", "B"]);
        let later = start + ABSENCE_CERTAIN_AFTER;
        assert_eq!(catalogue.update(discovered(&["A"], &[]), &[], later), [kind("B")]);
        assert_eq!(names(&catalogue), ["A"]);
        assert!(catalogue.absent.is_empty());
    }

    #[tokio::test]
    async fn a_kind_that_comes_back_starts_over() {
        let start = Instant::now();
        let mut catalogue = Catalogue::default();
        catalogue.update(discovered(&["A"], &[]), &[], start);
        catalogue.update(discovered(&[], &[]), &[], start);
        catalogue.update(discovered(&["A"], &[]), &[], start);
        let later = start + ABSENCE_CERTAIN_AFTER;
        assert!(catalogue.update(discovered(&[], &[]), &[], later).is_empty());
    }

    #[tokio::test]
    async fn kinds_of_a_broken_group_stay() {
        let start = Instant::now();
        let mut catalogue = Catalogue::default();
        catalogue.update(discovered(&["A"], &[]), &[], start);
        for seconds in [0, 100, 200] {
            let now = start + Duration::from_secs(seconds);
            assert!(catalogue.update(discovered(&[], &["a.io"]), &[], now).is_empty());
        }
        assert_eq!(names(&catalogue), ["A"]);
        assert_eq!(catalogue.as_discovered().broken_groups, ["a.io"]);
    }

    #[tokio::test]
    async fn objects_of_a_kind_never_seen_served_are_dropped_too() {
        let start = Instant::now();
        let mut catalogue = Catalogue::default();
        assert!(catalogue.update(discovered(&[], &[]), &[kind("Old")], start).is_empty());
        let later = start + ABSENCE_CERTAIN_AFTER;
        assert_eq!(catalogue.update(discovered(&[], &[]), &[kind("Old")], later), [kind("Old")]);
    }
}
