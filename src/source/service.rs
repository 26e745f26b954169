//! The service that keeps all mirrors up to date: one task per repository.
//!
//! A task looks at its repository when a hint says so, when somebody asks, and by interval; it
//! hands what it found to the owner and waits until the owner has recorded it, because the next
//! look begins from the refs that are recorded. A task that fails tries again with growing
//! delays, at once when there is a hint, and reports each cause once.
//!
//! The service does not know the ledger, and never decides what a change means.
//!
//! Bound: at most one input per repository waits for the owner; hints coalesce.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::mirror::{Fetched, Mirror};
use super::options::Options;
use super::watch::{Hints, Watcher};
use crate::model::CommitId;

/// How many requests to the service may wait; who asks more waits too.
const REQUESTS_MAX: usize = 64;
/// How long after a hint to look. A push of several refs writes them within this time, and a look
/// costs more than it.
const HINT_SETTLES: Duration = Duration::from_millis(2);
/// The delay after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_secs(2);
/// The longest delay between tries.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the owner of the service is told.
#[derive(Debug)]
pub enum SourceInput {
    /// A repository was fetched: always the first time, when asked for, and after a failure that was
    /// reported; otherwise only when there is something to record.
    Fetched {
        /// The repository.
        url: String,
        /// What was found.
        fetched: Fetched,
        /// Whether a failure that was reported is over with that. It is so only together with what
        /// was found: who believed before that Git has answered would take what was known for it.
        recovered: bool,
        /// To be called when it is recorded.
        ack: Ack,
    },
    /// A repository could not be fetched, for a cause that was not reported just before.
    Failed {
        /// The repository.
        url: String,
        /// The cause.
        error: Error,
    },
}

/// Says that what was fetched is recorded. Dropped instead, the next look finds the same again.
#[derive(Debug)]
#[must_use = "the repository is not looked at again until this is used or dropped"]
pub struct Ack(oneshot::Sender<()>);

impl Ack {
    /// What was fetched is recorded.
    pub fn recorded(self) {
        // The task may have ended meanwhile; then nobody needs to know.
        self.0.send(()).ok();
    }
}

/// Refs by full name.
type Refs = BTreeMap<String, CommitId>;

/// Bound: how many refs that are gone are remembered. The world remembers those that applications
/// follow; the others are a matter of the log.
const GONE_MAX: usize = 1_000;

/// Asks the service. Cheap to clone. Does nothing once the service has ended.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Track { url: String, known: Refs, gone: Refs },
    Untrack { url: String },
    Refresh { url: String },
    RefreshAll,
}

impl Handle {
    /// Keeps the repository at `url` up to date, beginning with a fetch now. `known` is its refs
    /// as recorded, empty for a new one, and `gone` where refs were that are gone. Nothing happens
    /// if it is tracked already.
    pub async fn track(&self, url: impl Into<String>, known: Refs, gone: Refs) {
        self.ask(Request::Track { url: url.into(), known, gone }).await;
    }

    /// Stops looking at the repository. Its mirror stays.
    pub async fn untrack(&self, url: impl Into<String>) {
        self.ask(Request::Untrack { url: url.into() }).await;
    }

    /// Looks at the repository now, and reports even if nothing changed.
    pub async fn refresh(&self, url: impl Into<String>) {
        self.ask(Request::Refresh { url: url.into() }).await;
    }

    /// Looks at a repository, or at all of them, soon. Does not wait: when the service is busy with
    /// other requests, one that is not taken loses nothing but time, because polling goes on.
    pub fn hint(&self, url: Option<&str>) {
        let request = match url {
            Some(url) => Request::Refresh { url: url.to_owned() },
            None => Request::RefreshAll,
        };
        if let Err(error) = self.requests.try_send(request) {
            tracing::debug!(%error, "a refresh was not taken");
        }
    }

    /// Looks at every repository now.
    pub async fn refresh_all(&self) {
        self.ask(Request::RefreshAll).await;
    }

    async fn ask(&self, request: Request) {
        if let Err(error) = self.requests.send(request).await {
            tracing::debug!(request = ?error.0, "source service has ended");
        }
    }
}

/// The service. It runs until cancelled.
#[derive(Debug)]
pub struct Service {
    options: Options,
    watcher: Option<Watcher>,
    inputs: mpsc::Sender<SourceInput>,
    handle: Handle,
    requests: mpsc::Receiver<Request>,
}

