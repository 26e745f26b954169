//! Deletions. A file of its own because it is the dangerous one.
//!
//! Invariant: an object is pruned only when greffier applied it from a recorded render, a later
//! successful render of the same application provably does not contain it, no other application
//! wants it, and neither its annotations in the cluster nor the options of its application keep
//! it. Deletes are bound to the uid and resource version last seen, and so to those annotations.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::assess::{Assessment, Beside, Status};
use super::order::kind_rank;
use super::unseen::Unseen;
use super::{Permission, Plan, redefined};
use crate::ledger::event::{GateReason, Health, Verb, Write};
use crate::model::{AppName, ObjectKey, Protection, Restraint, Ruling};
use crate::replay::{App, AppHold, Coming, LiveObject, MayHave, Owned, Unwritten, World};

/// What is said of an object that a rollback does not remove.
const THERE_THEN: &str =
    "it was there at the instant that is held already, although this application did not have it";

/// Why a rollback removes something.
pub const NOT_THERE_THEN: &str = "it was not there at the instant that is held";

/// What has to go.
#[derive(Default)]
pub(super) struct Prunes {
    pub(super) writes: Vec<Write>,
    pub(super) remove: Vec<(AppName, bool)>,
    pub(super) objects: Vec<Assessment>,
    pub(super) suspended: Vec<String>,
    /// Everything whose removal asks for a confirmation, confirmed or not.
    pub(super) awaits: Vec<ObjectKey>,
    /// What of it has none.
    pub(super) asks: Vec<GateReason>,
    /// What stays until something else is written: it holds no wave back.
    pub(super) stays: BTreeSet<ObjectKey>,
    /// The application is being removed and nothing of it is left to remove.
    pub(super) nothing_left: bool,
}

/// Why something is not removed now.
enum NotNow {
    /// Nobody permitted it.
    Policy(String),
    /// The revision cannot end well because of it; the flag says whether it may pass.
    Blocked(String, bool),
}

/// `defining` is what the application is about to define, and `beside` what of it holds back what is
/// to go.
pub(super) fn prunes(
    world: &World,
    name: &AppName,
    app: &App,
    permission: &Permission,
    (defining, beside): (&[(AppName, Vec<u8>)], &Beside),
) -> Prunes {
    let mut prunes = Prunes::default();
    if app.desired.is_none() && !app.removing {
        return prunes;
    }
    let extras: Vec<_> = world.extras_of(name).collect();
    let children: Vec<_> = world.children(name).filter(|child| !app.defines(child)).collect();
    let mut left = world.intents.values().filter(|intent| intent.app == *name).count();
    // Looking at every application is worth it only where something is to be removed.
    let nothing = extras.is_empty() && children.is_empty();
    let hook = hook_of_removal(app);
    let redefined = if nothing { None } else { redefined::why(world, name, app) };
    let may_have = if nothing { None } else { world.may_have_what_left(name, app, defining) };
    let (behind, coming) = (None, OnceCell::new());
    let mut judge =
        Judge { world, name, app, permission, behind, redefined, may_have, hook, beside, coming };
    if !nothing {
        judge.behind = match judge.hold() {
            Some(hold) => world.behind_hold(hold),
            None => world.behind(),
        };
    }
    if let Some(what) = &judge.hook {
        prunes.suspended.push(format!("remove application {name}: {what}"));
        left += 1;
    }
    for (key, owned, live) in extras {
        let assessment = prunes.object(&judge, key, owned, live);
        // What is suspended goes once nothing suspends it; what is kept stays.
        left += usize::from(assessment.status != Status::Kept);
        prunes.objects.push(assessment);
    }
    // Dependents before what they depend on: the order of creation, reversed.
    prunes
        .writes
        .sort_by(|a, b| kind_rank(&b.key).cmp(&kind_rank(&a.key)).then_with(|| a.key.cmp(&b.key)));
    for child in children {
        left += usize::from(prunes.child(&judge, child));
    }
    prunes.nothing_left = app.removing && left == 0;
    prunes
}

