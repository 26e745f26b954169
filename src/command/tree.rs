//! Taking an application back together with every application below it.
//!
//! All of it is one batch of events, which is atomic: each application gets a hold of its own, and
//! what was there then and is gone now is defined again first, as the held render of its parent
//! says. What another application of the tree defines now, or one that goes, is defined again as it
//! was as well. What is there now and was not then goes as that render says.

use std::collections::{BTreeMap, BTreeSet};

use super::rollback::Then;
use super::{Error, find, not_past, writable};
use crate::ledger;
use crate::ledger::event::{
    AppDeclaredV1, AppHeldV1, AppHoldEndedV1, DesiredObject, Event, HeldRender, HoldEnd, Origin,
};
use crate::model::{AppName, AppSpec, Timestamp};
use crate::query::Book;
use crate::query::instant::At;
use crate::query::rollback::{OfCommit, Wanted};
use crate::replay::{App, Desired, World};

/// An application of a tree, as it was at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The application.
    pub app: AppName,
    /// The one that defined it; `None` = it is the root.
    pub parent: Option<AppName>,
    /// The definition that its parent rendered.
    pub manifest: Vec<u8>,
    /// What was in force of it.
    pub then: Then,
    /// What a person should know of how that was found; mostly nothing.
    pub note: String,
}

impl Member {
    /// The application and everything below it, as `world` says, parents first; empty when it is
    /// not there.
    #[must_use]
    pub fn of(world: &World, root: &str) -> Vec<Self> {
        let Some(root) = world.apps.keys().find(|name| name.as_str() == root) else {
            return Vec::new();
        };
        let (app, then) = (root.clone(), Then::of(world, root.as_str()));
        let (manifest, note) = (Vec::new(), String::new());
        let mut members = vec![Self { app, parent: None, manifest, then, note }];
        let mut known = BTreeSet::from([root.clone()]);
        let mut at = 0;
        while let Some(parent) = members.get(at).map(|member| member.app.clone()) {
            at += 1;
            let Some(state) = world.apps.get(&parent) else { continue };
            let children = world.children(&parent).filter(|child| state.defines(child));
            for child in children.cloned().collect::<Vec<_>>() {
                // A circle of parents has no end.
                if known.insert(child.clone()) {
                    let manifest = definition(state, &child).unwrap_or_default();
                    let (then, parent) = (Then::of(world, child.as_str()), Some(parent.clone()));
                    let note = String::new();
                    members.push(Self { app: child, parent, manifest, then, note });
                }
            }
        }
        members
    }

    /// The application and everything below it, as a commit of its repository asked for them,
    /// parents first; empty when it was not there. `world` is the one as of
    /// [`OfCommit::at`], by which the tree had settled on the commit.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn of_commit(
        book: &dyn Book,
        world: &World,
        root: &str,
        of: &OfCommit,
    ) -> Result<Vec<Self>, ledger::Error> {
        let Some((root, state)) = world.apps.iter().find(|(name, _)| name.as_str() == root) else {
            return Ok(Vec::new());
        };
        let (then, note) = then_of_commit(book, world, (root, &state.spec), of)?;
        let mut members =
            vec![Self { app: root.clone(), parent: None, manifest: Vec::new(), then, note }];
        let mut known = BTreeSet::from([root.clone()]);
        let mut at = 0;
        while let Some(Self { app: parent, then, .. }) = members.get(at).cloned() {
            at += 1;
            let Then::Wanted(desired) = then else { continue };
            for object in desired.objects.values().filter(|object| object.key.is_application()) {
                let (Ok(child), Some(manifest)) =
                    (object.key.name().parse::<AppName>(), &object.application)
                else {
                    continue;
                };
                let defined = world.apps.get(&child).map(|app| &app.origin);
                if defined.is_some_and(|origin| *origin != Origin::Parent(parent.clone())) {
                    continue;
                }
                let read = serde_json::from_slice(manifest).unwrap_or_default();
                let Ok(spec) = AppSpec::parse(&read) else { continue };
                if known.insert(child.clone()) {
                    let (then, note) = then_of_commit(book, world, (&child, &spec), of)?;
                    let (manifest, parent) = (manifest.clone(), Some(parent.clone()));
                    members.push(Self { app: child, parent, manifest, then, note });
                }
            }
        }
        Ok(members)
    }
}

