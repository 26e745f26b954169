//! One life of greffier: people, pushes and faults by chance, then calm, then the verdict.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::daemon::Sim;
use super::identity::settle_in;
use super::trees::{CHILD, MapTrees, OBJECTS, Tree, policy};
use crate::command::{Command, Decision, Then, decide};
use crate::ledger::event::{AppHoldEndedV1, HoldEnd, HoldEndedV1};
use crate::model::{AppName, ObjectKey, canonical_json};
use crate::query::instant::At;
use crate::replay::World;
use crate::replay::testing::{application, cascading, key, name};

/// Applications with a folder in the repository.
const FOLDERS: &[&str] = &["alpha", "beta", "root", CHILD];
/// Objects of people that are in no folder.
pub(super) const FOREIGN: &[&str] = &["ConfigMap/prod/foreign-1", "ConfigMap/prod/foreign-2"];
/// How many times the clock may be moved to the next alarm before everything must be at rest.
/// Bound: retries back off, and end.
const ALARMS_MAX: usize = 200;
/// How many instants may be rolled back to.
const PAST_MAX: usize = 4;
/// How much may be done between two moves of the clock.
const BUSY_MAX: usize = 4_000;

/// What a run came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) events: usize,
    pub(super) sent: usize,
    pub(super) effects: usize,
    pub(super) kills: usize,
    pub(super) holds: usize,
    pub(super) rollbacks: usize,
    pub(super) trees: usize,
    pub(super) brought: usize,
    pub(super) restores: usize,
    pub(super) accepted: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.sent += other.sent;
        self.effects += other.effects;
        self.kills += other.kills;
        self.holds += other.holds;
        self.rollbacks += other.rollbacks;
        self.trees += other.trees;
        self.brought += other.brought;
        self.restores += other.restores;
        self.accepted += other.accepted;
    }
}

/// A run of one seed.
pub(super) struct Story {
    pub(super) sim: Sim,
    roots: Vec<(AppName, Vec<u8>)>,
    /// The application that an operator defined, while it is.
    beta: bool,
    pub(super) foreign: BTreeMap<ObjectKey, Value>,
    kills: usize,
    /// The world as it was before the last pushes.
    pub(super) past: Vec<World>,
}

impl Story {
    pub(super) fn new(seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        let foreign = settle_in(&mut sim);
        let trees = FOLDERS.map_trees(&mut sim, false);
        sim.git.push(trees);
        let roots = ["alpha", "root"].map(|app| {
            let make = if sim.random.chance(50) { cascading } else { application };
            let manifest = make(app, policy(1 + sim.random.below(3)));
            (name(app), canonical_json(&manifest))
        });
        Self { sim, roots: roots.to_vec(), beta: false, foreign, kills: 0, past: Vec::new() }
    }

    /// Lives `steps` steps of chance, calms down, and is judged.
    pub(super) fn run(&mut self, steps: usize) -> Result<Counts, String> {
        self.sim.start(false, &self.roots);
        for _ in 0..steps {
            self.step();
            self.verdict()?;
        }
        self.calm();
        for round in 0..3 {
            self.rest()?;
            self.ask(round);
        }
        self.rest()?;
        self.as_git_says()?;
        self.stays_quiet()?;
        self.sim.checker.all_settled();
        self.verdict()?;
        Ok(Counts {
            events: self.sim.appended(),
            sent: self.sim.checker.sent,
            effects: self.sim.checker.effects,
            kills: self.kills,
            holds: self.sim.checker.kept_by_people,
            rollbacks: self.sim.checker.rolled_back,
            trees: self.sim.checker.trees,
            brought: self.sim.checker.brought,
            restores: self.sim.restores,
            accepted: self.sim.place.accepted,
        })
    }

