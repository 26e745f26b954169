//! The reconcile machine: what happened goes in, commands come out. Pure.
//!
//! It keeps nothing that matters: which applications to look at again, and which commands are
//! under way so that they are not given twice. Everything else is the world. Losing the machine
//! loses nothing; it asks for the same things again.

mod asked;
mod attention;
mod autoscaled;
mod children;
mod health;
mod holds;
mod pushes;
mod restores;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use children::declare;
use children::{children, removed};

use crate::ledger::Draft;
use crate::ledger::event::{
    ContestEndedV1, ContestNamedV1, DriftDetectedV1, DriftKind, GateLapsedV1, IntentRecordedV1,
    OutcomeRecordedV1, PlanGatedV1, RemovalAwaitedV1, RenderFailedV1, ResumedV1, SyncFinishedV1,
    UnfrozenV1, Verb, Write, WriteResult, WritesSuspendedV1,
};
use crate::model::{AppName, CommitId, Digest, ObjectKey, Seq, Timestamp};
use crate::plan::{self, Compared, Comparison, DryRun, Limits, Plan, Violation};
use crate::replay::{App, OpenIntent, Touched, World};

/// How many writes one intent lists. Bound: an intent is one frame's payload and one unit of
/// recovery; a thousand objects become a few intents.
pub const INTENT_WRITES_MAX: usize = 256;
/// How many writes may have an intent at once, of one application and of all. Bound: their time
/// runs from when the intent is recorded, so no more are intended than can be sent in it; at 8 at
/// a time the larger number is sent within 10 s as long as one takes less than 100 ms. Two intents
/// of an application, so that the writers never wait for a decision; and room beside them, so that
/// the small do not wait for the large.
pub const APP_WRITES_MAX: usize = 2 * INTENT_WRITES_MAX;
const ALL_WRITES_MAX: usize = 3 * INTENT_WRITES_MAX;

/// For how long the writes of an intent may be made, where nobody says otherwise: after a crash,
/// what may still arrive keeps its objects waiting for so long.
const WRITE_TIMEOUT_MS: u32 = 10_000;

/// Something for the driver to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Append these events, then fold them before the next decision.
    Append(Vec<Draft>),
    /// Keep mirrors of exactly these repositories.
    Track(BTreeSet<String>),
    /// Watch these objects by name, although objects of their kinds are not watched unasked.
    Name(BTreeSet<ObjectKey>),
    /// Render an application at a commit and append what came of it.
    Render {
        /// The application.
        app: AppName,
        /// The commit of each of its sources.
        commits: Vec<CommitId>,
    },
    /// Compare an object with what was applied and append what was found.
    Compare {
        /// The application.
        app: AppName,
        /// What with what.
        comparison: Comparison,
    },
    /// Ask the API server what an apply would change and append its answer.
    DryRun {
        /// The application.
        app: AppName,
        /// What to ask.
        dry_run: DryRun,
    },
    /// Carry out an intent, which is durable.
    Execute(Seq),
    /// Find out by observing what became of an intent's writes.
    Settle(Seq),
    /// Bring back objects of no application, as the event intends; or see whether that was done.
    Restore(Seq),
    /// Push a commit, as the event intends; or see whether that was done.
    Push(Seq),
    /// Append this rollback, or that it is refused where what it goes back to cannot be read.
    RollBack(Box<Draft>),
    /// A plan broke a rule that must never be broken: nothing is done for the application.
    Refuse {
        /// The application.
        app: AppName,
        /// The rules.
        violations: Vec<Violation>,
    },
}

/// The machine's own memory.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    write_timeout_ms: u32,
    dirty: BTreeSet<AppName>,
    all_dirty: bool,
    rendering: BTreeSet<AppName>,
    comparing: BTreeMap<ObjectKey, (Seq, Digest)>,
    /// Dry runs under way.
    asking: BTreeSet<(AppName, ObjectKey)>,
    busy: BTreeSet<Seq>,
    /// Applications whose plans have more writes than may be open: looked at again when an
    /// intent has ended.
    postponed: BTreeSet<AppName>,
    has_room: bool,
    tracked: Option<BTreeSet<String>>,
    /// What was ever named: what is watched once stays known, so that nothing that leaves and comes
    /// back is looked at through stale eyes.
    named: BTreeSet<ObjectKey>,
    deadlines: BTreeMap<AppName, Timestamp>,
    /// When the freeze ends by itself.
    thaws: Option<Timestamp>,
}

