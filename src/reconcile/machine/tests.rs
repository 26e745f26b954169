//! The machine, driven as the driver drives it, against Git and a cluster that are perfect
//! unless a test says otherwise.
//!
//! [`Sim`] carries commands out one at a time and folds what comes of them; what a test wants to
//! hold back stays in [`Sim::held`]. Everything that was appended can be looked at.

mod bounds;
mod gate;
mod holds;
mod meanwhile;
mod rollbacks;
mod trees;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::*;
use crate::ledger::event::{
    DesiredObject, Event, FrozenV1, Health, Origin, PlanApprovedV1, Preview, WriteResult,
};
use crate::replay::testing::{
    Given, REPO, application, auto, cascading, child, commit, key, map, maps, name, object, objects,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

/// How many commands a story may take. Bound: far more than any of them needs.
const COMMANDS_MAX: usize = 2_000;

struct Sim {
    given: Given,
    machine: Machine,
    /// What each application renders to at each commit; `None` = it does not render.
    git: BTreeMap<(u64, &'static str), Option<Vec<DesiredObject>>>,
    /// Commands of these kinds are not carried out until they are released.
    hold: Vec<&'static str>,
    held: Vec<Command>,
    /// The names of the events that the machine appended or had appended.
    told: Vec<&'static str>,
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::Append(_) => "append",
        Command::Track(_) => "track",
        Command::Name(_) => "name",
        Command::Render { .. } => "render",
        Command::Compare { .. } => "compare",
        Command::DryRun { .. } => "dry run",
        Command::Execute(_) => "execute",
        Command::Settle(_) => "settle",
        Command::Restore(_) => "restore",
        Command::Push(_) => "push",
        Command::RollBack(_) => "roll back",
        Command::Refuse { .. } => "refuse",
    }
}

impl Sim {
    fn new(given: Given) -> Self {
        let machine = Machine::new(given.limits.clone());
        let (git, hold, held, told) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Self { given, machine, git, hold, held, told }
    }

    /// `web` with the given `syncPolicy`, which renders to `objects` at commit 1.
    fn web(policy: Value, objects: Vec<DesiredObject>) -> Self {
        let mut sim = Self::new(Given::app("web", policy));
        sim.at(1, "web", objects);
        sim
    }

    fn at(&mut self, commit: u64, app: &'static str, objects: Vec<DesiredObject>) {
        self.git.insert((commit, app), Some(objects));
    }

    /// Something happens; the machine hears of it.
    fn happens(&mut self, change: impl FnOnce(&mut Given)) {
        change(&mut self.given);
        self.machine.touch(Touched::all());
    }

    fn push(&mut self, commit: u64) {
        let touched = self.given.push(commit);
        self.machine.touch(touched);
    }

    /// Carries out everything until nothing is left to do.
    fn runs(&mut self) -> &mut Self {
        let mut commands = VecDeque::new();
        for _ in 0..COMMANDS_MAX {
            let Some(command) = commands.pop_front() else {
                commands.extend(self.machine.decide(&self.given.world, &self.given.compared));
                if commands.is_empty() {
                    return self;
                }
                continue;
            };
            if self.hold.contains(&kind(&command)) {
                self.held.push(command);
            } else {
                self.carries_out(command);
            }
        }
        panic!("the machine never comes to rest; it told {:?}", self.told);
    }

    /// Carries out what was held back.
    fn releases(&mut self) -> &mut Self {
        self.hold.clear();
        for command in std::mem::take(&mut self.held) {
            self.carries_out(command);
        }
        self.runs()
    }

    fn carries_out(&mut self, command: Command) {
        let before = self.given.events.len();
        match command {
            Command::Append(drafts) => {
                for draft in drafts {
                    let touched = self.given.event(draft.event);
                    self.machine.touch(touched);
                }
            }
            Command::RollBack(draft) => {
                let touched = self.given.event(draft.event);
                self.machine.touch(touched);
            }
            Command::Name(_) => {}
            Command::Track(repos) => assert!(repos.iter().all(|repo| repo == REPO)),
            Command::Render { app, commits } => self.renders(&app, &commits[0]),
            Command::Compare { app, comparison } => {
                let judged = (comparison.observation, comparison.mask.digest());
                let key = comparison.key;
                self.given.compared.insert(key.clone(), judged);
                self.machine.compared(&app, &key, judged);
            }
            Command::DryRun { app, dry_run } => {
                let touched = self.given.previews(app.as_str(), &dry_run, Preview::Same);
                self.machine.touch(touched);
                self.machine.previewed(&app, &dry_run.key);
            }
            Command::Execute(intent) => {
                assert!(!self.given.world.intents[&intent].orphaned);
                self.executes(intent);
            }
            Command::Settle(intent) => {
                let result = WriteResult::NotSent("it is not there".into());
                let touched = self.given.all_end(intent, &result);
                self.machine.touch(touched);
                self.machine.ended(intent);
            }
            Command::Restore(seq) => panic!("nobody restores here: {seq}"),
            Command::Push(seq) => panic!("nobody pushes here: {seq}"),
            Command::Refuse { app, violations } => panic!("{app}: {violations:?}"),
        }
        self.told.extend(self.given.events[before..].iter().map(|(.., event)| event.name()));
    }

    fn executes(&mut self, intent: Seq) {
        // Every event is heard of, as the driver's fold does it.
        let mut heard = self.given.clone();
        let before = self.given.events.len();
        self.given.carries_out(intent);
        for (seq, recorded, event) in &self.given.events[before..] {
            self.machine.touch(heard.world.apply(*seq, *recorded, event));
        }
        self.machine.ended(intent);
    }

    fn renders(&mut self, app: &AppName, at: &CommitId) {
        let app = app.as_str();
        let found = self.git.iter().filter(|((n, known), _)| commit(*n) <= *at && *known == app);
        let found = found.max_by_key(|((n, _), _)| *n).map(|((n, _), found)| (*n, found.clone()));
        let touched = match found {
            Some((n, Some(_)))
                if commit(n) != *at && self.given.world.apps[&name(app)].commit().is_some() =>
            {
                self.given.advances(app)
            }
            Some((_, Some(objects))) => self.given.renders(app, objects),
            Some((_, None)) | None => self.given.fails_to_render(app),
        };
        self.machine.touch(touched);
        self.machine.rendered(&name(app));
    }

    /// How often an event of this name was appended since the last question.
    fn told(&mut self, event: &str) -> usize {
        let told = std::mem::take(&mut self.told);
        told.iter().filter(|told| **told == event).count()
    }

    fn count(&self, event: &str) -> usize {
        self.told.iter().filter(|told| **told == event).count()
    }

    fn live(&self, text: &str) -> bool {
        self.given.world.live.contains_key(&key(text))
    }

    fn app(&self, app: &str) -> &App {
        &self.given.world.apps[&name(app)]
    }
}

#[test]
fn a_push_becomes_objects_and_one_finished_sync() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.runs();
    assert!(sim.live(A) && sim.live(B));
    assert_eq!(sim.count("apply.intent"), 1);
    assert_eq!(sim.count("app.health"), 2, "missing, then healthy: {:?}", sim.told);
    assert_eq!(sim.told("sync.finished"), 1);
    assert!(sim.app("web").last_sync.as_ref().unwrap().succeeded);
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.told, [""; 0], "nothing is told twice");
}

