//! An independent check of any plan against the rules that must never be broken.
//!
//! It shares no code with what builds plans. The driver refuses to act on a plan with a
//! violation: that is a bug, and stopping is better than going on wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::event::{HoldOf, Origin, Verb, Write};
use crate::model::{AppName, ObjectKey, Stance};
use crate::plan::Plan;
use crate::replay::{App, World};

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It would delete an object that greffier never applied for this application.
    #[error("would delete {0}, which the application does not own")]
    PrunesUnowned(ObjectKey),
    /// It would delete an object that some application wants.
    #[error("would prune {0}, which an application wants")]
    PrunesWanted(ObjectKey),
    /// It would delete an object that its annotations or its application's options keep.
    #[error("would prune {0}, which is protected")]
    PrunesProtected(ObjectKey),
    /// It would delete without naming what exactly.
    #[error("would delete {0} without a uid and resource version")]
    PrunesUnbound(ObjectKey),
    /// It would write while nothing may be written.
    #[error("would write {0} while nothing may be written")]
    WritesForbidden(ObjectKey),
    /// It would write to what another application has, which is paused.
    #[error("would write {0}, which application {1} has, and that is paused")]
    WritesPaused(ObjectKey, AppName),
    /// It would write to another cluster than the one that was accepted.
    #[error("would write {0} to a cluster that nobody has accepted")]
    WritesToStranger(ObjectKey),
    /// It would delete an object that greffier never applied to this very cluster.
    #[error("would delete {0}, which was applied to another cluster")]
    PrunesFormer(ObjectKey),
    /// It would delete something although Git has not been heard since the daemon started.
    #[error("would delete {0}, and nobody has heard of Git since the start")]
    PrunesUnheard(ObjectKey),
    /// It would delete an object that an application may have which was defined since its own was
    /// dropped, and was never rendered.
    #[error("would prune {0}, which application {1} may have: it was never rendered")]
    PrunesUnsettled(ObjectKey, AppName),
    /// It would delete an object while one that the API server refused may stand in its place.
    #[error("would prune {0} beside {1}, which was refused")]
    PrunesBeside(ObjectKey, ObjectKey),
    /// It would write to an object that already has a write under way.
    #[error("would write {0}, which has an open intent")]
    WritesInFlight(ObjectKey),
    /// It would set replicas that belong to an autoscaler.
    #[error("would set the replicas of {0}, which {1} scales")]
    WritesReplicas(ObjectKey, ObjectKey),
    /// It would write and gate the same object.
    #[error("would write {0}, which is gated")]
    WritesGated(ObjectKey),
}

impl Violation {
    /// The object that it is about.
    #[must_use]
    pub const fn key(&self) -> &ObjectKey {
        match self {
            Self::PrunesUnowned(key)
            | Self::PrunesWanted(key)
            | Self::PrunesProtected(key)
            | Self::PrunesUnbound(key)
            | Self::WritesForbidden(key)
            | Self::WritesPaused(key, _)
            | Self::WritesToStranger(key)
            | Self::PrunesFormer(key)
            | Self::PrunesUnheard(key)
            | Self::WritesInFlight(key)
            | Self::WritesGated(key)
            | Self::PrunesUnsettled(key, _)
            | Self::PrunesBeside(key, _)
            | Self::WritesReplicas(key, _) => key,
        }
    }
}

impl Plan {
    /// Takes out what breaks a rule.
    pub fn refuse(&mut self, violations: &[Violation]) {
        self.writes.retain(|write| violations.iter().all(|broken| *broken.key() != write.key));
    }
}

fn is_frozen(world: &World) -> bool {
    let frozen = world.frozen.as_ref();
    frozen.is_some_and(|freeze| freeze.until.is_none_or(|until| until > world.now))
}