impl Machine {
    /// A machine that looks at every application first.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            write_timeout_ms: WRITE_TIMEOUT_MS,
            dirty: BTreeSet::new(),
            all_dirty: true,
            rendering: BTreeSet::new(),
            comparing: BTreeMap::new(),
            asking: BTreeSet::new(),
            busy: BTreeSet::new(),
            postponed: BTreeSet::new(),
            has_room: false,
            tracked: None,
            named: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            thaws: None,
        }
    }

    /// The same, with so long for the writes of an intent.
    #[must_use]
    pub fn writing_within(self, write_timeout: Duration) -> Self {
        let ms = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
        Self { write_timeout_ms: ms, ..self }
    }

    /// Notes what an event touched.
    pub fn touch(&mut self, touched: Touched) {
        self.all_dirty |= touched.all;
        self.dirty.extend(touched.apps);
    }

    /// A render ended: its event, if any, was folded.
    pub fn rendered(&mut self, app: &AppName) {
        self.rendering.remove(app);
        self.dirty.insert(app.clone());
    }

    /// The comparison of what was `judged` ended: its event, if any, was folded. One of a later
    /// observation may be under way.
    pub fn compared(&mut self, app: &AppName, key: &ObjectKey, judged: (Seq, Digest)) {
        if self.comparing.get(key) == Some(&judged) {
            self.comparing.remove(key);
        }
        self.dirty.insert(app.clone());
    }

    /// A dry run ended: its event was folded.
    pub fn previewed(&mut self, app: &AppName, key: &ObjectKey) {
        self.asking.remove(&(app.clone(), key.clone()));
        self.dirty.insert(app.clone());
    }

    /// The driver is done with an intent: carried out or settled as far as it got.
    pub fn ended(&mut self, intent: Seq) {
        self.busy.remove(&intent);
        self.has_room = !self.postponed.is_empty();
        self.dirty.append(&mut self.postponed);
    }

    /// Whether writes were postponed for which there is room now: the next decision must not wait,
    /// or nobody would write meanwhile.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// Whether nothing is to be looked at but applications that are being written.
    #[must_use]
    pub fn only_written(&self, world: &World) -> bool {
        let busy = self.busy.iter().filter_map(|seq| world.intents.get(seq));
        let written: BTreeSet<_> = busy.map(|intent| &intent.app).collect();
        !self.all_dirty && self.dirty.iter().all(|app| written.contains(app))
    }

    /// The next time at which time alone changes a decision.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadlines.values().copied().chain(self.thaws).min()
    }

    /// Decides what to do now. The driver folds everything it appended before it asks again.
    pub fn decide(&mut self, world: &World, compared: &Compared) -> Vec<Command> {
        self.has_room = false;
        let mut commands = Vec::new();
        self.attend(world, &mut commands);
        let apps = self.take_dirty(world);
        self.deadlines.retain(|app, _| world.apps.contains_key(app));
        let mut drafts = Vec::new();
        let mut intents = Vec::new();
        self.thaw(world, &mut drafts);
        holds::announce_adrift(world, &mut drafts);
        for name in apps {
            let Some(app) = world.apps.get(&name) else { continue };
            self.render(world, &name, app, &mut commands, &mut drafts);
            let Some(mut plan) = plan::plan(world, &name, &self.limits, compared) else { continue };
            let violations = plan::check(world, &plan);
            if !violations.is_empty() {
                // What waits is announced all the same, and what breaks no rule is done.
                plan.refuse(&violations);
                commands.push(Command::Refuse { app: name.clone(), violations });
            }
            match self.roll_back(world, (&name, app), &plan, compared) {
                // What is wanted is another thing then.
                Some(command) => commands.push(command),
                None => self.follow(world, app, plan, &mut commands, &mut drafts, &mut intents),
            }
        }
        self.intend(world, intents, &mut drafts);
        if !drafts.is_empty() {
            commands.push(Command::Append(drafts));
        }
        commands.extend(self.carry_out(world));
        commands
    }

    fn take_dirty(&mut self, world: &World) -> Vec<AppName> {
        // A deadline that has passed is over, whatever became of what it was for.
        let passed = self.deadlines.iter().filter(|(_, at)| **at <= world.now);
        self.dirty.extend(passed.map(|(app, _)| app.clone()));
        self.deadlines.retain(|_, at| *at > world.now);
        let dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.all_dirty) {
            world.apps.keys().cloned().collect()
        } else {
            dirty.into_iter().collect()
        }
    }

    /// A freeze that has run out ends with an event.
    fn thaw(&mut self, world: &World, drafts: &mut Vec<Draft>) {
        self.thaws = world.freeze().and_then(|freeze| freeze.until);
        if world.frozen.is_some() && world.freeze().is_none() {
            drafts.push(Draft::new(UnfrozenV1 { expired: true }));
        }
    }

    fn render(
        &mut self,
        world: &World,
        name: &AppName,
        app: &App,
        commands: &mut Vec<Command>,
        drafts: &mut Vec<Draft>,
    ) {
        // One render of an application at a time, so that results are recorded in order.
        if self.rendering.contains(name) || !world.render_pending(app) {
            return;
        }
        let Some(wanted) = world.wanted(app) else { return };
        if let Some(index) = wanted.iter().position(Option::is_none) {
            drafts.push(unknown_revision(name, app, index, wanted));
            return;
        }
        let commits = wanted.into_iter().flatten().collect();
        self.rendering.insert(name.clone());
        commands.push(Command::Render { app: name.clone(), commits });
    }

    /// Turns one plan into events and commands.
    fn follow(
        &mut self,
        world: &World,
        app: &App,
        plan: Plan,
        commands: &mut Vec<Command>,
        drafts: &mut Vec<Draft>,
        intents: &mut Vec<(AppName, Vec<Write>)>,
    ) {
        match plan.deadline {
            Some(deadline) => self.deadlines.insert(plan.app.clone(), deadline),
            None => self.deadlines.remove(&plan.app),
        };
        for comparison in &plan.compare {
            let asked = (comparison.observation, comparison.mask.digest());
            if self.comparing.get(&comparison.key) != Some(&asked) {
                self.comparing.insert(comparison.key.clone(), asked);
                let (app, comparison) = (plan.app.clone(), comparison.clone());
                commands.push(Command::Compare { app, comparison });
            }
        }
        for dry_run in &plan.dry_runs {
            if self.asking.insert((plan.app.clone(), dry_run.key.clone())) {
                let (app, dry_run) = (plan.app.clone(), dry_run.clone());
                commands.push(Command::DryRun { app, dry_run });
            }
        }
        announce(world, app, &plan, drafts);
        children(world, &plan, drafts);
        if plan.removed {
            drafts.push(removed(world, &plan.app, &app.origin, false));
        }
        if !plan.writes.is_empty() {
            intents.push((plan.app, plan.writes));
        }
    }

    /// Writes become intents, as many as may be open. While applications are being defined or
    /// removed, nothing is deleted: an object may be on its way from one application to another.
    fn intend(
        &mut self,
        world: &World,
        mut intents: Vec<(AppName, Vec<Write>)>,
        drafts: &mut Vec<Draft>,
    ) {
        let defining = drafts.iter().any(|draft| {
            use crate::ledger::event::Event;
            matches!(draft.event, Event::AppDeclared(_) | Event::AppRemoved(_))
        });
        let mut room = Room::of(world);
        // The smallest first: it is done before the largest would notice.
        intents.sort_by_key(|(_, writes)| writes.len());
        for (name, mut writes) in intents {
            if defining && writes.iter().any(|write| write.verb == Verb::Prune) {
                writes.retain(|write| write.verb != Verb::Prune);
                self.dirty.insert(name.clone());
            }
            if room.take(&name, &mut writes) {
                self.postponed.insert(name.clone());
            }
            let app = world.apps.get(&name);
            for writes in writes.chunks(INTENT_WRITES_MAX) {
                drafts.push(intent(world, (&name, app), writes, self.write_timeout_ms));
            }
        }
    }

    /// What to do about the intents that are open, which is no planning and never waits. Each is
    /// carried out once, those of an application one after the other, so that the order of its
    /// plan holds; those of an earlier run, and those with writes of unknown fate, are settled by
    /// observing.
    pub fn carry_out(&mut self, world: &World) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut earlier = BTreeSet::new();
        for (seq, intent) in &world.intents {
            let unknown = intent.writes.values().any(|open| open.unknown.is_some());
            let settles = intent.orphaned || unknown;
            // Nobody waits for what is only looked for.
            let is_first = settles || earlier.insert(&intent.app);
            if self.busy.contains(seq) {
                continue;
            }
            if settles {
                self.busy.insert(*seq);
                commands.push(Command::Settle(*seq));
                continue;
            }
            let withdrawn = withdrawn(world, intent);
            if !withdrawn.is_empty() {
                // What is left of the intent is carried out once this is folded.
                let (app, intent, results) = (intent.app.clone(), *seq, withdrawn);
                let outcome = OutcomeRecordedV1 { app, intent, results };
                commands.push(Command::Append(vec![Draft::new(outcome).caused_by(intent)]));
            } else if is_first {
                self.busy.insert(*seq);
                commands.push(Command::Execute(*seq));
            }
        }
        self.restore(world, &mut commands);
        self.push(world, &mut commands);
        commands
    }
}

