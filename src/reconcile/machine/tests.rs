//! The machine, driven as the driver drives it, against Git and a cluster that are perfect
//! unless a test says otherwise.
//!
//! [`Sim`] carries commands out one at a time and folds what comes of them; what a test wants to
//! hold back stays in [`Sim::held`]. Everything that was appended can be looked at.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::*;
use crate::ledger::event::{
    DesiredObject, Event, FrozenV1, Health, PlanApprovedV1, Preview, WriteResult,
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
fn large_plans_become_several_intents() {
    let mut sim = Sim::web(auto(), maps(600));
    sim.runs();
    assert_eq!(sim.given.world.owned.len(), 600);
    assert_eq!(sim.count("apply.intent"), 3);
    assert_eq!(sim.told("sync.finished"), 1);
}

impl Sim {
    fn open(&self, app: &str) -> usize {
        let intents = self.given.world.intents.values();
        intents.filter(|intent| intent.app == name(app)).map(|intent| intent.writes.len()).sum()
    }

    fn carries_out_first(&mut self) {
        let first = self.held.remove(0);
        self.carries_out(first);
        self.runs();
    }
}

#[test]
fn no_more_is_intended_than_can_be_sent_in_time() {
    let mut sim = Sim::web(auto(), maps(1_500));
    sim.hold = vec!["execute"];
    sim.runs();
    assert_eq!(sim.open("web"), APP_WRITES_MAX);
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.open("web"), APP_WRITES_MAX, "nothing more before an intent has ended");
    assert!(!sim.machine.has_room());
    sim.carries_out_first();
    let owned = sim.given.world.owned.len();
    assert_eq!((sim.open("web"), owned), (APP_WRITES_MAX, INTENT_WRITES_MAX));
    sim.releases();
    assert_eq!((sim.open("web"), sim.given.world.owned.len()), (0, 1_500));
    assert_eq!(sim.count("sync.finished"), 1);
}

#[test]
fn the_intents_of_an_application_are_carried_out_one_after_the_other() {
    let mut sim = Sim::web(auto(), maps(APP_WRITES_MAX));
    sim.hold = vec!["execute"];
    sim.runs();
    assert_eq!((sim.count("apply.intent"), sim.held.len()), (2, 1));
    sim.carries_out_first();
    assert_eq!(sim.held.len(), 1, "the second follows the first");
    sim.releases();
    assert_eq!(sim.given.world.owned.len(), APP_WRITES_MAX);
}

#[test]
fn a_small_application_does_not_wait_for_large_ones() {
    let mut sim = Sim::web(auto(), maps(10 * APP_WRITES_MAX));
    sim.hold = vec!["execute"];
    sim.runs();
    let late = "ConfigMap/prod/late";
    sim.given.declares(&application("zoo", auto()), Origin::Config);
    sim.at(1, "zoo", objects(&[late]));
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!((sim.open("web"), sim.open("zoo")), (APP_WRITES_MAX, 1));
    sim.hold.clear();
    let zoo = sim.held.pop().unwrap();
    sim.hold = vec!["execute"];
    sim.carries_out(zoo);
    assert!(sim.live(late));
}

#[test]
fn a_tree_of_applications_comes_up_from_its_root() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(
        1,
        "root",
        vec![child(&application("middle", auto())), child(&application("web", auto()))],
    );
    sim.at(1, "middle", vec![child(&application("api", auto()))]);
    sim.at(1, "web", objects(&[A]));
    sim.at(1, "api", objects(&[B]));
    sim.runs();
    assert!(sim.live(A) && sim.live(B));
    assert_eq!(sim.app("root").health, Health::Healthy, "{:?}", sim.app("root").health_message);
    assert!(sim.app("root").last_sync.as_ref().unwrap().succeeded);
    // A file more is an application more.
    sim.at(
        2,
        "root",
        ["middle", "web", "etc"].map(|app| child(&application(app, auto()))).to_vec(),
    );
    sim.at(2, "etc", objects(&["ConfigMap/prod/etc"]));
    sim.push(2);
    sim.runs();
    assert!(sim.live("ConfigMap/prod/etc"));
}

#[test]
fn a_child_that_is_redefined_while_it_is_rendered_ends_up_as_defined_last() {
    // The commit that changes a child's definition also makes the child render: both at once.
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", json!({})))]);
    sim.at(1, "web", objects(&[A]));
    sim.runs();
    assert!(!sim.live(A), "not before somebody asks");
    sim.at(2, "root", vec![child(&application("web", auto()))]);
    sim.at(2, "web", objects(&[B]));
    sim.push(2);
    sim.runs();
    let web = sim.app("web");
    assert_eq!(web.desired.as_ref().map(|desired| desired.declared), Some(web.declared));
    assert!(sim.live(B) && !sim.live(A));
}