/// Returns every rule that `plan` breaks in `world`.
#[must_use]
pub fn check(world: &World, plan: &Plan) -> Vec<Violation> {
    let mut violations = Vec::new();
    let app = world.apps.get(&plan.app);
    let paused = app.is_some_and(|app| is_paused(world, app));
    // While a render waits, what it would change is kept as the one in force says.
    let keeps = plan.gate.as_ref().is_some_and(|gate| gate.render.is_some());
    let same = |a: &Write, b: &Write| !keeps || (a.verb == b.verb && a.digest == b.digest);
    let gated = plan.gate.iter().flat_map(|gate| &gate.writes);
    let gated: BTreeMap<&ObjectKey, &Write> = gated.map(|write| (&write.key, write)).collect();
    let skipped = app.is_some_and(|app| app.spec.skip);
    let silent = world.observe || world.cluster.lost.is_some() || is_frozen(world);
    let forbidden = silent || paused || skipped;
    let accepted = world.cluster.identity.formers.last();
    let accepted = accepted.map(|former| former.accepted).unwrap_or_default();
    let unsettled = app.and_then(|app| unsettled(world, app));
    let refused = app.and_then(|app| refused(world, app, plan));
    for write in &plan.writes {
        let key = &write.key;
        if forbidden {
            violations.push(Violation::WritesForbidden(key.clone()));
        }
        let other = paused_owner(world, &plan.app, key);
        violations.extend(other.map(|other| Violation::WritesPaused(key.clone(), other.clone())));
        if is_stranger(world) {
            violations.push(Violation::WritesToStranger(key.clone()));
        }
        if world.in_flight.contains_key(key) {
            violations.push(Violation::WritesInFlight(key.clone()));
        }
        if gated.get(key).is_some_and(|gated| same(gated, write)) {
            violations.push(Violation::WritesGated(key.clone()));
        }
        if let Some(autoscaler) = contested_replicas(world, write) {
            violations.push(Violation::WritesReplicas(key.clone(), autoscaler.clone()));
        }
        if write.verb != Verb::Prune && write.verb != Verb::Recreate {
            continue;
        }
        let uid = write.precondition.as_ref().map(|(uid, _)| uid.as_str());
        let owned = world.owned.get(key).filter(|owned| owned.app == plan.app);
        if owned.is_none_or(|owned| uid.is_some_and(|uid| uid != owned.uid)) {
            violations.push(Violation::PrunesUnowned(key.clone()));
        }
        if owned.is_some_and(|owned| owned.seq < accepted) {
            violations.push(Violation::PrunesFormer(key.clone()));
        }
        let wanted = world.apps.values().any(|app| app.wants(key));
        let kept_away = app.is_some_and(|app| keeps_away(world, app, key));
        if !kept_away && app.is_some_and(|app| is_unheard(world, app)) {
            violations.push(Violation::PrunesUnheard(key.clone()));
        }
        if wanted && !kept_away && write.verb == Verb::Prune {
            violations.push(Violation::PrunesWanted(key.clone()));
        }
        if write.verb == Verb::Prune && app.is_some_and(|app| is_protected(world, app, key)) {
            violations.push(Violation::PrunesProtected(key.clone()));
        }
        if let Some(heir) = unsettled.filter(|_| write.verb == Verb::Prune) {
            violations.push(Violation::PrunesUnsettled(key.clone(), heir.clone()));
        }
        let said = kept_away || app.is_some_and(|app| is_asked(app, key));
        if let Some(refused) = refused.filter(|_| write.verb == Verb::Prune && !said) {
            violations.push(Violation::PrunesBeside(key.clone(), refused.clone()));
        }
        if write.precondition.is_none() {
            violations.push(Violation::PrunesUnbound(key.clone()));
        }
    }
    violations
}

/// Whether a person keeps the object away.
fn keeps_away(world: &World, app: &App, key: &ObjectKey) -> bool {
    app.holds.iter().any(|hold| {
        hold.of == HoldOf::Absence(key.clone()) && hold.until.is_none_or(|until| until > world.now)
    })
}

