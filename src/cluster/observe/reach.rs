//! Whether the API server can be reached, said once per outage, and again when it turns out to be
//! away for another reason; and how long to wait.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::ClusterInput;
use crate::cluster::request::Error;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a reason stands before another one is told; twice as long each time, so that reasons
/// that take turns do not fill the ledger.
const REASON_STANDS: Duration = Duration::from_secs(10);

/// What all tasks know together about the API server's presence.
pub(super) struct Reach {
    lost: watch::Sender<bool>,
    reason: Mutex<Option<Reason>>,
    tx: mpsc::Sender<ClusterInput>,
}

/// Why the API server is away, as it was told last.
struct Reason {
    cause: String,
    stands: Duration,
    until: Instant,
}

impl Reach {
    pub(super) fn new(tx: mpsc::Sender<ClusterInput>) -> Self {
        Self { lost: watch::Sender::new(false), reason: Mutex::new(None), tx }
    }

    /// Somebody could not reach the API server. The first to notice says so, and later whoever
    /// finds another reason.
    pub(super) async fn lost(&self, error: &Error) {
        let first = self.turn(true);
        if self.is_news(first, error, Instant::now()) {
            let error = error.chain();
            tracing::warn!(%error, "the API server cannot be reached");
            // A closed channel ends the observer elsewhere.
            let _ = self.tx.send(ClusterInput::Lost { error }).await;
        }
    }

    /// The API server answered.
    pub(super) async fn found(&self) {
        if self.turn(false) {
            tracing::info!("the API server can be reached again");
            let _ = self.tx.send(ClusterInput::Found).await;
        }
    }

    /// Whether the reason is to be told: that of an outage that was `first` noticed, and another
    /// one when the last has stood for long enough.
    fn is_news(&self, first: bool, error: &Error, now: Instant) -> bool {
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        // Without what was asked for, which differs from task to task.
        let cause = innermost.to_string();
        let mut told = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = match &*told {
            _ if first => REASON_STANDS,
            Some(last) if last.cause != cause && last.until <= now => last.stands * 2,
            _ => return false,
        };
        *told = Some(Reason { cause, stands, until: now + stands });
        true
    }

    /// Returns whether this changed anything.
    fn turn(&self, lost: bool) -> bool {
        self.lost.send_if_modified(|was| std::mem::replace(was, lost) != lost)
    }

    /// Waits until the API server can be reached.
    pub(super) async fn until_found(&self) {
        self.until(false).await;
    }

    /// Waits until the API server cannot be reached.
    pub(super) async fn until_lost(&self) {
        self.until(true).await;
    }

    async fn until(&self, wanted: bool) {
        // Fails only when the sender is gone, and it lives in `self`.
        let _ = self.lost.subscribe().wait_for(|lost| *lost == wanted).await;
    }
}

/// Growing waits between tries, with jitter, so that tasks that failed together do not all come
/// back together.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST_WAIT }
    }
}

impl Backoff {
    /// How long to wait now: between half of the present step and all of it.
    pub(super) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST_WAIT);
        let share = f64::from(random_u16()) / f64::from(u16::MAX);
        step.mul_f64(0.5 + share / 2.0)
    }

    /// Something succeeded.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A random number for jitter. Without a random source there is none, which is harmless.
pub(super) fn random_u16() -> u16 {
    getrandom::u32().map_or(0, |random| (random & 0xffff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unauthorized() -> Error {
        Error::Unauthorized { subject: "list Pod".into(), message: "no".into() }
    }

    #[tokio::test]
    async fn an_outage_is_said_once_and_its_end_once() {
        let (tx, mut rx) = mpsc::channel(10);
        let reach = Reach::new(tx);
        reach.found().await;
        reach.until_found().await;
        for _ in 0..3 {
            reach.lost(&unauthorized()).await;
        }
        reach.until_lost().await;
        for _ in 0..3 {
            reach.found().await;
        }
        drop(reach);
        let mut said = Vec::new();
        while let Some(input) = rx.recv().await {
            said.push(input);
        }
        assert!(
            matches!(said.as_slice(), [ClusterInput::Lost { .. }, ClusterInput::Found]),
            "{said:?}"
        );
    }

    /// A cluster that is rebuilt refuses connections first, and then has a certificate that nobody
    /// knows.
    #[test]
    fn another_reason_is_said_once_the_last_one_has_stood() {
        let reach = Reach::new(mpsc::channel(1).0);
        let because =
            |text: &str| Error::Unauthorized { subject: "list".into(), message: text.into() };
        let (one, other) = (because("refused"), because("certificate"));
        let began = Instant::now();
        let told =
            |error, seconds| reach.is_news(false, error, began + Duration::from_secs(seconds));
        assert!(reach.is_news(true, &one, began));
        assert!(!told(&one, 20), "it is the same");
        assert!(!reach.is_news(false, &other, began + Duration::from_secs(9)));
        assert!(told(&other, 10) && !told(&other, 10));
        assert!(!told(&one, 29), "they take turns");
        assert!(told(&one, 30));
    }

    #[test]
    fn waits_grow_to_a_limit_and_start_over() {
        let mut backoff = Backoff::default();
        assert!(backoff.wait() <= FIRST_WAIT);
        for _ in 0..20 {
            backoff.wait();
        }
        let longest = backoff.wait();
        assert!(longest <= LONGEST_WAIT && longest >= LONGEST_WAIT / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.wait() <= FIRST_WAIT);
    }
}
