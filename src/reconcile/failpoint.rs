//! Points between plan, intent, request, response and outcome at which a test may have the
//! daemon killed: `GREFFIER_FAILPOINT=NAME:N` kills it as if by `kill -9` when it comes to the
//! point NAME for the Nth time.
//!
//! Only in builds with debug assertions; in a release build there is nothing to be switched on.

/// A decision is about to be recorded as an intent.
pub(super) const DECIDED: &str = "decided";
/// An intent is durable.
pub(super) const INTENDED: &str = "intended";
/// A request is about to be sent.
pub(super) const SENDING: &str = "sending";
/// A request was answered.
pub(super) const ANSWERED: &str = "answered";
/// An outcome is durable.
pub(super) const RECORDED: &str = "recorded";
/// What became of a write is found out and about to be recorded.
pub(super) const SETTLING: &str = "settling";
/// What became of a write is durable.
pub(super) const SETTLED: &str = "settled";
/// A render is about to be recorded.
pub(super) const RENDERED: &str = "rendered";

/// A commit is about to be pushed.
pub(super) const PUSHING: &str = "pushing";
/// A push has ended, and how is about to be recorded.
pub(super) const PUSHED: &str = "pushed";

/// Dies here, if a test asked for it.
#[cfg(debug_assertions)]
pub(super) fn reach(point: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("GREFFIER_FAILPOINT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    let Some((name, count)) = chosen else { return };
    if name == point && COUNT.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        tracing::warn!(point, "killed at a failpoint");
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may take a moment; nothing may happen meanwhile.
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

/// Nothing: release builds have no failpoints.
#[cfg(not(debug_assertions))]
pub(super) fn reach(_: &str) {}
