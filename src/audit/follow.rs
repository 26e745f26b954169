//! Follows the API server's audit log while the daemon runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::file::{Chunk, Tail};
use super::intake::{Intake, Position};
use super::record::{self, Malformed, Record};
use crate::ledger;
use crate::ledger::event::AuditTrouble;
use crate::model::Timestamp;
use crate::replay::AuditState;

/// How often the file is looked at without a hint: there are file systems that give none.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it is recorded how far was read when there was nothing worth recording…
const READ_EVERY: Duration = Duration::from_secs(60);
/// …and after how many bytes.
const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// After what time without a request it is recorded that the end was seen: by then it shows that
/// nothing more of the time of the last one comes.
const QUIET: Duration = Duration::from_secs(45);
/// How many looks in a row must fail before that is recorded. One fails while the file is being
/// rotated.
const FAILURES_MIN: u32 = 2;

/// Which file to follow, and from where.
pub struct Follower {
    /// The file's path: the source's name.
    source: String,
    path: PathBuf,
    tail: Option<Tail>,
    position: Position,
    /// The end of the newest request that was read.
    newest: Option<Timestamp>,
    /// Whether it is recorded that the file cannot be read.
    troubled: bool,
    failures: u32,
    /// Since when, and for how many bytes, it was not recorded how far was read; and whether that
    /// is further than what is recorded.
    since: Instant,
    bytes: u64,
    owed: bool,
    /// Since when it is owed to say that the end was seen after the last request.
    untold: Option<Instant>,
    /// Whether nothing was ever recorded of the source.
    first: bool,
}

impl Follower {
    /// Goes on where the ledger says that the file was read up to.
    #[must_use]
    pub fn new(path: &Path, audit: &AuditState) -> Self {
        let source = path.display().to_string();
        let known = audit.sources.get(&source);
        let resume = known.filter(|known| known.read.0 > 0).map(|known| (known.file, known.offset));
        let newest = known.and_then(|known| known.newest);
        let tail = Tail::new(path, resume, newest);
        Self {
            source,
            path: path.to_owned(),
            tail: Some(tail),
            position: resume.map_or_else(Position::default, |(file, offset)| Position {
                file,
                offset,
                end: None,
            }),
            newest,
            troubled: known.is_some_and(|known| known.unreadable.is_some()),
            failures: 0,
            since: Instant::now(),
            bytes: 0,
            owed: false,
            untold: None,
            first: resume.is_none(),
        }
    }

    /// Reads and records what there is, up to a bound; says whether there is more.
    async fn step(&mut self, intake: &Intake) -> Result<bool, ledger::Error> {
        let Some(tail) = self.tail.take() else { return Ok(false) };
        let (kinds, began) = (intake.kinds(), Timestamp::now());
        let read = tokio::task::spawn_blocking(move || {
            let mut tail = tail;
            let read = tail.read().map(|mut chunk| {
                let lines = std::mem::take(&mut chunk.lines);
                let records = lines.iter().map(|line| record::read(line, &kinds));
                let bad = std::mem::take(&mut chunk.bad).into_iter().map(Err);
                let records: Vec<_> = records.chain(bad).collect();
                (chunk, records)
            });
            (tail, read)
        });
        let Ok((tail, read)) = read.await else {
            // It panicked, or the program ends: what was recorded is where to go on.
            self.tail = Some(self.again());
            return Ok(false);
        };
        self.tail = Some(tail);
        match read {
            Ok((chunk, records)) => self.record(intake, chunk, records, began).await,
            Err(error) => self.failed(intake, &error).await.map(|()| false),
        }
    }

    /// A reader that goes on where the last one was: at the beginning, while nothing was read.
    fn again(&self) -> Tail {
        let Position { file, offset, .. } = self.position;
        let resume = (file != Position::default().file).then_some((file, offset));
        Tail::new(&self.path, resume, self.newest)
    }

