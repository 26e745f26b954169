//! Whether whoever answers is who was asked who it is.
//!
//! A name and a port say nothing about which cluster answers: it may be rebuilt, restored from a
//! backup, or another one behind the same address. Every connection that is made begins a new
//! *generation*; asking for the cluster's identity over a connection of its own, made later,
//! confirms it. What is read is believed, and a write is sent, only once the generation is
//! identified; and a write only when it is the cluster that is kept.
//!
//! What remains: a write may itself be what makes a new connection. It is sent before anybody was
//! asked again, and the next one is not. Updates are bound to the uid of their object and fail
//! elsewhere, so what can reach a stranger are creations, as many as are under way at once, if its
//! certificate is trusted as well.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::{Notify, watch};
use tower::Service;

use super::sights::{Sight, Sights};
use crate::model::{GroupKind, ObjectKey};
use crate::replay::Revisions;

/// Which cluster is kept, as the ledger tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The uid of the cluster that is kept; empty = none yet.
    pub kept: String,
    /// The uid of the one that answered last.
    pub answers: String,
    /// Whether the kept one was set back and nobody has accepted that.
    pub reverted: bool,
    /// How far the one that answered last was observed.
    pub revisions: Revisions,
    /// How far the kept one was, if another answers.
    pub kept_revisions: Revisions,
    /// The objects of the one that answered last that changed last.
    pub sights: Vec<Sight>,
}

/// What is known of who answers. Shared by all clones of a connection.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Whether anybody asks who answers. Without, everything is believed and permitted.
    armed: AtomicBool,
    generation: AtomicU64,
    due: Notify,
    state: watch::Sender<State>,
    book: Mutex<Book>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Up to which generation it is known who answers.
    identified: Option<u64>,
    permitted: bool,
}

#[derive(Debug, Default)]
struct Book {
    kept: String,
    answers: String,
    reverted: bool,
    /// How far each cluster was observed, by uid.
    revisions: BTreeMap<String, Revisions>,
    /// What changed last in the one that answers.
    sights: Sights,
    /// Changes when what was observed before is of another life.
    life: u64,
}

