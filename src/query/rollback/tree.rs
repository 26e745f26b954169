//! What a rollback, or a release, of an application and of everything below it would do.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::ending;
use super::goes::without;
use super::others::{Other, Others};
use super::undone::Before;
use super::{OPTIONS_OF_NOW, Pending};
use crate::ledger::event::{Event, HeldApproval, Origin};
use crate::model::{AppName, CommitId, ObjectKey};
use crate::plan::{Compared, Limits, plan};
use crate::replay::{App, World};

impl Pending {
    /// Says whose options hold where the definition of an application goes back with its parent.
    fn goes_back_with_its_options(&mut self, world: &World, app: &App) {
        let Origin::Parent(parent) = &app.origin else { return };
        let held = world.apps.get(parent).filter(|parent| parent.is_held());
        let desired = held.and_then(|held| held.desired.as_ref());
        let Some(desired) = desired else { return };
        let of = |key: &ObjectKey| key.is_application() && key.name() == self.plan.app;
        let Some((_, then)) = desired.objects.iter().find(|(key, _)| of(key)) else { return };
        let notes = &mut self.plan.notes;
        let Some(at) = notes.iter().position(|note| note == OPTIONS_OF_NOW) else { return };
        if then.digest == app.manifest {
            // It says the same, then and now.
            notes.remove(at);
        } else {
            notes[at] =
                format!("its Application goes back with {parent}: its options of then hold");
        }
    }

    /// Names the holds that end because their applications go: this takes the place of the rollback
    /// that began them. `world` is as it is before they go.
    fn ends_holds(&mut self, world: &World) {
        let held = self.going.iter().filter_map(|app| Some((app, world.apps.get(app)?)));
        let held = held.filter_map(|(app, known)| Some((app, known.hold.as_ref()?.seq)));
        let notes = held.map(|(app, hold)| {
            format!("hold #{hold} of {app} ends: this takes the place of what began it")
        });
        let notes: Vec<String> = notes.collect();
        self.plan.notes.extend(notes);
    }

    /// Adds the applications below `name` that are defined in the very batch: once that is folded
    /// there is nothing left to define.
    fn defines(&mut self, name: &AppName, events: &[Event], world: &World) {
        self.ends_holds(world);
        let defined = events.iter().filter_map(|event| match event {
            Event::AppDeclared(body) if body.origin == Origin::Parent(name.clone()) => {
                Some(body.app.to_string())
            }
            _ => None,
        });
        let define = &mut self.plan.define;
        define.extend(defined);
        define.sort();
        define.dedup();
    }
}

/// The commit that an application stands for while Git says something newer already, which what is
/// below it may have taken up; `None` = it stands for what Git says, or is held.
#[must_use]
pub fn behind(world: &World, app: &str) -> Option<CommitId> {
    let (_, app) = world.apps.iter().find(|(name, _)| name.as_str() == app)?;
    let desired = app.desired.as_ref().filter(|_| !app.is_held())?;
    world.render_pending(app).then(|| desired.revision.commit.clone())
}

/// The application that an event begins or ends the hold of.
#[must_use]
pub fn held_by(event: &Event) -> Option<&AppName> {
    match event {
        Event::AppHeld(body) => Some(&body.app),
        Event::AppHoldEnded(body) => Some(&body.app),
        _ => None,
    }
}

/// The instant that an application was held at.
fn held(before: &BTreeMap<AppName, App>, name: &AppName) -> Option<u64> {
    Some(before.get(name)?.hold.as_ref()?.to.0)
}

/// What is written of the objects that pass from an application which goes to one of these: that is
/// decided when the other has gone.
fn passed_on(
    of: &mut BTreeMap<&AppName, Pending>,
    world: &World,
    limits: &Limits,
    compared: &Compared,
) {
    let gone = of.values().flat_map(|pending| &pending.plan.gone);
    let heirs: BTreeSet<String> =
        gone.flat_map(|gone| &gone.passes).map(|passes| passes.to.clone()).collect();
    if heirs.is_empty() {
        return;
    }
    let going: Vec<AppName> = of.values().flat_map(|pending| pending.going.clone()).collect();
    let after = without(world, &going);
    for (name, pending) in of.iter_mut() {
        // What goes with this one itself is known from the world before.
        if !heirs.contains(name.as_str()) || !pending.going.is_empty() {
            continue;
        }
        if let (Some(app), Some(planned)) =
            (after.apps.get(*name), plan(&after, name, limits, compared))
        {
            *pending = Pending::of(&after, name, app, &planned);
        }
    }
}