    /// The API server is away for `ms` milliseconds while Git and greffier go on; says how many
    /// events that made.
    pub(super) fn outage(&mut self, ms: u64) -> Result<usize, String> {
        const SLICES: u64 = 60;
        self.sim.start(false, &self.roots);
        self.calm();
        self.rest()?;
        let (events, sent) = (self.sim.appended(), self.sim.checker.sent);
        self.sim.away = true;
        for slice in 0..SLICES {
            if slice == SLICES / 2 {
                let trees = self.possible_trees();
                self.sim.git.push(trees);
            }
            self.exhaust()?;
            self.sim.pass(ms / SLICES);
        }
        self.exhaust()?;
        if self.sim.checker.sent > sent {
            return Err("something was sent to an API server that is known to be away".into());
        }
        let events = self.sim.appended() - events;
        self.sim.away = false;
        for round in 0..3 {
            self.rest()?;
            self.ask(round);
        }
        self.rest()?;
        self.as_git_says()?;
        self.stays_quiet()?;
        self.verdict()?;
        Ok(events)
    }

    fn verdict(&self) -> Result<(), String> {
        match &self.sim.checker.wrong {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(()),
        }
    }

    // --- chance

    fn step(&mut self) {
        let sim = &mut self.sim;
        match sim.random.below(100) {
            0..27 => {
                sim.drive();
            }
            27..47 => {
                sim.work();
            }
            47..60 => {
                sim.deliver();
            }
            60..73 => {
                sim.watch();
            }
            73..83 => {
                sim.record();
            }
            83..86 => {
                sim.fetch();
            }
            86..89 => {
                sim.cluster.control();
            }
            89..91 => {
                sim.notice();
            }
            91..93 => {
                let longest = [20, 500, 5_000, 60_000, 600_000][sim.random.below(5)];
                let ms = sim.random.below(longest);
                sim.pass(u64::try_from(ms).unwrap());
            }
            93..97 => self.person(),
            97 => self.push(),
            _ => self.fault(),
        }
        if self.sim.daemon.is_none() && self.sim.random.chance(20) {
            let observe = self.sim.random.chance(5);
            self.sim.start(observe, &self.roots);
        }
    }

    fn push(&mut self) {
        let sim = &mut self.sim;
        self.past.push(sim.head.clone());
        self.past.drain(..self.past.len().saturating_sub(PAST_MAX));
        if sim.random.chance(15) && sim.git.rewind() {
            sim.tell("the branch is rewound");
            if sim.random.chance(50) {
                return;
            }
        }
        let app = *sim.random.pick(FOLDERS).unwrap();
        let mut changes = vec![(app.to_owned(), Tree::random(&mut sim.random, app, false))];
        if sim.random.chance(30) {
            let app = *sim.random.pick(FOLDERS).unwrap();
            changes.push((app.to_owned(), Tree::random(&mut sim.random, app, false)));
        }
        let commit = sim.git.push(changes);
        sim.tell(format!("{} is pushed", commit.short()));
    }

    fn fault(&mut self) {
        let sim = &mut self.sim;
        let turn = sim.random.below(100);
        match sim.random.below(12) {
            9 => sim.cluster.save(),
            10 => sim.restore(),
            11 => self.switch(),
            0..3 => {
                self.kills += usize::from(sim.daemon.is_some());
                sim.kill();
            }
            3 => {
                sim.away = !sim.away;
                sim.tell(format!("the API server is away: {}", sim.away));
            }
            4 => {
                sim.git.away = !sim.git.away;
                sim.tell(format!("the repository is away: {}", sim.git.away));
            }
            5 => {
                if let Some(daemon) = &mut sim.daemon {
                    let kind = daemon.observer.gap(turn);
                    sim.tell(format!("the watch of {kind} breaks"));
                }
            }
            6 | 7 => {
                if let Some(daemon) = &mut sim.daemon
                    && daemon.observer.miss_deletion(turn, &sim.cluster)
                {
                    sim.tell("a deletion is not shown");
                }
            }
            _ => {
                let back = sim.random.below(20);
                if let Some(daemon) = &mut sim.daemon {
                    daemon.observer.repeat(turn, back);
                }
                sim.tell("a watch repeats itself");
            }
        }
    }

    // --- people

    fn person(&mut self) {
        if self.sim.random.chance(60) { self.touch() } else { self.command() }
    }

