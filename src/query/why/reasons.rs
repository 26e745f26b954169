//! The reasons, the most important first.
//!
//! What concerns the whole application comes first: it restrains every write. Then come the
//! objects, grouped by what the plan says of them, and then their health.

use std::collections::BTreeMap;

use super::super::apps::AppView;
use super::super::text::{count, list};
use super::object::{Doing, Judge};
use super::{NAMED_MAX, Next, ObjectWhy, Reason, held, named};
use crate::ledger::event::Health;
use crate::model::{CommitId, ObjectKey, Seq};
use crate::plan::Assessment;
use crate::replay::{Pause, World};

/// The code of the reason that there is nothing to explain.
pub(super) const AS_GIT_SAYS: &str = "as_git_says";

/// What is done about an object that is as a hold of its application has it.
pub(super) const AS_HELD: &str = "as_held";

/// The code of the reason that tells what others changed.
pub(super) const CHANGED_BY: &str = "changed_by";

fn reason(code: &str, text: impl Into<String>, seq: Option<Seq>) -> Reason {
    Reason { code: code.to_owned(), text: text.into(), seq: seq.map(|seq| seq.0) }
}

/// Why an application is as it is; never empty.
pub(super) fn of_app(world: &World, view: &AppView<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> =
        held::of_app(world, view).into_iter().chain(not_rolled_back(view)).collect();
    reasons.extend(dropped(world, view));
    reasons.extend(restraining(world, view));
    reasons.extend(of_source(world, view));
    reasons.extend(gated(view));
    reasons.extend(contests(world, view, None));
    reasons.extend(groups(world, view));
    let plan = &view.plan;
    if !matches!(plan.health, Health::Healthy | Health::Missing) {
        let text = health_text(plan.health.as_str(), &plan.health_message);
        reasons.push(reason("unwell", text, None));
    }
    if reasons.is_empty() {
        let at = view.app.commit().map_or_else(String::new, |c| format!(" at {}", c.short()));
        let text = format!("every object is as Git says{at}");
        reasons.push(reason(AS_GIT_SAYS, text, view.app.desired.as_ref().map(|d| d.seq)));
    }
    let misread = view.app.spec.misread();
    reasons.extend(misread.map(|what| reason("misread", what, Some(view.app.declared))));
    reasons
}

/// That its rule would have rolled the application back, and why it was not.
fn not_rolled_back(view: &AppView<'_>) -> Option<Reason> {
    let refusal = view.app.trials.refused.as_ref()?;
    let text = format!("not rolled back by itself: {}", refusal.reasons.join("; "));
    Some(reason("not_rolled_back", text, Some(refusal.seq)))
}

/// That nothing defines the application any more, and that it is there still. What is held says so
/// with its hold.
fn dropped(world: &World, view: &AppView<'_>) -> Option<Reason> {
    let app = view.app;
    let parent = held::dropped_by(world, view).filter(|_| !app.removing && !app.is_held())?;
    let since = app.dropped.as_ref();
    let since = since.map_or_else(String::new, |by| format!(" since {}", by.commit.short()));
    let with = if app.spec.removals.cascade.is_some() { "with its objects" } else { "alone" };
    let text = format!(
        "application {parent} does not define it any more{since}: it goes {with} once {parent} \
         removes it"
    );
    Some(reason("dropped", text, app.dropped.as_ref().map(|by| by.seq)))
}

/// What restrains every write of the application. The words are the plan's.
fn restraining(world: &World, view: &AppView<'_>) -> Vec<Reason> {
    let (app, plan) = (view.app, &view.plan);
    if plan.permission.apply {
        return Vec::new();
    }
    let mut text = plan.permission.why_not.clone();
    let (code, seq) = if world.observe {
        ("observing", Some(world.started))
    } else if let Some(doubt) = world.cluster.doubt() {
        ("cluster_in_doubt", Some(doubt.seq()))
    } else if let Some(freeze) = world.freeze() {
        ends(&mut text, freeze);
        ("frozen", Some(freeze.seq))
    } else if app.spec.skip {
        ("skipped", Some(app.declared))
    } else if world.cluster.lost.is_some() {
        ("cluster_lost", None)
    } else if let Some(pause) = app.paused.as_ref().filter(|_| app.is_paused(world.now)) {
        ends(&mut text, pause);
        ("paused", Some(pause.seq))
    } else if app.removing {
        ("removing", None)
    } else if app.spec.automated.is_none() {
        if !plan.objects.iter().any(|object| object.status.differs()) {
            return Vec::new();
        }
        ("manual", None)
    } else {
        ("not_permitted", None)
    };
    vec![reason(code, text, seq)]
}

/// Adds when a pause or freeze ends by itself, and what it is for.
fn ends(text: &mut String, pause: &Pause) {
    if let Some(until) = pause.until {
        text.push_str(&format!(" until {until}"));
    }
    if !pause.reason.is_empty() {
        text.push_str(&format!(": {}", pause.reason));
    }
}