/// A hook that would have to run while the application is removed, and is not run yet.
fn hook_of_removal(app: &App) -> Option<String> {
    if !app.removing {
        return None;
    }
    let objects = app.desired.iter().flat_map(|desired| desired.objects.values());
    let mut hooks = objects.flat_map(|object| &object.holds).filter(|hold| hold.is_of_removal());
    let hook = hooks.next().map(|hold| hold.what.clone());
    app.spec.removals.hooks.first().cloned().or(hook)
}

/// Whether what is to go stays as long as something that the same application wants cannot be
/// written: nobody has asked for this very object. Who approved its deletion, rolled back to before it
/// or asked for everything has said that it goes, and not that it goes first. What a person keeps
/// away goes, unless the same word brings something else back.
#[must_use]
pub fn stays_beside(world: &World, app: &App, prune: &Write) -> bool {
    let asked = app.asked(world.now);
    let asked = asked.is_some_and(|request| request.prune && request.only.contains(&prune.key));
    let away = app.is_kept_away(&prune.key, world.now) && !is_kept_away_for(app, &prune.key);
    !app.removing && !asked && !away
}

/// What is said of what stays.
#[must_use]
pub fn stays_while(what: &str, name: &AppName, key: &ObjectKey) -> String {
    format!("it stays while {what} (greffier sync {name} --prune --only {key} does not wait)")
}

/// Whether a word that keeps the object away brings others back.
fn is_kept_away_for(app: &App, key: &ObjectKey) -> bool {
    let mut away = app.holds.iter().filter(|hold| hold.is_of_absence() && hold.of.key() == key);
    away.any(|hold| app.holds.iter().any(|other| other.seq == hold.seq && !other.is_of_absence()))
}

/// The highest wave goes first, and the next when it is gone. What `stays` until something else is
/// written is not waited for: that may wait for what is in an earlier wave.
pub(super) fn wave_by_wave(world: &World, plan: &mut Plan, stays: &BTreeSet<ObjectKey>) {
    let planned = plan.writes.iter().filter(|write| write.verb == Verb::Prune);
    let planned: BTreeSet<ObjectKey> = planned.map(|write| write.key.clone()).collect();
    let wave = |key: &ObjectKey| world.live.get(key).map_or(0, |live| live.protection.wave);
    let going = plan.objects.iter().filter(|object| {
        let extra = !world.wanted_by.contains_key(&object.key) && !object.key.is_application();
        let waits =
            object.status == Status::Extra && object.blocked && !stays.contains(&object.key);
        extra && (planned.contains(&object.key) || waits || object.status == Status::InFlight)
    });
    let Some(highest) = going.map(|object| wave(&object.key)).max() else { return };
    let later = |key: &ObjectKey| planned.contains(key) && wave(key) < highest;
    plan.writes.retain(|write| write.verb != Verb::Prune || !later(&write.key));
    for object in plan.objects.iter_mut().filter(|object| later(&object.key)) {
        object.block(format!("waits until what is in wave {highest} is gone"), true);
    }
}

impl Prunes {
    fn object(
        &mut self,
        judge: &Judge<'_>,
        key: &ObjectKey,
        owned: &Owned,
        live: &LiveObject,
    ) -> Assessment {
        let mut assessment = extra(key, live.health, &live.health_message);
        assessment.counted = !live.protection.extraneous;
        let ruling = judge.app.ruling(&live.protection);
        self.awaits(judge, key, &ruling);
        if judge.world.in_flight.contains_key(key) || live.deleting {
            assessment.status = Status::InFlight;
            assessment.why = "being deleted".into();
            return assessment;
        }
        if let Some(what) = judge.restraint() {
            self.suspended.push(format!("prune {key}: {what}"));
            assessment.hold(what);
            return assessment;
        }
        if live.uid != owned.uid {
            assessment.keep("somebody replaced it by another of its name");
            assessment.counted = false;
            return assessment;
        }
        if let Some(what) = owned.keep.first() {
            assessment.keep(what);
            assessment.counted = false;
            return assessment;
        }
        if let Ruling::Stays(what) = &ruling {
            assessment.keep(what);
            return assessment;
        }
        if judge.hold().is_some_and(|hold| owned.made.is_older_than(hold.to)) {
            assessment.keep(THERE_THEN);
            assessment.counted = false;
            return assessment;
        }
        if let Some(Unseen { why, may_pass }) = Unseen::of(judge.world, key) {
            if !may_pass {
                self.suspended.push(format!("prune {key}: {why}"));
            }
            assessment.status = Status::Unknown;
            assessment.block(why, may_pass);
            return assessment;
        }
        if let Some(not_now) = judge.not_now(key, &live.protection) {
            not_now.explain(&mut assessment);
            return assessment;
        }
        let reason = judge.reason();
        assessment.why = reason.to_owned();
        let write = Write {
            precondition: Some((live.uid.clone(), live.resource_version.clone())),
            failed_before: judge.failed_before(key),
            holds: judge.app.held(key, judge.world.now),
            ..Write::plain(Verb::Prune, key.clone(), &owned.version, reason)
        };
        if let Some((why, may_pass)) = judge.held_back(&write) {
            assessment.block(format!("{reason}; {why}"), may_pass);
            self.stays.insert(key.clone());
            return assessment;
        }
        self.asks(judge, key, &ruling);
        self.writes.push(write);
        assessment
    }

