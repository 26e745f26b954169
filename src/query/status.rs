//! One screen about everything.

use std::collections::BTreeMap;

use super::apps::AppView;
use super::text::{count, list};
use crate::model::{AppName, Timestamp};
use crate::plan;
use crate::replay::{Contest, LeftBehind, Rival, World};

/// How many objects are named.
const NAMED_MAX: usize = 3;

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseNote {
    /// The application.
    pub app: AppName,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// Something that keeps an application from being as Git says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemNote {
    /// The application.
    pub app: AppName,
    /// What it is.
    pub what: String,
}

/// What an overview is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// How many applications are in which sync state.
    pub sync: BTreeMap<&'static str, usize>,
    /// How many applications have which health.
    pub health: BTreeMap<&'static str, usize>,
    /// What is paused.
    pub pauses: Vec<PauseNote>,
    /// What does not render, failed, or is refused.
    pub problems: Vec<ProblemNote>,
    /// What suspends writes.
    pub suspended: Vec<ProblemNote>,
}

/// Who disagrees about what, and what is done about it.
#[must_use]
pub fn contest_text(rival: &Rival, contest: &Contest) -> String {
    let who = rival.who();
    let seconds = contest.wait_ms() / 1_000;
    format!(
        "CONTEST over {}: {who} and greffier change it back and forth ({} times since it was \
         named); it is put back after {seconds} s",
        rival.path,
        contest.flips.saturating_sub(1),
    )
}

/// What a release left of an application that went with it.
fn left_behind((app, left): (&AppName, LeftBehind)) -> ProblemNote {
    let LeftBehind { seq, parent, objects, .. } = left;
    let n = count(objects.len(), "object");
    let named = list(objects.iter().map(ToString::to_string), NAMED_MAX);
    let what = format!(
        "LEFT BEHIND: it went with the release of {parent} (#{seq}), for Git does not have it, and \
         nobody has {n} of it: {named}; `greffier why {app}` says the way back"
    );
    ProblemNote { app: app.clone(), what }
}

/// Sums up the applications.
#[must_use]
pub fn status(world: &World, views: &[AppView<'_>]) -> Status {
    let mut status = Status::default();
    for left in world.left.keys().filter_map(|app| Some((app, world.left_behind(app)?))) {
        status.problems.push(left_behind(left));
    }
    for view in views {
        *status.sync.entry(view.plan.sync.as_str()).or_default() += 1;
        *status.health.entry(view.plan.health.as_str()).or_default() += 1;
        let app = || view.name.clone();
        if let Some(pause) = &view.app.paused
            && pause.until.is_none_or(|until| until > world.now)
        {
            let (until, reason) = (pause.until, pause.reason.clone());
            status.pauses.push(PauseNote { app: app(), until, reason });
        }
        if let Some(problem) = &view.app.render_problem {
            let what = format!("does not render: {}", problem.error);
            status.problems.push(ProblemNote { app: app(), what });
        }
        if let Some(refusal) = &view.app.trials.refused {
            let what = format!("NOT ROLLED BACK by itself: {}", refusal.reasons.join("; "));
            status.problems.push(ProblemNote { app: app(), what });
        }
        for what in view.app.spec.misread() {
            status.problems.push(ProblemNote { app: app(), what: what.clone() });
        }
        let objects = view.app.desired.iter().flat_map(|desired| desired.objects.values());
        for object in objects.filter(|object| object.key.is_application()) {
            if let Some(why) = view.app.why_undefinable(object) {
                let child = object.key.name();
                let what = format!("cannot define {child} as Git has it, what was stays: {why}");
                status.problems.push(ProblemNote { app: app(), what });
            }
        }
        for (key, attempt) in &view.app.attempts {
            let what = format!("{key}: {} (failed {} times)", attempt.error, attempt.failures);
            status.problems.push(ProblemNote { app: app(), what });
        }
        if view.app.spec.skip {
            let what = format!("left alone: {}", view.plan.permission.why_not);
            status.problems.push(ProblemNote { app: app(), what });
        }
        for object in view.plan.objects.iter().filter(|o| o.status == plan::Status::Foreign) {
            let what = format!("{}: {}", object.key, object.why);
            status.problems.push(ProblemNote { app: app(), what });
        }
        status.problems.extend(stays(view));
        for what in &view.plan.suspended {
            status.suspended.push(ProblemNote { app: app(), what: what.clone() });
        }
    }
    status
}

/// What is to go and stays until somebody does something: the first, and how many more.
fn stays(view: &AppView<'_>) -> Option<ProblemNote> {
    let mut stays = view.plan.objects.iter().filter(|object| {
        let goes = object.status == plan::Status::Extra && object.blocked;
        goes && !object.waits_for_progress && !view.app.attempts.contains_key(&object.key)
    });
    let first = stays.next()?;
    let more = match stays.count() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = format!("{}: {}{more}", first.key, first.why);
    Some(ProblemNote { app: view.name.clone(), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{AppRefusedV1, Origin};
    use crate::query::apps;
    use crate::replay::testing::{Given, application, auto, child, name, objects};

    /// Goal: a definition that is refused keeps an application from being as Git says, and that is
    /// told with its parent, which has it, until Git has another.
    #[test]
    fn a_definition_that_is_refused_is_a_problem() {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&application("web", auto()))]);
        let problems = |given: &Given| -> Vec<String> {
            let views = apps(&given.world, &given.compared, &given.limits);
            let problems = status(&given.world, &views).problems;
            problems.into_iter().map(|note| format!("{}: {}", note.app, note.what)).collect()
        };
        assert_eq!(problems(&given), [""; 0]);
        let error = "`spec.source.path` is a number".to_owned();
        let origin = Origin::Parent(name("root"));
        given.event(AppRefusedV1 { app: "web".into(), error: error.clone(), origin });
        let what = format!("root: cannot define web as Git has it, what was stays: {error}");
        assert_eq!(problems(&given), [what]);
        given.push(2);
        given.renders("root", Vec::new());
        assert_eq!(problems(&given), [""; 0]);
    }

    /// Goal: what stays for ever, because nothing moves by itself, is told where people look first.
    #[test]
    fn what_stays_until_somebody_does_something_is_a_problem() {
        let mut given = Given::app("web", auto());
        given.renders("web", objects(&["ConfigMap/prod/a", "ConfigMap/prod/b", "Secret/prod/s"]));
        given.syncs("web");
        given.push(2);
        given.renders("web", objects(&["Rollout.example.org/prod/a", "Secret/prod/s"]));
        let views = apps(&given.world, &given.compared, &given.limits);
        let problems = status(&given.world, &views).problems;
        let told =
            problems.iter().find(|note| note.what.starts_with("ConfigMap/prod/a: it left Git"));
        let what = &told.expect("it is told").what;
        assert!(what.contains("the cluster does not serve the kind"), "{what}");
        assert!(what.contains("--prune --only ConfigMap/prod/a") && what.ends_with("; and 1 more"));
    }
}