#[test]
fn an_object_that_moves_into_a_new_application_is_never_deleted() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", auto()))]);
    sim.at(1, "web", objects(&[A, B]));
    sim.runs();
    let uid = sim.given.world.live[&key(A)].uid.clone();
    sim.at(2, "root", ["web", "api"].map(|app| child(&application(app, auto()))).to_vec());
    sim.at(2, "web", objects(&[B]));
    sim.at(2, "api", objects(&[A]));
    sim.push(2);
    sim.runs();
    assert_eq!(sim.given.world.live[&key(A)].uid, uid);
    assert_eq!(sim.given.world.owned[&key(A)].app, name("api"));
}

#[test]
fn nothing_is_deleted_while_applications_are_being_defined() {
    // `web` is ready to prune before the root's render defines where the object goes.
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", auto()))]);
    sim.at(1, "web", objects(&[A, B]));
    sim.runs();
    let uid = sim.given.world.live[&key(A)].uid.clone();
    sim.at(2, "web", objects(&[B]));
    sim.at(2, "root", ["web", "api"].map(|app| child(&application(app, auto()))).to_vec());
    sim.at(2, "api", objects(&[A]));
    sim.hold = vec!["render"];
    sim.push(2);
    sim.runs();
    sim.hold.clear();
    let renders = std::mem::take(&mut sim.held);
    let of_root =
        |command: &Command| matches!(command, Command::Render { app, .. } if *app == name("root"));
    let (root, web): (Vec<_>, Vec<_>) = renders.into_iter().partition(of_root);
    for command in web.into_iter().chain(root) {
        sim.carries_out(command);
    }
    sim.runs();
    assert_eq!(sim.given.world.live[&key(A)].uid, uid);
}

#[test]
fn a_removed_tree_goes_with_everything_it_had() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", ["api", "db", "web"].map(|app| child(&cascading(app, auto()))).to_vec());
    for (app, text) in [("api", "ConfigMap/prod/api"), ("db", "ConfigMap/prod/db"), ("web", A)] {
        sim.at(1, app, objects(&[text]));
    }
    sim.runs();
    sim.at(2, "root", ["api", "db"].map(|app| child(&cascading(app, auto()))).to_vec());
    sim.push(2);
    sim.runs();
    assert!(!sim.live(A) && sim.live("ConfigMap/prod/db"));
    assert!(!sim.given.world.apps.contains_key(&name("web")));
    assert_eq!(sim.count("app.removed"), 2, "once begun, once ended");
}

#[test]
fn a_gate_is_told_once_and_waits_for_its_approval() {
    let mut sim = Sim::web(auto(), maps(10));
    sim.at(2, "web", maps(2));
    sim.runs();
    sim.push(2);
    sim.runs();
    assert_eq!((sim.count("plan.gated"), sim.told("apply.intent")), (1, 1));
    assert!(sim.live(&map(9)));
    let plan = sim.app("web").gate.clone().unwrap().plan;
    sim.happens(|given| {
        given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    });
    sim.runs();
    assert!(!sim.live(&map(9)) && sim.live(&map(1)));
    assert_eq!((sim.count("plan.lapsed"), sim.told("plan.gated")), (0, 0));
    assert!(sim.app("web").last_sync.as_ref().unwrap().succeeded);
}

#[test]
fn an_approval_covers_all_intents_of_its_plan() {
    let mut sim = Sim::web(auto(), maps(700));
    sim.at(2, "web", maps(1));
    sim.runs();
    sim.push(2);
    sim.runs();
    let plan = sim.app("web").gate.clone().unwrap().plan;
    sim.happens(|given| {
        given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    });
    sim.runs();
    assert_eq!(sim.given.world.owned.len(), 1);
    assert_eq!(sim.told("plan.gated"), 1);
}