    /// A child application that the present render does not contain. Returns whether its parent
    /// has to wait for it before it can go itself.
    fn child(&mut self, judge: &Judge<'_>, name: &AppName) -> bool {
        let Some(child) = judge.world.apps.get(name) else { return false };
        if child.removing {
            return true;
        }
        let key = ObjectKey::application(name);
        let mut assessment = extra(&key, child.health, &child.health_message);
        let own = &child.spec.removals.own;
        assessment.counted = !own.extraneous;
        let ruling = judge.app.ruling(own);
        let stays = self.child_stays(judge, name, &key, &ruling, &mut assessment);
        if !stays {
            self.awaits(judge, &key, &ruling);
            // Where the parent is removed there is no write to the cluster: the child's own pause
            // and policy guard its objects.
            let not_now = judge.not_now(&key, own).filter(|_| !judge.app.removing);
            let hold = child.hold.as_ref();
            if let Some(hold) = hold.filter(|_| !judge.world.hold_goes_above(name, child)) {
                let why = format!("waits for its release: hold #{} holds it", hold.seq.0);
                assessment.block(why, false);
            } else if child.is_paused(judge.world.now) {
                assessment.block("waits until it is resumed: it is paused".to_owned(), true);
            } else if let Some(not_now) = not_now {
                not_now.explain(&mut assessment);
            } else if let Some(why) = judge.held_by(name, child) {
                assessment.block(why, false);
            } else if judge.hook.is_none() {
                self.asks(judge, &key, &ruling);
                assessment.why = match judge.hold() {
                    Some(_) => NOT_THERE_THEN.to_owned(),
                    None => "its definition left Git".to_owned(),
                };
                self.remove.push((name.clone(), child.spec.removals.cascade.is_some()));
            }
        }
        let suspended = assessment.status == Status::Held;
        self.objects.push(assessment);
        !stays || suspended
    }

    /// Whether a child application stays although its parent does not define it any more.
    fn child_stays(
        &mut self,
        judge: &Judge<'_>,
        name: &AppName,
        key: &ObjectKey,
        ruling: &Ruling,
        assessment: &mut Assessment,
    ) -> bool {
        let mut others = judge.world.apps.iter().filter(|(other, _)| *other != judge.name);
        let other = others.find(|(other, app)| *other != name && app.defines(name));
        if let Some((other, _)) = other {
            assessment.keep(&format!("application {other} defines it now"));
            assessment.counted = false;
        } else if let Some(what) = judge.app.spec.restraints.iter().find(|r| r.holds_all()) {
            self.suspended.push(format!("prune {key}: {}", what.what()));
            assessment.hold(what.what());
        } else if let Ruling::Stays(what) = ruling {
            assessment.keep(what);
        } else {
            return false;
        }
        true
    }

    /// Notes what asks for a confirmation as long as it is to go, whatever it waits for beside.
    fn awaits(&mut self, judge: &Judge<'_>, key: &ObjectKey, ruling: &Ruling) {
        if matches!(ruling, Ruling::Asks(_)) && judge.is_to_go(key) {
            self.awaits.push(key.clone());
        }
    }

    fn asks(&mut self, judge: &Judge<'_>, key: &ObjectKey, ruling: &Ruling) {
        if let Ruling::Asks(what) = ruling
            && !judge.app.is_confirmed(key)
        {
            self.asks.push(GateReason { what: format!("would delete {key}: {what}") });
        }
    }
}

