//! What is done about one object, and why: the plan's word for it, and the facts beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::apps::AppView;
use super::super::describe::field_change;
use super::{Drift, ObjectWhy, Pending, Reason, Why, advice, headline, held, reasons, roots};
use crate::ledger::event::{DriftKind, Verb};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};
use crate::plan::{Assessment, CONTEST, Status};
use crate::replay::World;

/// What greffier does about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing: it is as Git says.
    Nothing,
    /// It is written now.
    Writes(Verb),
    /// A child application is defined now.
    Defines,
    /// A child application is removed now.
    Removes,
    /// A write is under way.
    UnderWay(Option<Seq>),
    /// It is compared with what was applied, or with what an apply would make of it.
    Compares,
    /// A person has to approve.
    Gated,
    /// A write failed and is tried again at the time.
    Retries(Timestamp, u32),
    /// A write failed and is not tried again before something changes.
    Refused(u32),
    /// Somebody else keeps changing it: it is put back at the time.
    Contested(Timestamp),
    /// It waits for something that may pass by itself.
    Waits,
    /// Something has to change first.
    Blocked,
    /// A person holds something of it, until the time.
    OnHold(Option<Timestamp>),
    /// Something that is not honoured yet restrains the write.
    Held,
    /// It is not in Git, and something that people said keeps it.
    Kept,
    /// Another application has it.
    Foreign,
    /// Policy leaves it as it is.
    LeftAlone,
    /// It is not known what is there.
    Unknown,
}

impl Doing {
    /// The stable word.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Nothing => reasons::AS_GIT_SAYS,
            Self::Writes(_) | Self::Defines | Self::Removes => "writing",
            Self::UnderWay(_) => "under_way",
            Self::Compares => "comparing",
            Self::Gated => "gated",
            Self::Retries(..) => "retrying",
            Self::Refused(_) => "refused",
            Self::Contested(_) => "contested",
            Self::Waits => "waiting",
            Self::Blocked => "blocked",
            Self::OnHold(_) => "on_hold",
            Self::Held => "held",
            Self::Kept => "kept",
            Self::Foreign => "owned_by_other",
            Self::LeftAlone => "left_as_it_is",
            Self::Unknown => "not_known",
        }
    }

    /// How much a person should care; less is more.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Gated => 0,
            Self::Refused(_) => 1,
            Self::Retries(..) | Self::Contested(_) => 2,
            Self::Blocked => 3,
            Self::Foreign => 4,
            Self::Held | Self::OnHold(_) => 5,
            Self::Kept => 6,
            Self::LeftAlone => 6,
            Self::Waits => 7,
            Self::Unknown => 8,
            Self::UnderWay(_) | Self::Compares => 9,
            Self::Writes(_) | Self::Defines | Self::Removes => 10,
            Self::Nothing => 11,
        }
    }

    fn next(&self, world: &World, view: &AppView<'_>) -> (String, Option<Timestamp>) {
        let say = |what: &str| (what.to_owned(), None);
        match self {
            Self::Nothing if view.app.is_held() => {
                let until = view.app.hold.as_ref().and_then(|hold| hold.until);
                match until {
                    Some(_) => ("the hold ends, and Git is followed again".to_owned(), until),
                    None => say(reasons::at_rest(view)),
                }
            }
            Self::Nothing if view.plan.permission.apply => {
                say("nothing, until Git or the cluster changes: then it follows Git at once")
            }
            Self::Nothing => say("nothing"),
            Self::Writes(verb) => (format!("{} now", verb.as_str()), None),
            Self::Defines => say("the application is defined now"),
            Self::Removes => say("the application is removed now"),
            Self::UnderWay(_) => say("the write under way ends, and is recorded"),
            Self::Compares => say("it is judged when the comparison is done"),
            Self::Gated => say("nothing, until a person approves"),
            Self::Retries(at, failures) => {
                (format!("tried again (failed {failures} times)"), Some(*at))
            }
            Self::Refused(failures) => {
                let what = "nothing, until Git changes or a person asks";
                (format!("{what} (failed {failures} times)"), None)
            }
            Self::Contested(at) => ("put back".to_owned(), Some(*at)),
            Self::Waits => say("it goes on by itself when that is over"),
            Self::Blocked => say("nothing, until that is changed"),
            Self::OnHold(until @ Some(_)) => ("back to Git: the hold expires".to_owned(), *until),
            Self::OnHold(None) => say("nothing, until it is released"),
            Self::Held => say("nothing, while that holds it"),
            Self::Kept => say("nothing, while that keeps it; back in Git, it follows Git again"),
            Self::Foreign => say("nothing, while the other application has it"),
            Self::LeftAlone => {
                let paused = || view.app.paused.as_ref().filter(|pause| pause.holds(world.now));
                let (word, holds) = match world.freeze() {
                    Some(freeze) => ("freeze", Some(freeze)),
                    None => ("pause", paused()),
                };
                match holds {
                    Some(pause) => (format!("decided anew when the {word} ends"), pause.until),
                    None => say("nothing, until a person asks or the policy changes"),
                }
            }
            Self::Unknown => say("it is judged when it was looked at"),
        }
    }
}

