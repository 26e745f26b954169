//! What a person can do, with the exact commands.
//!
//! Advice is worked out from facts of the world, beside the plan's reasons: it may be incomplete,
//! and it never says what greffier will do.

use super::super::apps::AppView;
use super::Advice;
use super::held;
use super::object::{Doing, Judge};
use crate::ledger::event::DriftKind;
use crate::model::{DELETION_APPROVED, ObjectKey, Restraint, Stance};
use crate::plan::{Assessment, Status};
use crate::query::describe::keep_commands;
use crate::replay::{App, Drift, MayHave, World};

/// Advice, each piece once, in the order it was thought of.
#[derive(Default)]
struct Advices(Vec<Advice>);

/// Bound: how much advice is given at once; nobody follows more.
const ADVICE_MAX: usize = 12;

impl Advices {
    fn say(&mut self, what: impl Into<String>, command: impl Into<String>) {
        let advice = Advice { what: what.into(), command: command.into() };
        if self.0.len() < ADVICE_MAX && !self.0.contains(&advice) {
            self.0.push(advice);
        }
    }
}

/// What can be done about an application.
pub(super) fn of_app(world: &World, view: &AppView<'_>) -> Vec<Advice> {
    let mut advices = Advices::default();
    about_app(world, view, &mut advices);
    let name = view.name;
    let objects = || view.plan.objects.iter();
    let judge = Judge::new(world, view);
    let left = |object: &&Assessment| judge.doing(object) == Doing::LeftAlone;
    if may_ask(world, view) && objects().any(|object| left(&object)) {
        let extra = objects().any(|object| left(&object) && object.status == Status::Extra);
        let prune = if extra { " --prune" } else { "" };
        advices.say("see what a sync would do", format!("greffier sync {name}{prune} --dry-run"));
        advices.say("apply what Git says once", format!("greffier sync {name}{prune}"));
        advices.say("see how it differs", format!("greffier diff {name}"));
    }
    for object in objects() {
        about_object(world, view, object, judge.doing(object), &mut advices);
    }
    advices.0
}

/// What can be done about one object.
pub(super) fn of_object(world: &World, view: &AppView<'_>, key: &ObjectKey) -> Vec<Advice> {
    let mut advices = Advices::default();
    about_app(world, view, &mut advices);
    let Some(object) = view.plan.objects.iter().find(|object| object.key == *key) else {
        return advices.0;
    };
    let name = view.name;
    let doing = Judge::new(world, view).doing(object);
    if may_ask(world, view) && doing == Doing::LeftAlone {
        let prune = if object.status == Status::Extra { " --prune" } else { "" };
        let command = format!("greffier sync {name}{prune} --only {key}");
        advices.say("apply what Git says once", command);
        advices.say("see how it differs", format!("greffier diff {name}"));
    }
    about_object(world, view, object, doing, &mut advices);
    advices.0
}

/// Whether a person's request would be followed.
fn may_ask(world: &World, view: &AppView<'_>) -> bool {
    !world.observe
        && world.cluster.lost.is_none()
        && world.cluster.doubt().is_none()
        && world.freeze().is_none()
        && !view.app.is_paused(world.now)
        && !view.app.removing
        && !view.app.spec.skip
}

fn about_app(world: &World, view: &AppView<'_>, advices: &mut Advices) {
    let (name, app) = (view.name, view.app);
    if world.observe {
        advices.say("let greffier write: restart the daemon without --observe", "");
    }
    if world.cluster.doubt().is_some() {
        let command = "greffier cluster accept --plan";
        advices.say("see what would follow from keeping the cluster that answers", command);
        advices.say("keep it from here on", "greffier cluster accept");
        advices.say("or let the one that is kept answer again under its address", "");
    }
    if world.cluster.lost.is_some() {
        advices.say("see since when the API server is away", "greffier log --kind cluster");
    }
    if world.freeze().is_some() {
        advices.say("end the freeze", "greffier unfreeze");
    }
    if app.spec.skip {
        let what = "let greffier keep it again: take skip-reconcile out of the Application";
        advices.say(what, "");
    }
    if let Some(parent) = held::dropped_by(world, view).filter(|_| !app.removing) {
        advices.say("see what its removal waits for", format!("greffier why {parent}"));
    }
    if app.is_held() {
        let command = format!("greffier release {name} --plan");
        advices.say("see what its release would change", command);
        advices.say("end the hold: follow Git again", format!("greffier release {name}"));
    }
    if app.is_paused(world.now) {
        advices.say("end the pause", format!("greffier resume {name}"));
    }
    if let Some(gated) = &view.plan.gate {
        let command = format!("greffier approve {name} {}", gated.hash.short());
        advices.say("allow it", command);
        advices.say("or put it back in Git, and the gate lapses", "");
    }
    let later = |key: &ObjectKey| world.later_write(app, key).is_some();
    if world.is_of_old_copy(app) || view.plan.objects.iter().any(|object| later(&object.key)) {
        advices
            .say("or start greffier with the newest copy of its ledger, if this is an old one", "");
    }
    if let Some(planned) = view.plan.awaits.iter().find(|key| !app.is_confirmed(key)) {
        let since = app.awaits.get(planned).map_or(world.now, |since| *since);
        let what = format!(
            "or confirm its deletions in the Application: annotation {DELETION_APPROVED} with a \
             time that is not before {since}"
        );
        advices.say(what, "");
    }
    about_source(world, view, advices);
    if app.spec.automated.is_none() && view.plan.objects.iter().any(|o| o.status.differs()) {
        advices.say("let greffier keep it: set spec.syncPolicy.automated in the Application", "");
    }
    for restraint in &app.spec.restraints {
        let what = Restraint::what(restraint);
        advices.say(format!("take `{what}` out of the Application to let it write"), "");
    }
}