/// How many more writes may be intended.
struct Room<'w> {
    world: &'w World,
    all: usize,
}

impl<'w> Room<'w> {
    fn of(world: &'w World) -> Self {
        let open: usize = world.intents.values().map(|intent| intent.writes.len()).sum();
        Self { world, all: ALL_WRITES_MAX.saturating_sub(open) }
    }

    /// Takes room for as many of the application's writes as there is, and leaves out the others.
    /// Returns whether there are any.
    fn take(&mut self, app: &AppName, writes: &mut Vec<Write>) -> bool {
        let intents = self.world.intents.values().filter(|intent| intent.app == *app);
        let open: usize = intents.map(|intent| intent.writes.len()).sum();
        let room = self.all.min(APP_WRITES_MAX.saturating_sub(open));
        let postponed = writes.len() > room;
        writes.truncate(room);
        self.all -= writes.len();
        postponed
    }
}

/// The intent to make `writes`, and what it follows from.
fn intent(
    world: &World,
    (name, app): (&AppName, Option<&App>),
    writes: &[Write],
    timeout_ms: u32,
) -> Draft {
    // It is no commit that removes what a hold above drops.
    let of_git = app.filter(|app| !app.removing || world.hold_behind(app).is_none());
    let commit = of_git.and_then(App::commit).cloned();
    let causes = app.map_or_else(Vec::new, |app| asked::causes(world, app, writes));
    let (app, writes) = (name.clone(), writes.to_vec());
    let body = IntentRecordedV1 { app, writes, commit, timeout_ms };
    causes.into_iter().fold(Draft::new(body), Draft::caused_by)
}