impl NotNow {
    fn explain(self, assessment: &mut Assessment) {
        match self {
            Self::Policy(why) => assessment.why = why,
            Self::Blocked(why, may_pass) => assessment.block(why, may_pass),
        }
    }
}

impl Assessment {
    /// Notes that something which is not honoured yet restrains the removal.
    fn hold(&mut self, what: &str) {
        self.status = Status::Held;
        self.why = format!("left as it is: {what} is not honoured yet");
    }

    /// Notes that something keeps the object.
    fn keep(&mut self, what: &str) {
        self.status = Status::Kept;
        self.why = format!("it is not in Git and stays: {what}");
    }
}

/// What is said of an object that a render of another application has which is not in force, and
/// what ends that.
fn waits_with(name: &AppName, other: &App) -> String {
    let way = match (&other.hold, &other.gate) {
        (Some(AppHold { tree: Some(root), .. }), _) => {
            format!(" (greffier release {root} --tree ends that)")
        }
        (Some(_), _) => format!(" (greffier release {name} ends that)"),
        (None, Some(_)) => format!(" (greffier approve {name} ends that)"),
        (None, None) => String::new(),
    };
    format!("waits: a render of application {name} has it, and waits itself{way}")
}

fn extra(key: &ObjectKey, health: Health, health_message: &str) -> Assessment {
    Assessment {
        key: key.clone(),
        status: Status::Extra,
        why: String::new(),
        health,
        health_message: health_message.to_owned(),
        blocked: false,
        waits_for_progress: false,
        counted: true,
    }
}

struct Judge<'a> {
    world: &'a World,
    name: &'a AppName,
    app: &'a App,
    permission: &'a Permission,
    /// An application that has not caught up with its repository.
    behind: Option<&'a AppName>,
    /// Why what it does not have any more waits for another definition of it.
    redefined: Option<String>,
    /// What may have what leaves this one, because nobody knows what it would have.
    may_have: Option<MayHave<'a>>,
    /// A hook that would have to run while the application is removed.
    hook: Option<String>,
    /// What it wants and holds back what is to go.
    beside: &'a Beside,
    /// What is not written of other applications that come in its place, once it was looked for.
    coming: OnceCell<Coming>,
}

impl<'a> Judge<'a> {
    /// What is not honoured yet and forbids to remove anything.
    fn restraint(&self) -> Option<&str> {
        let restraints = &self.app.spec.restraints;
        let restraint = restraints.iter().find(|restraint| restraint.holds_all());
        restraint.map(Restraint::what).or(self.hook.as_deref())
    }