/// What a commit asked for of an application, and what a person should know of how that was found.
fn then_of_commit(
    book: &dyn Book,
    world: &World,
    (app, spec): (&AppName, &AppSpec),
    of: &OfCommit,
) -> Result<(Then, String), ledger::Error> {
    Ok(match of.wanted(book, world, (app, spec))? {
        Wanted::Rendered(desired) => (Then::Wanted(desired), String::new()),
        Wanted::InForce(why) => (Then::of(world, app.as_str()), why),
        Wanted::Unknown(why) => (Then::Unknown(why), String::new()),
    })
}

fn definition(parent: &App, child: &AppName) -> Option<Vec<u8>> {
    let objects = &parent.desired.as_ref()?.objects;
    let mut found = objects.values().filter(|object| object.key.is_application());
    found.find(|object| object.key.name() == child.as_str())?.application.clone()
}

/// How a person asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The instant.
    pub to: At,
    /// How the person named it.
    pub said: String,
    /// When the holds end by themselves.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// What it comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The applications that are left as they are, and why. Whoever does not ask for a part only
    /// is refused all of it.
    pub left: Vec<String>,
    /// What a person should know of an application.
    pub notes: Vec<(AppName, String)>,
}

/// The events that hold the root and everything below it as they were.
///
/// # Errors
/// As [`decide`](super::decide) of a rollback; the first application that cannot be held says why.
pub fn roll_back_tree(
    world: &World,
    now: Timestamp,
    root: &str,
    members: &[Member],
    asked: &Asked,
) -> Result<Tree, Error> {
    not_past("hold", asked.until, now)?;
    let (name, _) = find(world, root)?;
    writable(world)?;
    let (seq, time) = (asked.to.seq, asked.to.time);
    if members.is_empty() {
        return Err(Error::NotThen { app: name.clone(), seq, time });
    }
    let mut tree = Tree::default();
    let batch = Batch::of(world, name, members, asked);
    for member in members {
        batch.hold(member, &mut tree)?;
    }
    for member in members.iter().filter(|member| stays_as_it_is(world, member)) {
        keep_definition(world, member, &mut tree)?;
    }
    Ok(tree)
}

/// Whether a member of the tree is left as it is: it is there, and what was in force of it is not
/// known, or a person has set it aside.
fn stays_as_it_is(world: &World, member: &Member) -> bool {
    let known = world.apps.get(&member.app).filter(|known| !known.removing);
    known.is_some_and(|known| known.spec.skip || matches!(member.then, Then::Unknown(_)))
}

/// What is left as it is keeps its present definition in what its parent is held at: by that of
/// then it would be synced to whatever Git says now.
fn keep_definition(world: &World, member: &Member, tree: &mut Tree) -> Result<(), Error> {
    let (Some(parent), Some(known)) = (&member.parent, world.apps.get(&member.app)) else {
        return Ok(());
    };
    let held = tree.events.iter_mut().find_map(|event| match event {
        Event::AppHeld(body) if body.app == *parent => Some(&mut body.desired.objects),
        _ => None,
    });
    let defines = |object: &&mut DesiredObject| {
        object.key.is_application() && object.key.name() == member.app.as_str()
    };
    let then = held.and_then(|objects| objects.iter_mut().find(defines));
    // What the parent is not held at, it does not define otherwise.
    let Some(then) = then.filter(|then| then.digest != known.manifest) else { return Ok(()) };
    let above = [Some(parent), known.origin.parent()]
        .into_iter()
        .flatten()
        .filter_map(|app| world.apps.get(app));
    let renders = above.flat_map(|above| above.desired.iter().chain(above.of_git()));
    let mut objects = renders.flat_map(|render| render.objects.values());
    let is_present = |object: &&DesiredObject| {
        object.key.is_application()
            && object.key.name() == member.app.as_str()
            && object.digest == known.manifest
    };
    match objects.find(is_present) {
        Some(present) => *then = present.clone(),
        None => return Err(Error::LeftAlone(member.app.clone())),
    }
    Ok(())
}

