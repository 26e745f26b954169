//! An application that what defines it is about to define otherwise, or may be: what its former
//! definition asks for anew is not written any more. It may name the very commit that the new one
//! leaves.

use crate::ledger::event::Origin;
use crate::model::{AppName, Digest, Restraint, Ruling, Source};
use crate::replay::{App, Desired, World};

/// Bound: no tree is deeper, unless it is a circle.
const DEPTH_MAX: usize = 100;

/// Why what the application asks for anew waits; `None` = it does not.
///
/// What is held is asked for by a person, and not by a definition.
pub(super) fn why(world: &World, name: &AppName, app: &App) -> Option<String> {
    if app.is_held() || app.removing {
        return None;
    }
    // Also where the present one does not render.
    if app.is_of_former() {
        return Some("waits until its present definition is rendered".to_owned());
    }
    let (written, mut name, mut app) = (app, name, app);
    for _ in 0..DEPTH_MAX {
        let Origin::Parent(parent) = &app.origin else { return None };
        let above = world.apps.get(parent).filter(|_| parent != name)?;
        if above.may_define(world.now) {
            if written.request.is_none() && is_going(world, above, name, app) {
                return Some(format!(
                    "waits: application {parent} does not define {name} any more"
                ));
            }
            if defines_otherwise(world, above, name, app.manifest) {
                return Some(format!("waits until application {parent} has defined {name} anew"));
            }
            if is_unread(world, above, name, written) {
                return Some(format!(
                    "waits until application {parent}, which defines it, is rendered"
                ));
            }
        }
        (name, app) = (parent, above);
    }
    None
}

/// Whether the parent removes its child, at once or when what that waits for is over: what Git dropped
/// gets nothing that is new, unless a person asks for it.
fn is_going(world: &World, parent: &App, child: &AppName, app: &App) -> bool {
    let prunes = parent.spec.automated.as_ref().is_some_and(|automated| automated.prune);
    let of_git = prunes && parent.desired.is_some() && !parent.is_held();
    let suspended = || parent.spec.restraints.iter().any(Restraint::holds_all);
    let stays = || matches!(parent.ruling(&app.spec.removals.own), Ruling::Stays(_));
    let is_defined = || world.apps.values().any(|other| other.defines(child));
    of_git && !parent.defines(child) && !suspended() && !stays() && !is_defined()
}

/// Whether what the parent says of its child is about to be read: the push that has what is
/// `written` may define it otherwise, and so may a new definition of the parent.
fn is_unread(world: &World, parent: &App, child: &AppName, written: &App) -> bool {
    if parent.is_held() || !world.render_pending(parent) || !parent.defines(child) {
        return false;
    }
    let of_push = |source: &Source| parent.spec.sources.iter().any(|own| own.repo == source.repo);
    parent.is_of_former() || written.spec.sources.iter().any(of_push)
}

/// Whether the parent has another definition of the child in force.
fn defines_otherwise(world: &World, parent: &App, child: &AppName, manifest: Digest) -> bool {
    let Some(desired) = in_force(world, parent) else { return false };
    let objects = desired.objects.values().filter(|object| object.key.is_application());
    let mut defined = objects.filter(|object| object.key.name() == child.as_str());
    defined.next().is_some_and(|object| {
        let refused = parent.refused.get(child).is_some_and(|(digest, _)| *digest == object.digest);
        object.digest != manifest && !refused
    })
}

/// What the parent asks for, once a hold of it whose time is over has ended.
fn in_force<'w>(world: &World, parent: &'w App) -> Option<&'w Desired> {
    let over = parent.hold.as_ref().and_then(|hold| hold.until).is_some_and(|u| u <= world.now);
    let git = parent.proposed.as_ref().map(|proposed| &proposed.desired);
    git.filter(|_| over).or(parent.desired.as_ref())
}