/// How a task is reached.
struct Tracked {
    refresh: Arc<Notify>,
    cancel: CancellationToken,
    task: AbortHandle,
}

impl Service {
    /// A service that tells `inputs` what it finds. Where the system gives no watcher it relies
    /// on polling.
    #[must_use]
    pub fn new(options: Options, inputs: mpsc::Sender<SourceInput>) -> Self {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let watcher = match Watcher::new() {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "no file notification, relying on polling");
                None
            }
        };
        Self { options, watcher, inputs, handle: Handle { requests: sender }, requests }
    }

    /// The same relying on polling alone.
    #[cfg(test)]
    pub(super) fn without_hints(self) -> Self {
        Self { watcher: None, ..self }
    }

    /// Asks this service.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `cancel`; fetches under way are ended, and every task has ended when this
    /// returns.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut tracked: BTreeMap<String, Tracked> = BTreeMap::new();
        loop {
            // Cancel safety: all three may be dropped while they wait.
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a source task ended; its repository is not followed");
                    }
                }
                Some(request) = self.requests.recv() => match request {
                    Request::Track { url, known, gone } => {
                        // One that ended by a defect may be tracked anew.
                        let present = tracked.get(&url).is_some_and(|task| !task.task.is_finished());
                        if !present {
                            let refs = (known, gone);
                            let tracking = self.start(&mut tasks, url.clone(), refs, &cancel);
                            tracked.insert(url, tracking);
                        }
                    }
                    Request::Untrack { url } => {
                        if let Some(task) = tracked.remove(&url) {
                            task.cancel.cancel();
                        }
                    }
                    Request::Refresh { url } => {
                        if let Some(task) = tracked.get(&url) {
                            task.refresh.notify_one();
                        }
                    }
                    Request::RefreshAll => {
                        tracked.values().for_each(|task| task.refresh.notify_one());
                    }
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn start(
        &self,
        tasks: &mut JoinSet<()>,
        url: String,
        (known, gone): (Refs, Refs),
        cancel: &CancellationToken,
    ) -> Tracked {
        let refresh = Arc::new(Notify::new());
        let cancel = cancel.child_token();
        // A URL that cannot be read is reported by the first fetch.
        let hints = self.watcher.as_ref().and_then(|watcher| watcher.watch(&url).ok());
        let task = Task {
            url,
            options: self.options.clone(),
            hints: hints.map(Arc::new),
            mirror: None,
            known,
            gone,
            failures: 0,
            cause: None,
            inputs: self.inputs.clone(),
            refresh: Arc::clone(&refresh),
            cancel: cancel.clone(),
        };
        Tracked { refresh, cancel, task: tasks.spawn(task.run()) }
    }
}

/// Follows one repository.
struct Task {
    url: String,
    options: Options,
    hints: Option<Arc<Hints>>,
    mirror: Option<Arc<Mirror>>,
    /// The refs as recorded.
    known: Refs,
    /// Where refs were that are gone.
    gone: Refs,
    /// Failures in a row.
    failures: u32,
    /// The cause that was reported last, until it is over.
    cause: Option<String>,
    inputs: mpsc::Sender<SourceInput>,
    refresh: Arc<Notify>,
    cancel: CancellationToken,
}

/// Why a task looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Asked,
    Hint,
    Interval,
}

/// The task was asked to end, or its owner is gone.
struct Ended;

impl Task {
    async fn run(mut self) {
        let mut reason = Reason::Asked;
        loop {
            if self.look(reason).await.is_err() {
                return;
            }
            reason = match self.wait().await {
                Ok(reason) => reason,
                Err(Ended) => return,
            };
        }
    }

    /// Waits for a reason to look.
    async fn wait(&self) -> Result<Reason, Ended> {
        let delay = match self.failures {
            0 => self.options.poll_interval,
            failures => backoff(failures, random()),
        };
        let hint = async {
            match &self.hints {
                Some(hints) => hints.changed().await,
                None => std::future::pending().await,
            }
        };
        // Cancel safety: requests and hints that nobody waits for are kept.
        let reason = tokio::select! {
            () = self.cancel.cancelled() => return Err(Ended),
            () = self.refresh.notified() => Reason::Asked,
            () = hint => Reason::Hint,
            () = tokio::time::sleep(delay) => Reason::Interval,
        };
        if reason == Reason::Hint {
            tokio::time::sleep(HINT_SETTLES).await;
        }
        Ok(reason)
    }