/// What is wrong with the source, or not done with it yet.
fn of_source(world: &World, view: &AppView<'_>) -> Vec<Reason> {
    let app = view.app;
    let mut reasons = Vec::new();
    let last = |app: &crate::replay::App| match app.commit() {
        Some(_) if app.is_held() => "what is held stays in force".to_owned(),
        Some(commit) => format!("the last good render, of {}, stays in force", commit.short()),
        None => "it was never rendered, so nothing is wanted".to_owned(),
    };
    if let Some(problem) = &app.render_problem {
        let at = problem.commit.as_ref().map(|commit| format!(" {}", commit.short()));
        let at = at.unwrap_or_default();
        let text =
            format!("the newest revision{at} does not render: {}; {}", problem.error, last(app));
        reasons.push(reason("does_not_render", text, Some(problem.seq)));
    }
    let failing = app.spec.sources.iter().find_map(|source| {
        let error = world.repos.get(&source.repo)?.error.as_ref()?;
        Some((source, error))
    });
    if let Some((source, error)) = failing {
        let text = format!("{} cannot be fetched: {error}; {}", source.repo, last(app));
        reasons.push(reason("not_fetched", text, None));
    } else if world.render_pending(app) {
        let text = match world.wanted(app) {
            None => "its repository is not fetched yet".to_owned(),
            Some(wanted) if wanted.contains(&None) => "its revision is being looked for".to_owned(),
            Some(wanted) => {
                let commits: Vec<String> = wanted.iter().flatten().map(short).collect();
                format!("{} is being rendered", commits.join(", "))
            }
        };
        reasons.push(reason("rendering", text, None));
    }
    reasons
}

fn short(commit: &CommitId) -> String {
    commit.short().to_string()
}

fn gated(view: &AppView<'_>) -> Option<Reason> {
    let gated = view.plan.gate.as_ref()?;
    let reasons = list(gated.reasons.iter().map(|reason| reason.what.clone()), NAMED_MAX);
    let size = count(gated.writes.len() + gated.apps.len(), "write");
    let verb = if gated.writes.len() + gated.apps.len() == 1 { "waits" } else { "wait" };
    let text = format!("{size} {verb} for approval: {reasons}");
    Some(reason("gated", text, view.app.gate.as_ref().map(|gate| gate.seq)))
}

/// How well it is, and why where that is told.
fn health_text(health: &str, message: &str) -> String {
    if message.is_empty() {
        return format!("health is {health}");
    }
    format!("health is {health}: {message}")
}

/// The contests of an application, or of one object.
fn contests(world: &World, view: &AppView<'_>, of: Option<&ObjectKey>) -> Vec<Reason> {
    let contests = view
        .app
        .contests()
        .filter(|(key, _, contest)| contest.ends() > world.now && of.is_none_or(|of| of == *key));
    let told = contests.map(|(key, rival, contest)| {
        let text = format!("{key}: {}", super::super::contest_text(rival, contest));
        reason("contest", text, contest.named.or(Some(contest.since)))
    });
    told.take(CONTESTS_MAX).collect()
}

/// How many contests are told one by one.
const CONTESTS_MAX: usize = 10;

/// The objects, grouped by what is done about them and why.
fn groups(world: &World, view: &AppView<'_>) -> Vec<Reason> {
    let mut groups: BTreeMap<(u8, &str, &str), Vec<&Assessment>> = BTreeMap::new();
    let judge = Judge::new(world, view);
    for object in &view.plan.objects {
        let doing = judge.doing(object);
        let code = match doing {
            Doing::Nothing if object.why.is_empty() => continue,
            // The gate says it for all of them, and a contest for itself.
            Doing::Gated | Doing::Contested(_) => continue,
            Doing::Nothing => "noted",
            ref doing => doing.code(),
        };
        groups.entry((doing.rank(), code, &object.why)).or_default().push(object);
    }
    let told = groups.into_iter().map(|((_, code, why), objects)| {
        let keys: Vec<&ObjectKey> = objects.iter().map(|object| &object.key).collect();
        let why = if why.is_empty() { objects[0].status.as_str() } else { why };
        reason(code, format!("{}: {why}", named(keys.into_iter())), None)
    });
    told.collect()
}