/// What would be done of each application once all the events are folded into `world`, in their
/// order.
#[must_use]
pub fn gather_tree(
    mut world: World,
    compared: &Compared,
    limits: &Limits,
    events: &[Event],
) -> Vec<(AppName, Pending)> {
    let before = world.apps.clone();
    let so = |name: &AppName| (name.clone(), Before::of(&world, name, limits, compared));
    let so: BTreeMap<AppName, Before> = events.iter().filter_map(held_by).map(so).collect();
    let ended = events.iter().filter(|event| matches!(event, Event::AppHoldEnded(_)));
    let others = Others::of(&world, ended.filter_map(held_by), limits, compared);
    let mut begun = Vec::new();
    let mut approvals: BTreeMap<AppName, HeldApproval> = BTreeMap::new();
    for event in events {
        let (seq, now) = (world.seq.next(), world.now);
        let _ = world.apply(seq, now, event);
        begun.push(seq);
        // What waits is judged by what is known when the event is folded.
        let Some(name) = held_by(event) else { continue };
        let gated = plan(&world, name, limits, compared).and_then(|planned| planned.gate);
        let gated = gated.filter(|gated| gated.render.is_none());
        approvals.extend(gated.map(|gated| {
            let (plan, writes, apps) = (gated.hash, gated.writes, gated.apps);
            (name.clone(), HeldApproval { plan, writes, apps })
        }));
    }
    let mut of = BTreeMap::new();
    for name in events.iter().filter_map(held_by) {
        if let (Some(app), Some(planned)) =
            (world.apps.get(name), plan(&world, name, limits, compared))
        {
            let mut pending = Pending::of(&world, name, app, &planned);
            // Of a parent that is in the batch its own plan says it.
            let with = |parent: &AppName| events.iter().filter_map(held_by).any(|a| a == parent);
            if !matches!(&app.origin, Origin::Parent(parent) if with(parent)) {
                pending.goes_by_parent(&world, (name, app), limits, compared);
            }
            of.insert(name, pending);
        }
    }
    passed_on(&mut of, &world, limits, compared);
    let pending = events.iter().filter_map(|event| {
        let name = held_by(event)?;
        let app = world.apps.get(name)?;
        let mut pending = of.remove(name)?;
        pending.approval = approvals.remove(name);
        pending.defines(name, events, &world);
        if let Some(so) = so.get(name) {
            pending.since(so, app);
        }
        pending.unnumbered(&begun);
        if let Some(before) = before.get(name) {
            pending.plan.ends = ending(before, event);
        }
        if let Event::AppHeld(body) = event {
            // One that was not there has nothing that this could take the place of.
            let new = App { hold: None, declared: body.desired.declared, ..app.clone() };
            pending.held(&world, before.get(name).unwrap_or(&new), app, body);
            pending.goes_back_with_its_options(&world, app);
        }
        if let (Event::AppHoldEnded(_), Some(hold)) = (event, held(&before, name)) {
            pending.way_back(hold);
        }
        Some((name.clone(), pending))
    });
    let mut pending: Vec<(AppName, Pending)> = pending.collect();
    say_of_others(&mut pending, |going| others.once_gone(&world, going, limits, compared));
    goes_or_moves(&mut pending, events);
    pending
}

/// Has the first of these applications say what others write once all that go are gone.
fn say_of_others(
    pending: &mut [(AppName, Pending)],
    once_gone: impl FnOnce(&[AppName]) -> Vec<Other>,
) {
    let going: Vec<AppName> =
        pending.iter().flat_map(|(_, pending)| pending.going.clone()).collect();
    if let Some((_, first)) = pending.first_mut() {
        first.plan.others = once_gone(&going);
    }
}

/// Of what another of these applications removes or defines otherwise, nothing else is said. What
/// is rolled back is held at what was in force, which is known, whatever defines it then.
fn goes_or_moves(pending: &mut [(AppName, Pending)], events: &[Event]) {
    let rolled_back = events.iter().filter(|event| matches!(event, Event::AppHeld(_)));
    let rolled_back: BTreeSet<&AppName> = rolled_back.filter_map(held_by).collect();
    for (_, other) in pending.iter_mut() {
        other.plan.moved.retain(|app| rolled_back.iter().all(|held| held.as_str() != app));
    }
    for at in 0..pending.len() {
        let name = pending[at].0.clone();
        if pending.iter().any(|(_, other)| other.going.contains(&name)) {
            pending[at].1.is_removed();
        } else if pending.iter().any(|(_, other)| other.plan.moved.contains(&name.to_string())) {
            pending[at].1.is_moved();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::{Given, commit, maps};

    #[test]
    fn an_application_is_behind_while_git_says_something_that_it_has_not_taken_up() {
        let mut given = Given::synced(maps(1));
        let now = |given: &Given| behind(&given.world, "web");
        assert_eq!((now(&given), behind(&given.world, "other")), (None, None));
        let then = given.world.clone();
        given.push(2);
        assert_eq!(now(&given), Some(commit(1)));
        let mut held = given.clone();
        held.rolls_back("web", &then);
        assert_eq!(now(&held), None, "what is held is what a person said");
        given.renders("web", maps(2));
        assert_eq!(now(&given), None);
    }
}