/// Whether what the application wants rests on what Git said before the daemon started, and no
/// person has said since that something is to go.
fn is_unheard(world: &World, app: &App) -> bool {
    let told =
        app.spec.sources.iter().all(|source| {
            world.repos.get(&source.repo).is_some_and(|repo| repo.heard > world.started)
        });
    let asked = app.request.as_ref().is_some_and(|r| r.prune && r.seq > world.started);
    let approved = app.approved.is_some_and(|approval| approval.seq > world.started);
    !told && !asked && !approved && !app.removing && app.hold.is_none()
}

/// What the application wants, was refused for good, and is not tried again with this plan, unless
/// what goes may have been in its way.
fn refused<'w>(world: &World, app: &'w App, plan: &Plan) -> Option<&'w ObjectKey> {
    let desired = app.desired.as_ref().filter(|_| !app.removing)?;
    let mut refused = app.attempts.iter().filter(|(key, attempt)| {
        let wanted = desired.objects.get(key).is_some_and(|o| o.digest == attempt.digest);
        let applied = world.owned.get(key).map(|owned| owned.applied);
        let excused = [" is already ", " already exists", "exceeded quota: "]
            .iter()
            .any(|words| attempt.error.contains(words));
        attempt.refused
            && wanted
            && applied != Some(attempt.digest)
            && !excused
            && plan.writes.iter().all(|write| write.key != **key)
            && !world.in_flight.contains_key(*key)
    });
    refused.next().map(|(key, _)| key)
}

/// Whether a person has asked that this very object goes.
fn is_asked(app: &App, key: &ObjectKey) -> bool {
    app.request.as_ref().is_some_and(|request| request.prune && request.only.contains(key))
}

/// An application that its parent defined after it had dropped `app`, and that has no render, if
/// no person has said since that the objects are to go.
fn unsettled<'w>(world: &'w World, app: &App) -> Option<&'w AppName> {
    let dropped = app.dropped.as_ref().filter(|_| app.removing)?.seq;
    let asked = app.request.as_ref().filter(|request| request.prune).map(|request| request.seq);
    let mut others = world.apps.iter().filter(|(name, other)| {
        other.origin == app.origin
            && other.declared > dropped
            && asked.is_none_or(|asked| asked < other.declared)
            && (other.desired.is_none() && other.proposed.is_none())
            && is_to_stay(world, name)
    });
    others.next().map(|(name, _)| name)
}

/// Whether everything that defines the application has it, as far up as that goes.
fn is_to_stay(world: &World, name: &AppName) -> bool {
    let (mut name, mut met) = (name, BTreeSet::new());
    while let Some(app) = world.apps.get(name).filter(|app| !app.removing) {
        let Origin::Parent(parent) = &app.origin else { return true };
        let parent = world.apps.get_key_value(parent);
        let Some((above, _)) = parent.filter(|(_, parent)| parent.defines(name)) else { break };
        if !met.insert(name) {
            break;
        }
        name = above;
    }
    false
}

/// The paused application that applied the object last, where that is another than `name`.
fn paused_owner<'w>(world: &'w World, name: &AppName, key: &ObjectKey) -> Option<&'w AppName> {
    let owner = world.owned.get(key).map(|owned| &owned.app).filter(|owner| *owner != name)?;
    world.apps.get(owner).is_some_and(|app| is_paused(world, app)).then_some(owner)
}

fn is_paused(world: &World, app: &App) -> bool {
    let paused = app.paused.as_ref();
    paused.is_some_and(|pause| pause.until.is_none_or(|until| until > world.now))
}

/// Whether another cluster answers than the one that is kept, or the kept one as it was before.
fn is_stranger(world: &World) -> bool {
    let (cluster, identity) = (&world.cluster, &world.cluster.identity);
    cluster.uid != identity.kept || identity.reverted.is_some() || identity.other.is_some()
}