#[test]
fn an_object_that_turns_unwell_is_told_once_and_again_when_it_is_well() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.runs();
    let turns = |sim: &mut Sim, healths: &[Health]| {
        for health in healths {
            sim.happens(|given| {
                given.health.insert(key(A), *health);
                given.sees(A);
            });
            sim.runs();
        }
        sim.told("object.health")
    };
    use Health::{Degraded, Healthy, Progressing, Suspended};
    assert_eq!(turns(&mut sim, &[Progressing, Healthy]), 0);
    assert_eq!(turns(&mut sim, &[Degraded, Progressing, Degraded, Progressing]), 1);
    assert_eq!(sim.app("web").unwell.get(&key(A)), Some(&Degraded));
    assert_eq!(turns(&mut sim, &[Suspended, Suspended]), 1);
    assert_eq!(turns(&mut sim, &[Healthy, Healthy]), 1);
    assert!(sim.app("web").unwell.is_empty());
    assert_eq!(turns(&mut sim, &[Degraded]), 1);
    sim.at(2, "web", objects(&[B]));
    sim.push(2);
    sim.runs();
    assert!(sim.app("web").unwell.is_empty(), "what is no longer wanted is forgotten");
}

#[test]
fn a_revert_is_a_push_like_any_other() {
    let mut sim = Sim::web(auto(), vec![object(A, 1)]);
    sim.at(2, "web", vec![object(A, 2)]);
    sim.at(3, "web", vec![object(A, 1)]);
    sim.runs();
    let first = sim.given.world.owned[&key(A)].applied;
    for n in [2, 3] {
        sim.push(n);
        sim.runs();
    }
    assert_eq!(sim.given.world.owned[&key(A)].applied, first);
    assert_eq!(sim.told("sync.finished"), 3);
}

