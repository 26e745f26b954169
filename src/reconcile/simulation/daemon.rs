//! The daemon under simulation: the driver's loop, its jobs and recorders, one step at a time.
//!
//! Mirrors `reconcile::driver`: commands are carried out one after the other while others append;
//! nothing is decided before everything that the daemon appended itself is folded. A crash drops
//! all of this; what was sent stays on its way.

use std::collections::{BTreeMap, VecDeque};

use super::checker::Checker;
use super::cluster::FakeCluster;
use super::git::FakeGit;
use super::identity::Place;
use super::jobs::{Action, Execute, Job, Network, Request, rank};
use super::observer::{Key, Observer};
use super::random::Random;
use super::recorded::shown;
use super::trees::Tree;
use crate::cluster::{
    self, ApplyRequest, Class, DeleteRequest, Normalised, Propagation, Stored, normalize,
};
use crate::ledger::event::{
    DaemonStartedV1, DeadlineReachedV1, DesiredObject, Event, HoldOf, IntentSettledV1,
    ObjectPreviewedV1, OutcomeRecordedV1, Preview, RenderFailedV1, RenderSucceededV1,
    RevisionAdvancedV1, RevisionRef, Verb, Write, WriteResult,
};
use crate::ledger::{Blob, Draft};
use crate::model::{AppName, BlobAddr, CommitId, Digest, ObjectKey, Seq, Timestamp};
use crate::plan::{Compared, Comparison, DryRun, Limits};
use crate::reconcile::execute::take_over;
use crate::reconcile::machine::{Command, Machine};
use crate::reconcile::settle::Shows;
use crate::reconcile::{compare_job, execute, settle};
use crate::replay::testing::REPO;
use crate::replay::{OpenIntent, World};

pub(super) const MAIN: &str = "refs/heads/main";

/// What a job says at its end.
enum Ended {
    Rendered(AppName),
    Compared { app: AppName, key: ObjectKey, judged: (Seq, Digest), nothing_new: bool },
    Previewed(AppName, ObjectKey),
    Executed(Seq),
}

/// Everything that dies with the process.
pub(super) struct Daemon {
    pub(super) world: World,
    pub(super) compared: Compared,
    pub(super) machine: Machine,
    pub(super) observer: Observer,
    commands: VecDeque<Command>,
    pub(super) jobs: Vec<Job>,
    ended: VecDeque<Ended>,
    must_fold: Seq,
    /// Where the source saw `main` last.
    pub(super) main: Option<CommitId>,
    pub(super) lost: bool,
}

