//! An application that what defines it is about to define otherwise: what its former definition
//! asks for anew is not written any more. It may name the very commit that the new one leaves.

use crate::ledger::event::Origin;
use crate::model::{AppName, Digest};
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
    if let Some(why) = of_former(app) {
        return Some(why.to_owned());
    }
    let (mut name, mut app) = (name, app);
    for _ in 0..DEPTH_MAX {
        let Origin::Parent(parent) = &app.origin else { return None };
        let above = world.apps.get(parent)?;
        if defines_otherwise(world, above, name, app.manifest) {
            return Some(format!("waits until application {parent} has defined {name} anew"));
        }
        (name, app) = (parent, above);
    }
    None
}

/// That what is in force was rendered from a former definition: what it asks for anew
/// was asked for by nobody since. It waits also where the present one does not render.
fn of_former(app: &App) -> Option<&'static str> {
    let desired = app.desired.as_ref()?;
    (desired.declared != app.declared).then_some("waits until its present definition is rendered")
}

/// Whether the parent has another definition of the child in force, and may define it by itself.
fn defines_otherwise(world: &World, parent: &App, child: &AppName, manifest: Digest) -> bool {
    let idle = parent.removing || parent.spec.skip || parent.is_paused(world.now);
    if idle || parent.spec.automated.is_none() {
        return false;
    }
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