/// The autoscaler whose replicas the write would set.
fn contested_replicas<'w>(world: &'w World, write: &Write) -> Option<&'w ObjectKey> {
    let sends = matches!(write.verb, Verb::Update | Verb::Heal | Verb::Reclaim | Verb::Adopt);
    if !sends || write.respect.pointers.iter().any(|pointer| pointer == "/spec/replicas") {
        return None;
    }
    let (group, kind) = ("autoscaling", "HorizontalPodAutoscaler");
    let namespace = write.key.namespace();
    let there = world.live.range(ObjectKey::new(group, kind, namespace, "")..);
    let mut there = there
        .take_while(|(key, _)| key.is(group, kind) && key.namespace() == namespace)
        .filter(|(_, live)| live.scales.as_deref() == Some(&write.key));
    there.next().map(|(key, _)| key)
}

/// Whether the object must not be deleted, or not before somebody has said so.
fn is_protected(world: &World, app: &App, key: &ObjectKey) -> bool {
    let own = world.live.get(key).map(|live| live.protection).unwrap_or_default();
    let removals = &app.spec.removals;
    let (said, of_app) =
        if app.removing { (own.delete, removals.delete) } else { (own.prune, removals.prune) };
    let stance = if said == Stance::Unsaid { of_app } else { said };
    let approved = !app.approved_bases.is_empty() || app.is_confirmed(key);
    own.keep || stance == Stance::Stays || (stance == Stance::Asks && !approved)
}

/// Why a write of an intent that is durable, and of which nothing was sent yet, must not be made
/// any more in `world`; `None` = it may be made.
///
/// A decision is taken at one position of the ledger and its intent recorded at a later one. What
/// came in between counts: whoever paused an application has been told that it is paused.
#[must_use]
pub fn withdrawn(world: &World, name: &AppName, write: &Write) -> Option<&'static str> {
    let Some(app) = world.apps.get(name) else { return Some("the application was removed") };
    if world.observe {
        return Some("greffier only observes (--observe)");
    }
    if is_stranger(world) {
        return Some("it is not known whether the cluster that answers is the one to be kept");
    }
    if world.freeze().is_some() {
        return Some("greffier was frozen");
    }
    if app.spec.skip {
        return Some("the application is to be left alone now (skip-reconcile)");
    }
    if app.is_paused(world.now) {
        return Some("the application was paused");
    }
    if paused_owner(world, name, &write.key).is_some() {
        return Some("the application that has the object was paused");
    }
    if world.first_contact(write).is_some()
        && !app.approved_bases.contains(&world.write_base(app, write))
    {
        return Some("another GitOps manager manages the object now");
    }
    if world.puts_back_older(app, write)
        && !app.approved_bases.contains(&world.write_base(app, write))
    {
        return Some("greffier wrote to the cluster later than this ledger knows of");
    }
    if write.holds != app.held(&write.key, world.now) {
        return Some("what a person holds of the object has changed");
    }
    if contested_replicas(world, write).is_some() {
        return Some("an autoscaler scales the object now");
    }
    if write.verb == Verb::Prune {
        let kept_away = app.is_kept_away(&write.key, world.now);
        let wanted = !kept_away && world.apps.values().any(|app| app.wants(&write.key));
        let protected = is_protected(world, app, &write.key);
        return match (wanted, protected) {
            (true, _) => Some("an application wants the object now"),
            (false, true) => Some("the object is protected now"),
            (false, false) => None,
        };
    }
    let desired = app.desired.as_ref().filter(|_| !app.removing);
    match desired.and_then(|desired| desired.objects.get(&write.key)) {
        None => Some("the application does not want the object any more"),
        // What the newer one restrains is known for it alone.
        Some(object) if Some(object.manifest) != write.manifest => {
            Some("a newer render replaced its manifest")
        }
        Some(_) => None,
    }
}
