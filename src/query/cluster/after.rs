//! What follows once the cluster is kept, application by application: those that go with what Git
//! dropped, those that come, and what is not known yet.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{AppAfter, ObjectAfter};
use crate::ledger::event::Verb;
use crate::model::{AppName, Digest, ObjectKey};
use crate::plan::{Assessment, Compared, Limits, Plan, Status, plan};
use crate::query::children::{Gone, deletes_later, going_later, gone, with_below, without};
use crate::replay::World;

/// What is said of an application that is new.
const COMES: &str = "it comes: what it writes is not known until its source was rendered";
/// What is said of an application that is defined otherwise.
const OTHERWISE: &str = "it is defined otherwise: what it writes and removes is known once that \
                         was rendered";
/// What is said of an application that Git went on with.
const UNRENDERED: &str = "its newest revision is not rendered yet: what it writes and removes is \
                          known then";
/// What is said of an application that goes.
const GOES: &str = "it goes: its definition left Git";
/// What is said of one that goes when a person lets it.
const GOES_GATED: &str = "it goes once its removal was approved";
/// What is said of an object that nobody has any more.
const LEFT_BEHIND: &str = "its application goes and leaves it behind";

/// What is done for each application in a world whose cluster is kept.
pub(super) struct After {
    /// By their names.
    pub(super) apps: Vec<AppAfter>,
    /// What becomes of those that go.
    pub(super) gone: Vec<Gone>,
    /// The world without those that go at once; `None` = none does.
    pub(super) then: Option<World>,
    /// Names what is written and removed.
    pub(super) hash: String,
}

/// Decides for each application.
pub(super) fn after(world: &World, limits: &Limits, compared: &Compared) -> After {
    let plans = world.apps.keys().filter_map(|name| plan(world, name, limits, compared));
    let mut plans: BTreeMap<AppName, Plan> = plans.map(|plan| (plan.app.clone(), plan)).collect();
    let comes: BTreeMap<AppName, Digest> = plans.values().flat_map(comes).collect();
    let (now, gated) = going(&plans);
    let told = gone(world, now.iter().chain(&gated));
    let goes = with_below(world, &now);
    let mut waits = with_below(world, &gated);
    waits.retain(|name| !goes.contains(name));
    let then = (!goes.is_empty()).then(|| without(world, &now));
    if let Some(then) = &then {
        decide_again(then, &mut plans, (&goes, &told), limits, compared);
    }
    let rows = plans.iter().map(|(name, plan)| (name.clone(), row(world, name, plan)));
    let mut apps: BTreeMap<AppName, AppAfter> = rows.collect();
    for name in comes.keys() {
        let known = world.apps.contains_key(name);
        let row = apps.entry(name.clone()).or_insert_with(|| named(name));
        row.not_known = if known { OTHERWISE } else { COMES }.to_owned();
    }
    for name in &goes {
        let row = apps.entry(name.clone()).or_insert_with(|| named(name));
        (row.goes, row.restrained, row.not_known) = (true, GOES.to_owned(), String::new());
    }
    for name in &waits {
        let restrained = GOES_GATED.to_owned();
        apps.insert(name.clone(), AppAfter { goes: true, restrained, ..named(name) });
    }
    for gone in &told {
        let waits = gated.iter().any(|name| name.as_str() == gone.app);
        for key in gone.deletes.iter().filter(|_| waits) {
            tell(world, &mut apps, gone, key, ("gated", GOES_GATED));
        }
        for key in &gone.leaves {
            tell(world, &mut apps, gone, key, ("other", LEFT_BEHIND));
        }
    }
    let apps: Vec<AppAfter> = apps.into_values().collect();
    let hash = hash(world, &apps, &told, &comes);
    After { apps, gone: told, then, hash }
}

/// What goes, and what gets something of it, is decided once it has gone.
fn decide_again(
    then: &World,
    plans: &mut BTreeMap<AppName, Plan>,
    (goes, told): (&BTreeSet<AppName>, &[Gone]),
    limits: &Limits,
    compared: &Compared,
) {
    let heirs = told.iter().flat_map(|gone| &gone.passes).map(|passes| passes.to.as_str());
    let heirs: BTreeSet<&str> = heirs.collect();
    let again = |name: &&AppName| goes.contains(*name) || heirs.contains(name.as_str());
    let again: Vec<AppName> = plans.keys().filter(again).cloned().collect();
    for name in again {
        match plan(then, &name, limits, compared) {
            Some(plan) => plans.insert(name, plan),
            None => plans.remove(&name),
        };
    }
}

/// The applications that a plan defines, and by what.
fn comes(plan: &Plan) -> Vec<(AppName, Digest)> {
    let defined = |(child, manifest): &(AppName, Vec<u8>)| (child.clone(), Digest::of(manifest));
    let mut comes: Vec<(AppName, Digest)> = plan.declare.iter().map(defined).collect();
    // Those of later waves, too.
    let later = plan.objects.iter().filter(|object| is_defined_later(object));
    comes.extend(later.filter_map(|object| Some((object.key.child()?, Digest::default()))));
    comes
}

fn is_defined_later(object: &Assessment) -> bool {
    let lacks = matches!(object.status, Status::Missing | Status::Changed);
    lacks && object.key.is_application() && object.blocked && object.waits_for_progress
}