/// All that is decided in one batch.
struct Batch<'a> {
    world: &'a World,
    root: &'a AppName,
    asked: &'a Asked,
    /// Which application defined each, then; `None` = it is the root.
    parents: BTreeMap<&'a AppName, Option<&'a AppName>>,
    /// What is in force of those that go back.
    held: BTreeMap<&'a AppName, &'a Desired>,
}

impl<'a> Batch<'a> {
    fn of(world: &'a World, root: &'a AppName, members: &'a [Member], asked: &'a Asked) -> Self {
        let held = members.iter().filter_map(|member| match &member.then {
            Then::Wanted(desired) => Some((&member.app, &**desired)),
            Then::NotThere | Then::Nothing | Then::Unknown(_) => None,
        });
        let alone = |app: &AppName| world.apps.get(app).is_some_and(|known| known.spec.skip);
        let held = held.filter(|(app, _)| !alone(app)).collect();
        let parents = members.iter().map(|member| (&member.app, member.parent.as_ref())).collect();
        Self { world, root, asked, parents, held }
    }

    fn hold(&self, member: &Member, tree: &mut Tree) -> Result<(), Error> {
        let (app, seq, time) = (&member.app, self.asked.to.seq, self.asked.to.time);
        let known = self.world.apps.get(app);
        let given_back = self.is_given_back(known, member)?;
        if known.is_some_and(|known| known.spec.skip) {
            if member.parent.is_none() {
                return Err(Error::LeftAlone(app.clone()));
            }
            let why = "it is left alone: its skip-reconcile annotation says so";
            tree.left.push(format!("{app}: {why}"));
            return Ok(());
        }
        let gone = known.is_none_or(|known| known.removing);
        // What is left as it is keeps its definition: its former parent takes it over with that.
        let given_back = given_back && !stays_as_it_is(self.world, member);
        let declared = match (&member.parent, gone || given_back) {
            (None, true) => return Err(Error::BeingRemoved(app.clone())),
            (Some(parent), true) => {
                AppSpec::parse(&serde_json::from_slice(&member.manifest).unwrap_or_default())?;
                let (app, origin) = (app.clone(), Origin::Parent(parent.clone()));
                Some(AppDeclaredV1 { app, manifest: member.manifest.clone(), origin })
            }
            (_, false) => None,
        };
        tree.events.extend(declared.map(Event::from));
        let desired = match &member.then {
            Then::Wanted(desired) => HeldRender::from(&**desired),
            _ if member.parent.is_none() => {
                return Err(Error::NothingThen { app: app.clone(), seq, time });
            }
            Then::Nothing | Then::NotThere => {
                let why = "nothing of it was in force then: it follows Git";
                tree.left.push(format!("{app}: {why}"));
                return Ok(());
            }
            Then::Unknown(why) => {
                tree.left.push(format!("{app}: {why}"));
                return Ok(());
            }
        };
        if !member.note.is_empty() {
            tree.notes.push((app.clone(), member.note.clone()));
        }
        if !known.is_some_and(|known| is_so(known, self.root, self.asked, &desired)) {
            tree.events.push(Event::from(self.event(app, desired)));
        }
        Ok(())
    }

    fn event(&self, app: &AppName, desired: HeldRender) -> AppHeldV1 {
        let asked = self.asked;
        AppHeldV1 {
            automatic: None,
            app: app.clone(),
            tree: Some(self.root.clone()),
            to: asked.to.seq,
            at: asked.to.time,
            said: asked.said.clone(),
            desired,
            left: Vec::new(),
            images: Vec::new(),
            approves: None,
            until: asked.until,
            reason: asked.reason.clone(),
        }
    }

    /// Whether another application defines it now than then, and lets go of it with the rollback.
    /// Whoever keeps it decides what it is.
    fn is_given_back(&self, known: Option<&App>, member: &Member) -> Result<bool, Error> {
        let (Some(known), Some(parent)) = (known, &member.parent) else { return Ok(false) };
        if known.origin == Origin::Parent(parent.clone()) || known.removing {
            return Ok(false);
        }
        let by = match &known.origin {
            Origin::Parent(other) if self.lets_go(other) => return Ok(true),
            Origin::Parent(other) => format!("application `{other}` in Git"),
            Origin::Config => "the configuration file".to_owned(),
            Origin::Operator => "a person".to_owned(),
            Origin::Unconfigured => "nobody any more: the configuration file did".to_owned(),
        };
        let (app, above, to) = (member.app.clone(), self.there_above(parent), self.asked.to.seq);
        let both = known.origin.parent().and_then(|other| self.above_both(other));
        Err(Error::TakenOver { app, by, above, both, to })
    }