/// The writes of an intent that nobody wants any more: others may have recorded something
/// between the decision and the intent, a pause, a freeze or a render, and have been told that it counts.
fn withdrawn(world: &World, intent: &OpenIntent) -> Vec<(u32, WriteResult)> {
    let writes = intent.writes.iter();
    let withdrawn = writes.filter_map(|(index, open)| {
        let why = plan::withdrawn(world, &intent.app, &open.write)?;
        Some((*index, WriteResult::NotSent(why.to_owned())))
    });
    withdrawn.collect()
}

fn unknown_revision(
    name: &AppName,
    app: &App,
    index: usize,
    commits: Vec<Option<CommitId>>,
) -> Draft {
    let source = app.spec.sources.get(index);
    let (revision, repo) = source.map_or(("", ""), |s| (s.revision.as_str(), s.repo.as_str()));
    let error = format!("revision `{revision}` is not in repository {repo}");
    let (app, declared) = (name.clone(), app.declared);
    Draft::new(RenderFailedV1 { app, declared, commit: None, commits, transient: false, error })
}

/// Everything about a plan that people should be told, told once.
fn announce(world: &World, app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    if world.cluster.doubt().is_some() {
        // Nothing else is known. Gates and the like wait as they are. What ends by time or by Git
        // ends, whatever the cluster is: what would follow from accepting it is judged without.
        resume(world, app, plan, drafts);
        holds::announce(world, &plan.app, app, drafts);
        return health::announce(app, plan, drafts);
    }
    for key in &plan.deleted {
        drafts.push(Draft::new(DriftDetectedV1 {
            app: plan.app.clone(),
            key: key.clone(),
            kind: DriftKind::Deleted,
            fields: Vec::new(),
            places: Vec::new(),
            managers: Vec::new(),
            observation: world.seq,
            mask: Digest::default(),
            saved: None,
            later: None,
        }));
    }
    announce_gate(app, plan, drafts);
    if !plan.awaits.iter().eq(app.awaits.keys()) {
        let (app, objects) = (plan.app.clone(), plan.awaits.clone());
        drafts.push(Draft::new(RemovalAwaitedV1 { app, objects }));
    }
    announce_contests(world, app, plan, drafts);
    autoscaled::announce(world, &plan.app, app, drafts);
    if plan.suspended != app.suspended {
        let (app, reasons) = (plan.app.clone(), plan.suspended.clone());
        drafts.push(Draft::new(WritesSuspendedV1 { app, reasons }));
    }
    health::announce_turns(world, app, plan, drafts);
    health::announce(app, plan, drafts);
    resume(world, app, plan, drafts);
    // What ends with a hold is told once it has ended.
    if !holds::announce(world, &plan.app, app, drafts) {
        announce_end(world, app, plan, drafts);
    }
}