#[test]
fn what_is_under_way_is_not_begun_again() {
    for held in ["render", "execute"] {
        let mut sim = Sim::web(auto(), objects(&[A]));
        sim.hold = vec![held];
        for _ in 0..3 {
            sim.runs();
            sim.machine.touch(Touched::all());
        }
        assert_eq!(sim.held.len(), 1, "{held}");
        sim.releases();
        assert!(sim.live(A), "{held}");
    }
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.runs();
    sim.hold = vec!["compare"];
    sim.happens(|given| {
        given.sees(A);
    });
    sim.runs();
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.held.len(), 1);
    // Changed again meanwhile, it is compared again.
    sim.happens(|given| {
        given.sees(A);
    });
    sim.runs();
    assert_eq!(sim.held.len(), 2);
    // The end of the older comparison is not that of the newer.
    let older = sim.held.remove(0);
    sim.carries_out(older);
    sim.runs();
    assert_eq!(sim.held.len(), 1);
}

#[test]
fn a_render_of_an_old_definition_is_followed_by_one_of_the_new() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["render"];
    sim.runs();
    let job = sim.given.declared("web");
    sim.happens(|given| {
        given.declares(&application("web", json!({"automated": {}})), Origin::Config);
    });
    sim.runs();
    assert_eq!(sim.held.len(), 1, "one at a time");
    // The job ends and records what it rendered, of the definition that it began with.
    let mut render = sim.given.clone();
    render.renders("web", objects(&[B]));
    let Some((.., Event::RenderSucceeded(mut body))) = render.events.pop() else { panic!() };
    body.declared = job;
    let touched = sim.given.event(body);
    sim.machine.touch(touched);
    sim.machine.rendered(&name("web"));
    sim.held.clear();
    sim.hold.clear();
    sim.runs();
    assert!(sim.live(A) && !sim.live(B));
}

#[test]
fn a_revision_that_does_not_render_is_told_once_and_changes_nothing() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.runs();
    sim.told.clear();
    sim.git.insert((2, "web"), None);
    sim.push(2);
    sim.runs();
    assert_eq!(sim.told, ["render.failed"]);
    // Self-heal goes on from the last good one.
    let touched = {
        sim.given.loses(A);
        Touched::app(&name("web"))
    };
    sim.machine.touch(touched);
    sim.runs();
    assert!(sim.live(A));
    assert_eq!(sim.told("drift.detected"), 1);
}

#[test]
fn an_unknown_revision_is_told_once() {
    let mut manifest = application("web", auto());
    manifest["spec"]["source"]["targetRevision"] = json!("nowhere");
    let mut sim = Sim::new(Given::cluster());
    sim.happens(|given| given.declares(&manifest, Origin::Config));
    sim.runs();
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.told("render.failed"), 1);
    let problem = sim.app("web").render_problem.clone().unwrap();
    assert!(problem.error.contains("`nowhere`") && problem.error.contains(REPO), "{problem:?}");
}

#[test]
fn intents_of_an_earlier_run_are_settled_and_not_repeated() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["execute"];
    sim.runs();
    // The daemon dies; another begins with the same ledger and a new machine.
    let mut given = sim.given.clone();
    given.starts(false);
    given.lists_everything();
    let mut next = Sim { git: sim.git, ..Sim::new(given) };
    next.hold = vec!["settle"];
    next.runs();
    assert_eq!(next.held.len(), 1);
    assert!(matches!(next.held[0], Command::Settle(_)));
    assert!(!next.live(A), "nothing is written before it is known what became of the first try");
    next.releases();
    assert!(next.live(A));
}