impl Guard {
    /// Begins to ask.
    pub(super) fn arm(&self, kept: Kept) {
        let mut book = self.book();
        let Kept { kept, answers, reverted, revisions, kept_revisions, sights } = kept;
        sights.into_iter().for_each(|sight| book.sights.note(sight));
        if kept != answers {
            book.revisions.insert(kept.clone(), kept_revisions);
        }
        book.revisions.insert(answers.clone(), revisions);
        (book.kept, book.answers, book.reverted) = (kept, answers, reverted);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// A person said that the cluster `uid` is the one to be kept.
    pub(super) fn accept(&self, uid: &str) {
        let mut book = self.book();
        uid.clone_into(&mut book.kept);
        book.reverted = false;
        drop(book);
        self.begin();
    }

    /// Whoever answers from here on may be another one.
    fn begin(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if self.armed.load(Ordering::SeqCst) {
            self.due.notify_one();
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Waits until somebody has to be asked who it is.
    ///
    /// Cancel safety: that it is due is kept until it is looked at.
    pub(super) async fn until_due(&self) {
        self.due.notified().await;
    }

    /// Which cluster answered last, and how far it, or `uid`, was observed.
    pub(super) fn known(&self, uid: &str) -> Revisions {
        self.book().revisions.get(uid).cloned().unwrap_or_default()
    }

    /// Whether it is known which cluster is kept.
    pub(super) fn keeps(&self) -> bool {
        !self.book().kept.is_empty()
    }

    pub(super) fn answers(&self) -> String {
        self.book().answers.clone()
    }

    /// `uid` answers, up to `generation`; `reverted` = behind what was observed of it.
    pub(super) fn identified(&self, uid: &str, generation: u64, reverted: bool) {
        let mut book = self.book();
        if book.kept.is_empty() {
            uid.clone_into(&mut book.kept);
        }
        if reverted {
            book.revisions.remove(uid);
        }
        book.reverted |= reverted && book.kept == uid;
        if reverted || book.answers != uid {
            book.life += 1;
            book.sights = Sights::default();
        }
        uid.clone_into(&mut book.answers);
        let permitted = book.kept == uid && !book.reverted;
        drop(book);
        self.confirm(generation, permitted);
    }

    /// Whoever answers does not say who it is.
    pub(super) fn nameless(&self, generation: u64) {
        let permitted = self.book().kept.is_empty();
        self.confirm(generation, permitted);
    }

    fn confirm(&self, generation: u64, permitted: bool) {
        self.state.send_replace(State { identified: Some(generation), permitted });
        if self.generation() != generation {
            self.due.notify_one();
        }
    }

    /// Waits until it is known who answers; whether it may be written to.
    pub(super) async fn settled(&self) -> bool {
        if !self.armed.load(Ordering::SeqCst) {
            return true;
        }
        let generation = self.generation();
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| state.identified >= Some(generation)).await;
        // Fails only when the sender is gone, and it lives in `self`.
        settled.is_ok_and(|state| state.permitted)
    }

    /// What is noted under another life says nothing.
    pub(super) fn life(&self) -> u64 {
        self.book().life
    }

    /// Notes how far the cluster that answers was observed, in the life `life`.
    pub(super) fn note(&self, life: u64, kind: &GroupKind, resource_version: &str) {
        let mut book = self.book();
        if book.life == life {
            let answers = book.answers.clone();
            book.revisions.entry(answers).or_default().note(kind, resource_version);
        }
    }

    /// Notes an object as it was seen, in the life `life`.
    pub(super) fn seen(
        &self,
        life: u64,
        key: &ObjectKey,
        version: &str,
        (uid, resource_version): (&str, &str),
    ) {
        self.note(life, &key.group_kind(), resource_version);
        let Ok(revision) = resource_version.parse() else { return };
        let mut book = self.book();
        if book.life == life && !uid.is_empty() {
            let (key, version, uid) = (key.clone(), version.to_owned(), uid.to_owned());
            book.sights.note(Sight { key, version, uid, revision });
        }
    }

    /// Notes that an object is gone.
    pub(super) fn gone(&self, key: &ObjectKey) {
        self.book().sights.gone(key);
    }

    /// What changed last in the cluster that answers.
    pub(super) fn sights(&self) -> Vec<Sight> {
        self.book().sights.latest()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes connections, and begins a new generation with each; without a guard it only makes them.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpConnector,
    guard: Option<Arc<Guard>>,
}

impl Connector {
    pub(super) fn new(inner: HttpConnector, guard: Option<Arc<Guard>>) -> Self {
        Self { inner, guard }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, guard) = (self.inner.call(uri), self.guard.clone());
        Box::pin(async move {
            let connected = connecting.await;
            if let Some(guard) = guard.filter(|_| connected.is_ok()) {
                guard.begin();
            }
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(uid: &str) -> Arc<Guard> {
        let guard = Guard::default();
        guard.arm(Kept { kept: uid.into(), answers: uid.into(), ..Kept::default() });
        Arc::new(guard)
    }

    /// Whether a write may be sent now, if that is known.
    async fn may_write(guard: &Guard) -> Option<bool> {
        tokio::select! {
            biased;
            permitted = guard.settled() => Some(permitted),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn nothing_is_written_before_it_is_known_who_answers() {
        let guard = kept("one");
        assert_eq!(may_write(&guard).await, None);
        guard.identified("one", guard.generation(), false);
        assert_eq!(may_write(&guard).await, Some(true));
        let asked = guard.generation();
        guard.begin();
        assert_eq!(may_write(&guard).await, None, "a new connection");
        guard.identified("one", asked, false);
        assert_eq!(may_write(&guard).await, None, "it was asked before the connection was made");
        guard.until_due().await;
        guard.identified("one", guard.generation(), false);
        assert_eq!(may_write(&guard).await, Some(true));
    }

    #[tokio::test]
    async fn another_cluster_is_written_to_once_it_is_accepted_and_no_other() {
        let guard = kept("one");
        let says = |uid: &str| guard.identified(uid, guard.generation(), false);
        says("two");
        assert_eq!(may_write(&guard).await, Some(false));
        guard.accept("three");
        assert_eq!(may_write(&guard).await, None, "it is asked again");
        says("two");
        assert_eq!(may_write(&guard).await, Some(false));
        guard.accept("two");
        says("two");
        assert_eq!(may_write(&guard).await, Some(true));
        says("one");
        assert_eq!(may_write(&guard).await, Some(false), "the former cluster is another one now");
    }

    #[tokio::test]
    async fn a_cluster_that_was_set_back_is_not_written_to_however_far_it_comes() {
        let guard = kept("one");
        guard.identified("one", guard.generation(), true);
        guard.identified("one", guard.generation(), false);
        assert_eq!(may_write(&guard).await, Some(false));
        guard.identified("two", guard.generation(), false);
        guard.identified("one", guard.generation(), false);
        assert_eq!(may_write(&guard).await, Some(false), "another one in between changes nothing");
        guard.accept("one");
        guard.identified("one", guard.generation(), false);
        assert_eq!(may_write(&guard).await, Some(true));
    }

    #[tokio::test]
    async fn who_does_not_say_who_it_is_is_not_the_one_that_is_kept() {
        let guard = kept("one");
        guard.nameless(guard.generation());
        assert_eq!(may_write(&guard).await, Some(false));
        let never = kept("");
        never.nameless(never.generation());
        assert_eq!(may_write(&never).await, Some(true), "it never did");
    }

    #[tokio::test]
    async fn how_far_a_cluster_was_is_known_while_another_answers_and_not_after_it_was_set_back() {
        let guard = kept("one");
        let kind = GroupKind::new("", "Secret");
        guard.note(guard.life(), &kind, "40");
        let life = guard.life();
        guard.identified("two", guard.generation(), false);
        guard.note(life, &kind, "50");
        assert_eq!(guard.known("two").beyond(0), [], "an answer of the former life");
        assert_eq!(guard.known("one").beyond(39), [(kind.clone(), 40)]);
        assert_eq!(guard.known("one").beyond(40), []);
        guard.identified("one", guard.generation(), true);
        assert_eq!(guard.known("one").beyond(0), []);
    }

    #[tokio::test]
    async fn an_answer_from_before_the_connection_has_it_asked_again() {
        let guard = kept("one");
        let due = async || {
            tokio::select! {
                biased;
                () = guard.until_due() => true,
                () = std::future::ready(()) => false,
            }
        };
        let asked = guard.generation();
        guard.begin();
        assert!(due().await && !due().await, "it is asked once");
        guard.identified("one", asked, false);
        assert!(due().await, "the answer came over an older connection");
        guard.identified("one", guard.generation(), false);
        assert!(!due().await);
    }

    #[test]
    fn what_changed_last_is_of_the_cluster_that_answers() {
        let guard = kept("one");
        let key = ObjectKey::new("", "ConfigMap", "prod", "a");
        let sees = |life| guard.seen(life, &key, "v1", ("u", "40"));
        let first = guard.life();
        sees(first);
        assert_eq!(guard.sights().len(), 1);
        guard.identified("two", guard.generation(), false);
        assert_eq!(guard.sights(), [], "they are not its objects");
        sees(first);
        assert_eq!(guard.sights(), [], "an answer of the former life");
        sees(guard.life());
        assert_eq!(guard.sights().len(), 1);
        guard.identified("two", guard.generation(), true);
        assert_eq!(guard.sights(), [], "it was set back behind them");
    }
}
