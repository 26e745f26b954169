//! Deletions. A file of its own because it is the dangerous one.
//!
//! Invariant: an object is pruned only when greffier applied it from a recorded render, a later
//! successful render of the same application provably does not contain it, and no other
//! application wants it. Deletes are bound to the uid and resource version last seen.

use super::Permission;
use super::assess::{Assessment, Status};
use super::order::kind_rank;
use crate::ledger::event::{Health, Method, Verb, Write};
use crate::model::{AppName, Digest, ObjectKey, Restraint};
use crate::replay::{App, LiveObject, Owned, World};

/// What has to go.
#[derive(Default)]
pub(super) struct Prunes {
    pub(super) writes: Vec<Write>,
    pub(super) remove: Vec<(AppName, bool)>,
    pub(super) objects: Vec<Assessment>,
    pub(super) suspended: Vec<String>,
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

pub(super) fn prunes(world: &World, name: &AppName, app: &App, permission: &Permission) -> Prunes {
    let mut prunes = Prunes::default();
    if app.desired.is_none() && !app.removing {
        return prunes;
    }
    let extras: Vec<_> = world.extras_of(name).collect();
    let children: Vec<_> = world.children(name).filter(|child| !defines(app, child)).collect();
    let mut left = world.intents.values().filter(|intent| intent.app == *name).count();
    // Looking at every application is worth it only where something is to be removed.
    let nothing = extras.is_empty() && children.is_empty();
    let behind = if nothing { None } else { world.behind() };
    let judge = Judge { world, app, permission, behind };
    for (key, owned, live) in extras {
        let assessment = prunes.object(&judge, key, owned, live);
        left += usize::from(assessment.status != Status::Held);
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

/// Whether the present render of `app` defines the child.
fn defines(app: &App, child: &AppName) -> bool {
    let desired = app.desired.as_ref().filter(|_| !app.removing);
    desired.is_some_and(|desired| {
        let mut keys = desired.objects.keys();
        keys.any(|key| key.is_application() && key.name == child.as_str())
    })
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
        if judge.world.in_flight.contains_key(key) || live.deleting {
            assessment.status = Status::InFlight;
            assessment.why = "being deleted".into();
            return assessment;
        }
        if let Some(what) = judge.hold(&owned.keep) {
            self.suspended.push(format!("prune {key}: {what}"));
            assessment.status = Status::Held;
            assessment.why = format!("left as it is: {what}");
            return assessment;
        }
        if live.uid != owned.uid {
            assessment.status = Status::Held;
            assessment.why = "left as it is: somebody replaced it by another of its name".into();
            return assessment;
        }
        let kind = key.group_kind();
        if !judge.world.cluster.is_listed(&kind) {
            assessment.status = Status::Unknown;
            assessment.block(format!("{kind} objects are not listed yet"), true);
            return assessment;
        }
        if let Some(not_now) = judge.not_now(key) {
            not_now.explain(&mut assessment);
            return assessment;
        }
        let reason = if judge.app.removing { "the application was removed" } else { "it left Git" };
        assessment.why = reason.to_owned();
        self.writes.push(Write {
            verb: Verb::Prune,
            key: key.clone(),
            version: owned.version.clone(),
            manifest: None,
            digest: Digest::default(),
            method: Method::Apply,
            validate: true,
            precondition: Some((live.uid.clone(), live.resource_version.clone())),
            reason: reason.to_owned(),
        });
        assessment
    }

    /// A child application that the present render does not contain. Returns whether its parent
    /// has to wait for it before it can go itself.
    fn child(&mut self, judge: &Judge<'_>, name: &AppName) -> bool {
        let Some(child) = judge.world.apps.get(name) else { return false };
        if child.removing {
            return true;
        }
        let key = ObjectKey::new("argoproj.io", "Application", "", name.as_str());
        let mut assessment = extra(&key, child.health, &child.health_message);
        let held = judge.hold(&child.keep);
        let goes = if let Some(what) = &held {
            self.suspended.push(format!("prune {key}: {what}"));
            assessment.status = Status::Held;
            assessment.why = format!("left as it is: {what}");
            false
        } else if judge.app.removing {
            // No write to the cluster: the child's own pause and policy guard its objects.
            true
        } else if let Some(not_now) = judge.not_now(&key) {
            not_now.explain(&mut assessment);
            false
        } else {
            true
        };
        if goes {
            assessment.why = "its definition left Git".to_owned();
            self.remove.push((name.clone(), child.spec.cascade));
        }
        self.objects.push(assessment);
        held.is_none()
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

fn extra(key: &ObjectKey, health: Health, health_message: &str) -> Assessment {
    Assessment {
        key: key.clone(),
        status: Status::Extra,
        why: String::new(),
        health,
        health_message: health_message.to_owned(),
        blocked: false,
        waits_for_progress: false,
    }
}

struct Judge<'a> {
    world: &'a World,
    app: &'a App,
    permission: &'a Permission,
    /// An application that has not caught up with its repository.
    behind: Option<&'a AppName>,
}

impl Judge<'_> {
    /// What forbids to remove something whose own manifest says `keep`.
    fn hold(&self, keep: &[String]) -> Option<String> {
        let restraints = &self.app.spec.restraints;
        let restraint = restraints.iter().find(|restraint| restraint.holds_prunes());
        let restraint = restraint.map(Restraint::what);
        restraint.or(keep.first().map(String::as_str)).map(str::to_owned)
    }

    fn not_now(&self, key: &ObjectKey) -> Option<NotNow> {
        if !self.permission.prune || !self.permission.covers(key) {
            let why = format!("left as it is: {}", self.permission.why_not(key));
            return Some(NotNow::Policy(why));
        }
        if let Some(problem) = self.app.render_problem.as_ref().filter(|_| !self.app.removing) {
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
        let attempt = self.app.attempts.get(key).filter(|attempt| attempt.digest.is_zero())?;
        if attempt.next.is_some_and(|next| next <= self.world.now) {
            return None;
        }
        Some(NotNow::Blocked(attempt.error.clone(), !attempt.refused))
    }
}