#[test]
fn a_write_of_unknown_fate_is_settled() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["execute"];
    sim.runs();
    let Some(Command::Execute(intent)) = sim.held.pop() else { panic!("no intent") };
    let touched = sim.given.all_end(intent, &WriteResult::Unknown("timeout".into()));
    sim.machine.touch(touched);
    sim.machine.ended(intent);
    sim.hold = vec!["settle"];
    sim.runs();
    assert!(matches!(sim.held.as_slice(), [Command::Settle(settled)] if *settled == intent));
    sim.releases();
    assert!(sim.live(A));
}

#[test]
fn a_deadline_that_has_passed_is_not_asked_for_again() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.hold = vec!["execute"];
    sim.runs();
    let Some(Command::Execute(intent)) = sim.held.pop() else { panic!("no intent") };
    let touched = sim.given.all_end(intent, &WriteResult::Failed("timeout".into()));
    sim.machine.touch(touched);
    sim.machine.ended(intent);
    sim.runs();
    let deadline = sim.machine.deadline().unwrap();
    assert_eq!(deadline.ms_since(sim.given.now()), 1_000);
    // What the deadline was for is settled without anybody looking at the application.
    let attempts = &mut sim.given.world.apps.get_mut(&name("web")).unwrap().attempts;
    attempts.clear();
    let touched = sim.given.after_ms(1_000);
    sim.machine.touch(touched);
    sim.hold.clear();
    sim.runs();
    assert_eq!(sim.machine.deadline(), None);
    assert!(sim.live(A));
}

#[test]
fn a_pause_that_has_run_out_ends_with_an_event() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    let until = sim.given.now().plus_ms(10_000);
    sim.happens(|given| {
        let (app, reason) = (name("web"), String::new());
        given.event(crate::ledger::event::PausedV1 { app, until: Some(until), reason });
    });
    sim.runs();
    assert_eq!((sim.live(A), sim.machine.deadline()), (false, Some(until)));
    let touched = sim.given.after_ms(10_000);
    sim.machine.touch(touched);
    sim.runs();
    assert!(sim.live(A));
    assert_eq!((sim.told("operator.resume"), sim.app("web").paused.is_none()), (1, true));
}

#[test]
fn a_freeze_that_has_run_out_ends_with_one_event_and_every_application_goes_on() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.given.declares(&application("api", auto()), Origin::Config);
    sim.at(1, "api", objects(&[B]));
    let until = sim.given.now().plus_ms(10_000);
    sim.happens(|given| {
        given.event(FrozenV1 { until: Some(until), reason: String::new() });
    });
    sim.runs();
    assert_eq!((sim.live(A), sim.live(B), sim.machine.deadline()), (false, false, Some(until)));
    let touched = sim.given.after_ms(10_000);
    sim.machine.touch(touched);
    sim.runs();
    assert!(sim.live(A) && sim.live(B));
    assert_eq!((sim.told("operator.unfreeze"), sim.machine.deadline()), (1, None));
}

#[test]
fn a_namespace_that_comes_up_wakes_those_who_wait_for_it() {
    let mut sim = Sim::new(Given::app("web", auto()));
    sim.given.declares(&application("base", auto()), Origin::Config);
    sim.at(1, "web", objects(&["ConfigMap/stage/a"]));
    sim.at(1, "base", objects(&["Namespace/stage", A]));
    sim.runs();
    assert!(sim.live("ConfigMap/stage/a"));
    assert!(sim.app("web").last_sync.as_ref().unwrap().succeeded);
}

#[test]
fn waves_come_one_after_the_other() {
    let waved = |text: &str, wave| DesiredObject { wave, ..object(text, 1) };
    let mut sim = Sim::web(auto(), vec![waved(A, 0), waved(B, 1), waved(&map(1), 2)]);
    sim.runs();
    assert!(sim.live(&map(1)));
    assert_eq!((sim.count("apply.intent"), sim.told("sync.finished")), (3, 1));
}