    /// Somebody changes an object by hand.
    fn touch(&mut self) {
        let sim = &mut self.sim;
        let key = key(sim.random.pick(OBJECTS).unwrap());
        let there = sim.cluster.get(&key).is_some();
        let value = json!(format!("v{}", sim.random.below(3)));
        let what = sim.random.below(9);
        sim.tell(format!("by hand: {what} on {key} (there: {there})"));
        match what {
            0 | 1 => {
                sim.cluster.update_as("kubectl-edit", &key, |o| o["data"]["k1"] = value.clone());
            }
            2 => sim.cluster.update_as("kubectl-edit", &key, |o| {
                o["metadata"]["labels"]["by-hand"] = value.clone();
            }),
            3 if there => sim.cluster.update_as("kubectl-edit", &key, |object| {
                if let Some(data) = object["data"].as_object_mut() {
                    data.remove("k0");
                }
            }),
            4 if there => {
                let manifest = json!({
                    "apiVersion": "v1", "metadata": {"labels": {"team": "t9"}}, "data": {"k2": value},
                });
                let _ = sim.cluster.apply_as("flux", &key, &manifest, true);
            }
            5 if there => {
                // A write of unknown fate cannot be proven greffier's any more.
                let uid = sim.cluster.uid(&key).unwrap_or_default();
                sim.checker.lets_go(&uid);
                sim.cluster.disown(&key);
            }
            6 if there => sim.cluster.update_as("people", &key, |object| {
                object["metadata"]["finalizers"] = json!(["example.org/slow"]);
            }),
            7 if there => sim.cluster.delete_as_a_person(&key),
            8 if there => {
                sim.cluster.delete_as_a_person(&key);
                sim.cluster
                    .update_as("people", &key, |object| object["data"]["k1"] = value.clone());
            }
            _ => {}
        }
    }

    /// Somebody tells greffier something.
    fn command(&mut self) {
        let sim = &mut self.sim;
        let app = (*sim.random.pick(FOLDERS).unwrap()).to_owned();
        let reason = String::new;
        let command = match sim.random.below(36) {
            0 => {
                let ms = u64::try_from(sim.random.below(900_000)).unwrap();
                let until = sim.random.chance(70).then(|| sim.now.plus_ms(ms + 1));
                Command::Pause { app, until, reason: reason() }
            }
            1 | 2 => Command::Resume { app },
            3 => Command::Sync {
                app,
                prune: sim.random.chance(60),
                only: Vec::new(),
                reason: reason(),
            },
            4 | 5 => {
                let Some(gate) = sim.head.apps.get(&name(&app)).and_then(|app| app.gate.as_ref())
                else {
                    return;
                };
                Command::Approve { app, plan: gate.plan.to_string(), reason: reason() }
            }
            6 => {
                let make = if sim.random.chance(50) { cascading } else { application };
                self.beta = true;
                Command::AddApp { manifest: make("beta", policy(sim.random.below(4))) }
            }
            7 => {
                let ms = u64::try_from(sim.random.below(300_000)).unwrap();
                let until = sim.random.chance(70).then(|| sim.now.plus_ms(ms + 1));
                Command::Freeze { until, reason: reason() }
            }
            8 => Command::Unfreeze,
            9..12 => {
                let drifts = sim.drifts();
                let recent = &drifts[drifts.len().saturating_sub(4)..];
                let Some((event, drift)) = sim.random.pick(recent).cloned() else { return };
                let ms = u64::try_from(sim.random.below(300_000)).unwrap();
                let until = sim.random.chance(50).then(|| sim.now.plus_ms(ms + 1));
                Command::Keep { event, drift: Some(Box::new(drift)), until, reason: reason() }
            }
            12 => {
                let holds = sim.head.apps.values().flat_map(|app| &app.holds);
                let holds: Vec<String> = holds.map(|hold| hold.seq.to_string()).collect();
                let Some(subject) = sim.random.pick(&holds).cloned() else { return };
                Command::Release { subject, namespace: None }
            }
            14..24 => {
                let Some(past) = sim.random.pick(&self.past) else { return };
                let to = At { seq: past.seq, time: past.now, timed: false, what: String::new() };
                let apps: Vec<String> = past.apps.keys().map(ToString::to_string).collect();
                let Some(app) = sim.random.pick(&apps).cloned() else { return };
                let then = Then::of(past, &app);
                let ms = u64::try_from(sim.random.below(300_000)).unwrap();
                let until = sim.random.chance(50).then(|| sim.now.plus_ms(ms + 1));
                Command::Rollback { app, to, said: "then".into(), then, until, reason: reason() }
            }
            24 => Command::Release { subject: app, namespace: None },
            25 | 26 => return self.accept_cluster(),
            27..36 => return self.go_back(),
            _ => {
                self.beta = false;
                Command::RemoveApp { app: "beta".into(), cascade: Some(false) }
            }
        };
        self.tell_greffier(&command);
    }