fn about_source(world: &World, view: &AppView<'_>, advices: &mut Advices) {
    let (name, app) = (view.name, view.app);
    let source = app.spec.sources.first();
    let repo = source.and_then(|source| world.repos.get(&source.repo));
    if let (Some(source), true) = (source, repo.is_some_and(|repo| repo.error.is_some())) {
        let command = format!("greffier refresh {}", source.repo);
        advices.say("try the repository again at once", command);
    }
    if app.render_problem.as_ref().is_some_and(|problem| problem.transient) {
        advices.say("render it again at once", format!("greffier sync {name}"));
    } else if let Some(problem) = &app.render_problem {
        advices.say("correct it in Git and push: it is rendered at once", "");
        if let Some(commit) = &problem.commit {
            let command = format!("greffier log --commit {}", commit.short());
            advices.say("see who committed it", command);
        }
    }
}

fn about_object(
    world: &World,
    view: &AppView<'_>,
    object: &Assessment,
    doing: Doing,
    advices: &mut Advices,
) {
    let (name, key, app) = (view.name, &object.key, view.app);
    match doing {
        Doing::Retries(..) | Doing::Refused(_) => {
            advices.say("try it again at once", format!("greffier sync {name}"));
            let command = format!("greffier log {key} --kind apply");
            advices.say("see every try", command);
            about_held(world, app, key, advices);
        }
        Doing::Contested(_) => {
            advices.say("put it back now", format!("greffier sync {name} --only {key}"));
        }
        Doing::Foreign => {
            advices.say(format!("take {key} out of one of the two applications"), "");
        }
        Doing::Waits | Doing::Blocked => about_wait(world, view, key, advices),
        Doing::LeftAlone => {
            let drifted = object.status == Status::Drifted;
            if drifted && app.spec.automated.is_some_and(|policy| !policy.self_heal) {
                advices.say("let greffier put back drift: set automated.selfHeal: true", "");
            }
            let extra = object.status == Status::Extra;
            if extra && app.spec.automated.is_some_and(|policy| !policy.prune) {
                advices.say("let greffier remove what left Git: set automated.prune: true", "");
            }
            about_held(world, app, key, advices);
        }
        Doing::OnHold(_) => {
            advices.say("follow Git again", format!("greffier release {key}"));
            advices.say("keep it for good: put it into Git, and then release it", "");
        }
        Doing::Kept => about_kept(world, key, advices),
        Doing::Held | Doing::Nothing | Doing::Gated | Doing::Unknown => {}
        Doing::Writes(_)
        | Doing::Defines
        | Doing::Removes
        | Doing::UnderWay(_)
        | Doing::Compares => {}
    }
    about_contest(world, view, key, advices);
    about_drift(view, key, advices);
    let added = app.drift.get(key).is_some_and(|drift| drift.kind == DriftKind::Addition);
    if added {
        advices.say(format!("keep what was added to {key}: put it into Git"), "");
    }
    if key.is_application() && object.status != Status::Foreign && is_told_elsewhere(world, object)
    {
        let child = key.name();
        advices.say(format!("see why {child} is as it is"), format!("greffier why {child}"));
    }
}

/// What to do about replicas that Git names and an autoscaler sets.
fn about_replicas(world: &World, view: &AppView<'_>, key: &ObjectKey, advices: &mut Advices) {
    let desired = view.app.desired.as_ref().and_then(|desired| desired.objects.get(key));
    let counted = desired.is_some_and(|object| object.replicas.is_some());
    let Some(autoscaler) = world.autoscaler_of(key).filter(|_| counted) else { return };
    let what = format!("leave the replicas of {key} to {}", autoscaler.name());
    advices.say(format!("{what}: remove `replicas` from its manifest in Git"), "");
    let command = format!("greffier why {autoscaler}");
    advices.say(format!("see the autoscaler of {key}"), command);
}

/// How to end a contest.
fn about_contest(world: &World, view: &AppView<'_>, key: &ObjectKey, advices: &mut Advices) {
    let (name, app) = (view.name, view.app);
    let contests =
        app.contests().filter(|(of, _, contest)| *of == key && contest.ends() > world.now);
    for (_, rival, _) in contests.take(1) {
        let who = if rival.manager.is_empty() { "whoever it is" } else { &rival.manager };
        let path = &rival.path;
        let added = app.drift.get(key).is_some_and(|drift| drift.kind == DriftKind::Addition);
        let what = if added {
            format!("let {who} have {path}: put it into Git, or let the application not be strict")
        } else {
            format!("let {who} have {path}: take it out of Git")
        };
        advices.say(what, "");
        advices.say(format!("or stop {who} from changing it"), format!("greffier log {key} --all"));
        let command = format!("greffier pause {name} --reason 'contest over {path}'");
        advices.say("write nothing for the application meanwhile", command);
    }
    about_replicas(world, view, key, advices);
}