/// Says what is done about objects, by the plan alone.
pub(super) struct Judge<'v> {
    world: &'v World,
    view: &'v AppView<'v>,
    writes: BTreeMap<&'v ObjectKey, Verb>,
    compares: BTreeSet<&'v ObjectKey>,
    gated: BTreeSet<&'v ObjectKey>,
}

impl<'v> Judge<'v> {
    pub(super) fn new(world: &'v World, view: &'v AppView<'v>) -> Self {
        let plan = &view.plan;
        let gated = plan.gate.iter().flat_map(|gated| &gated.writes);
        let compared = plan.compare.iter().map(|comparison| &comparison.key);
        Self {
            world,
            view,
            writes: plan.writes.iter().map(|write| (&write.key, write.verb)).collect(),
            compares: compared.chain(plan.dry_runs.iter().map(|run| &run.key)).collect(),
            gated: gated.map(|write| &write.key).collect(),
        }
    }

    pub(super) fn doing(&self, object: &Assessment) -> Doing {
        let (plan, key) = (&self.view.plan, &object.key);
        if let Some(verb) = self.writes.get(key) {
            return Doing::Writes(*verb);
        }
        if key.is_application() {
            let is_child = |name: &AppName| key.name() == name.as_str();
            if plan.declare.iter().any(|(child, _)| is_child(child)) {
                return Doing::Defines;
            }
            if plan.remove.iter().any(|(child, _)| is_child(child)) {
                return Doing::Removes;
            }
            if plan.gate.as_ref().is_some_and(|gated| gated.apps.iter().any(is_child)) {
                return Doing::Gated;
            }
        }
        if self.gated.contains(key) {
            return Doing::Gated;
        }
        if self.compares.contains(key) {
            return Doing::Compares;
        }
        self.not_done(object)
    }

    /// When the first of the holds on an object ends by itself.
    fn held_until(&self, key: &ObjectKey) -> Option<Timestamp> {
        self.view.app.holds_of(key, self.world.now).filter_map(|hold| hold.until).min()
    }

    fn not_done(&self, object: &Assessment) -> Doing {
        match object.status {
            Status::Synced => return Doing::Nothing,
            Status::InFlight => {
                return Doing::UnderWay(self.world.in_flight.get(&object.key).copied());
            }
            Status::OnHold => return Doing::OnHold(self.held_until(&object.key)),
            Status::Held => return Doing::Held,
            Status::Kept => return Doing::Kept,
            Status::Foreign => return Doing::Foreign,
            Status::Unknown if !object.blocked || object.waits_for_progress => {
                return Doing::Unknown;
            }
            _ => {}
        }
        if !object.blocked {
            return Doing::LeftAlone;
        }
        if object.why.starts_with(CONTEST)
            && let Some((_, contest)) = self.view.app.waits_in_contest(&object.key)
        {
            return Doing::Contested(contest.heals);
        }
        // The plan gives the error of the last try as its reason exactly when it waits for the
        // next.
        let attempt = self.view.app.attempts.get(&object.key);
        match attempt.filter(|attempt| attempt.error == object.why) {
            Some(attempt) => match attempt.next {
                Some(next) => Doing::Retries(next, attempt.failures),
                None => Doing::Refused(attempt.failures),
            },
            None if object.waits_for_progress => Doing::Waits,
            None => Doing::Blocked,
        }
    }
}

/// The objects about which there is something to say, the most important first.
pub(super) fn notable<'v>(view: &'v AppView<'_>) -> impl Iterator<Item = &'v Assessment> {
    use crate::ledger::event::Health;
    let mut found: Vec<&Assessment> = view.plan.objects.iter().collect();
    found.retain(|object| {
        object.status != Status::Synced
            || !object.why.is_empty()
            || !matches!(object.health, Health::Healthy)
    });
    found.sort_by_key(|object| (!object.blocked, !object.status.differs(), &object.key));
    found.into_iter()
}

/// Everything that the world says about one object of an application.
pub(super) fn told(
    world: &World,
    view: &AppView<'_>,
    judge: &Judge<'_>,
    object: &Assessment,
) -> ObjectWhy {
    let (key, doing) = (&object.key, judge.doing(object));
    let (next, at) = doing.next(world, view);
    let drift = view.app.drift.get(key).filter(|drift| drift.kind != DriftKind::None);
    ObjectWhy {
        object: key.to_string(),
        doing: match doing {
            Doing::Nothing if view.app.is_held() => reasons::AS_HELD.to_owned(),
            _ => doing.code().to_owned(),
        },
        sync: object.status.as_str().to_owned(),
        health: object.health.as_str().to_owned(),
        health_message: object.health_message.clone(),
        why: object.why.clone(),
        next,
        at: at.map(|at| at.to_string()),
        drift: drift.map(|drift| Drift {
            seq: drift.seq.0,
            fields: drift.fields.iter().map(field_change).collect(),
            by: drift.managers.clone(),
            whom: String::new(),
        }),
        intent: None,
        outcome: None,
    }
}

