//! The driver: folds the ledger's tail, asks the machine, carries out its commands.
//!
//! One task owns the world's write side. Everything slow (renders, comparisons, cluster writes)
//! runs in jobs beside it; a job appends its own events and then says that it is done. The loop
//! decides only after folding everything that it appended itself, so no decision is taken twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::machine::{Command, Machine};
use super::rest::Rest;
use super::{execute, failpoint, programs_job, render_job, roll_back, settle};
use crate::cluster::Connection;
use crate::ledger::event::{DeadlineReachedV1, Event};
use crate::ledger::{self, Draft, Ledger, Recorded, Tail};
use crate::model::{AppName, Digest, ObjectKey, Seq, Timestamp};
use crate::plan::{Compared, Limits};
use crate::render::Tools;
use crate::replay::World;

/// How many comparisons run at once.
const COMPARISONS_MAX: usize = 4;
/// How many dry runs are asked for at once: fewer than writes, which come first.
const DRY_RUNS_MAX: usize = 4;

/// What surfaces read: the world, and the comparisons that found nothing.
#[derive(Debug, Default)]
pub struct View {
    /// The world at the last folded event.
    pub world: World,
    /// Comparisons that found nothing new.
    pub compared: Compared,
}

/// What the driver works with. Every job and every write has its own clone.
#[derive(Clone)]
pub struct Parts {
    /// The ledger.
    pub ledger: Ledger,
    /// The cluster.
    pub cluster: Connection,
    /// The world, shared with surfaces; the driver alone writes it.
    pub view: Arc<RwLock<View>>,
    /// The last folded event, for those who wait until the world has caught up.
    pub folded: watch::Sender<Seq>,
    /// How much may be deleted without asking.
    pub limits: Arc<Limits>,
    /// The renderers.
    pub tools: Arc<Tools>,
    /// Where mirrors are and how they are read.
    pub mirrors: Arc<crate::source::Options>,
    /// A directory for what a render needs on disk; emptied by its users.
    pub scratch: Arc<Path>,
    /// For how long the writes of an intent may be made.
    pub write_timeout: Duration,
    /// Says which repositories to mirror.
    pub track: mpsc::Sender<BTreeSet<String>>,
    /// Says which objects are watched by name, although objects of their kinds are not watched
    /// unasked.
    pub named: watch::Sender<BTreeSet<ObjectKey>>,
}