    async fn record(
        &mut self,
        intake: &Intake,
        chunk: Chunk,
        records: Vec<Result<Record, Malformed>>,
        began: Timestamp,
    ) -> Result<bool, ledger::Error> {
        self.failures = 0;
        if std::mem::take(&mut self.troubled) {
            intake.trouble(&self.source, AuditTrouble::Over, "", 0).await?;
        }
        for (trouble, what) in chunk.troubles {
            intake.trouble(&self.source, trouble, what, 0).await?;
        }
        let (file, offset) = chunk.position;
        self.owed |= (self.position.file, self.position.offset) != chunk.position;
        let end = (!chunk.more).then_some(began);
        self.position = Position { file, offset, end };
        self.bytes += chunk.bytes;
        let overdue = self.bytes >= READ_BYTES_MAX || self.since.elapsed() >= READ_EVERY;
        let quiet = self.untold.is_some_and(|since| since.elapsed() >= QUIET) && !chunk.more;
        let due = self.owed && overdue || self.first || quiet;
        let tally = intake.take(&self.source, records, self.position, due).await?;
        self.newest = self.newest.max(tally.newest);
        if due || tally.recorded > 0 || tally.malformed.is_some() {
            (self.since, self.bytes) = (Instant::now(), 0);
            (self.owed, self.first) = (false, false);
            self.untold = (tally.recorded > 0).then(Instant::now);
        }
        Ok(chunk.more)
    }

    async fn failed(&mut self, intake: &Intake, error: &io::Error) -> Result<(), ledger::Error> {
        self.failures += 1;
        if self.troubled || self.failures < FAILURES_MIN {
            return Ok(());
        }
        self.troubled = true;
        intake.trouble(&self.source, AuditTrouble::Unreadable, error.to_string(), 0).await
    }

    /// Records how far was read, if that was not recorded.
    async fn finish(&mut self, intake: &Intake) -> Result<(), ledger::Error> {
        if !self.owed {
            return Ok(());
        }
        intake.take(&self.source, Vec::new(), self.position, true).await.map(|_| ())
    }
}

/// Follows the file until `cancel`.
///
/// # Errors
/// The ledger failed.
pub async fn follow(
    mut follower: Follower,
    intake: Intake,
    cancel: CancellationToken,
) -> Result<(), ledger::Error> {
    let hints = Hints::new(&follower.path);
    loop {
        hints.arm();
        while follower.step(&intake).await? {
            if cancel.is_cancelled() {
                return follower.finish(&intake).await;
            }
        }
        // What failed once is looked at again soon: it may only be rotated.
        let pause = if follower.failures == 1 { LOOK_EVERY / 25 } else { LOOK_EVERY };
        tokio::select! {
            () = hints.hint.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return follower.finish(&intake).await,
        }
    }
}

/// Tells when the file may have changed.
struct Hints {
    hint: Arc<Notify>,
    dir: PathBuf,
    watcher: std::sync::Mutex<Option<RecommendedWatcher>>,
}

impl Hints {
    fn new(path: &Path) -> Self {
        let hint = Arc::new(Notify::new());
        let told = Arc::clone(&hint);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let handler = move |event: notify::Result<notify::Event>| {
            let concerns = event.as_ref().map_or(true, |event| {
                let named = |path: &PathBuf| match (path.file_name(), &stem) {
                    (Some(name), Some(stem)) => name.to_string_lossy().starts_with(stem.as_str()),
                    _ => true,
                };
                !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(named))
            });
            if concerns {
                told.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the audit log cannot be watched, relying on polling");
        }
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        Self { hint, dir, watcher: std::sync::Mutex::new(watcher.ok()) }
    }

    /// Watches the directory, which may have come only now. Renewing a watch is harmless.
    fn arm(&self) {
        let Ok(mut watcher) = self.watcher.lock() else { return };
        if let Some(watcher) = watcher.as_mut()
            && let Err(error) = watcher.watch(&self.dir, RecursiveMode::NonRecursive)
        {
            tracing::debug!(%error, "the directory of the audit log cannot be watched");
        }
    }
}

#[cfg(test)]
mod tests;
