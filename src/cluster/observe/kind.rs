//! The task of one kind: list, watch from there, list again when the thread is lost.
//!
//! Invariant: what is recorded as said has been taken by the channel. A task that is stopped
//! while it waits for the channel may say something twice, and never leaves something out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::conductor::Hints;
use super::known::{Fingerprint, KindKnown, Noted, version_of};
use super::reach::{Backoff, Reach};
use super::stream::{Event, Events, is_secret};
use super::watched::Watched;
use super::{ClusterInput, Observation};
use crate::cluster::connection::Connection;
use crate::cluster::normalize::{Normalised, SecretDigest, normalize_owned};
use crate::cluster::request::{Class, Error, WITHHELD};
use crate::ledger::event::{Learned, ServedKind};
use crate::model::{ObjectKey, Timestamp};

/// How long after a first refusal it is tried again: an API server that just started may refuse
/// what it will allow in a moment. Doubled each time.
const FORBIDDEN_FIRST: Duration = Duration::from_secs(1);
/// How long between tries while a kind stays forbidden.
const FORBIDDEN_LONGEST: Duration = Duration::from_secs(60);
/// After how many failures in a row a kind that cannot be read is reported.
const FAILURES_BEFORE_GAP: u32 = 3;
/// A watch that ends sooner than this and says nothing counts as a failure.
const WATCH_SHORTEST: Duration = Duration::from_secs(1);
/// How often a list whose pages expired is begun anew before it is read in one piece.
const EXPIRED_PAGES_MAX: u32 = 2;

/// What all tasks share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) sealer: Arc<dyn SecretDigest>,
    pub(super) tx: mpsc::Sender<ClusterInput>,
    pub(super) reach: Arc<Reach>,
    pub(super) hints: Arc<Hints>,
    /// Bounds how many first lists are in memory at once.
    pub(super) lists: Arc<Semaphore>,
    pub(super) page_size: u32,
}

/// Why a task cannot go on.
enum Stop {
    /// Nobody listens any more.
    Closed,
    /// The cluster did not do what was asked.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How a watch came to its end.
enum WatchEnd {
    /// It can be continued.
    Ended,
    /// It cannot be continued: everything has to be listed again.
    Expired,
}

/// The task of one kind.
pub(super) struct KindTask {
    shared: Shared,
    watched: Watched,
    known: KindKnown,
    backoff: Backoff,
    failures: u32,
    gap_said: bool,
}

impl KindTask {
    pub(super) fn new(shared: Shared, watched: Watched, known: KindKnown) -> Self {
        Self { shared, watched, known, backoff: Backoff::default(), failures: 0, gap_said: false }
    }

    /// Observes the kind until the future `stop` is done, and returns what is known of it.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> KindKnown {
        tokio::select! {
            () = stop => {}
            () = self.follow() => {}
        }
        self.known
    }

    /// Returns when nobody listens any more.
    async fn follow(&mut self) {
        loop {
            let Some(from) = self.list_until_done().await else { return };
            if !self.watch_until_expired(from).await {
                return;
            }
        }
    }

    /// Lists until it succeeds; the resource version to watch from.
    async fn list_until_done(&mut self) -> Option<String> {
        loop {
            match self.list().await {
                Ok(resource_version) => {
                    self.succeeded();
                    return Some(resource_version);
                }
                Err(Stop::Closed) => return None,
                Err(Stop::Failed(error)) => self.pause_after(&error).await?,
            }
        }
    }

    async fn list(&mut self) -> Result<String, Stop> {
        let lists = self.shared.lists.clone();
        // Fails only when the semaphore is closed, which nobody does.
        let _permit = lists.acquire().await.map_err(|_| Stop::Closed)?;
        let began = Timestamp::now();
        let mut expired = 0;
        let (resource_version, objects) = loop {
            let limit = if expired < EXPIRED_PAGES_MAX { self.shared.page_size } else { 0 };
            match self.list_pages(limit).await {
                Err(Stop::Failed(Error::Expired { .. })) if limit > 0 => expired += 1,
                other => break other?,
            }
        };
        for (namespace, name, uid) in self.known.not_shown() {
            if !self.watched.counts(&namespace, &name) {
                // Nobody asked for it now.
                continue;
            }
            self.say_gone(&namespace, &name, uid, Learned::Listed).await?;
        }
        let kind = self.watched.served.kind.clone();
        self.note(&resource_version);
        let listed = resource_version.clone();
        let named = self.watched.named();
        self.say(ClusterInput::Listed { kind, objects, resource_version: listed, named }).await?;
        self.known.whole = Some(began);
        Ok(resource_version)
    }