impl Parts {
    /// The world as of the last folded event.
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        // A panic while the view was held leaves a world that is whole up to some event.
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the driver stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger failed: without it nothing may be decided or written.
    #[error("the ledger failed: nothing more is decided or written")]
    Ledger(#[from] ledger::Error),
    /// A job panicked: that is a bug.
    #[error("a reconcile job panicked")]
    Job(#[source] tokio::task::JoinError),
}

/// A job that ended.
pub(super) enum Done {
    Rendered(AppName),
    Compared {
        app: AppName,
        key: ObjectKey,
        judged: (Seq, Digest),
        nothing_new: bool,
    },
    Previewed {
        app: AppName,
        key: ObjectKey,
    },
    Executed(Seq),
    /// What there is to know of the programs is recorded.
    Looked,
}

/// Folds, decides and acts until it is cancelled.
pub struct Driver {
    parts: Parts,
    machine: Machine,
    jobs: JoinSet<Result<Done, ledger::Error>>,
    renders: Arc<tokio::sync::Semaphore>,
    comparisons: Arc<tokio::sync::Semaphore>,
    dry_runs: Arc<tokio::sync::Semaphore>,
    writes: Arc<tokio::sync::Semaphore>,
    /// The last event of our own that must be folded before the next decision.
    must_fold: Seq,
    /// Something happened since the last decision.
    undecided: bool,
    rest: Rest,
    cancel: CancellationToken,
}

impl Driver {
    /// A driver over a view that was folded up to some position of the ledger.
    #[must_use]
    pub fn new(parts: Parts, cancel: CancellationToken) -> Self {
        Self {
            machine: Machine::new((*parts.limits).clone()).writing_within(parts.write_timeout),
            jobs: JoinSet::new(),
            renders: Arc::new(tokio::sync::Semaphore::new(parts.tools.parallel)),
            comparisons: Arc::new(tokio::sync::Semaphore::new(COMPARISONS_MAX)),
            dry_runs: Arc::new(tokio::sync::Semaphore::new(DRY_RUNS_MAX)),
            writes: Arc::new(tokio::sync::Semaphore::new(execute::WRITES_MAX)),
            must_fold: Seq::ZERO,
            undecided: true,
            rest: Rest::new(Instant::now()),
            parts,
            cancel,
        }
    }

    /// Runs until cancelled. Writes that were begun get their outcomes recorded before it returns.
    ///
    /// # Errors
    /// The ledger failed, or a job panicked.
    pub async fn run(mut self) -> Result<(), Error> {
        let position = self.parts.read().world.seq;
        self.parts.folded.send_replace(position);
        let mut tail = self.parts.ledger.subscribe(position);
        self.jobs.spawn(programs_job::run(self.parts.clone()));
        self.decide().await?;
        loop {
            let wake = self.wake();
            tokio::select! {
                // Cancel safety: a tail only advances when a batch is returned.
                batch = tail.next_batch() => {
                    self.fold(&batch?);
                    // What was appended as one is judged as one, also where it is folded in two.
                    self.must_fold = self.must_fold.max(tail.aim());
                }
                // Cancel safety: a JoinSet loses nothing.
                Some(done) = self.jobs.join_next() => self.done(done.map_err(Error::Job)??),
                () = tokio::time::sleep_until(wake) => self.deadline().await?,
                () = self.cancel.cancelled() => break,
            }
            while let Some(done) = self.jobs.try_join_next() {
                self.done(done.map_err(Error::Job)??);
            }
            if self.undecided {
                self.decide().await?;
            }
        }
        self.drain(tail).await
    }

    /// Lets the jobs finish what they began and folds what they recorded.
    async fn drain(mut self, mut tail: Tail) -> Result<(), Error> {
        while let Some(done) = self.jobs.join_next().await {
            self.done(done.map_err(Error::Job)??);
        }
        while self.parts.read().world.seq < self.parts.ledger.head() {
            let batch = tail.next_batch().await?;
            self.fold(&batch);
        }
        Ok(())
    }

    fn fold(&mut self, batch: &[Arc<Recorded>]) {
        self.undecided = true;
        let mut view = self.parts.view.write().unwrap_or_else(PoisonError::into_inner);
        for recorded in batch {
            let envelope = &recorded.envelope;
            match &recorded.event {
                Some(event) => {
                    let touched = view.world.apply(envelope.seq, envelope.recorded, event);
                    self.machine.touch(touched);
                    let cluster = &view.world.cluster;
                    if matches!(event, Event::ClusterAccepted(_)) && cluster.doubt().is_none() {
                        self.parts.cluster.accept(&cluster.identity.kept);
                    }
                }
                // A kind that this version does not know changes nothing that it knows.
                None => view.world.seq = envelope.seq,
            }
        }
        self.parts.folded.send_replace(view.world.seq);
    }

    fn done(&mut self, done: Done) {
        self.undecided = true;
        match done {
            Done::Rendered(app) => self.machine.rendered(&app),
            Done::Compared { app, key, judged, nothing_new } => {
                if nothing_new {
                    let mut view = self.parts.view.write().unwrap_or_else(PoisonError::into_inner);
                    view.compared.insert(key.clone(), judged);
                }
                self.machine.compared(&app, &key, judged);
            }
            Done::Previewed { app, key } => self.machine.previewed(&app, &key),
            Done::Looked => {}
            Done::Executed(intent) => self.machine.ended(intent),
        }
        // Whatever the job appended must be folded before its subject is judged again.
        self.must_fold = self.must_fold.max(self.parts.ledger.head());
    }

    /// Asks the machine, once everything that it should know is folded. What is intended already is
    /// carried out first, because its time runs; planning may rest.
    async fn decide(&mut self) -> Result<(), Error> {
        let intended = self.intended();
        self.carry_out_all(intended).await?;
        let planned = self.planned();
        self.carry_out_all(planned).await
    }

    fn intended(&mut self) -> Vec<Command> {
        let view = self.parts.view.read().unwrap_or_else(PoisonError::into_inner);
        if view.world.seq < self.must_fold {
            return Vec::new();
        }
        self.machine.carry_out(&view.world)
    }

    fn planned(&mut self) -> Vec<Command> {
        let view = self.parts.view.read().unwrap_or_else(PoisonError::into_inner);
        if view.world.seq < self.must_fold {
            return Vec::new();
        }
        let begun = Instant::now();
        let wait = self.rest.wait(begun, self.machine.only_written(&view.world));
        if !wait.is_zero() && !self.machine.has_room() {
            return Vec::new();
        }
        let commands = self.machine.decide(&view.world, &view.compared);
        self.undecided = false;
        self.rest.earn(begun, Instant::now());
        commands
    }

    async fn carry_out_all(&mut self, commands: Vec<Command>) -> Result<(), Error> {
        for command in commands {
            self.carry_out(command).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), Error> {
        let parts = self.parts.clone();
        match command {
            Command::Append(drafts) => self.append(drafts).await?,
            Command::Track(repos) => {
                // A closed receiver means that the daemon is stopping.
                let _ = self.parts.track.send(repos).await;
            }
            Command::Name(named) => {
                parts.named.send_replace(named);
            }
            Command::Render { app, commits } => {
                let renders = Arc::clone(&self.renders);
                self.jobs.spawn(render_job::run(parts, renders, app, commits));
            }
            Command::Compare { app, comparison } => {
                let comparisons = Arc::clone(&self.comparisons);
                self.jobs.spawn(super::compare_job::run(parts, comparisons, app, comparison));
            }
            Command::DryRun { app, dry_run } => {
                let dry_runs = Arc::clone(&self.dry_runs);
                self.jobs.spawn(super::preview_job::run(parts, dry_runs, app, dry_run));
            }
            Command::Execute(intent) => {
                let job =
                    execute::run(parts, Arc::clone(&self.writes), intent, self.cancel.clone());
                self.jobs.spawn(job);
            }
            Command::Restore(seq) => {
                self.jobs.spawn(super::restore_job::run(parts, seq, self.cancel.clone()));
            }
            Command::Push(seq) => {
                self.jobs.spawn(super::push_job::run(parts, seq, self.cancel.clone()));
            }
            Command::Settle(intent) => {
                self.jobs.spawn(settle::run(parts, intent, self.cancel.clone()));
            }
            Command::RollBack(draft) => {
                let ledger = parts.ledger.clone();
                let checked =
                    tokio::task::spawn_blocking(move || roll_back::checked(&ledger, *draft));
                self.append(vec![checked.await.map_err(Error::Job)?]).await?;
            }
            Command::Refuse { app, violations } => {
                for violation in violations {
                    tracing::error!(%app, %violation, "BUG: a plan breaks an invariant; it is not carried out");
                }
            }
        }
        Ok(())
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<(), Error> {
        let intends = drafts.iter().any(|draft| matches!(draft.event, Event::IntentRecorded(_)));
        if intends {
            failpoint::reach(failpoint::DECIDED);
        }
        let seqs = self.parts.ledger.append(drafts).await?;
        if intends {
            failpoint::reach(failpoint::INTENDED);
        }
        if let Some(last) = seqs.last() {
            self.must_fold = self.must_fold.max(*last);
        }
        Ok(())
    }

    /// When to wake up if nothing happens: for the decision that rests, or for what time brings.
    fn wake(&self) -> Instant {
        // Whether the clock was set back does not show by itself.
        const LONGEST: Duration = Duration::from_secs(60);
        let deadline = self.next_deadline().map_or(LONGEST, |at| {
            Duration::from_millis(at.ms_since(Timestamp::now()) + 1).min(LONGEST)
        });
        let now = Instant::now();
        let rest = self.rest.wait(now, self.machine.only_written(&self.parts.read().world));
        // A decision that is due and was not taken waits for events, which wake it themselves.
        now + if self.undecided && !rest.is_zero() { deadline.min(rest) } else { deadline }
    }

    /// The next deadline that no event has said yet. One that was said stays the machine's until
    /// it decides, which may rest.
    fn next_deadline(&self) -> Option<Timestamp> {
        let (now, clock) = (self.parts.read().world.now, Timestamp::now());
        if self.parts.read().world.is_ahead_of(clock) {
            // Any event says so, and nothing else may happen for long.
            return Some(clock);
        }
        self.machine.deadline().filter(|deadline| *deadline > now)
    }

    async fn deadline(&mut self) -> Result<(), Error> {
        match self.next_deadline() {
            Some(deadline) if deadline <= Timestamp::now() => {
                self.append(vec![Draft::new(DeadlineReachedV1 { deadline })]).await
            }
            _ => Ok(()),
        }
    }
}