#[test]
fn what_is_suspended_is_told_when_it_changes() {
    let mut manifest = application("web", auto());
    manifest["spec"]["project"] = json!("payments");
    let mut sim = Sim::new(Given::cluster());
    sim.happens(|given| given.declares(&manifest, Origin::Config));
    sim.at(1, "web", objects(&[A]));
    sim.runs();
    assert_eq!((sim.app("web").suspended.len(), sim.told("plan.suspended")), (1, 1));
    sim.happens(|given| given.declares(&application("web", auto()), Origin::Config));
    sim.runs();
    assert_eq!((sim.app("web").suspended.len(), sim.told("plan.suspended")), (0, 1));
    assert!(sim.live(A));
}

#[test]
fn a_request_ends_with_an_event_of_its_own() {
    let mut sim = Sim::web(json!({}), objects(&[A]));
    sim.runs();
    assert_eq!(sim.told("sync.finished"), 0);
    for _ in 0..2 {
        sim.happens(|given| given.requests("web", false, &[]));
        sim.runs();
        assert_eq!(sim.told("sync.finished"), 1, "also when there was nothing to do");
        assert_eq!(sim.app("web").request, None);
    }
}

#[test]
fn a_definition_that_cannot_be_read_is_refused() {
    let mut broken = child(&application("web", auto()));
    let bytes = br#"{"kind":"Application","metadata":{"name":"web"}}"#.to_vec();
    broken.digest = crate::model::Digest::of(&bytes);
    broken.application = Some(bytes);
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![broken, object(A, 1)]);
    sim.runs();
    assert!(sim.live(A), "its siblings are applied");
    assert_eq!((sim.count("app.refused"), sim.count("app.declared")), (1, 0));
    assert!(!sim.app("root").last_sync.as_ref().unwrap().succeeded);
}

#[test]
fn what_breaks_a_rule_is_refused_and_the_rest_goes_on() {
    let mut given = Given::synced(objects(&[A, B]));
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    // A bug in the fold: an object is taken for nobody's although it is wanted.
    given.world.wanted_by.remove(&key(A));
    let intent = given.intends("web");
    given.carries_out(intent);
    given.push(3);
    given.renders("web", vec![object(A, 2), object(B, 2)]);
    let prune = |write: &Write| write.verb == Verb::Prune;
    let commands = Machine::new(given.limits.clone()).decide(&given.world, &given.compared);
    let refused = commands.iter().any(|command| {
        matches!(command, Command::Refuse { violations, .. }
            if violations.contains(&Violation::PrunesWanted(key(A))))
    });
    assert!(refused, "{commands:?}");
    let drafts = commands.iter().filter_map(|command| match command {
        Command::Append(drafts) => Some(drafts),
        _ => None,
    });
    let intended = drafts.flatten().find_map(|draft| match &draft.event {
        Event::IntentRecorded(body) => Some(body.writes.clone()),
        _ => None,
    });
    let intended = intended.unwrap();
    assert!(!intended.iter().any(prune) && intended.iter().any(|write| write.key == key(B)));
}

#[test]
fn a_contest_is_named_once_and_told_to_be_over_once() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.runs();
    let flips = |sim: &mut Sim| {
        sim.happens(|given| {
            given.sees(A);
            given.finds("web", A, DriftKind::OwnershipLost);
        });
        sim.runs();
    };
    for _ in 0..4 {
        flips(&mut sim);
    }
    assert_eq!((sim.count("contest.named"), sim.count("contest.ended")), (1, 0));
    assert_eq!(sim.machine.deadline().unwrap().ms_since(sim.given.now()), 2_000 - 1);
    let named = sim.given.events.iter().find(|(.., event)| event.name() == "contest.named");
    assert!(matches!(named, Some((.., Event::ContestNamed(body))) if body.wait_ms == 2_000));
    while let Some(deadline) = sim.machine.deadline() {
        let touched = sim.given.after_ms(deadline.ms_since(sim.given.now()));
        sim.machine.touch(touched);
        sim.runs();
    }
    assert_eq!((sim.count("contest.named"), sim.count("contest.ended")), (1, 1));
    assert!(sim.app("web").rivals.is_empty());
}