    /// Fetches and tells the owner.
    async fn look(&mut self, reason: Reason) -> Result<(), Ended> {
        let fetched = match self.fetch().await {
            Ok(fetched) => fetched,
            Err(Error::Cancelled { .. }) => return Err(Ended),
            Err(error) => return self.failed(error).await,
        };
        self.failures = 0;
        let recovered = self.cause.take().is_some();
        if fetched.events.is_empty() && reason != Reason::Asked && !recovered {
            return Ok(());
        }
        let refs = fetched.refs.clone();
        let changed = !fetched.events.is_empty();
        let (ack, recorded) = oneshot::channel();
        let url = self.url.clone();
        self.tell(SourceInput::Fetched { url, fetched, recovered, ack: Ack(ack) }).await?;
        tokio::select! {
            () = self.cancel.cancelled() => return Err(Ended),
            recorded = recorded => if recorded.is_ok() {
                let left = std::mem::replace(&mut self.known, refs);
                self.gone.extend(left);
                self.gone.retain(|name, _| !self.known.contains_key(name));
                while self.gone.len() > GONE_MAX {
                    self.gone.pop_first();
                }
            },
        }
        if changed {
            self.maintain().await;
        }
        Ok(())
    }

    async fn failed(&mut self, error: Error) -> Result<(), Ended> {
        self.failures = self.failures.saturating_add(1);
        let cause = error.with_causes();
        if self.cause.as_ref() == Some(&cause) {
            tracing::debug!(cause, failures = self.failures, "still failing");
            return Ok(());
        }
        self.cause = Some(cause);
        self.tell(SourceInput::Failed { url: self.url.clone(), error }).await
    }

    /// Fetches on a thread that may block; a cancellation ends it there.
    async fn fetch(&mut self) -> Result<Fetched, Error> {
        let (url, options) = (self.url.clone(), self.options.clone());
        let (mirror, hints) = (self.mirror.clone(), self.hints.clone());
        let (known, gone) = (self.known.clone(), self.gone.clone());
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cancelled);
        let mut fetch = tokio::task::spawn_blocking(move || {
            if let Some(hints) = hints {
                hints.arm();
            }
            let mirror = match mirror {
                Some(mirror) => mirror,
                None => Arc::new(Mirror::open(&options, &url)?),
            };
            let fetched = mirror.fetch(&known, &gone, &flag)?;
            Ok((mirror, fetched))
        });
        let result = tokio::select! {
            result = &mut fetch => result,
            () = self.cancel.cancelled() => {
                cancelled.store(true, Ordering::Relaxed);
                fetch.await
            }
        };
        let (mirror, fetched) = match result {
            Ok(result) => result?,
            Err(error) => {
                tracing::error!(url = self.url, %error, "fetch panicked");
                return Err(Error::Panicked { repo: super::location::redact(&self.url) });
            }
        };
        self.mirror = Some(mirror);
        Ok(fetched)
    }

    /// Tidies the mirror after the owner has what it waits for.
    async fn maintain(&self) {
        let Some(mirror) = self.mirror.clone() else { return };
        match tokio::task::spawn_blocking(move || mirror.maintain()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "mirror could not be tidied"),
            Err(error) => tracing::error!(url = self.url, %error, "tidying a mirror panicked"),
        }
    }

    async fn tell(&self, input: SourceInput) -> Result<(), Ended> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(Ended),
            sent = self.inputs.send(input) => sent.map_err(|_| Ended),
        }
    }
}

/// The delay after that many failures in a row: doubling, capped, and spread by a quarter so that
/// many repositories on one server do not come at once.
fn backoff(failures: u32, random: u32) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let capped = doubled.min(RETRY_MAX);
    let spread = f64::from(random) / f64::from(u32::MAX) * 0.25;
    capped.mul_f64(1.0 - spread)
}

fn random() -> u32 {
    // Without randomness the delays are merely not spread.
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_are_spread() {
        let seconds: Vec<_> = (1..=7).map(|failures| backoff(failures, 0).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(1, u32::MAX), Duration::from_millis(1500));
        assert_eq!(backoff(u32::MAX, 0), RETRY_MAX);
    }
}