/// An object of an application.
pub(super) fn of_object(world: &World, view: &AppView<'_>, key: &ObjectKey) -> Pending {
    let found = view.plan.objects.iter().find(|object| object.key == *key);
    let Some(found) = found else { return of_nobodys(world, key) };
    let told = told(world, view, &Judge::new(world, view), found);
    let reasons = reasons::of_object(world, view, key, &told);
    let desired = view.app.desired.as_ref();
    let live = world.live.get(key).map(|live| live.seq);
    let drift = view.app.drift.get(key).map(|drift| drift.seq);
    let begin = [drift, live, desired.map(|desired| desired.seq)].into_iter().flatten();
    let why = Why {
        subject: key.to_string(),
        app: view.name.to_string(),
        seq: world.seq.0,
        headline: headline(&format!("{key} is {}", states(&told)), &reasons),
        sync: told.sync.clone(),
        health: told.health.clone(),
        health_message: told.health_message.clone(),
        git: super::git(view),
        next: vec![super::Next { at: told.at.clone(), what: told.next.clone() }],
        can_do: advice::of_object(world, view, key),
        reasons,
        objects: vec![told],
        ..Why::default()
    };
    Pending {
        roots: roots::of_object(world, view, found, &why.reasons),
        why,
        object: Some(key.clone()),
        keys: vec![key.clone()],
        app: Some(view.name.clone()),
        commit: super::commit(view).cloned(),
        instead: held::instead(view, key),
        begin: begin.collect(),
        ..Pending::default()
    }
}

/// Its states in words, each once: what is missing is missing.
fn states(told: &ObjectWhy) -> String {
    if told.sync == told.health {
        told.sync.clone()
    } else {
        format!("{} and {}", told.sync, told.health)
    }
}

/// An object that no application wants or owns: a descendant of one, or somebody else's.
pub(super) fn of_nobodys(world: &World, key: &ObjectKey) -> Pending {
    let live = world.live.get(key);
    let mut reasons = Vec::new();
    let mut can_do = Vec::new();
    let mut app = String::new();
    if live.is_some() {
        let owners = owners(world, key);
        if let Some(top) = owners.last() {
            app = super::subject::spokesman(world, top).map(|a| a.to_string()).unwrap_or_default();
            let chain = owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ← ");
            let text =
                format!("its controllers made it: {chain}; greffier writes only to the last");
            reasons.push(Reason { code: "owned_by_object".into(), text, seq: None });
            let (what, command) =
                (format!("see why {top} is as it is"), format!("greffier why {top}"));
            can_do.push(super::Advice { what, command });
        } else {
            let text = match live.and_then(|live| live.owned) {
                Some(_) => {
                    "no application wants it; its fields say that greffier applied it once, and \
                     nothing that this cluster is known by proves that it may go: it is left as it is"
                }
                // What a former cluster had is told by its log.
                None if !world.cluster.identity.formers.is_empty() => {
                    "no application wants it and greffier did not apply it in this cluster: it is \
                     left as it is"
                }
                None => {
                    "no application wants it and greffier never applied it: it is left as it is"
                }
            };
            reasons.push(Reason { code: "not_wanted".into(), text: text.into(), seq: None });
        }
    } else {
        let text = "it is not in the cluster and no application wants it";
        reasons.push(Reason { code: "gone".into(), text: text.into(), seq: None });
    }
    let health = live.map_or("", |live| live.health.as_str());
    let message = live.map(|live| live.health_message.clone()).unwrap_or_default();
    if live.is_some_and(|live| live.health != crate::ledger::event::Health::Healthy) {
        let text = format!("{health}: {message}");
        reasons.push(Reason { code: "unwell".into(), text, seq: live.map(|live| live.seq.0) });
    }
    let state = if health.is_empty() { "gone" } else { health };
    let why = Why {
        subject: key.to_string(),
        app,
        seq: world.seq.0,
        headline: headline(&format!("{key} is {state}"), &reasons),
        health: health.to_owned(),
        health_message: message,
        reasons,
        next: vec![super::Next { at: None, what: "nothing: greffier only watches it".into() }],
        can_do,
        ..Why::default()
    };
    let begin = live.map(|live| live.seq).into_iter().collect();
    let near = if live.is_some() { Vec::new() } else { super::subject::near(world, key) };
    let roots = roots::of_nobodys(world, key);
    let excluded = super::subject::is_excluded(world, key);
    Pending { why, object: Some(key.clone()), begin, near, excluded, roots, ..Pending::default() }
}

/// The controllers above an object, the nearest first. Bound: rings of owners end.
fn owners(world: &World, key: &ObjectKey) -> Vec<ObjectKey> {
    const DEPTH_MAX: usize = 20;
    let mut found: Vec<ObjectKey> = Vec::new();
    let mut current = world.live.get(key);
    while let Some(live) = current.filter(|live| !live.controller.is_empty()) {
        let owner = world.live.iter().find(|(_, owner)| owner.uid == live.controller);
        let Some((key, owner)) = owner else { break };
        if found.contains(key) || found.len() >= DEPTH_MAX {
            break;
        }
        found.push(key.clone());
        current = Some(owner);
    }
    found
}