#[test]
fn a_gate_that_is_not_needed_any_more_lapses() {
    let mut sim = Sim::web(auto(), maps(10));
    sim.at(2, "web", maps(2));
    sim.at(3, "web", maps(10));
    sim.runs();
    for n in [2, 3] {
        sim.push(n);
        sim.runs();
    }
    assert_eq!((sim.app("web").gate.is_none(), sim.told("plan.lapsed")), (true, 1));
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
fn a_pause_that_was_recorded_before_the_intent_withdraws_its_writes() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.hold = vec!["append"];
    sim.runs();
    // Decided, and not recorded yet: whoever pauses now is told that it is paused.
    let web = || name("web");
    sim.happens(|given| {
        let (until, reason) = (None, String::new());
        given.event(crate::ledger::event::PausedV1 { app: web(), until, reason });
    });
    sim.releases();
    assert!(!sim.live(A) && !sim.live(B));
    assert_eq!((sim.count("apply.intent"), sim.count("apply.outcome")), (1, 1));
    assert!(sim.given.world.intents.is_empty() && sim.given.world.in_flight.is_empty());
    sim.happens(|given| {
        given.event(ResumedV1 { app: web(), expired: false });
    });
    sim.runs();
    assert!(sim.live(A) && sim.live(B), "what was withdrawn is decided anew");
}

#[test]
fn a_freeze_that_was_recorded_before_the_intent_withdraws_its_writes() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| {
        given.event(FrozenV1 { until: None, reason: String::new() });
    });
    sim.releases();
    assert!(!sim.live(A) && sim.given.world.intents.is_empty());
    sim.happens(|given| {
        given.event(UnfrozenV1 { expired: false });
    });
    sim.runs();
    assert!(sim.live(A), "what was withdrawn is decided anew");
}

#[test]
fn an_object_that_is_wanted_again_before_the_intent_is_recorded_is_not_deleted() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.at(2, "web", objects(&[A]));
    sim.runs();
    sim.push(2);
    sim.hold = vec!["append"];
    sim.runs();
    let uid = sim.given.world.live[&key(B)].uid.clone();
    sim.happens(|given| {
        given.push(3);
        given.renders("web", objects(&[A, B]));
    });
    sim.at(3, "web", objects(&[A, B]));
    sim.releases();
    assert_eq!(sim.given.world.live[&key(B)].uid, uid);
    assert_eq!(sim.app("web").counts.2, 0);
}

#[test]
fn a_write_whose_manifest_was_replaced_before_its_intent_was_recorded_is_withdrawn() {
    let mut sim = Sim::web(auto(), vec![object(A, 1)]);
    sim.at(2, "web", vec![object(A, 2)]);
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| {
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
    });
    sim.releases();
    let applied = sim.given.world.owned[&key(A)].applied;
    assert_eq!(applied, object(A, 2).digest);
    assert_eq!(sim.count("apply.intent"), 2);
    assert!(sim.given.world.owned[&key(A)].keep.is_empty(), "what restrains it is known");
}

#[test]
fn the_writes_of_an_intent_of_a_removed_application_are_withdrawn() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| given.removes("web", false, Origin::Config));
    sim.releases();
    assert!(!sim.live(A));
    assert!(sim.given.world.intents.is_empty());
}

#[test]
fn a_gate_whose_base_moved_before_it_was_recorded_is_announced_again_when_it_comes_back() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", maps(2));
    let fifth = key(&crate::replay::testing::map(4));
    let before = given.world.live[&fifth].clone();
    let mut other = given.clone();
    given.gates("web");
    other.sees(&fifth.to_string());
    let Some((.., Event::PlanGated(decided))) = given.events.last().cloned() else { panic!() };
    other.event(decided);
    other.world.live.insert(fifth, before);
    // What was recorded in time stands; what was not is announced once more, and then stands.
    let announced = |given: &Given| {
        let commands = Machine::new(given.limits.clone()).decide(&given.world, &given.compared);
        let drafts = commands.into_iter().filter_map(|command| match command {
            Command::Append(drafts) => Some(drafts),
            _ => None,
        });
        drafts.flatten().filter(|draft| matches!(draft.event, Event::PlanGated(_))).count()
    };
    assert_eq!((announced(&given), announced(&other)), (0, 1));
    other.gates("web");
    assert_eq!(announced(&other), 0);
    other.approves("web");
    assert_eq!(other.writes("web").len(), 3);
}

#[test]
fn an_application_that_is_defined_anew_while_its_removal_ends_stays() {
    let web = || crate::replay::testing::cascading("web", auto());
    let mut sim = Sim::new(Given::cluster());
    sim.happens(|given| {
        given.declares(&web(), Origin::Operator);
        given.removes("web", true, Origin::Operator);
    });
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| given.declares(&web(), Origin::Operator));
    sim.releases();
    assert_eq!(sim.count("app.removed"), 1);
    assert!(!sim.app("web").removing);
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