    /// The hold because of which the object is to go, where it is not Git that dropped it: that of
    /// the application, or of what defines it. What was there already at its instant (somebody
    /// else's, or of another application) was not brought by what is taken back.
    fn hold(&self) -> Option<&'a AppHold> {
        self.world.hold_behind(self.app)
    }

    /// An object that a person holds as it was and that nobody would have if the child went.
    fn held_by(&self, name: &AppName, child: &App) -> Option<String> {
        let is_of_others = |key: &ObjectKey| {
            let mut apps = self.world.wanted_by.get(key).into_iter().flatten();
            apps.any(|other| other != name)
        };
        let mut held = child.holds.iter().filter(|hold| hold.is_of_object());
        let hold = held.find(|hold| !is_of_others(hold.of.key()))?;
        Some(format!("waits for the release of hold #{}, which keeps {}", hold.seq, hold.of.key()))
    }

    /// What the last try to delete the object ended with, if it failed.
    fn failed_before(&self, key: &ObjectKey) -> String {
        let attempt = self.app.attempts.get(key).filter(|attempt| attempt.digest.is_zero());
        attempt.map(|attempt| attempt.error.clone()).unwrap_or_default()
    }

    /// Why something goes.
    fn reason(&self) -> &'static str {
        match (self.app.removing, self.app.is_held()) {
            (true, _) => "the application was removed",
            (false, true) => NOT_THERE_THEN,
            (false, false) => "it left Git",
        }
    }

    /// Why an object stays although it is to go, because of what is wanted beside it, and whether that
    /// may pass.
    fn held_back(&self, prune: &Write) -> Option<(String, bool)> {
        if self.app.removing {
            return self.stays_for_coming(&prune.key);
        }
        let below = || self.coming(&prune.key).map(|other| (other.what.clone(), other.may_pass));
        let (what, may_pass) = match (self.beside.holds_back(&prune.key), &self.beside.undone) {
            (Some(unwritten), _) => unwritten.said(),
            (None, Some(other)) => (format!("{other} is not there and healthy (PruneLast)"), true),
            (None, None) => below()?,
        };
        let why = stays_while(&what, self.name, &prune.key);
        stays_beside(self.world, self.app, prune).then_some((why, may_pass))
    }

    /// The same of an object of an application that goes, because of those that come in its place.
    fn stays_for_coming(&self, key: &ObjectKey) -> Option<(String, bool)> {
        let asked = self.app.asked(self.world.now).filter(|request| request.prune);
        if asked.is_some_and(|request| request.only.is_empty() || request.only.contains(key)) {
            return None;
        }
        let other = self.coming(key)?;
        let way = format!("greffier sync {} --prune lets it go", self.name);
        Some((format!("it stays while {} ({way})", other.what), other.may_pass))
    }

    /// What is not written of other applications, and may stand in the place of an object.
    fn coming(&self, key: &ObjectKey) -> Option<&Unwritten> {
        let coming = self.coming.get_or_init(|| match self.app.removing {
            true => self.world.unwritten_for(self.app),
            false => self.world.unwritten_below(self.app),
        });
        coming.holds_back(key)
    }

    /// Whether the object is to go at all, now or when what it waits for has passed.
    fn is_to_go(&self, key: &ObjectKey) -> bool {
        let asked = self.app.asked(self.world.now).is_some_and(|request| {
            request.prune && (request.only.is_empty() || request.only.contains(key))
        });
        let automated = self.app.spec.automated.is_some_and(|automated| automated.prune);
        self.app.removing || asked || automated
    }

    fn not_now(&self, key: &ObjectKey, own: &Protection) -> Option<NotNow> {
        if !self.permission.prunes(key) {
            let why = format!("left as it is: {}", self.permission.why_not_pruned(key));
            return Some(NotNow::Policy(why));
        }
        // As in Argo CD, no sync is begun for it.
        if own.extraneous && !self.app.removing && !self.permission.is_asked(key, None) {
            let why = "left as it is until somebody asks: annotation compare-options \
                       IgnoreExtraneous";
            return Some(NotNow::Policy(why.to_owned()));
        }
        let of_git = !self.app.removing && !self.app.is_held();
        if let Some(problem) = self.app.render_problem.as_ref().filter(|_| of_git) {
            let why =
                format!("left as it is: the newest revision does not render: {}", problem.error);
            return Some(NotNow::Blocked(why, false));
        }
        // An object that leaves one application and enters another in the same commit is a
        // transfer: nothing is deleted before every application has caught up.
        if let Some(behind) = self.behind {
            let why = format!("waits until application {behind} is rendered");
            return Some(NotNow::Blocked(why, true));
        }
        if let Some(why) = &self.redefined {
            return Some(NotNow::Blocked(why.clone(), true));
        }
        if let Some(may_have) = &self.may_have {
            let why = format!("waits: {may_have}");
            return Some(NotNow::Blocked(why, may_have.passes(self.world)));
        }
        let mut others = self.world.apps.iter();
        // What Git has of it and what is held has not goes nevertheless: it waits for the release.
        let same_tree = |other: &App| {
            let trees =
                self.hold().zip(other.hold.as_ref()).map(|(one, two)| (&one.tree, &two.tree));
            trees.is_some_and(|(one, two)| one.is_some() && one == two)
        };
        let of_held =
            |name: &AppName, other: &App| name == self.name && other.is_held() || same_tree(other);
        let other = others.find(|(name, other)| other.proposes(key) && !of_held(name, other));
        if let Some((name, other)) = other {
            return Some(NotNow::Blocked(waits_with(name, other), false));
        }
        let attempt = self.app.attempts.get(key).filter(|attempt| attempt.digest.is_zero())?;
        if attempt.next.is_some_and(|next| next <= self.world.now) {
            return None;
        }
        Some(NotNow::Blocked(attempt.error.clone(), !attempt.refused))
    }
}