    /// The nearest application that has both this tree and `other` below it.
    fn above_both(&self, other: &AppName) -> Option<AppName> {
        let above: Vec<&AppName> = self.above(self.root).collect();
        let mut chain = std::iter::once(other).chain(self.above(other));
        chain.find(|name| above.contains(name)).cloned()
    }

    /// The applications above one, from its parent upwards.
    fn above<'s>(&'s self, name: &'s AppName) -> impl Iterator<Item = &'s AppName> {
        let apps = &self.world.apps;
        let parent = |name: &&'s AppName| apps.get(*name)?.origin.parent();
        // Bound: no chain of parents is longer, unless it is a circle.
        std::iter::successors(Some(name), parent).skip(1).take(apps.len())
    }

    /// Whether an application does not define any more what it defines now: it goes back, too, or
    /// it goes, because it was not there then.
    fn lets_go(&self, name: &AppName) -> bool {
        if self.held.contains_key(name) || !self.world.apps.contains_key(name) {
            return true;
        }
        let mut name = name;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..self.world.apps.len() {
            // What lost its parent stays.
            let Some(app) = self.world.apps.get(name) else { return false };
            if app.removing {
                return true;
            }
            let Origin::Parent(parent) = &app.origin else { return false };
            if let Some(then) = self.held.get(parent) {
                return !then.defines(name);
            }
            name = parent;
        }
        false
    }

    /// The first application from `name` upwards that is there now: there it is that something
    /// changed.
    fn there_above(&self, name: &AppName) -> AppName {
        let mut name = name;
        let there = |name: &AppName| self.world.apps.get(name).is_some_and(|app| !app.removing);
        while !there(name) {
            let Some(Some(parent)) = self.parents.get(name) else { return self.root.clone() };
            name = parent;
        }
        name.clone()
    }
}

/// Whether an application is held so already.
fn is_so(known: &App, root: &AppName, asked: &Asked, desired: &HeldRender) -> bool {
    let inputs = known.desired.as_ref().map(|held| held.inputs);
    known.hold.as_ref().is_some_and(|hold| {
        let again = hold.to == asked.to.seq && hold.until == asked.until;
        again && hold.tree.as_ref() == Some(root) && inputs == Some(desired.inputs)
    })
}

/// The events that end the holds of an application and of everything below it.
///
/// # Errors
/// [`Error::UnknownApp`] and [`Error::NothingHeld`].
pub fn release_tree(world: &World, root: &str) -> Result<Vec<Event>, Error> {
    let (name, _) = find(world, root)?;
    let mut members = vec![name];
    let mut at = 0;
    while let Some(parent) = members.get(at).copied() {
        at += 1;
        for child in world.children(parent) {
            if !members.contains(&child) {
                members.push(child);
            }
        }
    }
    // What was held with it and is defined elsewhere since goes with it all the same.
    let with = world
        .apps
        .iter()
        .filter(|(_, app)| app.hold.as_ref().is_some_and(|hold| hold.tree.as_ref() == Some(name)));
    members.extend(with.map(|(name, _)| name));
    let mut ended = BTreeSet::new();
    let ends = members.into_iter().filter_map(|name| {
        let app = world.apps.get(name)?;
        let hold = app.hold.as_ref().filter(|_| ended.insert(name.clone()))?.seq;
        let holds = app.holds.iter().chain(world.cast_off_by(name));
        let holds = holds.map(|hold| hold.seq).collect();
        let (app, end) = (name.clone(), HoldEnd::Released);
        Some(Event::from(AppHoldEndedV1 { app, hold, end, holds }))
    });
    let ends: Vec<Event> = ends.collect();
    if ends.is_empty() { Err(Error::NothingHeld(root.to_owned())) } else { Ok(ends) }
}

#[cfg(test)]
mod tests;
