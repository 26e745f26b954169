//! The health of an application: the worst of its objects, as Argo CD counts them.
//!
//! Counted are the objects that the application wants, those that it still owns, and its child
//! applications. Not counted are hooks, the namespace that comes with an option, an application
//! that defines itself, and what is on its way out. What objects own in turn (the Pods of a
//! Deployment) is not counted: the Deployment speaks for them.

use super::{Assessment, CREATE_NAMESPACE, Plan, Status};
use crate::ledger::event::Health;
use crate::replay::{App, World};

/// The worst health of the objects, and which of them it rests on.
///
/// What is missing does not make an application worse while something of it is there: that it is
/// out of sync says so already. An application of which nothing is there is missing itself.
pub(super) fn health(world: &World, app: &App, plan: &Plan) -> (Health, String) {
    if app.desired.is_none() {
        let why = app.render_problem.as_ref().map_or("nothing rendered yet", |p| p.error.as_str());
        return (Health::Unknown, why.to_owned());
    }
    let counted = Counted::of(world, app, plan);
    if let Some((health, object)) = counted.worst {
        let beginning = health != object.health;
        let message = if beginning { "not rendered yet" } else { &object.health_message };
        return (health, said(object, message));
    }
    match counted.absent {
        Some(object) if !counted.any_live => {
            let health = if counted.unknown { Health::Unknown } else { Health::Missing };
            (health, said(object, &object.health_message))
        }
        _ => (Health::Healthy, String::new()),
    }
}

/// The object, and why it is so where that is told.
fn said(object: &Assessment, message: &str) -> String {
    match message {
        "" => object.key.to_string(),
        message => format!("{}: {message}", object.key),
    }
}

/// What the health of an application rests on.
#[derive(Default)]
struct Counted<'a> {
    /// The worst of what is there, where it is not healthy; the first of several.
    worst: Option<(Health, &'a Assessment)>,
    /// The first that is not there.
    absent: Option<&'a Assessment>,
    /// Whether it is not known what is there.
    unknown: bool,
    /// Whether anything is there.
    any_live: bool,
}

impl<'a> Counted<'a> {
    fn of(world: &World, app: &App, plan: &'a Plan) -> Self {
        let mut counted = Self::default();
        let mut worst = Health::Healthy;
        for object in plan.objects.iter().filter(|object| counts(app, plan, object)) {
            if object.health == Health::Missing {
                counted.unknown |= object.status == Status::Unknown;
                counted.absent.get_or_insert(object);
                continue;
            }
            counted.any_live = true;
            let beginning = object.health == Health::Unknown && is_beginning(world, object);
            let health = if beginning { Health::Progressing } else { object.health };
            if health > worst {
                worst = health;
                counted.worst = Some((health, object));
            }
        }
        counted
    }
}

fn counts(app: &App, plan: &Plan, object: &Assessment) -> bool {
    if object.key.is_application() && object.key.name() == plan.app.as_str() {
        // Its own health would keep itself up.
        return false;
    }
    let desired = app.desired.as_ref().and_then(|desired| desired.objects.get(&object.key));
    match desired {
        // What is never applied is a hook.
        Some(desired) => {
            desired.origin != CREATE_NAMESPACE && !desired.holds.iter().any(|hold| hold.create)
        }
        None => object.status != Status::InFlight,
    }
}

/// Whether the object is a child application that is about to be rendered for the first time. One
/// that cannot be rendered is unknown, and so is its parent: nothing else would say so there.
fn is_beginning(world: &World, object: &Assessment) -> bool {
    let child = object.key.child().and_then(|name| world.apps.get(&name));
    child.is_some_and(|child| child.desired.is_none() && world.render_pending(child))
}
