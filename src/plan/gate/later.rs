//! What would be put back although the cluster shows a later write of greffier: the ledger may be
//! an old copy, and then Git, or a person, has to say what is right.
//!
//! After a start nobody knows yet whether it is one. Until everything was looked at again, nothing
//! is written that rests on what was known before; and until Git was asked, nothing but what
//! somebody changed is put back. What would be deleted waits until Git has answered.

use super::{Waiting, named};
use crate::ledger::event::{GateReason, Verb, Write};
use crate::model::{AppName, ObjectKey};
use crate::plan::Plan;
use crate::replay::{App, World};

/// Leaves for a later plan what rests on what was known before the daemon started, until that is
/// known to be no old copy, as far as it can be known.
pub(super) fn await_start(
    world: &World,
    (name, app): (&AppName, &App),
    plan: &mut Plan,
    prunes: &mut Vec<Write>,
) {
    let put_back =
        |write: &Write| matches!(write.verb, Verb::Heal | Verb::Reclaim | Verb::TakeOver);
    if world.wants_of_before(app) || world.may_lack_everything() {
        let kinds = world.cluster.unseen_kinds();
        if !world.cluster.seen {
            let what = format!("{kinds} kinds are listed first, after the start");
            return leave(plan, prunes, &what, true, &|_| true);
        }
        if !app.removing && !app.is_held() {
            if let Some(repo) = world.not_asked(app) {
                let what = format!("{repo} is fetched first, after the start");
                return leave(plan, prunes, &what, true, &|write| !put_back(write));
            }
            if world.old_copy().is_some() && world.render_pending(app) {
                let what = "what Git says now is rendered first";
                return leave(plan, prunes, what, true, &|write| !put_back(write));
            }
        }
    }
    if !app.removing && !app.is_held() && world.is_of_old_copy(app) && world.is_pending_above(app) {
        let what = "what Git says now of what defines the application is rendered first";
        return leave(plan, prunes, what, true, &|write| !put_back(write));
    }
    await_git(world, (name, app), plan, prunes);
}

/// What would be deleted waits until Git has answered since the start, or a person has spoken: it
/// may have come back. Where the ledger shows to be an old copy, and neither Git nor a person has said
/// since what the application is to be, the gate asks.
fn await_git(
    world: &World,
    (name, app): (&AppName, &App),
    plan: &mut Plan,
    prunes: &mut Vec<Write>,
) {
    if app.removing || app.is_held() || world.is_of_old_copy(app) {
        return;
    }
    let Some(repo) = world.not_heard(app) else { return };
    let asked = app.asked(world.now);
    if asked.is_some_and(|request| request.prune && request.seq > world.started) {
        return;
    }
    let spoken = app.approved.is_some_and(|approval| approval.seq > world.started);
    let approved =
        |write: &Write| spoken && app.approved_bases.contains(&world.write_base(app, write));
    let bases = world.gate_bases(name, [], plan.remove.iter().map(|(child, _)| child));
    let removes = spoken && bases.is_subset(&app.approved_bases);
    let what = format!(
        "{repo} could not be fetched since the start, and may have it again (greffier sync {name} \
         --prune does not wait)"
    );
    let deletes = |write: &Write| {
        let said = app.is_kept_away(&write.key, world.now) || approved(write);
        world.is_deletion(app, write) && !said
    };
    leave(plan, prunes, &what, !removes, &deletes);
}

/// Takes out of the plan what `waits`, with the removals of applications if `removes`.
pub(super) fn leave(
    plan: &mut Plan,
    prunes: &mut Vec<Write>,
    what: &str,
    removes: bool,
    waits: &dyn Fn(&Write) -> bool,
) {
    let mut keys: Vec<ObjectKey> = Vec::new();
    let mut stays = |write: &Write| {
        let waits = waits(write);
        if waits {
            keys.push(write.key.clone());
        }
        !waits
    };
    plan.writes.retain(&mut stays);
    prunes.retain(&mut stays);
    if removes {
        let removed = plan.remove.drain(..);
        let key = |child: AppName| ObjectKey::application(&child);
        keys.extend(removed.map(|(child, _)| key(child)));
    }
    for object in plan.objects.iter_mut().filter(|object| keys.contains(&object.key)) {
        let why = format!("{}; waits: {what}", object.why);
        object.block(why, true);
    }
}

