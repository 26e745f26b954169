//! Deletions. A file of its own because it is the dangerous one.
//!
//! Invariant: an object is pruned only when greffier applied it from a recorded render, a later
//! successful render of the same application provably does not contain it, and no other
//! application wants it. Deletes are bound to the uid and resource version last seen.

use super::assess::{Assessment, Status};
use super::order::kind_rank;
use super::{Permission, kind_rank as rank};
use crate::ledger::event::{Verb, Write};
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

pub(super) fn prunes(world: &World, name: &AppName, app: &App, permission: &Permission) -> Prunes {
    let mut prunes = Prunes::default();
    if app.desired.is_none() && !app.removing {
        return prunes;
    }
    let mut left = 0;
    for (key, owned) in world.owned_by(name) {
        let wanted = world.wanted_by.get(key).is_some_and(|apps| !apps.is_empty());
        if wanted {
            continue;
        }
        let Some(live) = world.live.get(key) else { continue };
        let assessment = prunes.one(world, app, permission, key, owned, live);
        left += usize::from(assessment.status != Status::Held);
        prunes.objects.push(assessment);
    }
    // Dependents before what they depend on: the order of creation, reversed.
    prunes.writes.sort_by(|a, b| rank(&b.key).cmp(&kind_rank(&a.key)).then(a.key.cmp(&b.key)));
    prunes.children(world, name, app, permission);
    prunes.nothing_left = app.removing && left == 0 && world.children(name).next().is_none();
    prunes
}

impl Prunes {
    fn one(
        &mut self,
        world: &World,
        app: &App,
        permission: &Permission,
        key: &ObjectKey,
        owned: &Owned,
        live: &LiveObject,
    ) -> Assessment {
        let mut assessment = extra(key, live);
        if world.in_flight.contains_key(key) || live.deleting {
            assessment.status = Status::InFlight;
            assessment.why = "being deleted".into();
            return assessment;
        }
        if let Some(what) = hold(app, owned) {
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
        if let Some(why) = not_now(world, app, permission, key) {
            assessment.why = why;
            return assessment;
        }
        let reason = if app.removing { "the application was removed" } else { "it left Git" };
        assessment.why = reason.to_owned();
        self.writes.push(Write {
            verb: Verb::Prune,
            key: key.clone(),
            version: owned.version.clone(),
            manifest: None,
            digest: Digest::default(),
            precondition: Some((live.uid.clone(), live.resource_version.clone())),
            reason: reason.to_owned(),
        });
        assessment
    }

    /// Child applications that the present render does not contain.
    fn children(&mut self, world: &World, name: &AppName, app: &App, permission: &Permission) {
        for child in world.children(name) {
            let key = ObjectKey::new("argoproj.io", "Application", "", child.as_str());
            let listed = |wanted: &ObjectKey| {
                wanted.is_application() && wanted.name == child.as_str()
            };
            let wants = app.desired.as_ref().filter(|_| !app.removing);
            if wants.is_some_and(|desired| desired.objects.keys().any(listed)) {
                continue;
            }
            let Some(state) = world.apps.get(child) else { continue };
            if state.removing {
                continue;
            }
            let permitted = permission.prune || app.removing;
            let why = match not_now(world, app, permission, &key) {
                Some(why) if !permitted || !app.removing => why,
                _ => {
                    self.remove.push((child.clone(), state.spec.cascade));
                    "its definition left Git".to_owned()
                }
            };
            self.objects.push(Assessment {
                key,
                status: Status::Extra,
                why,
                health: state.health,
                health_message: state.health_message.clone(),
                blocked: false,
                waits_for_progress: false,
            });
        }
    }
}

fn extra(key: &ObjectKey, live: &LiveObject) -> Assessment {
    Assessment {
        key: key.clone(),
        status: Status::Extra,
        why: String::new(),
        health: live.health,
        health_message: live.health_message.clone(),
        blocked: false,
        waits_for_progress: false,
    }
}

/// What forbids to prune the object.
fn hold(app: &App, owned: &Owned) -> Option<String> {
    let restraint = app.spec.restraints.iter().find(|restraint| restraint.holds_prunes());
    restraint.map(Restraint::what).or(owned.keep.first().map(String::as_str)).map(str::to_owned)
}

/// Why the object is not pruned now, if it is not.
fn not_now(world: &World, app: &App, permission: &Permission, key: &ObjectKey) -> Option<String> {
    if !permission.prune {
        return Some(format!("left as it is: {}", permission.why_not));
    }
    if !permission.covers(key) {
        return Some("left as it is: the sync was asked for other objects".into());
    }
    if let Some(problem) = &app.render_problem {
        return Some(format!("left as it is: the newest revision does not render: {}", problem.error));
    }
    if let Some(attempt) = app.attempts.get(key)
        && attempt.next.is_none_or(|next| next > world.now)
    {
        return Some(attempt.error.clone());
    }
    // An object that leaves one application and enters another in the same commit is a transfer:
    // nothing is deleted before every application has caught up with its repository.
    let behind = world.apps.iter().find(|(_, other)| world.render_pending(other));
    behind.map(|(other, _)| format!("waits until application {other} is rendered"))
}