    /// A command reaches the daemon, if it runs. What it is decided from may be a little old.
    pub(super) fn tell_greffier(&mut self, command: &Command) {
        let Some(daemon) = &self.sim.daemon else {
            self.beta = self.sim.head.apps.contains_key(&name("beta"));
            return;
        };
        if let Ok(Decision::Record(event)) = decide(&daemon.world, self.sim.now, command) {
            self.sim.append(*event, Vec::new());
        }
        let beta = self.sim.head.apps.get(&name("beta"));
        self.beta = beta.is_some_and(|beta| !beta.removing);
    }

    // --- calm

    /// Folders that can be followed.
    fn possible_trees(&mut self) -> Vec<(String, Tree)> {
        let mut trees = FOLDERS.map_trees(&mut self.sim, true);
        if self.sim.random.chance(50) {
            // Nobody is in anybody's way.
            Tree::part(&mut self.sim.random, &mut trees);
        } else {
            // Who comes second reports that and cannot end well: nothing may wait for it.
            trees.iter_mut().for_each(|(_, tree)| tree.flatten());
        }
        trees
    }

    /// Nothing goes wrong any more, and Git says something that can be done.
    fn calm(&mut self) {
        let trees = self.possible_trees();
        let sim = &mut self.sim;
        sim.tell("calm");
        sim.faults = false;
        sim.away = false;
        sim.git.away = false;
        sim.git.push(trees);
        if sim.daemon.as_ref().is_none_or(|daemon| daemon.world.observe) || sim.head.observe {
            sim.kill();
            sim.start(false, &self.roots);
        }
        if let Some(daemon) = &mut sim.daemon {
            daemon.observer.relist();
        }
        if sim.head.frozen.is_some() {
            sim.append(crate::ledger::event::UnfrozenV1 { expired: false }, Vec::new());
        }
        let held = sim.head.apps.iter().filter(|(_, app)| !app.holds.is_empty());
        let released =
            held.map(|(name, app)| HoldEndedV1::of(name.clone(), &app.holds, HoldEnd::Released));
        for event in released.collect::<Vec<_>>() {
            sim.append(event, Vec::new());
        }
        let held = sim.head.apps.iter().filter_map(|(name, app)| {
            let (app, hold) = (name.clone(), app.hold.as_ref()?.seq);
            Some(AppHoldEndedV1 { app, hold, end: HoldEnd::Released, holds: Vec::new() })
        });
        for event in held.collect::<Vec<_>>() {
            sim.append(event, Vec::new());
        }
        let paused = sim.head.apps.iter().filter(|(_, app)| app.paused.is_some());
        for app in paused.map(|(name, _)| name.to_string()).collect::<Vec<_>>() {
            // The command may be early for what the daemon has folded: then the pause expires.
            let event = crate::ledger::event::ResumedV1 { app: name(&app), expired: false };
            sim.append(event, Vec::new());
        }
    }

    /// Somebody approves what waits and asks for what is not done by itself.
    fn ask(&mut self, round: usize) {
        let apps: Vec<String> = self.sim.head.apps.keys().map(ToString::to_string).collect();
        for app in apps {
            let gate = self.sim.head.apps.get(&name(&app)).and_then(|app| app.gate.clone());
            if let Some(gate) = gate {
                let (plan, reason) = (gate.plan.to_string(), String::new());
                self.tell_greffier(&Command::Approve { app, plan, reason });
            } else if round < 3 {
                let (only, reason) = (Vec::new(), String::new());
                self.tell_greffier(&Command::Sync { app, prune: true, only, reason });
            }
        }
    }