/// A pause that has run out ends with an event.
fn resume(world: &World, app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    if app.paused.as_ref().and_then(|pause| pause.until).is_some_and(|until| until <= world.now) {
        drafts.push(Draft::new(ResumedV1 { app: plan.app.clone(), expired: true }));
    }
}

/// Contests are named once, and told to be over once.
fn announce_contests(world: &World, app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    for (key, rival, contest) in app.contests() {
        let (app, key) = (plan.app.clone(), key.clone());
        let (path, manager) = (rival.path.clone(), rival.manager.clone());
        if contest.ends() <= world.now {
            drafts.push(Draft::new(ContestEndedV1 { app, key, path, manager }));
        } else if contest.named.is_none() {
            let wait_ms = contest.wait_ms();
            let named = ContestNamedV1 { app, key, path, manager, wait_ms };
            drafts.push(Draft::new(named).caused_by(contest.since));
        }
    }
}

fn announce_gate(app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    match (&plan.gate, &app.gate) {
        // What the API server is still being asked about may belong to it.
        (Some(_), _) if !plan.dry_runs.is_empty() => {}
        (Some(gated), recorded)
            if recorded.as_ref().is_none_or(|r| r.plan != gated.hash || r.is_void()) =>
        {
            let mut draft = Draft::new(PlanGatedV1 {
                app: plan.app.clone(),
                plan: gated.hash,
                reasons: gated.reasons.clone(),
                writes: gated.writes.clone(),
                apps: gated.apps.clone(),
                render: gated.render,
                commit: app.judged().map(|newest| newest.revision.commit.clone()),
            });
            if let Some(desired) = app.judged() {
                draft = draft.caused_by(desired.seq);
            }
            drafts.push(draft);
        }
        (None, Some(gate)) => {
            drafts.push(Draft::new(GateLapsedV1 { app: plan.app.clone(), plan: gate.plan }));
        }
        _ => {}
    }
}

/// The end of a revision is told once per render and result, and once per request. A commit that
/// leaves the application as it was is no end of anything.
fn announce_end(world: &World, app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    let (Some(finished), Some(commit)) = (&plan.finished, app.commit()) else { return };
    let told = app.last_sync.as_ref().is_some_and(|last| {
        app.desired.as_ref().is_some_and(|desired| desired.seq < last.seq)
            && world.cluster.identity.accepted < last.seq
            && last.succeeded == finished.succeeded
            && last.message == finished.message
    });
    if told && app.request.is_none() {
        return;
    }
    let mut draft = Draft::new(SyncFinishedV1 {
        app: plan.app.clone(),
        commit: commit.clone(),
        succeeded: finished.succeeded,
        message: finished.message.clone(),
        counts: app.counts,
        request: app.request.as_ref().map(|request| request.seq),
        approval: app.approved.map(|approval| approval.seq),
    });
    let causes = [app.desired.as_ref().map(|d| d.seq), app.request.as_ref().map(|r| r.seq)];
    for cause in causes.into_iter().flatten() {
        draft = draft.caused_by(cause);
    }
    drafts.push(draft);
}

#[cfg(test)]
mod tests;