/// The ledger, everything outside the daemon, and the daemon while it runs.
pub(super) struct Sim {
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) cluster: FakeCluster,
    /// The API server cannot be reached.
    pub(super) away: bool,
    pub(super) git: FakeGit,
    pub(super) network: Network,
    pub(super) checker: Checker,
    pub(super) daemon: Option<Daemon>,
    /// Whether anything goes wrong.
    pub(super) faults: bool,
    pub(super) trace: Vec<String>,
    /// Which cluster answers.
    pub(super) place: Place,
    /// How many times the cluster was restored.
    pub(super) restores: usize,
    /// How many times the daemon decided something.
    pub(super) commands: usize,
    pub(super) events: Vec<(Timestamp, Event)>,
    blobs: BTreeMap<BlobAddr, Vec<u8>>,
    /// The fold of every event, which a restart must come to as well.
    pub(super) head: World,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            now: Timestamp::from_seconds(1_800_000_000),
            cluster: FakeCluster::default(),
            away: false,
            git: FakeGit::default(),
            network: Network::default(),
            checker: Checker::default(),
            daemon: None,
            faults: true,
            trace: Vec::new(),
            place: Place::default(),
            restores: 0,
            commands: 0,
            events: Vec::new(),
            blobs: BTreeMap::new(),
            head: World::default(),
        }
    }

    pub(super) fn tell(&mut self, what: impl Into<String>) {
        let at = self.now.ms_since(Timestamp::from_seconds(1_800_000_000));
        self.trace.push(format!("{at:>9} ms  {}", what.into()));
    }

    // --- the ledger

    pub(super) fn append(&mut self, event: impl Into<Event>, blobs: Vec<Blob>) -> Seq {
        let event = event.into();
        let seq = Seq(self.events.len() as u64 + 1);
        self.tell(format!("#{seq} {}", shown(&event)));
        for blob in blobs {
            self.blobs.insert(blob.addr, blob.bytes().to_vec());
        }
        self.now = self.now.plus_ms(1);
        if matches!(event, Event::IntentRecorded(_)) {
            self.checker.kept = self.kept();
        }
        self.checker.event(seq, self.now, &event);
        self.place.recorded(&event);
        self.head.apply(seq, self.now, &event);
        self.events.push((self.now, event));
        seq
    }

    pub(super) fn appended(&self) -> usize {
        self.events.len()
    }

    // --- life and death

    /// Starts the daemon on what the ledger has.
    pub(super) fn start(&mut self, observe: bool, roots: &[(AppName, Vec<u8>)]) {
        let mut world = World::default();
        for (seq, (recorded, event)) in (1..).map(Seq).zip(&self.events) {
            world.apply(seq, *recorded, event);
        }
        assert!(world == self.head, "another fold of the same events came to another world");
        self.append(DaemonStartedV1 { version: "sim".into(), observe, pid: 1 }, Vec::new());
        for (name, manifest) in roots {
            if world.apps.get(name).is_none_or(|app| app.manifest != Digest::of(manifest)) {
                let origin = crate::ledger::event::Origin::Config;
                let draft = crate::reconcile::machine::declare(name, manifest, origin);
                self.append(draft.event, Vec::new());
            }
        }
        let world = self.head.clone();
        let main = world.repos.get(REPO).and_then(|repo| repo.refs.get(MAIN).cloned());
        self.daemon = Some(Daemon {
            observer: self.observer(&world),
            compared: Compared::new(),
            machine: Machine::new(Limits::default()),
            commands: VecDeque::new(),
            jobs: Vec::new(),
            ended: VecDeque::new(),
            must_fold: Seq::ZERO,
            main,
            lost: false,
            world,
        });
    }

    /// Kills the daemon.
    pub(super) fn kill(&mut self) {
        if self.daemon.take().is_some() {
            self.tell("the daemon is killed");
            self.network.heard.clear();
        }
    }

    // --- the driver

    /// One step of the driver. Returns whether there was anything to do.
    pub(super) fn drive(&mut self) -> bool {
        let Some(mut daemon) = self.daemon.take() else { return false };
        let busy = self.drive_daemon(&mut daemon);
        self.daemon = Some(daemon);
        busy
    }

    fn drive_daemon(&mut self, daemon: &mut Daemon) -> bool {
        if let Some(command) = daemon.commands.pop_front() {
            self.carry_out(daemon, command);
            return true;
        }
        let folded = self.fold(daemon);
        let mut ended = false;
        while let Some(job) = daemon.ended.pop_front() {
            ended = true;
            match job {
                Ended::Rendered(app) => daemon.machine.rendered(&app),
                Ended::Compared { app, key, judged, nothing_new } => {
                    if nothing_new {
                        daemon.compared.insert(key.clone(), judged);
                    }
                    daemon.machine.compared(&app, &key, judged);
                }
                Ended::Previewed(app, key) => daemon.machine.previewed(&app, &key),
                Ended::Executed(intent) => daemon.machine.ended(intent),
            }
            daemon.must_fold = daemon.must_fold.max(Seq(self.events.len() as u64));
        }
        if daemon.world.seq < daemon.must_fold {
            return folded || ended;
        }
        let commands = daemon.machine.decide(&daemon.world, &daemon.compared);
        self.commands += commands.len();
        let decided = !commands.is_empty();
        daemon.commands.extend(commands);
        let deadline = daemon.machine.deadline().filter(|deadline| *deadline <= self.now);
        if let (false, Some(deadline)) = (decided, deadline) {
            daemon.must_fold = self.append(DeadlineReachedV1 { deadline }, Vec::new());
            return true;
        }
        folded || ended || decided
    }

    /// Folds some of the tail; all of it once nothing goes wrong.
    fn fold(&mut self, daemon: &mut Daemon) -> bool {
        let open = self.events.len() - usize::try_from(daemon.world.seq.0).unwrap();
        let some =
            if self.faults && self.random.chance(50) { self.random.below(open + 1) } else { open };
        for _ in 0..some {
            let seq = daemon.world.seq.next();
            let (recorded, event) = &self.events[usize::try_from(seq.0).unwrap() - 1];
            let touched = daemon.world.apply(seq, *recorded, event);
            daemon.machine.touch(touched);
        }
        some > 0
    }

    fn carry_out(&mut self, daemon: &mut Daemon, command: Command) {
        match command {
            Command::Append(drafts) => {
                for Draft { event, .. } in drafts {
                    daemon.must_fold = self.append(event, Vec::new());
                }
            }
            Command::RollBack(draft) => self.carry_out(daemon, Command::Append(vec![*draft])),
            Command::Track(_) | Command::Name(_) => {}
            Command::Render { app, mut commits } => {
                let commit = commits.remove(0);
                daemon.jobs.push(Job::Render { app, commit, ended: None });
            }
            Command::Compare { app, comparison } => {
                daemon.jobs.push(Job::Compare { app, comparison });
            }
            Command::DryRun { app, dry_run } => daemon.jobs.push(Job::Preview { app, dry_run }),
            Command::Execute(intent) => match daemon.world.intents.get(&intent) {
                Some(open) => daemon.jobs.push(Job::Execute(Execute::new(intent, open.clone()))),
                None => daemon.ended.push_back(Ended::Executed(intent)),
            },
            Command::Settle(intent) => match daemon.world.intents.get(&intent) {
                Some(open) => daemon.jobs.push(Job::Settle { intent, open: open.clone() }),
                None => daemon.ended.push_back(Ended::Executed(intent)),
            },
            Command::Restore(seq) => panic!("nobody has what is restored by {seq}"),
            Command::Push(seq) => panic!("nobody pushes here: {seq}"),
            Command::Refuse { app, violations } => {
                let wrong = format!("{app}: a plan was refused: {violations:?}");
                self.checker.wrong.get_or_insert(wrong);
            }
        }
    }

    // --- jobs

    /// One step of one job. Returns whether there was anything to do.
    pub(super) fn work(&mut self) -> bool {
        let Some(mut daemon) = self.daemon.take() else { return false };
        let mut jobs = std::mem::take(&mut daemon.jobs);
        let first = self.random.below(jobs.len());
        let mut worked = false;
        for turn in 0..jobs.len() {
            let at = (first + turn) % jobs.len();
            let (busy, over) = self.work_on(&mut daemon, &mut jobs[at]);
            if over {
                jobs.remove(at);
            }
            worked |= busy;
            if worked {
                break;
            }
        }
        daemon.jobs = jobs;
        self.daemon = Some(daemon);
        worked
    }

    /// Moves a job on: whether it moved, and whether it is over.
    fn work_on(&mut self, daemon: &mut Daemon, job: &mut Job) -> (bool, bool) {
        match job {
            Job::Render { app, commit, ended: ended @ None } => {
                *ended = Some(Box::new(self.rendered(daemon, app, commit)));
                (true, false)
            }
            Job::Render { app, ended: Some(ended), .. } => {
                let (event, blobs) = &mut **ended;
                self.append(event.clone(), std::mem::take(blobs));
                daemon.ended.push_back(Ended::Rendered(app.clone()));
                (true, true)
            }
            Job::Compare { app, comparison } => {
                self.compare(daemon, app, comparison);
                (true, true)
            }
            Job::Preview { app, dry_run } => {
                self.preview(daemon, app, dry_run);
                (true, true)
            }
            Job::Execute(execute) => self.execute(daemon, execute),
            Job::Settle { intent, open } => self.settle(daemon, *intent, open),
        }
    }

    fn settle(&mut self, daemon: &mut Daemon, intent: Seq, open: &mut OpenIntent) -> (bool, bool) {
        if open.writes.is_empty() {
            daemon.ended.push_back(Ended::Executed(intent));
            return (true, true);
        }
        if let Some(ended) = self.unsettled(daemon, intent, open) {
            return ended;
        }
        let over = open.deadline < self.now;
        let (mut results, mut blobs) = (Vec::new(), Vec::new());
        for (index, open_write) in &open.writes {
            let (result, blob) = self.observe(daemon, &open.app, &open_write.write);
            if over || settle::is_proof(&open_write.write, &result) {
                results.push((*index, result));
                blobs.extend(blob);
            }
        }
        if results.is_empty() {
            return (false, false);
        }
        open.writes.retain(|index, _| !results.iter().any(|(settled, _)| settled == index));
        let app = open.app.clone();
        self.append(IntentSettledV1 { app, intent, results }, blobs);
        (true, false)
    }

    fn compare(&mut self, daemon: &mut Daemon, app: &AppName, comparison: &Comparison) {
        let bytes = |addr: &BlobAddr| self.blobs.get(addr).expect("events name durable blobs");
        let pair = (bytes(&comparison.baseline).as_slice(), bytes(&comparison.observed).as_slice());
        let sent = || execute::claimed(bytes(&comparison.manifest), app).ok();
        let found = compare_job::compare(&Key, comparison, pair, sent);
        let state = daemon.world.apps.get(app);
        let known = state.and_then(|state| state.drift.get(&comparison.key));
        let draft = compare_job::news(app, comparison, known, found);
        let nothing_new = draft.is_none();
        if let Some(draft) = draft {
            self.append(draft.event, Vec::new());
        }
        daemon.ended.push_back(Ended::Compared {
            app: app.clone(),
            key: comparison.key.clone(),
            judged: (comparison.observation, comparison.mask.digest()),
            nothing_new,
        });
    }

    fn preview(&mut self, daemon: &mut Daemon, app: &AppName, dry_run: &DryRun) {
        let manifest = execute::claimed(&self.blobs[&dry_run.manifest], app).unwrap();
        let answer = self.cluster.dry_run(&dry_run.key, &manifest);
        let result = match answer {
            _ if self.away || !self.permitted(daemon) => Preview::Failed("away".into()),
            Err(error) if matches!(error.class(), Class::Refused) => {
                Preview::Refused(error.chain())
            }
            Err(error) => Preview::Failed(error.chain()),
            Ok(raw) => {
                let would_be = normalize(&raw, &Key).unwrap();
                let live = Stored::from_stored(&self.blobs[&dry_run.observed]).unwrap();
                match cluster::preview(&live, &would_be) {
                    fields if fields.is_empty() => Preview::Same,
                    fields => Preview::Changes(fields),
                }
            }
        };
        let DryRun { key, digest, uid, live, mask_digest: mask, .. } = dry_run.clone();
        let event = ObjectPreviewedV1 { app: app.clone(), key, digest, uid, live, mask, result };
        self.append(event, Vec::new());
        daemon.ended.push_back(Ended::Previewed(app.clone(), dry_run.key.clone()));
    }

    fn rendered(&self, daemon: &Daemon, name: &AppName, commit: &CommitId) -> (Event, Vec<Blob>) {
        let app = name.clone();
        let declared = daemon.world.apps.get(name).map(|state| state.declared).unwrap_or_default();
        let Tree::Objects(objects) = self.git.tree(commit, name.as_str()) else {
            let commit = Some(commit.clone());
            let failed = RenderFailedV1 {
                app,
                declared,
                commits: vec![commit.clone()],
                commit,
                transient: false,
                error: "web.yaml:3: bad".into(),
            };
            return (failed.into(), Vec::new());
        };
        let text: Vec<String> =
            objects.values().map(|m| format!("{} {}", m.wave, m.value)).collect();
        let inputs = Digest::of(text.join("\n").as_bytes());
        let revision =
            RevisionRef { repo: REPO.into(), tree: commit.clone(), commit: commit.clone() };
        let revisions = vec![revision.clone()];
        let state = daemon.world.apps.get(name);
        let desired = state.and_then(|state| state.of_git());
        if desired.is_some_and(|desired| desired.inputs == inputs) {
            let made_with = Vec::new();
            let advanced =
                RevisionAdvancedV1 { app, declared, revision, revisions, inputs, made_with };
            return (advanced.into(), Vec::new());
        }
        let mut blobs = Vec::new();
        let objects = objects.into_iter().map(|(key, manifest)| {
            let bytes = crate::model::canonical_json(&manifest.value);
            let blob = Blob::plain(bytes.clone(), None);
            let replicas = manifest.value.pointer("/spec/replicas").and_then(|n| n.as_u64());
            let object = DesiredObject {
                version: "v1".into(),
                manifest: blob.addr,
                digest: Digest::of(&bytes),
                wave: manifest.wave,
                replicas: replicas.map(|n| u32::try_from(n).unwrap()),
                origin: "file.yaml".into(),
                holds: Vec::new(),
                options: crate::ledger::event::ObjectOptions::default(),
                application: key.is_application().then_some(bytes),
                key,
            };
            blobs.push(blob);
            object
        });
        let event = RenderSucceededV1 {
            app,
            declared,
            revision,
            revisions,
            reused: None,
            inputs,
            sources: inputs,
            tool: "sim".into(),
            made_with: Vec::new(),
            restores: Vec::new(),
            objects: objects.collect(),
            warnings: Vec::new(),
            unknown_kinds: Vec::new(),
        };
        (event.into(), blobs)
    }

    fn observe(
        &self,
        daemon: &Daemon,
        app: &AppName,
        write: &Write,
    ) -> (WriteResult, Option<Blob>) {
        let not = || (WriteResult::NotSent("the object is not as it would be".into()), None);
        let live = self.cluster.get(&write.key);
        let last = |returned: &Normalised| self.last_applied(daemon, returned);
        match (write.verb, live) {
            (Verb::Prune | Verb::Recreate, live) => (settle::pruned(write, live.as_ref()), None),
            (_, None) => not(),
            (Verb::TakeOver, Some(live)) => {
                if !take_over::is_done(&normalize(&live, &Key).unwrap(), write.strict) {
                    return not();
                }
                let taken = execute::outcome(&Key, live, true, None, None, last);
                take_over::with_surplus(taken, true)
            }
            (_, Some(live)) => {
                let Ok(manifest) = self.manifest(app, write) else { return not() };
                match settle::shows(&Key, write, &manifest, &live) {
                    Shows::Made => execute::outcome(&Key, live, true, None, Some(&manifest), last),
                    Shows::Another(at) => (WriteResult::Another(at), None),
                    Shows::Nothing => not(),
                }
            }
        }
    }

    /// What greffier applied to the object last, if it is still that object.
    pub(super) fn last_applied(&self, daemon: &Daemon, returned: &Normalised) -> Option<Stored> {
        let owned = daemon.world.owned.get(&returned.key);
        let owned = owned.filter(|owned| owned.uid == returned.uid)?;
        Stored::from_stored(self.blobs.get(&owned.object)?).ok()
    }

    /// What is sent; or why what people hold cannot be laid over it.
    fn manifest(&self, app: &AppName, write: &Write) -> Result<serde_json::Value, String> {
        let addr = write.manifest.expect("an apply names its manifest");
        let mut manifest = execute::claimed(&self.blobs[&addr], app).unwrap();
        for seq in &write.holds {
            let Some(Event::HoldBegun(hold)) = self.event(*seq) else { panic!("{seq} is no hold") };
            for of in hold.of.iter().filter(|of| *of.key() == write.key) {
                let HoldOf::Fields(held) = of else { continue };
                let saved = &self.blobs[&held.saved];
                cluster::lay_held(&mut manifest, held, saved).map_err(|why| why.to_string())?;
            }
        }
        Ok(manifest)
    }

    fn execute(&mut self, daemon: &mut Daemon, job: &mut Execute) -> (bool, bool) {
        if job.is_done() {
            daemon.ended.push_back(Ended::Executed(job.intent));
            return (true, true);
        }
        if job.may_send() && (job.answers.is_empty() || self.random.chance(50)) {
            let (index, write) = job.queue.pop_front().unwrap();
            if let Some(result) = self.unsent(daemon, job) {
                job.answers.push((index, result, None));
                return (true, false);
            }
            self.send(daemon, job, index, &write);
            return (true, false);
        }
        (self.outcomes(job), false)
    }

    /// Records what was answered; whether there was anything.
    pub(super) fn outcomes(&mut self, job: &mut Execute) -> bool {
        if job.answers.is_empty() {
            return false;
        }
        let (mut results, mut blobs) = (Vec::new(), Vec::new());
        for (index, result, blob) in std::mem::take(&mut job.answers) {
            results.push((index, result));
            blobs.extend(blob);
        }
        let (app, intent) = (job.app.clone(), job.intent);
        self.append(OutcomeRecordedV1 { app, intent, results }, blobs);
        true
    }

    fn send(&mut self, daemon: &Daemon, job: &mut Execute, index: u32, write: &Write) {
        let id = (job.intent, index);
        let action = if write.verb == Verb::TakeOver {
            let owned = daemon.world.owned.get(&write.key);
            Action::TakeOver {
                key: write.key.clone(),
                uid: write.precondition.clone().unwrap_or_default().0,
                baseline: owned.map(|owned| owned.baseline).unwrap_or_default(),
            }
        } else if write.verb == Verb::Prune {
            let (uid, resource_version) = write.precondition.clone().unwrap_or_default();
            let request = DeleteRequest {
                key: write.key.clone(),
                version: write.version.clone(),
                uid,
                resource_version,
                propagation: Propagation::Foreground,
                audit_id: format!("sim-{}-{index}", job.intent),
            };
            let known = daemon.world.live.get(&write.key).cloned();
            Action::Delete(request, Box::new((write.clone(), known)))
        } else {
            let live = daemon.world.live.get(&write.key);
            let manifest = match self.manifest(&job.app, write) {
                Ok(manifest) => manifest,
                Err(why) => return job.answers.push((index, WriteResult::Refused(why), None)),
            };
            Action::Apply(ApplyRequest {
                key: write.key.clone(),
                version: write.version.clone(),
                manifest,
                audit_id: format!("sim-{}-{index}", job.intent),
                force: true,
                validate: write.validate,
                known: live.map(|live| live.resource_version.clone()),
                uid: live.map(|live| live.uid.clone()),
            })
        };
        self.tell(format!(
            "{} {} is sent as {}-{index}",
            write.verb.as_str(),
            write.key,
            job.intent
        ));
        self.checker.sends(id, &action);
        job.waiting.insert(index, rank(write));
        self.network.heard.insert(id);
        self.network.requests.push(Request { id, action, expires: job.deadline });
    }
}
