//! Where the chains begin: what differs, what keeps it so, what is unwell, how it went.
//!
//! Worked out from the world alone; the ledger is read afterwards ([`read`]).

use std::collections::BTreeSet;

use super::super::apps::AppView;
use super::super::blame::{Blame, Field};
use super::super::book::Book;
use super::chain::{ChainLink, Unwell, Walk, of_field};
use super::history::last_write;
use super::object::{Doing, Judge};
use super::{ObjectWhy, Reason};
use crate::ledger;
use crate::ledger::event::{DriftKind, Event, Health};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, ObjectKey, Seq};
use crate::plan::{Assessment, Status};
use crate::replay::World;

/// For how many objects of an application a chain is told.
const OBJECTS_MAX: usize = 5;
/// The reasons whose event a person (or somebody's change) brought about.
const RESTRAINTS: &[&str] =
    &["held_at", "observing", "frozen", "skipped", "paused", "gated", "contest", "does_not_render"];

/// Where a chain begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// What it is about.
    what: String,
    key: Option<ObjectKey>,
    tells: Tells,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tells {
    /// An event.
    Event(Seq),
    /// The end of the last write to the object.
    LastWrite,
    /// How the object went.
    Gone,
    /// The commit that dropped the object, at or before the render.
    Dropped(AppName, Seq),
    /// What changed before something turned unwell.
    Unwell(Unwell),
}

impl Root {
    fn event(what: impl Into<String>, key: Option<&ObjectKey>, seq: Seq) -> Self {
        Self { what: what.into(), key: key.cloned(), tells: Tells::Event(seq) }
    }

    fn of(what: String, key: &ObjectKey, tells: Tells) -> Self {
        Self { what, key: Some(key.clone()), tells }
    }
}

/// Where the chains of an application begin.
pub(super) fn of_app(world: &World, view: &AppView<'_>, reasons: &[Reason]) -> Vec<Root> {
    let judge = Judge::new(world, view);
    let mut roots = restraints(reasons);
    let differ = view.plan.objects.iter().filter(|object| object.status.differs());
    let differ = differ.chain(view.plan.objects.iter().filter(|object| {
        matches!(object.status, Status::OnHold | Status::Kept) && !object.status.differs()
    }));
    for object in differ.take(OBJECTS_MAX) {
        roots.extend(of_difference(world, view, &judge, object));
    }
    roots.extend(unwell(view, None));
    if roots.is_empty() {
        let sync = view.app.last_sync.as_ref().map(|sync| sync.seq);
        let force = sync.or_else(|| view.app.desired.as_ref().map(|desired| desired.seq));
        roots.extend(force.map(|seq| Root::event("how it came to be as it is", None, seq)));
    }
    roots
}

/// Where the chains of one object begin.
pub(super) fn of_object(
    world: &World,
    view: &AppView<'_>,
    object: &Assessment,
    reasons: &[Reason],
) -> Vec<Root> {
    let judge = Judge::new(world, view);
    let mut roots = of_difference(world, view, &judge, object);
    roots.extend(restraints(reasons));
    roots.extend(unwell(view, Some(object)));
    if roots.is_empty() {
        let what = format!("how {} came to be as it is", object.key);
        roots.push(Root::of(what, &object.key, Tells::LastWrite));
    }
    roots
}

/// Where the chain of an object begins that no application has.
pub(super) fn of_nobodys(world: &World, key: &ObjectKey) -> Vec<Root> {
    match world.live.get(key) {
        Some(live) => {
            vec![Root::event(format!("what changed {key} last"), Some(key), live.seq)]
        }
        None => vec![Root::of(format!("how {key} went"), key, Tells::Gone)],
    }
}

/// Decisions of people, and what else keeps everything as it is.
fn restraints(reasons: &[Reason]) -> Vec<Root> {
    let told = reasons.iter().filter(|reason| RESTRAINTS.contains(&reason.code.as_str()));
    let told = told.filter_map(|reason| {
        let seq = Seq(reason.seq?);
        Some(Root::event(format!("{}: {}", reason.code, reason.text), None, seq))
    });
    told.collect()
}