    /// Reads all pages; the resource version of the list and how many objects it has.
    async fn list_pages(&mut self, limit: u32) -> Result<(String, u64), Stop> {
        self.known.begin_list();
        let (mut next, mut objects) = (String::new(), 0);
        let mut resource_version = String::new();
        loop {
            let page = self.shared.connection.page(&self.watched, limit, &next).await?;
            // Of another cluster it says nothing about this one.
            self.shared.connection.settled().await;
            if resource_version.is_empty() {
                resource_version = page.metadata.resource_version;
            }
            for raw in page.items {
                if !self.watched.counts_raw(&raw) {
                    continue;
                }
                objects += 1;
                self.observe(raw, Learned::Listed).await?;
            }
            if page.metadata.next.is_empty() {
                return Ok((resource_version, objects));
            }
            next = page.metadata.next;
        }
    }

    /// Watches, again and again, until the thread is lost. Returns whether to go on.
    async fn watch_until_expired(&mut self, mut from: String) -> bool {
        loop {
            let (began, began_from) = (Instant::now(), from.clone());
            let outcome = match self.shared.connection.watch(&self.watched, &from).await {
                Ok(events) => {
                    self.shared.connection.settled().await;
                    self.watch(events, &mut from).await
                }
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(WatchEnd::Ended) if from == began_from && began.elapsed() < WATCH_SHORTEST => {
                    let wait = self.backoff.wait();
                    tokio::time::sleep(wait).await;
                }
                Ok(WatchEnd::Ended) => self.succeeded(),
                Ok(WatchEnd::Expired) | Err(Stop::Failed(Error::Expired { .. })) => {
                    let reason = "the watch could not be continued; listing again".to_owned();
                    return self.say_gap(reason).await.is_ok();
                }
                Err(Stop::Closed) => return false,
                Err(Stop::Failed(error)) => {
                    if self.pause_after(&error).await.is_none() {
                        return false;
                    }
                    if error.is_outage() && self.went_back(&from).await {
                        let reason = "the API server went back in time; listing again".to_owned();
                        self.known.doubt();
                        return self.say_gap(reason).await.is_ok();
                    }
                    if self.gap_said {
                        // What comes after a gap begins with a list.
                        return true;
                    }
                }
            }
        }
    }

    /// Whether the API server is now behind what was already seen, as after it was restored from
    /// a copy. A watch from its future would be silent until it has caught up, and then blind to
    /// what happened on the way.
    async fn went_back(&self, from: &str) -> bool {
        match self.shared.connection.page(&self.watched, 1, "").await {
            Ok(page) => is_behind(&page.metadata.resource_version, from),
            // The watch will meet the same difficulty and say so.
            Err(_) => false,
        }
    }

    /// Follows one watch. `from` keeps up with it, so that what was said is not asked for again
    /// when it breaks.
    async fn watch(&mut self, mut events: Events, from: &mut String) -> Result<WatchEnd, Stop> {
        while let Some(Event { kind, object }) = events.next().await? {
            let version = resource_version(&object);
            match kind.as_str() {
                "ADDED" | "MODIFIED" | "DELETED" if !self.watched.counts_raw(&object) => {}
                "ADDED" | "MODIFIED" => self.observe(object, Learned::Watched).await?,
                "DELETED" => self.deleted(&object).await?,
                "BOOKMARK" => {}
                "ERROR" => {
                    return match watch_error(&self.watched.served, &object) {
                        Some(error) => Err(Stop::Failed(error)),
                        None => Ok(WatchEnd::Expired),
                    };
                }
                other => {
                    tracing::warn!(kind = %self.watched.served.kind, event = other, "unknown event");
                }
            }
            if let Some(version) = version {
                self.note(&version);
                *from = version;
            }
            self.known.whole = Some(Timestamp::now());
            self.succeeded();
        }
        Ok(WatchEnd::Ended)
    }