    /// Everything goes on until nothing is left to do, gates aside.
    fn rest(&mut self) -> Result<(), String> {
        for _ in 0..ALARMS_MAX {
            self.exhaust()?;
            let gates: Vec<(String, String)> = self
                .sim
                .head
                .apps
                .iter()
                .filter_map(|(name, app)| {
                    Some((name.to_string(), app.gate.as_ref()?.plan.to_string()))
                })
                .collect();
            if let Some((app, plan)) = gates.into_iter().next() {
                self.tell_greffier(&Command::Approve { app, plan, reason: String::new() });
                continue;
            }
            if let Some(command) = self.sim.acceptance() {
                self.tell_greffier(&command);
                continue;
            }
            let Some(alarm) = self.sim.next_alarm() else { return Ok(()) };
            let ms = alarm.ms_since(self.sim.now) + 1;
            self.sim.pass(ms);
        }
        Err("nothing comes to rest".into())
    }

    /// Everybody works until nobody has anything to do at this time.
    fn exhaust(&mut self) -> Result<(), String> {
        for _ in 0..BUSY_MAX {
            self.verdict()?;
            let sim = &mut self.sim;
            let busy = sim.drive()
                || sim.work()
                || sim.deliver()
                || sim.notice()
                || sim.watch()
                || sim.record()
                || sim.fetch()
                || sim.cluster.control();
            if !busy {
                return Ok(());
            }
        }
        Err("greffier is busy without end".into())
    }

    // --- the verdict

    fn wanters(&self, key: &ObjectKey) -> Vec<(&'static str, Value)> {
        let child = self
            .sim
            .git
            .at_head("root")
            .objects()
            .is_some_and(|objects| objects.keys().any(|key| key.is_application()));
        let lives = |app: &str| match app {
            "beta" => self.beta,
            CHILD => child,
            _ => true,
        };
        let apps = FOLDERS.iter().filter(|app| lives(app));
        let wants = apps.filter_map(|app| {
            let tree = self.sim.git.at_head(app);
            Some((*app, tree.objects()?.get(key)?.value.clone()))
        });
        wants.collect()
    }

    fn as_git_says(&self) -> Result<(), String> {
        let cluster = &self.sim.cluster;
        for (key, before) in &self.foreign {
            if cluster.get(key).as_ref() != Some(before) {
                return Err(format!("{key} is nobody's and was changed"));
            }
        }
        for key in OBJECTS.iter().map(|text| key(text)) {
            let wanters = self.wanters(&key);
            let live = cluster.get(&key);
            let Some(live) = live else {
                if let Some((app, _)) = wanters.first() {
                    return Err(format!("{key} is in the folder of {app} and not in the cluster"));
                }
                continue;
            };
            if wanters.is_empty() {
                let uid = cluster.uid(&key).unwrap();
                let kept = super::outside::options(&live).contains("=false");
                if !kept && !self.sim.checker.may_stay(&uid) {
                    return Err(format!("{key} is in no folder and still in the cluster"));
                }
            } else if !wanters.iter().any(|(app, manifest)| is_as(&live, app, manifest)) {
                return Err(format!("{key} is not as Git says: {live}\n{wanters:?}"));
            }
        }
        Ok(())
    }

    /// A day passes and nothing is written.
    fn stays_quiet(&mut self) -> Result<(), String> {
        let (events, sent) = (self.sim.appended(), self.sim.checker.sent);
        for _ in 0..24 {
            self.sim.pass(3_600_000);
            self.exhaust()?;
        }
        let (events, sent) = (self.sim.appended() - events, self.sim.checker.sent - sent);
        if events > 0 || sent > 0 {
            return Err(format!("{events} events and {sent} requests on a quiet day"));
        }
        Ok(())
    }
}

/// Whether greffier owns exactly what the manifest says, with these values.
fn is_as(live: &Value, app: &str, manifest: &Value) -> bool {
    let mut wanted = manifest.clone();
    wanted["metadata"]["annotations"][crate::cluster::OWNER_ANNOTATION] = json!(app);
    let entries = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let own = entries.iter().find(|entry| entry["manager"] == crate::cluster::FIELD_MANAGER);
    let Some(own) = own else { return false };
    let fields = |value: &Value| super::cluster::owned_fields(value);
    own["fieldsV1"] == fields(&wanted) && super::cluster::agrees(live, &wanted)
}