/// The applications that go, at once or when what that waits for is over, and those that go when a
/// person lets them.
fn going(plans: &BTreeMap<AppName, Plan>) -> (BTreeSet<AppName>, BTreeSet<AppName>) {
    let now = plans.values().flat_map(|plan| {
        let now = plan.remove.iter().map(|(child, _)| child.clone());
        now.chain(plan.objects.iter().filter_map(going_later))
    });
    let now: BTreeSet<AppName> = now.collect();
    let gated = plans.values().filter_map(|plan| plan.gate.as_ref()).flat_map(|gate| &gate.apps);
    let gated = gated.filter(|app| !now.contains(*app)).cloned().collect();
    (now, gated)
}

fn named(name: &AppName) -> AppAfter {
    AppAfter { app: name.to_string(), ..AppAfter::default() }
}

/// Tells what becomes of an object of an application that goes, unless that is told already.
fn tell(
    world: &World,
    apps: &mut BTreeMap<AppName, AppAfter>,
    gone: &Gone,
    key: &str,
    (fate, why): (&str, &str),
) {
    let row = owner(world, gone, key).and_then(|app| apps.get_mut(&app)).filter(|row| row.goes);
    let Some(row) = row.filter(|row| row.objects.iter().all(|told| told.object != key)) else {
        return;
    };
    let of = if fate == "gated" { &mut row.gated } else { &mut row.other };
    *of += 1;
    let (object, fate, why) = (key.to_owned(), fate.to_owned(), why.to_owned());
    row.objects.push(ObjectAfter { object, fate, why });
}

/// The application that has the object now: the one that goes, or one below it.
fn owner(world: &World, gone: &Gone, key: &str) -> Option<AppName> {
    let owned = key.parse().ok().and_then(|key: ObjectKey| world.owned.get(&key));
    owned.map(|owned| owned.app.clone()).or_else(|| gone.app.parse().ok())
}

/// What is done for an application.
fn row(world: &World, name: &AppName, plan: &Plan) -> AppAfter {
    let mut after = named(name);
    for object in &plan.objects {
        let fate = fate(world, plan, object);
        let of = match fate {
            "gated" => &mut after.gated,
            "compare" => &mut after.compare,
            "remove" => &mut after.remove,
            "define" => &mut after.define,
            "create" => &mut after.create,
            "write" => &mut after.update,
            "" => &mut after.same,
            _ => &mut after.other,
        };
        *of += 1;
        if !fate.is_empty() {
            let (object, why) = (object.key.to_string(), object.why.clone());
            after.objects.push(ObjectAfter { object, fate: fate.to_owned(), why });
        }
    }
    after.recreate = plan.writes.iter().filter(|write| write.verb == Verb::Recreate).count();
    if !plan.permission.apply {
        after.restrained.clone_from(&plan.permission.why_not);
    } else if let Some(gate) = &plan.gate {
        let reasons = gate.reasons.iter().map(|reason| reason.what.as_str()).collect::<Vec<_>>();
        after.restrained = format!("waits for approval: {}", reasons.join("; "));
    }
    let app = world.apps.get(name);
    if app.is_some_and(|app| !app.is_held() && world.render_pending(app)) {
        UNRENDERED.clone_into(&mut after.not_known);
    }
    after
}

/// What becomes of an object; empty = it is as Git says.
fn fate(world: &World, plan: &Plan, object: &Assessment) -> &'static str {
    let key = &object.key;
    let is_compared = plan.dry_runs.iter().any(|dry_run| dry_run.key == *key)
        || plan.compare.iter().any(|comparison| comparison.key == *key);
    // Whatever namespace its parent gives it.
    let own = key.child();
    let child = |app: &AppName| own.as_ref() == Some(app);
    let is_gated = plan.gate.as_ref().is_some_and(|gate| {
        let waits = gate.writes.iter().any(|write| write.key == *key);
        waits || gate.apps.iter().any(&child)
    });
    let is_removed = deletes_later(object)
        || plan.writes.iter().any(|write| write.key == *key && write.verb == Verb::Prune)
        || plan.remove.iter().any(|(app, _)| child(app));
    // A deletion that is under way.
    let is_wanted = world.apps.get(&plan.app).is_some_and(|app| app.wants(key));
    match object.status {
        _ if is_gated => "gated",
        _ if is_compared => "compare",
        _ if is_removed => "remove",
        Status::InFlight if !is_wanted => "remove",
        Status::Missing | Status::Changed if key.is_application() => {
            let defined = plan.declare.iter().any(|(app, _)| child(app));
            if defined || is_defined_later(object) { "define" } else { "other" }
        }
        Status::Missing => "create",
        Status::Changed | Status::Drifted | Status::OwnershipLost => "write",
        Status::Synced => "",
        _ => "other",
    }
}

/// Names what is written and removed. What an object is as now is not part of it, nor why.
fn hash(
    world: &World,
    apps: &[AppAfter],
    told: &[Gone],
    comes: &BTreeMap<AppName, Digest>,
) -> String {
    let of_app = |row: &AppAfter| {
        let name = row.app.parse::<AppName>().ok();
        let app = name.as_ref().and_then(|name| world.apps.get(name));
        let desired = app.and_then(|app| app.desired.as_ref());
        let wanted = |object: &ObjectAfter| {
            let key = object.object.parse::<ObjectKey>().ok()?;
            Some(desired?.objects.get(&key)?.digest.to_string())
        };
        let object = |object: &ObjectAfter| json!([object.object, object.fate, wanted(object)]);
        let objects: Vec<_> = row.objects.iter().map(object).collect();
        json!([row.app, row.goes, row.restrained, row.not_known, row.recreate, objects])
    };
    let apps: Vec<_> = apps.iter().map(of_app).collect();
    let comes: Vec<_> =
        comes.iter().map(|(app, digest)| json!([app.as_str(), digest.to_string()])).collect();
    Digest::of(json!([apps, told, comes]).to_string().as_bytes()).to_string()
}