/// What waits for a person because the ledger may be an old copy.
pub(super) fn take(
    world: &World,
    app: &App,
    plan: &mut Plan,
    prunes: &mut Vec<Write>,
    waiting: &mut Waiting,
) {
    let [mut older, mut unsaid, mut said, mut beside] = <[Vec<ObjectKey>; 4]>::default();
    let mut goes = |write: &Write| {
        let approved = || app.approved_bases.contains(&world.write_base(app, write));
        if !world.puts_back_older(app, write) || approved() {
            return true;
        }
        let again = world.owned.get(&write.key).is_some_and(|o| o.applied == write.digest);
        let keys = match again {
            true => &mut older,
            false if world.is_of_old_copy(app) => &mut unsaid,
            false if matches!(write.verb, Verb::Create | Verb::Prune) => &mut beside,
            false => &mut said,
        };
        keys.push(write.key.clone());
        waiting.writes.push(write.clone());
        false
    };
    plan.writes.retain(&mut goes);
    prunes.retain(&mut goes);
    let sign = match world.old_copy() {
        Some(sign) => format!("wrote to {} at {}, later than", sign.key, sign.at),
        None => "made it anew, later than".to_owned(),
    };
    let copy = format!("greffier {sign} this ledger knows of, so it may be an old copy");
    if !older.is_empty() {
        let what = format!("would put back {}: {copy}", named(&older));
        waiting.contacts.push(GateReason { what });
    }
    if !said.is_empty() {
        let what = format!(
            "would change {}, which greffier wrote later than this ledger knows of: that may have \
             been a rollback, and the ledger an old copy without it",
            named(&said)
        );
        waiting.contacts.push(GateReason { what });
    }
    if !beside.is_empty() {
        let what = format!(
            "would make or remove {}, beside what greffier wrote later than this ledger knows of: \
             that may have been a rollback, which had it as it is",
            named(&beside)
        );
        waiting.contacts.push(GateReason { what });
    }
    if !unsaid.is_empty() {
        let what = format!(
            "would write or remove {}, of which Git has not said anything since: {copy}",
            named(&unsaid)
        );
        waiting.contacts.push(GateReason { what });
    }
}

/// Leaves what would be made or removed for the next plan while objects of the application are being
/// compared: that may show that the ledger is an old copy, or that nothing of it was meant otherwise.
pub(super) fn await_comparisons(
    world: &World,
    app: &App,
    plan: &mut Plan,
    prunes: &mut Vec<Write>,
) {
    let compared = plan.compare.len() + plan.dry_runs.len();
    if compared == 0 {
        return;
    }
    let asked = app.asked(world.now).is_some();
    let beside = !world.is_of_old_copy(app) && world.stands_beside_otherwise(app);
    let mut waits: Vec<ObjectKey> = Vec::new();
    plan.writes.retain(|write| {
        let owned = world.owned.get(&write.key);
        let again = owned.is_some_and(|owned| owned.applied == write.digest);
        let again = again && !asked && !plan.compare.is_empty();
        let waiting = write.verb == Verb::Create && (again || beside);
        if waiting {
            waits.push(write.key.clone());
        }
        !waiting
    });
    if beside {
        waits.extend(prunes.drain(..).map(|write| write.key));
    }
    for object in plan.objects.iter_mut().filter(|object| waits.contains(&object.key)) {
        let why = format!("{}; {compared} other objects are compared first", object.why);
        object.block(why, true);
    }
}
