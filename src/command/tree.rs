//! Taking an application back together with every application below it.
//!
//! All of it is one batch of events, which is atomic: each application gets a hold of its own, and
//! what was there then and is gone now is defined again first, as the held render of its parent
//! says. What is there now and was not then goes as that render says.

use std::collections::BTreeSet;

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
use crate::replay::{App, World};

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
    for member in members {
        hold(world, name, member, asked, &mut tree)?;
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
    let above = world.apps.get(parent);
    let renders = above.into_iter().flat_map(|above| above.desired.iter().chain(above.of_git()));
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

fn hold(
    world: &World,
    root: &AppName,
    member: &Member,
    asked: &Asked,
    tree: &mut Tree,
) -> Result<(), Error> {
    let (app, seq, time) = (&member.app, asked.to.seq, asked.to.time);
    let known = world.apps.get(app);
    defined_here(known, member)?;
    if known.is_some_and(|known| known.spec.skip) {
        if member.parent.is_none() {
            return Err(Error::LeftAlone(app.clone()));
        }
        tree.left.push(format!("{app}: it is left alone: its skip-reconcile annotation says so"));
        return Ok(());
    }
    let gone = known.is_none_or(|known| known.removing);
    let declared = match (&member.parent, gone) {
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
            tree.left.push(format!("{app}: nothing of it was in force then: it follows Git"));
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
    let same = known.is_some_and(|known| is_so(known, root, asked, &desired));
    if !same {
        tree.events.push(Event::from(AppHeldV1 {
            automatic: None,
            app: app.clone(),
            tree: Some(root.clone()),
            to: seq,
            at: time,
            said: asked.said.clone(),
            desired,
            left: Vec::new(),
            images: Vec::new(),
            approves: None,
            until: asked.until,
            reason: asked.reason.clone(),
        }));
    }
    Ok(())
}

/// Checks that who defines an application now is not somebody else than then.
fn defined_here(known: Option<&App>, member: &Member) -> Result<(), Error> {
    let (Some(known), Some(parent)) = (known, &member.parent) else { return Ok(()) };
    if known.origin == Origin::Parent(parent.clone()) || known.removing {
        return Ok(());
    }
    let by = match &known.origin {
        Origin::Parent(other) => format!("application `{other}` in Git"),
        Origin::Config => "the configuration file".to_owned(),
        Origin::Operator => "a person".to_owned(),
    };
    Err(Error::DefinedElsewhere { app: member.app.clone(), by })
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
        let holds = app.holds.iter().map(|hold| hold.seq).collect();
        let (app, end) = (name.clone(), HoldEnd::Released);
        Some(Event::from(AppHoldEndedV1 { app, hold, end, holds }))
    });
    let ends: Vec<Event> = ends.collect();
    if ends.is_empty() { Err(Error::NothingHeld(root.to_owned())) } else { Ok(ends) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;
    use crate::plan::Status;
    use crate::replay::testing::{
        Given, application, auto, cascading, child, name, object, said, writes,
    };

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    fn asked(then: &World) -> Asked {
        let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
        Asked { to, said: "then".into(), until: None, reason: "incident".into() }
    }

    /// `root` with the child `one`; later `one` is gone and `two` is there. With the world between.
    fn moved_on() -> (Given, World) {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&application("one", auto()))]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&application("two", auto()))]);
        given.advances("one");
        while given.follows("root") {}
        given.renders("two", vec![object(B, 2)]);
        while given.follows("root") {}
        assert!(!given.world.apps.contains_key(&name("one")), "it is removed");
        given.syncs("two");
        (given, then)
    }

    fn rolls_back(given: &mut Given, then: &World) -> Vec<&'static str> {
        let members = Member::of(then, "root");
        let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked(then));
        let kinds = tree.as_ref().unwrap().events.iter().map(Event::name).collect();
        for event in tree.unwrap().events {
            given.event(event);
        }
        kinds
    }

    /// Goal: a child that is gone is defined and held again in the same batch, one that was not
    /// there goes, and the release brings Git's tree back.
    #[test]
    fn a_tree_goes_back_with_the_children_that_it_had_and_the_release_brings_gits() {
        let (mut given, then) = moved_on();
        let kinds = rolls_back(&mut given, &then);
        assert_eq!(kinds, ["hold.app-begun", "app.declared", "hold.app-begun"]);
        let one = &given.world.apps[&name("one")];
        assert_eq!(one.hold.as_ref().unwrap().tree, Some(name("root")));
        assert!(one.wants(&A.parse().unwrap()));
        // Git does not have its folder any more.
        given.fails_to_render("one");
        let plan = given.plan("root");
        assert_eq!(plan.remove.iter().map(|(app, _)| app.as_str()).collect::<Vec<_>>(), ["two"]);
        assert!(plan.declare.is_empty(), "it is as the held render defines it: {plan:?}");
        while given.follows("root") {}
        // Git goes on with another tree, and nothing of it takes force.
        given.push(3);
        given.renders("root", vec![child(&application("three", auto()))]);
        given.renders("one", vec![object(A, 3)]);
        while given.follows("root") {}
        assert!(!given.world.apps.contains_key(&name("three")));
        let one = given.world.apps[&name("one")].desired.as_ref().unwrap();
        assert_eq!(one.objects[&A.parse().unwrap()].digest, object(A, 1).digest);

        for event in release_tree(&given.world, "root").unwrap() {
            given.event(event);
        }
        assert!(!given.world.apps.values().any(App::is_held));
        while given.follows("root") {}
        assert!(given.world.apps.contains_key(&name("three")));
        assert!(!given.world.apps.contains_key(&name("one")), "Git does not have it");
        let nothing = release_tree(&given.world, "root");
        assert!(matches!(nothing, Err(Error::NothingHeld(_))), "{nothing:?}");
    }

    /// Goal: what a tree drops goes with its objects, although what came with the tree was rendered
    /// by nobody since it is defined.
    #[test]
    fn what_a_tree_drops_does_not_wait_for_what_comes_with_it() {
        let (one, two) = (cascading("one", auto()), cascading("two", auto()));
        let mut given = Given::app("root", auto());
        given.limits.app_percent_max = 100;
        given.renders("root", vec![child(&one)]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&two)]);
        given.advances("one");
        while given.follows("root") {}
        given.renders("two", vec![object(A, 1), object(B, 2)]);
        for app in ["root", "one", "two"] {
            given.syncs(app);
        }
        assert!(!given.world.apps.contains_key(&name("one")));
        rolls_back(&mut given, &then);
        given.fails_to_render("one");
        let one = &given.world.apps[&name("one")];
        assert!(one.newest().is_some_and(|held| held.declared != one.declared));
        for app in ["root", "two", "one"] {
            given.syncs(app);
        }
        assert!(!given.world.apps.contains_key(&name("two")), "{:#?}", given.plan("two"));
        let (a, b) = (A.parse().unwrap(), B.parse().unwrap());
        assert_eq!(given.world.owned[&a].app, name("one"));
        assert!(!given.world.live.contains_key(&b));
    }

    /// Goal: what Git dropped goes on going while a tree is held: what the tree has again is known,
    /// whatever Git says of it.
    #[test]
    fn what_git_dropped_does_not_wait_for_what_a_tree_has_again() {
        let own = |content| object("ConfigMap/prod/root", content);
        let (one, two) = (cascading("one", auto()), cascading("two", auto()));
        let mut given = Given::app("root", auto());
        given.limits.app_percent_max = 100;
        given.renders("root", vec![child(&one), own(1)]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&one), child(&two), own(2)]);
        given.advances("one");
        while given.follows("root") {}
        given.renders("two", vec![object(B, 2)]);
        given.syncs("two");
        given.push(3);
        given.renders("root", vec![own(3)]);
        for app in ["one", "two"] {
            given.advances(app);
        }
        while given.follows("root") {}
        assert!(["one", "two"].iter().all(|app| given.world.apps[&name(app)].removing));
        rolls_back(&mut given, &then);
        given.fails_to_render("one");
        assert_eq!(writes(&given.plan("two")), [format!("prune {B}")]);
        assert!(!given.world.apps[&name("one")].removing);
    }

    /// Goal: what Git says as it was is held too, for the next push may change it.
    #[test]
    fn a_member_that_is_as_it_was_is_held_with_the_others_and_does_not_end_by_itself() {
        let mut given = Given::app("root", auto());
        let web = application("web", auto());
        given.renders("root", vec![child(&web), object(B, 1)]);
        while given.follows("root") {}
        given.renders("web", vec![object(A, 1)]);
        given.syncs("web");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&web), object(B, 2)]);
        given.syncs("root");
        given.advances("web");
        rolls_back(&mut given, &then);
        let app = &given.world.apps[&name("web")];
        assert!(app.is_held() && given.world.why_hold_over(app).is_none());
        given.push(3);
        given.renders("web", vec![object(A, 3)]);
        assert_eq!(writes(&given.plan("web")), [] as [String; 0]);
        assert_eq!(said(&given.plan("web"), A).status, Status::Synced);
        // The same again is so already.
        let members = Member::of(&then, "root");
        let again = roll_back_tree(&given.world, given.now(), "root", &members, &asked(&then));
        assert_eq!(again.unwrap().events, []);
    }

    #[test]
    fn what_cannot_be_held_says_which_and_why() {
        let (mut given, then) = moved_on();
        let refused = |given: &Given, members: &[Member], root: &str| {
            let asked = asked(&then);
            roll_back_tree(&given.world, given.now(), root, members, &asked).unwrap_err()
        };
        let members = Member::of(&then, "root");
        assert!(matches!(refused(&given, &members, "nobody"), Error::UnknownApp(_)));
        let never = Member::of(&Given::cluster().world, "root");
        assert!(matches!(refused(&given, &never, "root"), Error::NotThen { .. }));
        given.declares(&application("one", auto()), Origin::Config);
        let elsewhere = refused(&given, &members, "root");
        assert!(elsewhere.to_string().contains("`one` is defined by the configuration"));
        let past = Asked { until: Some(Timestamp(1)), ..asked(&then) };
        let past = roll_back_tree(&given.world, given.now(), "root", &members, &past);
        assert!(matches!(past, Err(Error::Past { .. })), "{past:?}");
        assert_eq!(members[0].then, Then::of(&then, "root"));
        assert_eq!(then.seq, Seq(then.seq.0));
    }

    /// Goal: a child that a person has set aside keeps the definition that does so where the tree
    /// goes back to before it: by the definition of then it would be synced to Git's newest.
    #[test]
    fn a_child_that_is_set_aside_stays_set_aside() {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&application("one", auto())), object(B, 1)]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        let then = given.world.clone();
        let mut aside = application("one", auto());
        aside["metadata"]["annotations"]["argocd.argoproj.io/skip-reconcile"] = "true".into();
        given.push(2);
        given.renders("root", vec![child(&aside), object(B, 2)]);
        while given.follows("root") {}
        assert!(given.world.apps[&name("one")].spec.skip);
        let members = Member::of(&then, "root");
        let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked(&then));
        let tree = tree.unwrap();
        assert_eq!(tree.left.len(), 1, "{:?}", tree.left);
        for event in tree.events {
            given.event(event);
        }
        while given.follows("root") {}
        assert!(given.world.apps[&name("one")].spec.skip, "it is set aside as before");
        let root = given.world.apps[&name("root")].desired.as_ref().unwrap();
        assert_eq!(root.objects[&B.parse().unwrap()].digest, object(B, 1).digest);
    }
}