/// Why one object of an application is as it is; never empty.
pub(super) fn of_object(
    world: &World,
    view: &AppView<'_>,
    key: &ObjectKey,
    told: &ObjectWhy,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !told.why.is_empty() {
        let seq = told.drift.as_ref().map(|drift| Seq(drift.seq));
        reasons.push(reason(&told.doing, told.why.clone(), seq));
    }
    if let Some(drift) = &told.drift {
        let what = list(drift.fields.iter().cloned(), NAMED_MAX);
        let what = if what.is_empty() { "it was deleted".to_owned() } else { what };
        // By whom is for the ledger to say.
        reasons.push(reason(CHANGED_BY, what, Some(Seq(drift.seq))));
    }
    reasons.extend(held::of_object(view, key));
    let calm = [AS_GIT_SAYS, AS_HELD, "writing", "under_way", "comparing"];
    if !calm.contains(&told.doing.as_str()) {
        reasons.extend(restraining(world, view));
        if told.doing == Doing::Gated.code() {
            reasons.extend(gated(view));
        }
    }
    reasons.extend(contests(world, view, Some(key)));
    reasons.extend(of_source(world, view));
    if told.health != Health::Healthy.as_str() && told.health != Health::Missing.as_str() {
        let text = health_text(&told.health, &told.health_message);
        let seq = world.live.get(key).map(|live| live.seq);
        reasons.push(reason("unwell", text, seq));
    }
    if reasons.is_empty() {
        let at = view.app.commit().map_or_else(String::new, |c| format!(" at {}", c.short()));
        let owned = world.owned.get(key).map(|owned| owned.seq);
        reasons.push(reason(AS_GIT_SAYS, format!("it is as Git says{at}"), owned));
    }
    reasons
}

/// What happens next to an application.
pub(super) fn next(world: &World, view: &AppView<'_>) -> Vec<Next> {
    let (app, plan) = (view.app, &view.plan);
    let mut found = Vec::new();
    let mut say = |at: Option<String>, what: String| found.push(Next { at, what });
    let mut verbs: BTreeMap<&str, usize> = BTreeMap::new();
    for write in &plan.writes {
        *verbs.entry(write.verb.as_str()).or_default() += 1;
    }
    if !verbs.is_empty() {
        let what = verbs.iter().map(|(verb, n)| format!("{verb} {n}")).collect::<Vec<_>>();
        say(None, format!("now: {} of its objects", what.join(", ")));
    }
    let compared = plan.compare.len() + plan.dry_runs.len();
    if compared > 0 {
        let objects = count(compared, "object");
        say(None, format!("now: {objects} compared with what was applied or would be"));
    }
    if !plan.declare.is_empty() || !plan.remove.is_empty() {
        let (declare, remove) = (plan.declare.len(), plan.remove.len());
        say(None, format!("now: define {declare} and remove {remove} child applications"));
    }
    if let Some(until) = app.hold.as_ref().and_then(|hold| hold.until) {
        say(Some(until.to_string()), "the hold ends, and Git is followed again".to_owned());
    }
    if let Some(next) = app.render_problem.as_ref().and_then(|problem| problem.next)
        && next > world.now
    {
        say(Some(next.to_string()), "the newest revision is rendered again".to_owned());
    }
    if world.render_pending(app) {
        say(None, "when the newest revision is rendered: what it changes".to_owned());
    }
    if let Some(until) = world.freeze().and_then(|freeze| freeze.until) {
        say(Some(until.to_string()), "the freeze ends, and writes go on".to_owned());
    }
    let pause = app.paused.as_ref().filter(|_| app.is_paused(world.now));
    if let Some(until) = pause.and_then(|pause| pause.until) {
        say(Some(until.to_string()), "the pause ends, and writes go on".to_owned());
    }
    let judge = Judge::new(world, view);
    for object in &plan.objects {
        match judge.doing(object) {
            Doing::Retries(at, failures) => {
                let what = format!("{} is tried again (failed {failures} times)", object.key);
                say(Some(at.to_string()), what);
            }
            Doing::Contested(at) => {
                say(Some(at.to_string()), format!("{} is put back", object.key));
            }
            _ => {}
        }
    }
    if let Some(gated) = &plan.gate {
        let size = count(gated.writes.len() + gated.apps.len(), "write");
        say(None, format!("after an approval: {size}"));
    }
    if found.is_empty() {
        let what = at_rest(view);
        found.push(Next { at: None, what: what.to_owned() });
    }
    // The earliest first; what happens now comes before.
    found.sort_by(|a, b| a.at.cmp(&b.at));
    found.truncate(NEXT_MAX);
    found
}

/// What happens where a person holds the application.
const UNTIL_RELEASED: &str =
    "nothing, until it is released: commits are rendered and shown, and not applied";

/// What happens where its rule does.
const UNTIL_GIT_SAYS_ELSE: &str = "nothing, until Git says something else than what it was rolled \
     back from, which ends the hold and is applied, or until it is released";

/// What happens where nothing is to be done.
pub(super) fn at_rest(view: &AppView<'_>) -> &'static str {
    if view.app.hold.as_ref().is_some_and(|hold| hold.automatic.is_some()) {
        UNTIL_GIT_SAYS_ELSE
    } else if view.app.is_held() {
        UNTIL_RELEASED
    } else if view.plan.permission.apply && view.app.spec.automated.is_some() {
        "nothing, until Git or the cluster changes: a commit is applied as soon as it is known"
    } else {
        "nothing, until a person asks: a commit is rendered and shown, and not applied"
    }
}

/// How many things that happen next are told.
const NEXT_MAX: usize = 10;