    async fn deleted(&mut self, object: &Value) -> Result<(), Stop> {
        let text = |field| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let uid = text("/metadata/uid").to_owned();
        self.say_gone(namespace, name, uid, Learned::Watched).await
    }

    /// Says what is new about an object, if anything is.
    async fn observe(&mut self, mut raw: Value, learned: Learned) -> Result<(), Stop> {
        self.name_kind(&mut raw);
        let object = match normalize_owned(raw, &*self.shared.sealer) {
            Ok(object) => object,
            Err(error) => {
                tracing::warn!(kind = %self.watched.served.kind, %error, "an object was passed over");
                return Ok(());
            }
        };
        let object = self.in_owned_version(object).await?;
        let guard = &self.shared.connection.guard;
        let (uid, version) = (&*object.uid, &*object.resource_version);
        guard.seen(guard.life(), &object.key, &object.version, (uid, version));
        let fingerprint = Fingerprint::of_object(&object);
        let noted = self.known.judge(&object, fingerprint, learned);
        if noted == Noted::Same {
            self.known.shown(&object);
            return Ok(());
        }
        let (namespace, name) = (object.key.namespace().to_owned(), object.key.name().to_owned());
        let added = noted != Noted::Changed;
        if let Noted::Replaced(former) = noted {
            self.say_gone(&namespace, &name, former, Learned::Listed).await?;
        }
        self.shared.hints.observed(&object);
        let (uid, version) = (object.uid.clone(), version_of(&object));
        let observation = Observation { normalised: object, added, learned };
        self.say(ClusterInput::Object(Box::new(observation))).await?;
        self.known.set(&namespace, &name, (&uid, version), fingerprint);
        Ok(())
    }

    /// Items of a list do not repeat their kind.
    fn name_kind(&self, raw: &mut Value) {
        let Some(object) = raw.as_object_mut().filter(|object| !object.contains_key("kind")) else {
            return;
        };
        let group = &self.watched.served.kind.group;
        let version = &self.watched.served.version;
        let api_version =
            if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        object.insert("apiVersion".to_owned(), Value::String(api_version));
        object.insert("kind".to_owned(), Value::String(self.watched.served.kind.kind.clone()));
    }

    /// What greffier applied in another version than the watched one is read again in that
    /// version: its field set names the fields of that version only.
    async fn in_owned_version(&self, object: Normalised) -> Result<Normalised, Stop> {
        let Some(version) = object.owned_in_other_version() else { return Ok(object) };
        match self.shared.connection.get(&object.key, version).await {
            Ok(Some(raw)) => Ok(normalize_owned(raw, &*self.shared.sealer).unwrap_or(object)),
            // Gone meanwhile: the watch will say so.
            Ok(None) => Ok(object),
            Err(error) if error.is_outage() => Err(error.into()),
            Err(error) => {
                let error = error.chain();
                tracing::warn!(key = %object.key, %error, "cannot be read in its own version");
                Ok(object)
            }
        }
    }

    async fn say_gone(
        &mut self,
        namespace: &str,
        name: &str,
        uid: String,
        learned: Learned,
    ) -> Result<(), Stop> {
        let kind = &self.watched.served.kind;
        let key = ObjectKey::new(&kind.group, &kind.kind, namespace, name);
        let last_seen = if learned == Learned::Listed { self.known.whole } else { None };
        self.shared.hints.gone(kind);
        self.shared.connection.guard.gone(&key);
        self.say(ClusterInput::Gone { key, uid, learned, last_seen }).await?;
        self.known.remove(namespace, name);
        Ok(())
    }