/// How to let go what a person holds and cannot be written, or is not yet.
fn about_held(world: &World, app: &App, key: &ObjectKey, advices: &mut Advices) {
    if app.holds_of(key, world.now).next().is_some() {
        let command = format!("greffier release {key}");
        advices.say(format!("keep nothing of {key} any more"), command);
    }
}

/// How to let go what something keeps.
fn about_kept(world: &World, key: &ObjectKey, advices: &mut Advices) {
    let Some(live) = world.live.get(key) else { return };
    let resource = resource(world, key);
    let own = live.protection;
    if own.prune == Stance::Stays {
        let command = format!("kubectl annotate {resource} argocd.argoproj.io/sync-options-");
        advices.say(format!("let {key} go: take its annotation off"), command);
    } else if own.keep {
        let command = format!("kubectl annotate {resource} helm.sh/resource-policy-");
        advices.say(format!("let {key} go: take its annotation off"), command);
    }
    let command = format!("kubectl delete {resource}");
    advices.say(format!("or delete {key} by hand: it is not made again"), command);
}

/// The object as kubectl names it.
fn resource(world: &World, key: &ObjectKey) -> String {
    let served = world.cluster.kinds.get(&key.group_kind());
    let plural = served.map_or_else(|| key.kind().to_lowercase(), |served| served.plural.clone());
    let kind = if key.group().is_empty() { plural } else { format!("{plural}.{}", key.group()) };
    let namespace =
        if key.namespace().is_empty() { String::new() } else { format!(" -n {}", key.namespace()) };
    format!("{kind}/{}{namespace}", key.name())
}

/// How to keep what somebody changed and is not put back yet.
fn about_drift(view: &AppView<'_>, key: &ObjectKey, advices: &mut Advices) {
    let changed = |drift: &&Drift| matches!(drift.kind, DriftKind::Drift | DriftKind::Deleted);
    let Some(drift) = view.app.drift.get(key).filter(changed) else { return };
    for command in keep_commands(view.name, drift.seq, drift.may_be_kept) {
        advices.say("keep the change that was made by hand", command);
    }
}

/// Whether the child application itself has something to say.
fn is_told_elsewhere(world: &World, object: &Assessment) -> bool {
    let child = world.apps.iter().find(|(name, _)| name.as_str() == object.key.name());
    child.is_some() && object.health != crate::ledger::event::Health::Healthy
}

/// What an object waits for that a person can bring about.
fn about_wait(world: &World, view: &AppView<'_>, key: &ObjectKey, advices: &mut Advices) {
    let kind = key.group_kind();
    if !world.cluster.kinds.contains_key(&kind) && !key.is_application() {
        let what = format!("install what defines {kind}, or take {key} out of Git");
        advices.say(what, format!("kubectl api-resources --api-group={}", key.group()));
        return;
    }
    if world.cluster.refused.contains_key(&kind) && !world.cluster.is_known(key) {
        advices.say(format!("allow greffier's user to get, list and watch {kind}"), "");
        return;
    }
    let namespace = ObjectKey::new("", "Namespace", "", key.namespace());
    let wanted = world.wanted_by.contains_key(&namespace);
    if !key.namespace().is_empty() && !wanted && !world.live.contains_key(&namespace) {
        let namespace = key.namespace();
        let option = "let greffier create it: syncOptions [CreateNamespace=true]";
        advices.say(option, "");
        advices.say("create it by hand", format!("kubectl create namespace {namespace}"));
        return;
    }
    let extra = !world.wanted_by.contains_key(key);
    let may_have = world.may_have_what_left(view.name, view.app, &view.plan.declare);
    if let Some(may_have) = may_have.filter(|_| extra) {
        about_heir(view, key, &may_have, advices);
    }
    if let Some(behind) = world.behind().filter(|behind| *behind != view.name) {
        let what = format!("see what {behind} waits for");
        advices.say(what, format!("greffier why {behind}"));
    }
}

/// What a person can do about what may have the object, as far as anybody knows.
fn about_heir(view: &AppView<'_>, key: &ObjectKey, heir: &MayHave<'_>, advices: &mut Advices) {
    match heir {
        MayHave::Fails { app, .. } => {
            advices.say(format!("see why {app} does not render"), format!("greffier why {app}"));
        }
        MayHave::Unrendered(app) => {
            advices.say(format!("see why {app} is not rendered"), format!("greffier why {app}"));
        }
        MayHave::Undefined { parent, key, .. } => {
            let what = format!("see why {parent} does not define {}", key.name());
            advices.say(what, format!("greffier why {parent}"));
        }
    }
    let command = format!("greffier sync {} --prune", view.name);
    advices.say(format!("or let {key} go all the same"), command);
}
