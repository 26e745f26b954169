//! Applications that go or come with a plan, and what of each goes, stays or comes with it, object
//! by object.
//!
//! What goes is decided by the world ([`gone`], no I/O). What comes is not known before the
//! application's source has been rendered anew; where the ledger has a render of an application of
//! that name, [`come`] tells what that asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::text::count;
use crate::ledger;
use crate::ledger::event::{AppRemovedV1, Event, RenderSucceededV1};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, AppSpec, ObjectKey, Seq};
use crate::plan::{Assessment, Plan, Status};
use crate::replay::{Removals, World};

/// How many events are looked up at a time.
const CHUNK: usize = 256;
/// Bound: how many events of an application are looked at for its last render.
const EVENTS_MAX: usize = 50_000;
/// Bound: how many applications below one are looked for.
const BELOW_MAX: usize = 1_000;

/// An application that goes. It goes over the wire as it is: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The application.
    pub app: String,
    /// The objects that are deleted with it, those of the applications that go with it included.
    pub deletes: Vec<String>,
    /// The objects that stay, and that nobody has from then on.
    pub leaves: Vec<String>,
    /// The objects that stay and go on to another application, which wants them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<Passes>,
}

/// An object that goes on from one application to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes {
    /// The object.
    pub object: String,
    /// The application that has it from then on.
    pub to: String,
}

/// An application that is defined and was not there. It goes over the wire as it is: fields are
/// added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Come {
    /// The application.
    pub app: String,
    /// The render that tells what it wanted when it was there last; zero = none is known.
    pub render: u64,
    /// The commit of that.
    pub commit: String,
    /// What it wanted. What it will want is known when its source has been rendered.
    pub objects: Vec<String>,
}

impl Gone {
    /// What becomes of it, in a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { app, deletes, leaves, passes } = self;
        let with = count(deletes.len(), "object");
        let left = format!("{} of it LEFT BEHIND", count(leaves.len(), "object"));
        let gone = match (deletes.len(), leaves.len()) {
            (0, 0) if !passes.is_empty() => app.clone(),
            (0, 0) => format!("{app}, which leaves nothing"),
            (_, 0) => format!("{app}, and {with} with it"),
            (0, _) => format!("{app}: {left}, which nobody has from then on"),
            _ => format!("{app}, and {with} with it; {left}, which nobody has from then on"),
        };
        if passes.is_empty() {
            return gone;
        }
        let heirs: BTreeSet<&str> = passes.iter().map(|object| &*object.to).collect();
        let heirs: Vec<&str> = heirs.into_iter().collect();
        let of = count(passes.len(), "object");
        let stay = if passes.len() == 1 { "STAYS and passes" } else { "STAY and pass" };
        format!("{gone}; {of} of it {stay} to {}", heirs.join(", "))
    }
}

impl Come {
    /// What is known of it, in a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { app, render, commit, objects } = self;
        if *render == 0 {
            return format!("{app}: what comes with it is not known until its source was rendered");
        }
        let short: String = commit.chars().take(7).collect();
        format!(
            "{app}: it wanted {} when it was there (render #{render} of commit {short}); what it \
             wants now is known when its source was rendered",
            count(objects.len(), "object")
        )
    }
}

/// What becomes of the applications that go, and of those below each with it.
#[must_use]
pub fn gone<'a>(world: &World, going: impl IntoIterator<Item = &'a AppName> + Clone) -> Vec<Gone> {
    let removals = world.removals(going.clone().into_iter().filter_map(|app| there(world, app)));
    let one = |app: &AppName| match there(world, app) {
        Some(app) => one_gone(world, app, &removals),
        None => Gone { app: app.to_string(), ..Gone::default() },
    };
    going.into_iter().map(one).collect()
}

fn there<'w>(world: &'w World, app: &AppName) -> Option<&'w AppName> {
    world.apps.get_key_value(app).map(|(app, _)| app)
}

/// The applications that go, with those below them that go with them.
pub(super) fn with_below<'a>(
    world: &World,
    going: impl IntoIterator<Item = &'a AppName>,
) -> BTreeSet<AppName> {
    let removals = world.removals(going.into_iter().filter_map(|app| there(world, app)));
    removals.going().iter().copied().cloned().collect()
}