    /// Notes how far the kind was observed.
    fn note(&self, resource_version: &str) {
        let guard = &self.shared.connection.guard;
        guard.note(guard.life(), &self.watched.served.kind, resource_version);
    }

    async fn say_gap(&self, reason: String) -> Result<(), Stop> {
        let kind = self.watched.served.kind.clone();
        self.say(ClusterInput::Gap { kind, reason, refused: false }).await
    }

    async fn say(&self, input: ClusterInput) -> Result<(), Stop> {
        self.shared.tx.send(input).await.map_err(|_| Stop::Closed)
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.failures = 0;
        self.gap_said = false;
    }

    /// Waits as long as the failure asks for. `None` when nobody listens any more.
    async fn pause_after(&mut self, error: &Error) -> Option<()> {
        self.failures += 1;
        let broke_once = matches!(error, Error::ConnectionLost { .. }) && self.failures == 1;
        if error.is_outage() && !broke_once {
            self.shared.reach.lost(error).await;
            self.shared.reach.until_found().await;
            return Some(());
        }
        let wait = match error.class() {
            // A connection may break without the API server being away.
            _ if broke_once => return Some(()),
            _ if error.is_forbidden() => {
                let doubled = FORBIDDEN_FIRST * 2_u32.pow((self.failures - 1).min(6));
                doubled.min(FORBIDDEN_LONGEST)
            }
            Class::Throttled { retry_after } => retry_after,
            Class::NotServed | Class::NotFound => {
                self.shared.hints.refresh();
                self.backoff.wait()
            }
            _ => self.backoff.wait(),
        };
        if self.failures >= FAILURES_BEFORE_GAP && !self.gap_said {
            let (reason, refused) = (error.chain(), error.is_forbidden());
            let kind = self.watched.served.kind.clone();
            self.say(ClusterInput::Gap { kind, reason, refused }).await.ok()?;
            self.gap_said = true;
        }
        tokio::time::sleep(wait).await;
        Some(())
    }
}

/// Whether one resource version is before another, where both are numbers as the API promises.
fn is_behind(version: &str, other: &str) -> bool {
    matches!((version.parse::<u64>(), other.parse::<u64>()), (Ok(a), Ok(b)) if a < b)
}

fn resource_version(object: &Value) -> Option<String> {
    let version = object.pointer("/metadata/resourceVersion")?.as_str()?;
    Some(version.to_owned())
}

/// What a watch ended with; `None` = it has only expired.
fn watch_error(served: &ServedKind, status: &Value) -> Option<Error> {
    let code = status.get("code").and_then(Value::as_u64).unwrap_or(500);
    let said = status.get("message").and_then(Value::as_str).unwrap_or_default();
    (code != 410).then(|| Error::Unavailable {
        subject: format!("watch {}", served.kind),
        status: u16::try_from(code).unwrap_or(500),
        message: if is_secret(served) { WITHHELD } else { said }.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupKind, Scope};

    #[test]
    fn resource_versions_are_compared_as_numbers_or_not_at_all() {
        for (version, other, behind) in [
            ("9", "10", true),
            ("10", "9", false),
            ("9", "9", false),
            ("x", "9", false),
            ("", "", false),
        ] {
            assert_eq!(is_behind(version, other), behind, "{version} {other}");
        }
    }

    #[test]
    fn what_a_watch_ends_with_quotes_no_secret() {
        let served = |group: &str, kind: &str| ServedKind {
            kind: GroupKind::new(group, kind),
            version: "v1".into(),
            plural: "things".into(),
            scope: Scope::Namespaced,
            watched: true,
            watchable: true,
        };
        let status = serde_json::json!({"kind": "Status", "code": 500, "message": "canary"});
        for (group, kind, quoted) in
            [("", "Secret", false), ("", "ConfigMap", true), ("x.io", "Secret", true)]
        {
            let error = watch_error(&served(group, kind), &status).unwrap();
            assert_eq!(error.to_string().contains("canary"), quoted, "{error}");
        }
        let expired = serde_json::json!({"kind": "Status", "code": 410});
        assert!(watch_error(&served("", "Secret"), &expired).is_none());
    }
}