/// What differs, since when, and what keeps it so.
fn of_difference(
    world: &World,
    view: &AppView<'_>,
    judge: &Judge<'_>,
    object: &Assessment,
) -> Vec<Root> {
    let (key, app) = (&object.key, view.app);
    let mut roots = Vec::new();
    let status = object.status.as_str();
    let drift = app.drift.get(key).filter(|drift| drift.kind != DriftKind::None);
    if let Some(drift) = drift {
        let what = format!("{key} is {status}: it is not as greffier applied it");
        roots.push(Root::event(what, Some(key), drift.seq));
    } else if let Some(desired) = app.newest() {
        let left = matches!(object.status, Status::Extra | Status::Kept);
        if left {
            let what = format!("{key} is {status}: it left Git");
            roots.push(Root::of(what, key, Tells::Dropped(view.name.clone(), desired.seq)));
        } else if object.status.differs() {
            let what = format!("{key} is {status}: Git asks for something else");
            roots.push(Root::event(what, Some(key), desired.seq));
        }
    }
    if !world.live.contains_key(key) && drift.is_none() && world.owned.contains_key(key) {
        roots.push(Root::of(format!("how {key} went"), key, Tells::Gone));
    }
    for hold in app.holds_of(key, world.now) {
        let what = format!("{key} is held against Git");
        roots.push(Root::event(what, Some(key), hold.seq));
    }
    if let Some(autoscaler) = world.autoscaler_of(key)
        && let Some(live) = world.live.get(autoscaler)
        && app.replicas_left.contains(&(key.clone(), autoscaler.clone()))
    {
        let what = format!("the replicas of {key} are left to {autoscaler}");
        roots.push(Root::event(what, Some(autoscaler), live.seq));
    }
    if matches!(judge.doing(object), Doing::Retries(..) | Doing::Refused(_)) {
        roots.push(Root::of(format!("the last try to write {key}"), key, Tells::LastWrite));
    }
    roots
}

/// What is unwell; of one object or of all.
fn unwell(view: &AppView<'_>, only: Option<&Assessment>) -> Option<Root> {
    let is_unwell = |health: Health| matches!(health, Health::Degraded | Health::Unknown);
    let is_so = match only {
        Some(object) => is_unwell(object.health),
        None => is_unwell(view.plan.health),
    };
    if !is_so {
        return None;
    }
    let of = view.plan.objects.iter();
    let of = of.filter(|object| only.is_none_or(|only| only.key == object.key));
    let objects = of.filter(|object| is_unwell(object.health)).map(|object| object.key.clone());
    let tree: BTreeSet<ObjectKey> =
        view.plan.objects.iter().map(|object| object.key.clone()).collect();
    let unwell = Unwell { app: view.name.clone(), objects: objects.collect(), tree };
    Some(Root { what: String::new(), key: None, tells: Tells::Unwell(unwell) })
}

/// Tells every chain. `field` is what `blame` says of a field, where one is asked about: then its
/// chain comes first, and alone.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(super) fn read(
    book: &dyn Book,
    roots: &[Root],
    field: Option<(&ObjectKey, &Blame)>,
) -> Result<(Vec<ChainLink>, Vec<String>), ledger::Error> {
    let mut walk = Walk::new(book);
    if let Some((key, blame)) = field {
        of_field(&mut walk, key, blame)?;
        return Ok(walk.ends());
    }
    for root in roots {
        let key = root.key.as_ref();
        let seq = match &root.tells {
            Tells::Event(seq) => Some(*seq),
            Tells::LastWrite => match key {
                Some(key) => last_write(book, key, &mut ObjectWhy::default())?,
                None => None,
            },
            Tells::Gone => match key {
                Some(key) => walk.went(key)?,
                None => None,
            },
            Tells::Dropped(app, render) => {
                if let Some(key) = key {
                    walk.left(&root.what, app, key, *render)?;
                }
                continue;
            }
            Tells::Unwell(unwell) => {
                walk.unwell(unwell)?;
                continue;
            }
        };
        let Some(seq) = seq else { continue };
        walk.head(&root.what, seq);
        walk.event(seq, key, 1)?;
    }
    Ok(walk.ends())
}

impl Walk<'_> {
    /// The event that shows that an object is gone.
    fn went(&mut self, key: &ObjectKey) -> Result<Option<Seq>, ledger::Error> {
        let now = self.now();
        self.last(SubjectKey::object(key), now, |recorded| match &recorded.event {
            Some(Event::ObjectGone(body)) if body.key == *key => Some(recorded.seq()),
            _ => None,
        })
    }
}

/// The headline about the fields that `blame` found.
pub(super) fn field_headline(blame: &Blame, path: &str) -> String {
    let value = |field: &Field| super::chain::value(field);
    match (blame.fields.as_slice(), blame.removed.as_slice()) {
        ([field], _) => format!("{}: {}", blame.subject, value(field)),
        ([], [removed, ..]) => format!("{}: {} is no longer there", blame.subject, removed.path),
        (fields, _) => format!("{}: {} fields at {path}", blame.subject, fields.len()),
    }
}