fn one_gone<'w>(world: &'w World, app: &'w AppName, removals: &Removals<'w>) -> Gone {
    let cascade = removals.cascade(app);
    let names = |keys: BTreeSet<&ObjectKey>| keys.iter().map(ToString::to_string).collect();
    let mut applied: BTreeSet<&ObjectKey> = world.owned_by(app).map(|(key, _)| key).collect();
    applied.extend(cascade.iter().flat_map(|name| world.owned_by(name)).map(|(key, _)| key));
    let passes: BTreeMap<&ObjectKey, &AppName> =
        applied.into_iter().filter_map(|key| Some((key, removals.heir(key)?))).collect();
    let deletes: BTreeSet<&ObjectKey> = removals.keys(app).collect();
    let orphans = world.orphans(app);
    let leaves: BTreeSet<&ObjectKey> = if cascade.is_empty() {
        orphans.iter().collect()
    } else {
        let owned = cascade.into_iter().flat_map(|name| world.owned_by(name)).map(|(key, _)| key);
        let stays = |key: &&ObjectKey| !deletes.contains(key) && !passes.contains_key(*key);
        owned.filter(|key| world.live.contains_key(*key) && stays(key)).collect()
    };
    let pass = |(key, to): (&ObjectKey, &AppName)| {
        let (object, to) = (key.to_string(), to.to_string());
        Passes { object, to }
    };
    let passes = passes.iter().map(|(key, to)| pass((*key, *to))).collect();
    Gone { app: app.to_string(), leaves: names(leaves), deletes: names(deletes), passes }
}

/// The applications that a plan removes, now or once it is allowed.
#[must_use]
pub fn going(plan: &Plan) -> BTreeSet<&AppName> {
    let now = plan.remove.iter().map(|(child, _)| child);
    let gated = plan.gate.iter().flat_map(|gated| &gated.apps);
    now.chain(gated).collect()
}

/// Whether the object is deleted once what that waits for is over.
pub(super) fn deletes_later(object: &Assessment) -> bool {
    object.status == Status::Extra && object.blocked && object.waits_for_progress
}

/// The application that the object is, where it goes once what it waits for is over.
pub(super) fn going_later(object: &Assessment) -> Option<AppName> {
    object.key.child().filter(|_| deletes_later(object))
}

/// The world once these applications have gone, with those below them: what others want of their
/// objects is those others' from then on.
pub(super) fn without<'a>(world: &World, going: impl IntoIterator<Item = &'a AppName>) -> World {
    let mut after = world.clone();
    let mut all: Vec<AppName> = with_below(world, going).into_iter().collect();
    // Parents first: what goes with its parent goes for the reason of that.
    all.sort_by_key(|name| {
        let above = |name: &&'_ AppName| world.apps.get(*name)?.origin.parent();
        std::iter::successors(Some(name), above).take(world.apps.len()).count()
    });
    for name in all {
        let Some(app) = after.apps.get(&name) else { continue };
        let removed = AppRemovedV1 {
            cascade: app.spec.removals.cascade.is_some(),
            origin: app.origin.clone(),
            declared: Some(app.declared),
            orphans: Vec::new(),
            app: name,
        };
        let (seq, now) = (after.seq.next(), after.now);
        let _ = after.apply(seq, now, &removed.into());
    }
    after
}

/// What becomes of the applications that a plan removes.
#[must_use]
pub fn all_gone(world: &World, plan: &Plan) -> Vec<Gone> {
    gone(world, going(plan))
}

/// The applications that a plan defines and that are not there.
#[must_use]
pub fn coming(world: &World, plan: &Plan) -> Vec<AppName> {
    let new = plan.declare.iter().map(|(child, _)| child);
    new.filter(|child| !world.apps.contains_key(*child)).cloned().collect()
}

/// The applications that a plan defines otherwise than they are there: from another source, for
/// another namespace, or without the annotation that sets them aside. What they ask for then is known once that is rendered.
#[must_use]
pub fn moved(world: &World, plan: &Plan) -> Vec<AppName> {
    let other = |(child, manifest): &(AppName, Vec<u8>)| {
        let known = world.apps.get(child)?;
        let spec = AppSpec::parse(&serde_json::from_slice(manifest).ok()?).ok()?;
        let same = spec.sources == known.spec.sources && spec.namespace == known.spec.namespace;
        let taken_up = known.spec.skip && !spec.skip;
        (!same || taken_up).then(|| child.clone())
    };
    plan.declare.iter().filter_map(other).collect()
}

/// What is known of applications that come, and of those below them, as of the event `by`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn come(book: &dyn Book, apps: &[AppName], by: Seq) -> Result<Vec<Come>, ledger::Error> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    let mut open: Vec<AppName> = apps.iter().rev().cloned().collect();
    while let Some(app) = open.pop().filter(|_| known.len() < BELOW_MAX) {
        if !known.insert(app.clone()) {
            continue;
        }
        let render = last_render(book, &app, by)?;
        let Some((seq, body)) = render else {
            found.push(Come { app: app.to_string(), ..Come::default() });
            continue;
        };
        let keys = body.objects.iter().map(|object| &object.key);
        let below = keys.clone().filter(|key| key.is_application());
        open.extend(below.rev().filter_map(|key| key.name().parse().ok()));
        found.push(Come {
            app: app.to_string(),
            render: seq.0,
            commit: body.revision.commit.to_string(),
            objects: keys.map(ToString::to_string).collect(),
        });
    }
    Ok(found)
}

/// The last render of an application at or before `by`.
fn last_render(
    book: &dyn Book,
    app: &AppName,
    by: Seq,
) -> Result<Option<(Seq, RenderSucceededV1)>, ledger::Error> {
    let (mut before, mut looked) = (by.next(), 0);
    while looked < EVENTS_MAX {
        let found = book.find_before(SubjectKey::app(app.as_str()), before, CHUNK);
        let Some(last) = found.last() else { break };
        before = *last;
        looked += found.len();
        for seq in found {
            let recorded = book.get(seq)?;
            if let Some(Event::RenderSucceeded(body)) = recorded.and_then(|r| r.event.clone())
                && body.app == *app
            {
                return Ok(Some((seq, body)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::fixture::Story;
    use crate::replay::testing::{Given, application, auto, cascading, child, name, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    /// `root` with `left` and `along`, which have one object each; then Git drops both.
    fn dropped() -> Given {
        let (left, along) = (application("left", auto()), cascading("along", auto()));
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&left), child(&along)]);
        while given.follows("root") {}
        given.renders("left", vec![object(A, 1)]);
        given.syncs("left");
        given.renders("along", vec![object(B, 1)]);
        given.syncs("along");
        given
    }

    #[test]
    fn every_object_of_an_application_that_goes_is_named() {
        let given = dropped();
        let told = gone(&given.world, &[name("along"), name("left")]);
        let [along, left] = told.as_slice() else { panic!("{told:?}") };
        let deletes = vec![B.to_owned()];
        assert_eq!(*along, Gone { app: "along".into(), deletes, ..Gone::default() });
        assert_eq!(along.text(), "along, and 1 object with it");
        assert_eq!((left.leaves.clone(), left.deletes.len()), (vec![A.to_owned()], 0));
        assert!(left.text().starts_with("left: 1 object of it LEFT BEHIND"), "{}", left.text());
    }

    /// Goal: what came with an application that is defined again is told from its last render up to
    /// the instant, with what was below it; and where there is none, that it is not known.
    #[test]
    fn what_came_with_an_application_is_told_from_the_ledger() {
        let given = dropped();
        let mut story = Story::empty();
        for (.., event) in &given.events {
            story.event(event.clone());
        }
        let head = story.ledger.head();
        let told = come(&story.ledger, &[name("root"), name("never")], head).unwrap();
        let of = |app: &str| told.iter().find(|come| come.app == app).unwrap();
        assert_eq!(told.len(), 4, "{told:#?}");
        assert_eq!(of("left").objects, [A]);
        assert_eq!(of("along").objects, [B]);
        assert_eq!(of("root").objects.len(), 2);
        assert!(of("left").text().contains("it wanted 1 object"), "{}", of("left").text());
        assert_eq!((of("never").render, of("never").objects.len()), (0, 0));
        assert!(of("never").text().contains("not known"), "{}", of("never").text());
        let before = come(&story.ledger, &[name("left")], Seq(of("left").render - 1)).unwrap();
        assert_eq!(before[0].render, 0, "not before it was rendered");
        story.ledger.shutdown();
    }
}
